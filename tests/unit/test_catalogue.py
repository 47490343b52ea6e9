"""The catalogue: order and bounds by bytes, several processes, and files that are of no use."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from sealift import catalogue as module
from sealift.catalogue import SELECT, Catalogue
from sealift.errors import CatalogueError
from sealift.model import Known, bare_etag

SCOPE = "https://localhost:9000/bucket"
OTHER = "https://localhost:9001/bucket"
TOP = "\U0010ffff"


def known(name: str, **changes: Any) -> Known:
    row = Known(name, 5, "e", "v", 2**64 - 1, 1_764_000_000_123_456_789, "0123456789abcdef")
    return row._replace(**changes)


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "state" / "sealift" / "catalogue.sqlite3")


@pytest.fixture
def catalogue(path: str) -> Any:
    made = Catalogue(path)
    yield made
    made.close()


def names(catalogue: Catalogue, prefix: str = "", after: str = "", limit: int = 1000) -> list[str]:
    return [row.name for row in catalogue.known(SCOPE, prefix, after, limit)]


@pytest.mark.parametrize(
    "row",
    [
        known("a"),
        known("a", crc=0, mtime_ns=-1_500_000_000, size=0),
        known("a", crc=2**63, size=50 * 2**40),
        known("a", crc=2**63 - 1),
        known("a", version_id=None, crc=None, mtime_ns=None, key_id=None),
    ],
)
def test_what_was_recorded_is_known(path: str, row: Known) -> None:
    first = Catalogue(path)
    first.record(SCOPE, [row])
    first.close()
    second = Catalogue(path)
    assert second.known(SCOPE, "") == [row]
    assert second.known(OTHER, "") == []
    second.close()


def test_a_later_move_takes_the_place_of_an_earlier_one(catalogue: Catalogue) -> None:
    catalogue.record(SCOPE, [known("a"), known("b")])
    catalogue.record(SCOPE, [known("a", size=6, key_id=None), known("c"), known("c", size=7)])
    rows = catalogue.known(SCOPE, "")
    assert rows == [known("a", size=6, key_id=None), known("b"), known("c", size=7)]


def test_a_time_beyond_64_bits_is_not_known(catalogue: Catalogue) -> None:
    catalogue.record(SCOPE, [known("a", mtime_ns=2**63), known("b", mtime_ns=2**63 - 1)])
    assert [row.mtime_ns for row in catalogue.known(SCOPE, "")] == [None, 2**63 - 1]


def test_objects_are_looked_up_by_their_names(catalogue: Catalogue) -> None:
    rows = [known(f"n{number:04}") for number in range(1200)]
    catalogue.record(SCOPE, rows)
    catalogue.record(OTHER, [known("n0000", etag="other"), known("x")])
    assert catalogue.look_up(SCOPE, []) == []
    assert catalogue.look_up(SCOPE, ["n0003", "x", "n000"]) == [rows[3]]
    assert sorted(catalogue.look_up(SCOPE, [row.name for row in rows])) == rows


def test_names_are_in_the_order_of_their_bytes(catalogue: Catalogue) -> None:
    found = ["a", "a\0", "a ", "a%", "a%b", "a_b", "a*", "a\\", "ab", "B", "é", "e\u0301", "\uffff",
             "\ue000", "🚢", TOP, TOP * 2, "a/b", "a//b", "'; --"]  # fmt: skip
    random.Random(1).shuffle(found)
    catalogue.record(SCOPE, [known(name) for name in found])
    assert names(catalogue) == sorted(found, key=str.encode)
    assert names(catalogue).index("\uffff") < names(catalogue).index("🚢")  # not so in UTF-16


@pytest.mark.parametrize(
    ("prefix", "after", "limit", "expected"),
    [
        ("", "", 1000, ["a", "a%b", "a/", "a/b", "a/c", "a0", f"a{TOP}", f"a{TOP}z", "b", TOP]),
        ("a/", "", 1000, ["a/", "a/b", "a/c"]),
        ("a/", "a/", 1000, ["a/b", "a/c"]),
        ("a/", "a/b", 1000, ["a/c"]),
        ("a/", "a/c", 1000, []),
        ("a/", "a", 1000, ["a/", "a/b", "a/c"]),
        ("a/", "", 2, ["a/", "a/b"]),
        ("a/", "z", 1000, []),
        ("a%", "", 1000, ["a%b"]),
        (f"a{TOP}", "", 1000, [f"a{TOP}", f"a{TOP}z"]),
        (TOP, "", 1000, [TOP]),
        ("", "b", 1000, [TOP]),
        ("a_", "", 1000, []),
    ],
)
def test_a_prefix_bounds_what_is_known(
    catalogue: Catalogue, prefix: str, after: str, limit: int, expected: list[str]
) -> None:
    every = ["a", "a%b", "a/", "a/b", "a/c", "a0", f"a{TOP}", f"a{TOP}z", "b", TOP]
    catalogue.record(SCOPE, [known(name) for name in every])
    catalogue.record(OTHER, [known("a/elsewhere")])
    assert names(catalogue, prefix, after, limit) == expected


def test_a_prefix_is_looked_up_by_the_index(catalogue: Catalogue, path: str) -> None:
    catalogue.record(SCOPE, [known("a")])
    with closing(sqlite3.connect(path)) as connection, connection:
        rows = connection.execute(f"EXPLAIN QUERY PLAN {SELECT}", (SCOPE, b"a", b"b", 1)).fetchall()
    connection.close()
    plan = [row[3] for row in rows]
    assert any("PRIMARY KEY (bucket=? AND name>? AND name<?)" in step for step in plan), plan
    assert not any(word in step for step in plan for word in ("SCAN", "TEMP B-TREE")), plan


def test_forgetting(catalogue: Catalogue) -> None:
    every = [known(name) for name in ("a", "a/b", "a/c", "b", TOP)]
    catalogue.record(SCOPE, every)
    catalogue.record(OTHER, every)
    catalogue.forget(SCOPE, ["b", "missing"])
    catalogue.forget_prefix(SCOPE, "a/")
    assert names(catalogue) == ["a", TOP]
    catalogue.forget_prefix(SCOPE, "")
    assert names(catalogue) == []
    assert catalogue.known(OTHER, "") == every


def test_nothing_is_opened_before_it_is_needed(path: str) -> None:
    Catalogue(path).close()
    assert not os.path.exists(os.path.dirname(path))


def test_the_default_place_is_the_state_directory(state_home: Path) -> None:
    catalogue = Catalogue()
    catalogue.record(SCOPE, [known("a")])
    catalogue.close()
    assert (state_home / "sealift" / "catalogue.sqlite3").is_file()


def test_nobody_else_may_read_it(catalogue: Catalogue, path: str) -> None:
    before = os.umask(0)
    try:
        catalogue.record(SCOPE, [known("a")])
    finally:
        os.umask(before)
    directory = os.path.dirname(path)
    modes = {name: stat.S_IMODE(os.stat(f"{directory}/{name}").st_mode)
             for name in os.listdir(directory)}  # fmt: skip
    base = "catalogue.sqlite3"
    assert modes == {base: 0o600, f"{base}-wal": 0o600, f"{base}-shm": 0o600}
    assert stat.S_IMODE(os.stat(directory).st_mode) == 0o700


@pytest.mark.parametrize(("etag", "bare"), [('"abc-3"', "abc-3"), ("abc", "abc"), ("", "")])
def test_an_etag_is_kept_without_quotes(etag: str, bare: str) -> None:
    assert bare_etag(etag) == bare


# Several processes

WRITER = """
import sys
from sealift.catalogue import Catalogue
from sealift.model import Known, bare_etag
path, name, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
catalogue = Catalogue(path)
print("ready", flush=True)
sys.stdin.readline()
for start in range(0, count, 100):
    rows = [Known(f"{name}/{n:09}", n, "e", None, n, n, None) for n in range(start, start + 100)]
    catalogue.record("https://localhost:9000/bucket", rows)
    print(start + 100, flush=True)
"""


def start_writer(path: str, name: str, count: int) -> subprocess.Popen[str]:
    child = subprocess.Popen(
        [sys.executable, "-c", WRITER, path, name, str(count)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    return child


def test_processes_that_begin_one_file_at_once_lose_nothing(path: str) -> None:
    children = [start_writer(path, name, 2000) for name in "abc"]
    for child in children:
        assert child.stdin is not None
        child.stdin.write("\n")
        child.stdin.flush()
    assert [child.communicate(timeout=50) and child.returncode for child in children] == [0, 0, 0]
    catalogue = Catalogue(path)
    for name in "abc":
        assert len(names(catalogue, f"{name}/", limit=9999)) == 2000
    catalogue.close()
    assert os.listdir(os.path.dirname(path)) == ["catalogue.sqlite3"]


def test_a_writer_that_is_killed_leaves_whole_batches(path: str) -> None:
    with start_writer(path, "a", 1_000_000) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write("\n")
        child.stdin.flush()
        while int(child.stdout.readline()) < 3000:
            pass
        child.send_signal(signal.SIGKILL)
        done = [int(line) for line in child.stdout]
    catalogue = Catalogue(path)
    found = catalogue.known(SCOPE, "", limit=10**6)
    assert [row.size for row in found] == list(range(len(found)))
    assert len(found) % 100 == 0
    assert len(found) >= max([3000, *done])
    catalogue.record(SCOPE, [known("b")])
    assert names(catalogue, "b") == ["b"]
    catalogue.close()


# Of no use


def test_a_file_that_is_no_database_is_set_aside(path: str) -> None:
    os.makedirs(os.path.dirname(path))
    for number in (1, 2):
        Path(path).write_bytes(b"no database" * 1000)
        catalogue = Catalogue(path)
        with pytest.raises(CatalogueError, match="damaged") as caught:
            catalogue.record(SCOPE, [known("a")])
        assert f"{path}.damaged-{number}" in caught.value.hint
        assert names(catalogue) == ["a"]  # it was recorded all the same
        catalogue.close()
        assert Path(f"{path}.damaged-{number}").read_bytes() == b"no database" * 1000


def test_another_program_s_database_is_set_aside(path: str) -> None:
    os.makedirs(os.path.dirname(path))
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE object (x)")
    connection.close()
    catalogue = Catalogue(path)
    with pytest.raises(CatalogueError, match="damaged"):
        catalogue.known(SCOPE, "")
    assert names(catalogue) == []
    catalogue.close()
    assert os.path.exists(f"{path}.damaged-1")


def test_a_newer_version_is_left_alone(path: str) -> None:
    catalogue = Catalogue(path)
    catalogue.record(SCOPE, [known("a")])
    catalogue.close()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("PRAGMA user_version = 2")
    connection.close()
    before = Path(path).read_bytes()
    with pytest.raises(CatalogueError, match="another version"):
        catalogue.known(SCOPE, "")
    assert names(catalogue) == []
    catalogue.record(SCOPE, [known("b")])
    catalogue.close()
    assert Path(path).read_bytes() == before
    assert os.listdir(os.path.dirname(path)) == ["catalogue.sqlite3"]


@pytest.mark.parametrize("seed", range(3))
def test_flipped_bytes_raise_nothing_else(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    whole = str(tmp_path / "whole")
    catalogue = Catalogue(whole)
    catalogue.record(SCOPE, [known(f"name-{number}") for number in range(300)])
    catalogue.close()
    content = Path(whole).read_bytes()
    troubles = 0
    for number in range(60):
        flipped = bytearray(content)
        for _ in range(20):
            flipped[chance.randrange(len(flipped))] = chance.randrange(256)
        path = tmp_path / str(number) / "x"
        path.parent.mkdir()
        path.write_bytes(flipped)
        catalogue = Catalogue(str(path))
        for call in (
            lambda it: it.known(SCOPE, ""),
            lambda it: it.record(SCOPE, [known(f"more-{n}") for n in range(200)]),
            lambda it: it.forget_prefix(SCOPE, "name-1"),
        ):
            try:
                call(catalogue)
            except CatalogueError:
                troubles += 1
        catalogue.close()
    assert troubles


def test_a_directory_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "state").write_bytes(b"a file")
    catalogue = Catalogue(str(tmp_path / "state" / "x"))
    with pytest.raises(CatalogueError, match="File exists"):
        catalogue.record(SCOPE, [known("a")])
    catalogue.record(SCOPE, [known("a")])
    assert catalogue.known(SCOPE, "") == []


def test_an_unwritable_directory(tmp_path: Path) -> None:
    """By a process without root's rights."""
    state = tmp_path / "state"
    state.mkdir()
    state.chmod(0o755 if os.geteuid() == 0 else 0o500)
    code = """
import os, sys
if os.geteuid() == 0:
    os.setuid(65534)
from sealift.catalogue import Catalogue
from sealift.model import Known, bare_etag
from sealift.errors import CatalogueError
catalogue = Catalogue(sys.argv[1])
row = Known("a", 1, "e", None, None, None, None)
try:
    catalogue.record("s", [row])
except CatalogueError as error:
    print(error)
catalogue.record("s", [row])
print(catalogue.known("s", ""))
"""
    done = subprocess.run(
        [sys.executable, "-c", f"import sealift.catalogue\nimport sqlite3\n{code}", "x/y"],
        cwd=state, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    said, nothing = done.stdout.splitlines()
    assert "goes on without the catalogue x/y: Permission denied" in said, done
    assert nothing == "[]"


def test_a_lock_that_is_held_for_long(
    catalogue: Catalogue, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BUSY_TIMEOUT", 0.05)
    catalogue.record(SCOPE, [known("a")])
    with closing(sqlite3.connect(path, isolation_level=None)) as other, other:
        other.execute("BEGIN IMMEDIATE")
        assert names(catalogue) == ["a"]  # readers do not wait
        with pytest.raises(CatalogueError, match="locked"):
            catalogue.record(SCOPE, [known("b")])
        other.execute("ROLLBACK")
    other.close()
    catalogue.record(SCOPE, [known("c")])
    assert names(catalogue) == []
    catalogue.close()
    again = Catalogue(path)
    assert names(again) == ["a"]
    again.close()


def test_no_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.delenv("HOME")
    monkeypatch.setattr("pwd.getpwuid", {}.__getitem__)  # as in a container, by an unknown user id
    with pytest.raises(CatalogueError, match="no home") as caught:
        Catalogue().record(SCOPE, [known("a")])
    assert "XDG_STATE_HOME" in caught.value.hint


def test_objects_are_counted_by_key(catalogue: Catalogue) -> None:
    assert catalogue.by_key() == {}
    catalogue.record(SCOPE, [known("a", size=1), known("b", size=2**40), known("c", key_id="x")])
    catalogue.record(OTHER, [known("a", size=3), known("d", key_id=None)])
    assert catalogue.by_key() == {"0123456789abcdef": (3, 2**40 + 4), "x": (1, 5)}
    catalogue.record(SCOPE, [known("c")])
    assert set(catalogue.by_key()) == {"0123456789abcdef"}

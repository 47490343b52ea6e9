"""A journal that cannot be had: no room, no rights, no locks. It says so, and does no harm."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.programs import needs
from tests.unit.journals import (
    SCOPE,
    TOKENS,
    State,
    created,
    run_record,
    start,
    upload,
)

from sealift.errors import JournalError
from sealift.journal import Journal, dead_runs, live_upload_ids
from sealift.records import (
    UploadPlanned,
)


def write_all(journal: Journal) -> None:
    journal.open()
    for number in range(200):
        journal.write([UploadPlanned(created(number, path="/" + "x" * 2000))], durable=True)


def fill(state: State) -> Path:
    """Leave no room on its file system."""
    filler = state.path / "filler"
    room = shutil.disk_usage(state.path).free
    filler.write_bytes(bytes(room))
    assert shutil.disk_usage(state.path).free == 0
    return filler


def test_a_full_disk_ends_the_journal_and_takes_nothing_from_it(
    mounted: Callable[[str], Path],
) -> None:
    small = State(mounted("size=256k"))
    journal = Journal(small.text, run_record())
    with pytest.raises(JournalError, match=r"full|I/O"):
        write_all(journal)
    journal.close(finished=False)
    markers = sorted(record.marker for record in small.only().uploads)
    assert len(markers) >= 10
    assert markers == [upload(number).marker for number in range(len(markers))]


def test_a_full_disk_keeps_nobody_from_looking_and_removing(
    mounted: Callable[[str], Path],
) -> None:
    """Or `clean` could not make room."""
    small = State(mounted("size=256k"))
    small.leave(UploadPlanned(upload(0)), UploadPlanned(upload(1)))
    filler = fill(small)
    dead = small.only()
    assert sorted(dead.uploads) == [upload(0), upload(1)]
    dead.forget(upload(0).marker)
    assert dead.uploads == [upload(1)]
    dead.remove()
    filler.unlink()
    assert small.names() == []


def test_a_disk_too_full_to_begin(mounted: Callable[[str], Path]) -> None:
    small = State(mounted("size=64k"))
    filler = fill(small)
    journal = Journal(small.text, run_record())
    with pytest.raises(JournalError, match="cannot be used"):
        journal.open()
    journal.close(finished=False)
    filler.unlink()
    assert not small.directory.exists() or small.names() == []


def test_a_read_only_file_system(mounted: Callable[[str], Path]) -> None:
    place = State(mounted("size=1m"))
    place.leave(UploadPlanned(upload(0)))
    before = place.names()
    subprocess.run(["mount", "-o", "remount,ro", str(place.path)], check=True)
    journal = Journal(place.text, run_record(1))
    with pytest.raises(JournalError, match="Read-only"):
        journal.open()
    journal.close(finished=True)
    found, damaged = place.found()
    assert (found, len(damaged)) == ([], 1)
    assert "damaged" not in damaged[0]
    assert live_upload_ids(place.text) == set()
    assert place.names() == before


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Makes small file systems. Only root can; CI must."""
    made: list[Path] = []

    def mount(options: str) -> Path:
        directory = tmp_path / "mounted"
        directory.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(directory)]
        if subprocess.run(command, capture_output=True, check=False).returncode:
            if os.geteuid() == 0:
                pytest.fail("cannot mount a tmpfs")
            pytest.skip("only root can mount a tmpfs")
        made.append(directory)
        return directory

    yield mount
    for directory in made:
        subprocess.run(["umount", str(directory)], check=True)


AS_NOBODY = """
import os, sqlite3, sys, urllib.parse
from sealift.errors import JournalError
from sealift.journal import Journal, dead_runs, live_upload_ids
from sealift.records import RunRecord
if os.geteuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
journal = Journal(sys.argv[1], RunRecord(sys.argv[2], 1.5, (), "/", sys.argv[3], None))
damaged = []
try:
    journal.open()
    print("opened", len(journal.leftovers().runs))
except JournalError as error:
    print(error)
journal.close(finished=True)
try:
    with dead_runs(sys.argv[1], damaged) as found:
        print(len(found), damaged)
except JournalError as error:
    print(error)
print(live_upload_ids(sys.argv[1]) if len(sys.argv) > 4 else "")
"""


@pytest.fixture
def open_path(tmp_path: Path) -> Path:
    """A directory that every user gets to, for as long as the test takes."""
    for path in (tmp_path, *list(tmp_path.parents)[:3]):
        if path.stat().st_uid == os.geteuid() and path != Path("/tmp"):
            path.chmod(path.stat().st_mode | 0o055)
    return tmp_path


def test_an_unwritable_directory(open_path: Path) -> None:
    state = State(open_path / "state")
    state.path.mkdir(0o555)
    with start(AS_NOBODY, state.text, TOKENS[0], SCOPE, "all") as child:
        out, _ = child.communicate()
    assert out.splitlines()[0].endswith("has room")
    assert "Permission denied" in out.splitlines()[0]
    assert out.splitlines()[1:] == ["0 []", "frozenset()"]
    assert os.listdir(state.path) == []


def test_a_directory_that_cannot_be_listed(open_path: Path) -> None:
    state = State(open_path / "state")
    state.directory.mkdir(parents=True)
    state.directory.chmod(0)
    with start(AS_NOBODY, state.text, TOKENS[0], SCOPE) as child:
        out, _ = child.communicate()
    state.directory.chmod(0o700)
    assert [line.count("Permission denied") for line in out.splitlines()] == [1, 1, 0]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be two users")
def test_a_journal_of_another_user_stops_nobody(open_path: Path) -> None:
    """A run under sudo, in the same home."""
    state = State(open_path / "state")
    state.leave(UploadPlanned(upload(0)))
    state.directory.chmod(0o777)
    before = state.names()
    with start(AS_NOBODY, state.text, TOKENS[1], SCOPE, "all") as child:
        out, _ = child.communicate()
    lines = out.splitlines()
    assert lines[0] == "opened 0"
    assert lines[1].startswith("0 [")
    assert lines[1].count("Permission denied") == 1
    assert lines[2] == "frozenset()"
    assert state.names() == before
    assert state.only().uploads == [upload(0)]


def test_a_file_that_cannot_be_opened_now_is_not_called_damaged(state: State) -> None:
    """A process that has no file descriptor left."""
    code = """
import resource, sqlite3, sys, urllib.parse
from sealift.journal import dead_runs
damaged = []
resource.setrlimit(resource.RLIMIT_NOFILE, (4, 4))
with dead_runs(sys.argv[1], damaged) as found:
    print(len(found), damaged)
"""
    state.leave(UploadPlanned(upload(0)))
    with start(code, state.text) as child:
        out, _ = child.communicate()
    assert out.startswith("0 ['the journal")
    assert "cannot be used: unable to open" in out
    assert state.only().uploads == [upload(0)]


FAILING = """
import sqlite3, sys, urllib.parse
from sealift.errors import JournalError
from sealift.journal import Journal, dead_runs
from sealift.records import Ended, RunRecord
journal = Journal(sys.argv[1], RunRecord(sys.argv[2], 1.5, (), "/", sys.argv[3], None))
try:
    journal.open()
    print("opened")
    journal.write([Ended("x")], durable=True)
    print("durable")
except JournalError as error:
    print(error.message)
journal.close(finished=True)
damaged = []
with dead_runs(sys.argv[1], damaged) as found:
    print(len(found), *damaged)
"""


@pytest.mark.parametrize(
    ("inject", "reason", "step"),
    [
        ("flock:error=ENOLCK", "No locks available", 0),
        ("fsync,fdatasync:error=EIO", "disk I/O error", 1),
        ("pwrite64:error=ENOSPC", "full", 0),
    ],
)
def test_what_the_system_refuses(state: State, inject: str, reason: str, step: int) -> None:
    """A lock that cannot be had is not one that is held; what is not synced is not durable."""
    needs("strace")
    state.directory.mkdir(parents=True)
    done = subprocess.run(
        ["strace", "-f", "-qq", "-o", "/dev/null", "-P", str(state.directory),
         *(word for suffix in (".sqlite3", ".sqlite3-wal", ".sqlite3-journal", ".lock")
           for word in ("-P", str(state.file(suffix=suffix)))),
         "-e", f"inject={inject}", sys.executable, "-c", FAILING, state.text, TOKENS[0], SCOPE],
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    *steps, last = done.stdout.splitlines()
    assert steps[:-1] == ["opened"][:step]
    assert reason in steps[-1]
    assert last == "0"
    assert state.names() == []


def test_a_dead_run_whose_lock_cannot_be_had_is_told(
    state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    state.leave(UploadPlanned(upload(0)))

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    with monkeypatch.context() as patch:
        patch.setattr(fcntl, "flock", refuse)
        found, damaged = state.found()
    assert found == []
    assert ["No locks available" in note for note in damaged] == [True]
    assert state.only().uploads == [upload(0)]


def test_a_file_where_the_directory_should_be(tmp_path: Path) -> None:
    (tmp_path / "state").write_bytes(b"a file")
    journal = Journal(str(tmp_path / "state"), run_record())
    with pytest.raises(JournalError):
        journal.open()
    with pytest.raises(JournalError), dead_runs(str(tmp_path / "state")):
        pass


def test_a_journal_in_the_way_stays(state: State) -> None:
    state.leave(UploadPlanned(upload(0)))
    journal = Journal(state.text, run_record())
    with pytest.raises(JournalError, match="File exists"):
        journal.open()
    assert state.found() == ([], [])
    journal.close(finished=True)
    assert state.only().uploads == [upload(0)]


def test_a_directory_above_that_cannot_be_read(open_path: Path) -> None:
    """It may be gone through, and so it is."""
    outer = open_path / "outer"
    (outer / "home").mkdir(parents=True)
    outer.chmod(0o711)
    (outer / "home").chmod(0o733)
    state = State(outer / "home" / "state")
    code = AS_NOBODY.replace("journal.close(", "journal.write([], durable=True)\njournal.close(", 1)
    with start(code, state.text, TOKENS[0], SCOPE) as child:
        out, _ = child.communicate()
    assert (child.returncode, out.splitlines()[:2]) == (0, ["opened 0", "0 []"])

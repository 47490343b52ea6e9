"""One object that fails is named and fails alone: the others are moved, and the exit code is 1."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.contract.site import PART_SIZE, Record, Site, make_tree, noise, read_tree

from sealift.errors import LocalFileError
from sealift.events import Event, Planned

FILES = {"a": b"a", "bad": b"bad", "d/bad": b"bad", "d/c": b"c", "z": noise(PART_SIZE + 1)}
# Even root obeys file modes without these.
AS_A_USER = ("setpriv", "--bounding-set", "-dac_override,-dac_read_search")


def user_launcher() -> tuple[str, ...]:
    """What to put before a command so that file modes bind it."""
    if os.geteuid() != 0:
        return ()
    if shutil.which("setpriv") is None:
        pytest.skip("root cannot be bound by file modes without setpriv (util-linux)")
    probe = [*AS_A_USER, sys.executable, "-c", "pass"]
    if subprocess.run(probe, check=False, capture_output=True).returncode != 0:
        pytest.skip("this root cannot give up its capabilities")
    return AS_A_USER


def test_unreadable_files_and_directories_going_up(site: Site) -> None:
    launcher = user_launcher()
    tree = make_tree(site.work / "tree", FILES | {"closed/x": b"x"})
    for name in ("bad", "d/bad", "closed"):
        (tree / name).chmod(0)
    try:
        ended = site.cli("cp", "tree/", site.uri(), "--part-size", "5MiB", launcher=launcher)
    finally:
        (tree / "closed").chmod(0o755)

    assert ended.status == 1
    for name in ("bad", "d/bad", "closed"):
        assert f"tree/{name}: Permission denied" in ended.stderr
    assert "3 objects failed" in ended.stderr
    assert sorted(site.names()) == ["a", "d/c", "z"]


def test_unwritable_directory_coming_down(site: Site) -> None:
    launcher = user_launcher()
    for name, content in FILES.items():
        site.boto_put(name, content)
    closed = site.work / "back" / "d"
    closed.mkdir(parents=True)
    closed.chmod(0o555)

    ended = site.cli("restore", site.uri(), "back", launcher=launcher)

    assert ended.status == 1
    assert "2 objects failed" in ended.stderr
    assert "Permission denied" in ended.stderr
    kept = {name: content for name, content in FILES.items() if not name.startswith("d/")}
    assert read_tree(site.work / "back") == kept


def test_files_that_vanish_after_they_were_planned(site: Site) -> None:
    tree = make_tree(site.work / "tree", FILES)

    def on_event(event: Event) -> None:
        if isinstance(event, Planned):
            (tree / "bad").unlink(missing_ok=True)
            (tree / "d/bad").unlink(missing_ok=True)
            (tree / "d/bad").symlink_to("nowhere")

    record = site.copy(f"{tree}/", site.uri(), record=Record(on_event))

    assert set(record.failed) == {"bad", "d/bad"}
    assert all(isinstance(error, LocalFileError) for error in record.failed.values())
    assert sorted(site.names()) == ["a", "d/c", "z"]


def test_case_16_file_that_grows_beyond_one_part_after_it_was_planned(site: Site) -> None:
    tree = make_tree(site.work / "tree", {"log": b"short"})
    grown = noise(PART_SIZE + 1)

    def on_event(event: Event) -> None:
        if isinstance(event, Planned):
            (tree / "log").write_bytes(grown)

    record = site.copy(f"{tree}/", site.uri(), record=Record(on_event))

    assert not record.failed
    assert site.boto_get("log") == grown
    assert site.uploads() == []


def test_file_where_a_directory_is_needed_and_the_reverse(site: Site) -> None:
    for name, content in FILES.items():
        site.boto_put(name, content)
    back = make_tree(site.work / "back", {"d": b"a file", "z/inside": b"in the way"})

    record = site.restore("", back)

    assert set(record.failed) == {"d/bad", "d/c", "z"}
    assert all(isinstance(error, LocalFileError) for error in record.failed.values())
    assert read_tree(back) == {
        "a": b"a",
        "bad": b"bad",
        "d": b"a file",
        "z/inside": b"in the way",
    }


def test_case_18_objects_deleted_or_replaced_after_they_were_planned(site: Site) -> None:
    for name, content in FILES.items():
        site.boto_put(name, content)
    newer = noise(PART_SIZE + 2, 9)

    def on_event(event: Event) -> None:
        if isinstance(event, Planned):
            site.boto.delete_object(Bucket=site.bucket, Key="bad")
            site.boto_put("a", b"longer than before")
            site.boto_put("z", newer)

    record = site.restore("", "back", record=Record(on_event))

    assert set(record.failed) == {"bad"}
    assert read_tree(Path("back")) == {
        "a": b"longer than before",
        "d/bad": b"bad",
        "d/c": b"c",
        "z": newer,
    }


def test_last_line_of_json_counts_what_failed(site: Site) -> None:
    site.boto_put("good", b"x")
    site.boto_put("plain", b"x", {})

    ended = site.cli("restore", site.uri(), "back", "--json")

    assert ended.status == 1
    assert ended.stderr == ""
    assert '"done_count": 1' in ended.stdout.splitlines()[-1]
    assert '"failed_count": 1' in ended.stdout.splitlines()[-1]
    assert '"status": "failed"' in ended.stdout.splitlines()[-1]

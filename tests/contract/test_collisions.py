"""Names that no directory holds side by side: the first is written, the others fail by name.

Which is the first is told by the order of names, never by what arrived first.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.contract.site import PART_SIZE, Ended, Site, noise, read_tree

from sealift.errors import UnsafeNameError
from sealift.options import TreeOptions

FIRST = {"d": b"1", "d-": b"2", "e/f": b"3"}
BELOW_A_FILE = {"d/x", "d/y/z", "e/f/g"}


@pytest.fixture(params=["cp", "restore", "sync"])
def command(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def folding(root: Path) -> Path:
    """A directory that looks like one of a file system that takes `A` for `a`."""
    root.mkdir()
    (root / "probe").touch()
    os.link(root / "probe", root / "PROBE")
    return root


def failures(ended: Ended) -> list[str]:
    return [line for line in ended.stderr.splitlines() if line.startswith("FAILED ")]


def contents(root: Path) -> dict[str, bytes]:
    found = read_tree(root)
    return {name: found[name] for name in found if name.lower() != "probe"}


def test_case_34_a_file_in_the_place_of_a_directory(site: Site, command: str) -> None:
    for name in (*FIRST, *BELOW_A_FILE):
        # The first is the slowest to arrive.
        site.boto_put(f"p/{name}", noise(PART_SIZE + 1) if name == "d" else FIRST.get(name, b"x"))

    for _ in range(2):  # the second time most of it is there
        ended = site.cli(command, site.uri("p/"), "back", "--no-progress")

        assert (ended.status, ended.stdout) == (1, "")
        lines = failures(ended)
        assert len(lines) == len(BELOW_A_FILE)
        for name in BELOW_A_FILE:
            (line,) = [line for line in lines if f"{name}: the object" in line]
            assert "is a file where this name needs a directory" in line
            assert "get it by itself to another place" in line
        assert read_tree(site.work / "back") == FIRST | {"d": noise(PART_SIZE + 1)}


def test_case_34_names_of_two_cases_where_the_directory_folds_them(
    site: Site, command: str
) -> None:
    for name in ("A", "B/x", "a", "b", "c/X", "c/x"):
        site.boto_put(f"p/{name}", name.encode())
    back = folding(site.work / "back")

    ended = site.cli(command, site.uri("p/"), back, "--no-progress")

    assert ended.status == 1
    lines = failures(ended)
    assert len(lines) == 3
    assert all("this file system takes the name for that of the object" in line for line in lines)
    assert contents(back) == {name: name.encode() for name in ("A", "B/x", "c/X")}


def test_case_34_names_of_two_cases_and_two_forms_are_two_files_here(
    site: Site, command: str
) -> None:
    names = ("A", "a", "B/x", "b", "\u00e9", "e\u0301")
    for name in names:
        site.boto_put(f"p/{name}", name.encode())

    ended = site.cli(command, site.uri("p/"), "back", "--no-progress")

    assert ended.status == 0, ended.stderr
    assert read_tree(site.work / "back") == {name: name.encode() for name in names}


@pytest.mark.parametrize("server", ["ministack"], indirect=True)
def test_case_34_two_forms_of_a_name_where_the_system_knows_one(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on macOS."""
    for name in ("\u00e9", "e\u0301"):
        site.boto_put(f"p/{name}", name.encode())
    monkeypatch.setattr("sealift.planning.folds_form", lambda: True)

    for record in (site.copy(site.uri("p/"), "one"), site.restore("p/", "two")):
        assert set(record.failed) == {"p/\u00e9"}
        assert isinstance(record.failed["p/\u00e9"], UnsafeNameError)
    for back in ("one", "two"):
        assert read_tree(site.work / back) == {"e\u0301": "e\u0301".encode()}


def test_case_34_an_object_and_the_marker_of_a_directory(site: Site) -> None:
    for name in ("x", "x/", "y/"):
        site.boto_put(f"p/{name}", b"x" if name == "x" else b"")

    plain = site.restore("p/", "plain")
    marked = site.run(
        lambda engine: engine.restore(site.location("p/"), "marked", tree=TreeOptions(markers=True))
    )

    assert plain.failed == {}
    assert set(marked.failed) == {"p/x/"}
    assert "is a file where this name needs a directory" in str(marked.failed["p/x/"])
    for back in ("plain", "marked"):
        assert (site.work / back / "x").read_bytes() == b"x"
    assert (site.work / "marked" / "y").is_dir()


def test_case_34_random_names_and_names_left_out_do_not_collide(site: Site) -> None:
    for name in ("d", "d/x"):
        site.boto_put(f"p/{name}", name.encode())

    by_uuid = site.cli("restore", site.uri("p/"), "uuid", "--names", "uuid")
    left_out = site.cli("restore", site.uri("p/"), "below", "--exclude", "d")

    assert (by_uuid.status, left_out.status) == (0, 0)
    assert sorted(read_tree(site.work / "uuid").values()) == [b"d", b"d/x"]
    assert read_tree(site.work / "below") == {"d/x": b"d/x"}

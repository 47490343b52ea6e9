"""Whatever a bucket's objects are named, nothing is written outside the target."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from tests.contract.site import PART_SIZE, Site, make_tree, noise, read_tree

from sealift.errors import LocalFileError, UnsafeNameError

UNSAFE = (
    "../x", "../../x", "a/../../x", "a/..", "..", ".", "./x", "a/./b", "/etc/sealift-contract",
    "//x", "a//b", "a/", "../back-sibling/x", "a/../x",
)  # fmt: skip
SAFE = {
    "a..b": b"1", "..a": b"2", "a..": b"3", "d/...": b"4", "d/.x": b"5",
    # On Windows these would lead elsewhere, so it is not supported; here they are names.
    "C:\\x": b"6", "CON": b"7", "a\\..\\b": b"8", "x:stream": b"9", "dot.": b"10",
}  # fmt: skip


def everything(root: Path) -> dict[str, bytes | None]:
    """All below `root`: content of files, None for the rest."""
    return {
        str(path.relative_to(root)): path.read_bytes() if path.is_file() else None
        for path in root.rglob("*")
    }


def test_case_32_unsafe_names_are_refused_by_name_and_the_others_restored(site: Site) -> None:
    for name in UNSAFE:
        site.boto_put(name, b"unsafe")
    for name, content in SAFE.items():
        site.boto_put(name, content)
    assert set(site.names()) == {*UNSAFE, *SAFE}
    outside = make_tree(site.work / "outer", {"back-sibling/x": b"kept"})

    for command in ("restore", "cp", "sync"):
        ended = site.cli(command, site.uri(), outside / "back")

        assert ended.status == 1
        for name in UNSAFE:
            assert f"  {name}: " in ended.stderr
        assert f"{len(UNSAFE)} objects failed" in ended.stderr
        assert "get it by itself under a name of your own: sealift get URI FILE" in ended.stderr
        assert read_tree(outside) == {"back-sibling/x": b"kept"} | {
            f"back/{name}": content for name, content in SAFE.items()
        }
        assert sorted(os.listdir(site.work)) == ["outer"]
        assert not os.path.exists("/etc/sealift-contract")
        shutil.rmtree(outside / "back")


def test_case_32_unsafe_names_below_a_prefix_are_refused_as_well(site: Site) -> None:
    for name in UNSAFE:
        site.boto_put(f"p/{name}", noise(PART_SIZE + 1) if name == "../x" else b"unsafe")
    site.boto_put("p/good", b"good")

    record = site.copy(site.uri("p/"), "outer/back")

    assert set(record.failed) == {f"p/{name}" for name in UNSAFE}
    assert all(isinstance(error, UnsafeNameError) for error in record.failed.values())
    assert read_tree(site.work) == {"outer/back/good": b"good"}


def test_single_object_of_an_unsafe_name_can_be_got_under_another(site: Site) -> None:
    site.boto_put("p/../..", b"content")

    refused = site.cli("get", site.uri("p/../.."), "back/")
    got = site.cli("get", site.uri("p/../.."), "back/safe")

    assert (refused.status, got.status) == (1, 0)
    assert read_tree(site.work) == {"back/safe": b"content"}


@pytest.mark.parametrize("size", [10, PART_SIZE + 1], ids=["small", "ranges"])
def test_case_33_links_inside_the_target_are_not_followed(site: Site, size: int) -> None:
    content = noise(size)
    for name in ("good", "link/x", "deep/link/x", "dangling/x", "file"):
        site.boto_put(name, content)
    outside = make_tree(site.work / "outside", {"x": b"kept", "file": b"kept"})
    back = site.work / "back"
    (back / "deep").mkdir(parents=True)
    (back / "link").symlink_to(outside)
    (back / "deep" / "link").symlink_to("../../outside")
    (back / "dangling").symlink_to(site.work / "not there")
    (back / "file").symlink_to(outside / "file")

    record = site.restore("", back)

    assert set(record.failed) == {"link/x", "deep/link/x", "dangling/x"}
    assert all(isinstance(error, LocalFileError) for error in record.failed.values())
    assert all("symbolic link" in error.hint for error in record.failed.values())
    assert everything(outside) == {"x": b"kept", "file": b"kept"}
    assert not (site.work / "not there").exists()
    assert (back / "good").read_bytes() == content
    # The link has given way to a file of its own.
    assert not (back / "file").is_symlink()
    assert (back / "file").read_bytes() == content
    assert sorted(os.listdir(back)) == ["dangling", "deep", "file", "good", "link"]


def test_target_that_is_itself_a_link_is_followed_for_the_user_named_it(site: Site) -> None:
    site.boto_put("d/x", b"x")
    (site.work / "real").mkdir()
    (site.work / "back").symlink_to("real")

    assert not site.restore("", "back/").failed

    assert read_tree(site.work / "real") == {"d/x": b"x"}


def test_case_35_names_that_would_obey_the_terminal_are_shown_escaped(site: Site) -> None:
    site.boto_put("p/\x1b[2Jx\n\u202ey/..", b"x")
    site.boto_put("p/good", b"good")

    ended = site.cli("restore", site.uri("p/"), "back")

    assert ended.status == 1
    assert "p/\\x1b[2Jx\\x0a\\u202ey/..: " in ended.stderr
    assert not {"\x1b", "\u202e"} & set(ended.stderr)
    assert read_tree(site.work) == {"back/good": b"good"}

"""What of a tree takes part, and what goes with it: filters, links, modes, empty directories."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from tests.contract.site import PART_SIZE, Record, Site, make_tree, noise, read_tree

from sealift.errors import LocalFileError, UnsafeNameError, UsageError
from sealift.model import MiB
from sealift.options import TreeOptions


def up(site: Site, source: object, tree: TreeOptions) -> Record:
    return site.run(lambda engine: engine.copy(str(source), site.uri("p/"), tree))


def down(site: Site, name: str, destination: object, tree: TreeOptions) -> Record:
    return site.run(lambda engine: engine.copy(site.uri(name), str(destination), tree))


def permissions(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_tree_with_everything_in_it(site: Site) -> None:
    """Each thing is sent, passed over or named; nothing else is lost for it."""
    tree = make_tree(site.work / "tree", {"file": b"file", "d/e/deep": b"deep", "large": b""})
    (tree / "large").write_bytes(noise(PART_SIZE + 7))
    os.link(tree / "file", tree / "d/hard")
    with open(tree / "sparse", "wb") as sparse:
        sparse.truncate(64 * MiB)
        sparse.seek(63 * MiB)
        sparse.write(b"here")
    outside = make_tree(site.work / "outside", {"x": b"x", "y/z": b"z"})
    (tree / "to-outside").symlink_to(outside)
    (tree / "to-file").symlink_to("file")
    (tree / "d/circle").symlink_to("..")
    (tree / "broken").symlink_to("nowhere")
    os.mkfifo(tree / "pipe")
    (tree / ".sealift-0123456789abcdef-3.tmp").write_bytes(b"half")
    bad = os.fsdecode(b"bad\xff")
    (tree / bad).write_bytes(b"bad")

    record = up(site, f"{tree}/", TreeOptions(follow_links=True))

    assert set(record.failed) == {"broken", bad, "d/circle/"}
    assert isinstance(record.failed["broken"], LocalFileError)
    assert isinstance(record.failed[bad], UnsafeNameError)
    assert "bad\\xff" in str(record.failed[bad])
    assert "circle" in str(record.failed["d/circle/"])
    assert record.skipped == {
        "pipe": "socket, pipe or device",
        ".sealift-0123456789abcdef-3.tmp": "unfinished download",
    }
    sent = {"file", "d/e/deep", "large", "d/hard", "sparse", "to-outside/x", "to-outside/y/z",
            "to-file"}  # fmt: skip
    assert set(site.names()) == {f"p/{name}" for name in sent}

    back = site.work / "back"
    assert not down(site, "p/", back, TreeOptions()).failed
    for name in sent:
        assert (back / name).read_bytes() == (tree / name).read_bytes(), name
        assert not (back / name).is_symlink()


def test_links_are_skipped_unless_asked_for(site: Site) -> None:
    tree = make_tree(site.work / "tree", {"a": b"a"})
    (tree / "link").symlink_to("a")
    (tree / "broken").symlink_to("nowhere")
    record = up(site, f"{tree}/", TreeOptions())
    assert not record.failed
    assert record.skipped == {"link": "symbolic link", "broken": "symbolic link"}
    assert site.names() == ["p/a"]


def test_filters_hold_up_and_down(site: Site) -> None:
    """They see names below the root, which is not cut off at a prefix without its `/`."""
    files = {"a.jpg": b"1", "a.tmp": b"2", "d/a.jpg": b"3", "d/raw/a.jpg": b"4", "e": b"5"}
    tree = make_tree(site.work / "tree", files)
    rules = ((False, "*"), (True, "*.jpg"), (False, "d/raw/*"))

    record = up(site, f"{tree}/", TreeOptions(rules=rules))

    assert set(site.names()) == {"p/a.jpg", "p/d/a.jpg"}
    assert (record.failed, record.skipped) == ({}, {})
    up(site, f"{tree}/", TreeOptions())
    for source, cut in (("p/", ""), ("p", "p/")):
        record = down(site, source, f"back{cut}", TreeOptions(rules=rules))
        assert (record.failed, record.skipped) == ({}, {})
        found = read_tree(site.work / f"back{cut}")
        assert found == {f"{cut}a.jpg": b"1", f"{cut}d/a.jpg": b"3"}


def test_the_ignore_file_holds_back_what_it_names(site: Site) -> None:
    tree = make_tree(
        site.work / "tree",
        {".sealiftignore": b"*.o\n!keep.o\n/build/\n", "a.o": b"", "keep.o": b"", "b": b"",
         "build/x": b"", "d/build/x": b"", "d/.sealiftignore": b"*"},
    )  # fmt: skip
    os.mkfifo(tree / "build/pipe")
    for rules, more in (((), {"b", "d/build/x", "d/.sealiftignore"}), (((False, "*/*"),), {"b"})):
        record = site.run(
            lambda engine, rules=rules: engine.copy(
                f"{tree}/", site.uri(f"{len(rules)}/"), TreeOptions(rules=rules)
            )
        )
        assert (record.failed, record.skipped) == ({}, {})
        names = {name for name in site.names() if name.startswith(f"{len(rules)}/")}
        assert names == {f"{len(rules)}/{name}" for name in more | {".sealiftignore", "keep.o"}}


@pytest.mark.parametrize(
    ("content", "rules"), [(b"fine\n!\n", ()), (b"fine\n", ((True, "a"), (False, "b[")))]
)
def test_a_pattern_that_cannot_be_meant_starts_nothing(
    site: Site, content: bytes, rules: tuple[tuple[bool, str], ...]
) -> None:
    tree = make_tree(site.work / "tree", {".sealiftignore": content, "a": b""})
    with pytest.raises(UsageError, match="pattern"):
        up(site, tree, TreeOptions(rules=rules))
    assert site.names() == []


def test_modes_there_and_back(site: Site) -> None:
    """Small files in one batch, and one of several parts; nothing beyond the permissions."""
    modes = {"a": 0o600, "b": 0o755, "c": 0o444, "d": 0o640, "large": 0o711, "set": 0o6755}
    tree = make_tree(site.work / "tree", dict.fromkeys(modes, b"x"))
    (tree / "large").write_bytes(noise(2 * PART_SIZE))
    for name, mode in modes.items():
        (tree / name).chmod(mode)

    assert not up(site, f"{tree}/", TreeOptions(preserve_mode=True)).failed

    for name, mode in modes.items():
        assert site.boto_head(f"p/{name}")["Metadata"]["mode"] == f"{0o100000 | mode & 0o777:o}"
    keep, plain = site.work / "keep", site.work / "plain"
    assert not down(site, "p/", keep, TreeOptions(preserve_mode=True)).failed
    assert not down(site, "p/", plain, TreeOptions()).failed
    umask = os.umask(0)
    os.umask(umask)
    for name, mode in modes.items():
        assert permissions(keep / name) == mode & 0o777
        assert permissions(plain / name) == 0o666 & ~umask


def test_modes_are_not_sent_unless_asked_for(site: Site) -> None:
    tree = make_tree(site.work / "tree", {"a": b"x", "large": noise(PART_SIZE + 1)})
    assert not up(site, f"{tree}/", TreeOptions()).failed
    assert not any("mode" in site.boto_head(name)["Metadata"] for name in site.names())
    assert not down(site, "p/", "back", TreeOptions(preserve_mode=True)).failed


def test_a_foreign_mode_sets_no_more_than_permissions(site: Site) -> None:
    for name, mode in (("setuid", "0104755"), ("odd", "rwx")):
        site.boto.put_object(
            Bucket=site.bucket, Key=f"p/{name}", Body=b"x", Metadata={"mode": mode}, **site.seal
        )
    assert not down(site, "p/", "back", TreeOptions(preserve_mode=True)).failed
    assert permissions(site.work / "back/setuid") == 0o755
    assert permissions(site.work / "back/odd") & ~0o666 == 0


def test_empty_directories_there_and_back(site: Site) -> None:
    tree = make_tree(site.work / "tree", {"full/a": b"a", "z": b"z"})
    for name in ("empty", "full/inner/deep", "full/a-"):
        (tree / name).mkdir(parents=True)
    markers = {"p/empty/", "p/full/inner/deep/", "p/full/a-/"}

    record = up(site, f"{tree}/", TreeOptions(markers=True))

    assert (record.failed, record.skipped, len(record.done)) == ({}, {}, 5)
    assert set(site.names()) == markers | {"p/full/a", "p/z"}
    assert site.boto_get("p/empty/") == b""
    with pytest.raises(site.boto.exceptions.ClientError):
        site.boto.head_object(Bucket=site.bucket, Key="p/empty/")

    record = down(site, "p/", "back", TreeOptions(markers=True))
    assert (record.failed, record.skipped, len(record.done)) == ({}, {}, 5)
    found = {
        str(path.relative_to(site.work / "back")) for path in Path("back").absolute().rglob("*")
    }
    assert found == {"empty", "full", "full/a", "full/a-", "full/inner", "full/inner/deep", "z"}

    record = down(site, "p/", "without", TreeOptions())
    assert record.skipped == dict.fromkeys(markers, "directory marker")
    assert set(read_tree(site.work / "without")) == {"full/a", "z"}
    assert not (site.work / "without/empty").exists()


def test_markers_make_nothing_outside_the_target(site: Site) -> None:
    for name in ("p/", "p/../escape/", "p//x/", "p/link/in/", "p/file/", "p/fine/"):
        site.boto_put(name, b"")
    site.boto_put("p/bytes/", b"x")
    back = make_tree(site.work / "back", {"file": b"kept"})
    outside = make_tree(site.work / "outside", {})
    (back / "link").symlink_to(outside)

    record = down(site, "p/", back, TreeOptions(markers=True))

    assert set(record.failed) == {
        "p/../escape/", "p//x/", "p/link/in/", "p/file/", "p/bytes/"
    }  # fmt: skip
    assert record.skipped == {"p/": "directory marker"}
    assert sorted(os.listdir(back)) == ["file", "fine", "link"]
    assert (os.listdir(outside), sorted(os.listdir(site.work))) == ([], ["back", "outside"])


def test_the_command_line_takes_them_all(site: Site) -> None:
    """Between --include and --exclude the order decides, for cp and restore."""
    tree = make_tree(site.work / "tree", {"a.jpg": b"1", "b.txt": b"2", os.fsdecode(b"c\xff"): b""})
    (tree / "a.jpg").chmod(0o600)
    (tree / "empty.jpg").mkdir()
    (tree / "link.jpg").symlink_to("a.jpg")
    words = ("--exclude", "*", "--include", "*.jpg", "--include", "*.jpg/")
    options = ("--links", "follow", "--preserve", "mode", "--markers")

    ended = site.cli("cp", f"{tree}/", site.uri("p/"), *words, *options)

    assert ended.status == 0, ended.stderr
    assert set(site.names()) == {"p/a.jpg", "p/link.jpg", "p/empty.jpg/"}
    ended = site.cli("restore", site.uri("p/"), "back", *options, "--exclude=link*")
    assert ended.status == 0, ended.stderr
    assert sorted(os.listdir(site.work / "back")) == ["a.jpg", "empty.jpg"]
    assert permissions(site.work / "back/a.jpg") == 0o600
    for words in (("--include", "*.jpg", "--exclude", "*"), ("--exclude", "*")):
        ended = site.cli("cp", f"{tree}/", site.uri("none/"), *words)
        assert (ended.status, "nothing to do" in ended.stderr) == (0, True), ended.stderr
    for more in ((), ("--json",)):
        ended = site.cli("cp", f"{tree}/", site.uri("q/"), *more)
        assert ended.status == 1
        assert "c\\xff is not UTF-8" in ended.stderr or '"name": "c\\udcff"' in ended.stdout

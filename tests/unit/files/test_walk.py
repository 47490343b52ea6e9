"""The walk finds every file once, in the order in which S3 lists their names."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sealift.errors import LocalFileError, ObjectError, UnsafeNameError, UsageError
from sealift.files import walk as module
from sealift.files.target import Target
from sealift.files.walk import FileEntry, Passed, file_size, ignore_lines, walk
from sealift.filters import Filter

OPEN = Filter()


def plant(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode("utf-8", "surrogateescape"))


def found_names(root: Path | str) -> list[str]:
    entries = list(walk(str(root), OPEN))
    assert all(isinstance(entry, FileEntry) for entry in entries), entries
    return [entry.name for entry in entries]


def test_order_is_that_of_object_names(tmp_path: Path) -> None:
    """A directory sorts as its name with `/`: after `a-`, before `a0`."""
    names = ["a/x", "a-", "a0", "a.txt", "a!", "A", "é", "z", "日本", "🚢", "a/y/z", "a/y-", "B/b"]
    plant(tmp_path, *names)
    assert found_names(tmp_path) == sorted(names, key=str.encode)


def test_order_is_by_utf8_bytes_not_by_utf16(tmp_path: Path) -> None:
    names = ["\uffee", "\U00010000", "e\u0301", "\u00e9"]
    plant(tmp_path, *names)
    assert found_names(tmp_path) == sorted(names, key=str.encode)


component = st.text(
    st.sampled_from("aAb-./0 !~é日\uffee🚢").filter(lambda character: character != "/"),
    min_size=1,
    max_size=3,
).filter(lambda name: name not in (".", ".."))
trees = st.recursive(
    st.none(), lambda inner: st.dictionaries(component, inner, max_size=4), max_leaves=15
)


@given(st.dictionaries(component, trees, max_size=5))
@settings(max_examples=100)
def test_order_equals_sorted_names(tree: dict[str, object]) -> None:
    names: list[str] = []

    def build(directory: str, prefix: str, inner: dict[str, object]) -> None:
        for name, child in inner.items():
            path = os.path.join(directory, name)
            if isinstance(child, dict):
                os.mkdir(path)
                build(path, f"{prefix}{name}/", child)
            else:
                Path(path).touch()
                names.append(prefix + name)

    root = tempfile.mkdtemp()
    try:
        build(root, "", tree)
        assert found_names(root) == sorted(names, key=str.encode)
    finally:
        shutil.rmtree(root)


def test_entries_open_and_have_their_size(tmp_path: Path) -> None:
    plant(tmp_path, "d/file")
    for root in (str(tmp_path), f"{tmp_path}/"):
        (entry,) = walk(root, OPEN)
        assert isinstance(entry, FileEntry)
        facts = os.stat(tmp_path / "d/file")
        assert entry == FileEntry(
            os.path.join(root, "d/file"), "d/file", 6,
            facts.st_mtime_ns, facts.st_mode, facts.st_ctime_ns,
        )  # fmt: skip
        assert Path(entry.path).read_bytes() == b"d/file"


def test_empty_directories_are_nothing(tmp_path: Path) -> None:
    (tmp_path / "a/b").mkdir(parents=True)
    assert found_names(tmp_path) == []


def test_links_and_devices_are_passed_over_with_a_reason(tmp_path: Path) -> None:
    plant(tmp_path, "d/file")
    (tmp_path / "to-file").symlink_to("d/file")
    (tmp_path / "to-directory").symlink_to("d")
    (tmp_path / "to-itself").symlink_to("to-itself")
    (tmp_path / "to-nothing").symlink_to("nowhere")
    (tmp_path / "d/up").symlink_to("..")
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        directory = os.open(tmp_path, os.O_RDONLY)
        try:
            listener.bind(f"/proc/self/fd/{directory}/s" if sys.platform == "linux" else "s")
        finally:
            os.close(directory)
        entries = {entry.name: entry for entry in walk(str(tmp_path), OPEN)}
    links = {"to-file", "to-directory", "to-itself", "to-nothing", "d/up"}
    assert set(entries) == links | {"d/file", "pipe", "s"}
    assert {entries[name].reason for name in links} == {"symbolic link"}
    assert {entries[name].reason for name in ("pipe", "s")} == {"socket, pipe or device"}
    assert all(e.error is None for e in entries.values() if isinstance(e, Passed))


@pytest.mark.skipif(sys.platform == "darwin", reason="its file systems hold UTF-8 only")
def test_names_that_are_not_utf8_are_errors(tmp_path: Path) -> None:
    plant(tmp_path, "b", os.fsdecode(b"a\xff"), os.fsdecode(b"d\xfe/inside"))
    first, second, third = walk(str(tmp_path), OPEN)
    assert isinstance(first, Passed)
    assert isinstance(first.error, UnsafeNameError)
    assert first.name == os.fsdecode(b"a\xff")
    assert isinstance(second, FileEntry)
    assert second.name == "b"
    assert isinstance(third, Passed)
    assert isinstance(third.error, UnsafeNameError)
    assert "d\\xfe/inside" in third.error.message
    assert third.error.message.isascii()


def test_a_missing_root_is_an_error(tmp_path: Path) -> None:
    (entry,) = walk(str(tmp_path / "missing"), OPEN)
    assert isinstance(entry, Passed)
    assert isinstance(entry.error, LocalFileError)


def test_unreadable_directories_are_errors_and_the_rest_is_found(
    tmp_path: Path, as_nobody: Callable[..., str]
) -> None:
    plant(tmp_path, "a", "closed/x", "listed/y", "z")
    (tmp_path / "closed").chmod(0)
    (tmp_path / "listed").chmod(0o744)

    def look() -> str:
        lines = []
        for entry in walk(str(tmp_path), OPEN):
            error = entry.error if isinstance(entry, Passed) else None
            assert error is None or isinstance(error, LocalFileError)
            lines.append(f"{entry.name}: {error.message.split(': ')[-1] if error else 'found'}")
        return "\n".join(lines)

    try:
        assert as_nobody(look).splitlines() == [
            "a: found",
            "closed/: Permission denied",
            "listed/y: Permission denied",
            "z: found",
        ]
    finally:
        (tmp_path / "closed").chmod(0o755)


def test_long_directories_come_in_the_order_of_bytes(tmp_path: Path) -> None:
    files = [f"{letter}{number}" for letter in ("a", "d.", "\u00e9", "z") for number in range(300)]
    names = [*files, "d/x", "d0/x", *(f"long/{name}" for name in files[:600])]
    plant(tmp_path, *names)
    found = list(walk(str(tmp_path), OPEN))
    assert [entry.name for entry in found] == sorted(names, key=str.encode)
    for entry in found:
        assert isinstance(entry, FileEntry)
        facts = os.stat(entry.path)
        assert (entry.path, entry.size) == (str(tmp_path / entry.name), facts.st_size)
        assert (entry.mtime_ns, entry.ctime_ns) == (facts.st_mtime_ns, facts.st_ctime_ns)


def test_what_vanishes_from_a_long_directory_is_passed_over(tmp_path: Path) -> None:
    names = [f"f{number:03}" for number in range(600)]
    plant(tmp_path, *names)
    entries = walk(str(tmp_path), OPEN)
    assert next(entries).name == "f000"
    (tmp_path / "f500").unlink()
    left = list(entries)
    assert left[499] == Passed("f500", "vanished while it was looked at")
    assert [entry.name for entry in left] == names[1:]
    entries = walk(str(tmp_path), OPEN)
    next(entries)
    shutil.rmtree(tmp_path)
    assert list(entries)[-1] == Passed("f599", "vanished while it was looked at")


@pytest.mark.parametrize("name", ["odd", ".sealift-0123456789abcdef-1.tmp", b"odd\xff", "pipe"])
def test_one_odd_entry_changes_nothing_for_the_others(tmp_path: Path, name: str | bytes) -> None:
    names = [f"f{number:03}" for number in range(300)]
    plant(tmp_path, *names)
    path = os.path.join(os.fsencode(tmp_path), os.fsencode(name))
    if name == "odd":
        os.symlink("f000", path)
    elif name == "pipe":
        os.mkfifo(path)
    else:
        Path(os.fsdecode(path)).touch()
    found = list(walk(str(tmp_path), OPEN))
    assert [entry.name for entry in found if isinstance(entry, FileEntry)] == names
    (odd,) = [entry for entry in found if isinstance(entry, Passed)]
    assert odd.name == os.fsdecode(name)
    assert odd.reason or odd.error


def test_what_vanishes_meanwhile_is_passed_over(tmp_path: Path) -> None:
    plant(tmp_path, "a", "b", "d/x", "e/y", "z")
    entries = walk(str(tmp_path), OPEN)
    assert next(entries).name == "a"
    (tmp_path / "b").unlink()
    shutil.rmtree(tmp_path / "d")
    (gone, closed, inside, last) = entries
    assert gone == Passed("b", "vanished while it was looked at")
    assert isinstance(closed, Passed)
    assert isinstance(closed.error, LocalFileError)
    assert [inside.name, last.name] == ["e/y", "z"]


def test_a_tree_deeper_than_the_limit_of_recursion(tmp_path: Path) -> None:
    depth = sys.getrecursionlimit() + 200
    fd = os.open(tmp_path, os.O_RDONLY)
    try:
        for _ in range(depth):
            os.mkdir("d", dir_fd=fd)
            inner = os.open("d", os.O_RDONLY, dir_fd=fd)
            os.close(fd)
            fd = inner
        os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=fd))
    finally:
        os.close(fd)
    try:
        assert found_names(tmp_path) == ["d/" * depth + "file"]
    finally:
        subprocess.run(["rm", "-rf", str(tmp_path / "d")], check=True)


def test_holds_one_directory_a_level(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Directories are read when their turn comes, not before."""
    read: list[str] = []
    real = os.scandir

    def scandir(path: str) -> object:
        read.append(os.path.basename(path))
        return real(path)

    plant(tmp_path, "a/1", "b/2", "c/3")
    monkeypatch.setattr(module.os, "scandir", scandir)
    entries = walk(str(tmp_path), OPEN)
    assert next(entries).name == "a/1"
    assert read == [tmp_path.name, "a"]


def shown(entries: Iterable[FileEntry | Passed]) -> list[str]:
    """`name` for what is sent, `name: reason or error` for the rest."""
    return [
        f"{entry.name}: {entry.reason or entry.error}" if isinstance(entry, Passed) else entry.name
        for entry in entries
    ]


def test_links_are_followed_when_asked(tmp_path: Path) -> None:
    """A link to a directory sorts as one; circles and links to nowhere are named, each once."""
    plant(tmp_path, "outside/deep/x", "tree/a", "tree/d/e/y", "tree/d-")
    tree = tmp_path / "tree"
    (tree / "to-file").symlink_to("a")
    (tree / "b").symlink_to("../outside")
    (tree / "b-").symlink_to("a")
    (tree / "d/e/up").symlink_to("../..")
    (tree / "self").symlink_to("self")
    (tree / "nowhere").symlink_to("missing")
    (tmp_path / "outside/back").symlink_to("../tree/d")
    entries = list(walk(str(tree), OPEN, follow_links=True))
    errors = {e.name: e.error for e in entries if isinstance(e, Passed)}
    assert [entry.name for entry in entries] == [
        "a", "b-", "b/back/e/up/", "b/back/e/y", "b/deep/x", "d-", "d/e/up/", "d/e/y", "nowhere",
        "self", "to-file",
    ]  # fmt: skip
    assert [entry.name for entry in entries] == sorted(
        (entry.name for entry in entries), key=str.encode
    )
    assert "leads in a circle" in str(errors["d/e/up/"])
    assert "leads in a circle" in str(errors["self"])
    assert "cannot follow the link" in str(errors["nowhere"])
    sent = {entry.name: entry for entry in entries if isinstance(entry, FileEntry)}
    assert {"a", "b-", "b/deep/x", "d-", "d/e/y", "to-file"} <= set(sent)
    assert sent["b/deep/x"].size == len("outside/deep/x")
    assert Path(sent["to-file"].path).read_bytes() == b"tree/a"


def test_a_circle_through_a_directory_outside_ends(tmp_path: Path) -> None:
    plant(tmp_path, "tree/a")
    (tmp_path / "tree/up").symlink_to("..")
    found = shown(walk(str(tmp_path / "tree"), OPEN, follow_links=True))
    assert found[0] == "a"
    assert found[1].startswith("up/tree/: the link leads in a circle")
    assert len(found) == 2


@given(st.dictionaries(component, trees, max_size=5), st.lists(component, max_size=4))
@settings(max_examples=100)
def test_order_with_links_equals_sorted_names(tree: dict[str, object], links: list[str]) -> None:
    with tempfile.TemporaryDirectory() as top:
        root = Path(top, "root")
        plant(Path(top, "other"), "x", "d/y")
        root.mkdir()
        names = grow(root, "", tree)
        for number, name in enumerate(links):
            if os.path.lexists(root / name):
                continue
            (root / name).symlink_to(Path(top, "other") if number % 2 else Path(top, "other/x"))
            names += [f"{name}/x", f"{name}/d/y"] if number % 2 else [name]
        found = [entry.name for entry in walk(str(root), OPEN, follow_links=True)]
        assert found == sorted(names, key=str.encode)


def grow(directory: Path, prefix: str, tree: dict[str, object]) -> list[str]:
    """Make files and directories; the names of the files."""
    names = []
    for name, child in tree.items():
        if isinstance(child, dict):
            (directory / name).mkdir()
            names += grow(directory / name, f"{prefix}{name}/", child)
        else:
            (directory / name).touch()
            names.append(prefix + name)
    return names


@given(st.dictionaries(component, trees, max_size=5))
@settings(max_examples=100)
def test_empty_directories_take_their_place(tree: dict[str, object]) -> None:
    def empties(prefix: str, inner: dict[str, object]) -> list[str]:
        found = []
        for name, child in inner.items():
            if isinstance(child, dict):
                found += empties(f"{prefix}{name}/", child) if child else [f"{prefix}{name}/"]
        return found

    with tempfile.TemporaryDirectory() as root:
        names = grow(Path(root), "", tree) + empties("", tree)
        entries = list(walk(root, OPEN, empty_directories=True))
        assert [entry.name for entry in entries] == sorted(names, key=str.encode)
        for entry in entries:
            assert isinstance(entry, FileEntry)
            assert entry.path.endswith("/") == entry.name.endswith("/")
            assert entry.size == 0


def test_an_empty_root_has_no_name(tmp_path: Path) -> None:
    assert list(walk(str(tmp_path), OPEN, empty_directories=True)) == []


def test_unfinished_downloads_are_passed_over(tmp_path: Path) -> None:
    ours = ".sealift-0123456789abcdef-17.tmp"
    others = [".sealift-notes.tmp", ".sealift-0123456789abcdef-17.tmp.bak", ".sealift-x"]
    plant(tmp_path, f"d/{ours}", *others)
    assert shown(walk(str(tmp_path), OPEN)) == [
        *sorted(others), f"d/{ours}: unfinished download"
    ]  # fmt: skip


def test_a_target_makes_names_that_are_passed_over(tmp_path: Path) -> None:
    target = Target(str(tmp_path))
    file = target.create(["name"])
    try:
        (entry,) = walk(str(tmp_path), OPEN)
    finally:
        target.discard(file)
        target.close()
    assert isinstance(entry, Passed)
    assert entry.reason == "unfinished download"


def test_nothing_is_said_of_what_takes_no_part(tmp_path: Path) -> None:
    plant(tmp_path, "a.jpg", "skip/x", "skip/y", os.fsdecode(b"bad\xff"), "d/b.jpg", "d/c.txt")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("nowhere")
    (tmp_path / "empty").mkdir()
    chosen = Filter([(False, "*"), (True, "*.jpg")])
    for follow in (False, True):
        found = walk(str(tmp_path), chosen, follow_links=follow, empty_directories=True)
        assert shown(found) == ["a.jpg", "d/b.jpg"]


def test_an_unreadable_directory_that_takes_no_part_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    real = os.scandir

    def scandir(path: str) -> object:
        read.append(os.path.basename(path))
        return real(path)

    plant(tmp_path, "closed/x", "ignored/x", "open/x")
    monkeypatch.setattr(module.os, "scandir", scandir)
    chosen = Filter([(False, "closed/*")], ["ignored/"])
    assert shown(walk(str(tmp_path), chosen)) == ["open/x"]
    assert read == [tmp_path.name, "open"]


def test_what_is_unreadable_and_takes_no_part_is_no_failure(
    tmp_path: Path, as_nobody: Callable[..., str]
) -> None:
    plant(tmp_path, "a", "closed/x", "ignored/x", "listed/y")
    for name, mode in (("closed", 0), ("ignored", 0), ("listed", 0o744)):
        (tmp_path / name).chmod(mode)
    chosen = Filter([(False, "closed/*"), (False, "*/y")], ["/ignored"])
    try:
        assert as_nobody(lambda: shown(walk(str(tmp_path), chosen))) == "['a']"
        assert "cannot read" in as_nobody(lambda: shown(walk(str(tmp_path), OPEN)))
    finally:
        for name in ("closed", "ignored", "listed"):
            (tmp_path / name).chmod(0o755)


def test_reads_the_lines_of_the_ignore_file(tmp_path: Path) -> None:
    assert ignore_lines(str(tmp_path)) == []
    (tmp_path / ".sealiftignore").write_bytes(b"\xef\xbb\xbf*.tmp\r\nna\xffme\n")
    assert ignore_lines(str(tmp_path)) == ["*.tmp", os.fsdecode(b"na\xffme"), ""]


def test_an_ignore_file_that_cannot_be_read_stops_the_run(tmp_path: Path) -> None:
    (tmp_path / ".sealiftignore").mkdir()
    with pytest.raises(UsageError, match="sealiftignore"):
        ignore_lines(str(tmp_path))


def test_file_size(tmp_path: Path) -> None:
    plant(tmp_path, "file")
    (tmp_path / "link").symlink_to(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    assert file_size(str(tmp_path)) is None
    assert file_size(str(tmp_path / "link")) is None
    assert file_size(str(tmp_path / "file")) == os.path.getsize(str(tmp_path / "file"))
    with pytest.raises(LocalFileError):
        file_size(str(tmp_path / "missing"))
    with pytest.raises(ObjectError, match="neither a file nor a directory"):
        file_size(str(tmp_path / "pipe"))

"""The walk finds every file once, in the order in which S3 lists their names."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sealift.errors import LocalFileError, ObjectError, UnsafeNameError
from sealift.files import walk as module
from sealift.files.walk import FileEntry, Passed, file_size, walk


def plant(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode("utf-8", "surrogateescape"))


def found_names(root: Path | str) -> list[str]:
    entries = list(walk(str(root)))
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
@settings(max_examples=100, deadline=None)
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
        (entry,) = walk(root)
        assert isinstance(entry, FileEntry)
        assert entry == FileEntry(os.path.join(root, "d/file"), "d/file", 6)
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
        entries = {entry.name: entry for entry in walk(str(tmp_path))}
    links = {"to-file", "to-directory", "to-itself", "to-nothing", "d/up"}
    assert set(entries) == links | {"d/file", "pipe", "s"}
    assert {entries[name].reason for name in links} == {"symbolic link"}
    assert {entries[name].reason for name in ("pipe", "s")} == {"socket, pipe or device"}
    assert all(e.error is None for e in entries.values() if isinstance(e, Passed))


@pytest.mark.skipif(sys.platform == "darwin", reason="its file systems hold UTF-8 only")
def test_names_that_are_not_utf8_are_errors(tmp_path: Path) -> None:
    plant(tmp_path, "b", os.fsdecode(b"a\xff"), os.fsdecode(b"d\xfe/inside"))
    first, second, third = walk(str(tmp_path))
    assert isinstance(first, Passed)
    assert isinstance(first.error, UnsafeNameError)
    assert first.name == os.fsdecode(b"a\xff")
    assert isinstance(second, FileEntry)
    assert second.name == "b"
    assert isinstance(third, Passed)
    assert isinstance(third.error, UnsafeNameError)


def test_a_missing_root_is_an_error(tmp_path: Path) -> None:
    (entry,) = walk(str(tmp_path / "missing"))
    assert isinstance(entry, Passed)
    assert isinstance(entry.error, LocalFileError)


def test_unreadable_directories_are_errors_and_the_rest_is_found(
    tmp_path: Path, as_nobody: Callable[..., str]
) -> None:
    plant(tmp_path, "a", "closed/x", "listed/y", "z")
    for above in (tmp_path, *tmp_path.parents[:2]):
        above.chmod(0o755)
    (tmp_path / "closed").chmod(0)
    (tmp_path / "listed").chmod(0o744)

    def look() -> str:
        lines = []
        for entry in walk(str(tmp_path)):
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


def test_what_vanishes_meanwhile_is_passed_over(tmp_path: Path) -> None:
    plant(tmp_path, "a", "b", "d/x", "e/y", "z")
    entries = walk(str(tmp_path))
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
    entries = walk(str(tmp_path))
    assert next(entries).name == "a/1"
    assert read == [tmp_path.name, "a"]


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

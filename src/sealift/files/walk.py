"""Walks a local tree in the order in which S3 lists names: by UTF-8 bytes, directories with `/`."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass

from sealift.errors import LocalFileError, ObjectError, UnsafeNameError


@dataclass(slots=True)
class FileEntry:
    """A regular file: `path` opens it, `name` is its path below the root with `/`."""

    path: str
    name: str
    size: int


@dataclass(slots=True)
class Passed:
    """Something that is not sent: `reason` for what is passed over, `error` for what failed."""

    name: str
    reason: str
    error: ObjectError | None = None


def walk(root: str) -> Iterator[FileEntry | Passed]:
    """All regular files below `root`, in the order of their names' UTF-8 bytes.

    Symbolic links, sockets, pipes and devices are passed over with a reason; directories that
    cannot be read and names that are not UTF-8 are reported with an error. Memory holds one
    directory's entries a level.
    """
    yield from _walk(root, "")


def _walk(path: str, name: str) -> Iterator[FileEntry | Passed]:
    try:
        with os.scandir(path) as found:
            entries = [(_order(entry), entry) for entry in found]
    except OSError as reason:
        yield Passed(name or path, "", LocalFileError("read the directory", path, reason))
        return
    entries.sort(key=lambda pair: pair[0])
    for _, entry in entries:
        entry_name = f"{name}{entry.name}"
        try:
            if entry.is_symlink():
                yield Passed(entry_name, "symbolic link")
            elif entry.is_dir(follow_symlinks=False):
                yield from _walk(entry.path, entry_name + "/")
            elif not entry.is_file(follow_symlinks=False):
                yield Passed(entry_name, "socket, pipe or device")
            else:
                entry_name.encode()
                size = entry.stat(follow_symlinks=False).st_size
                yield FileEntry(entry.path, entry_name, size)
        except UnicodeEncodeError:
            yield Passed(
                entry_name,
                "",
                UnsafeNameError("the file's name is not UTF-8", hint="rename the file"),
            )
        except FileNotFoundError:
            yield Passed(entry_name, "vanished while it was looked at")
        except OSError as reason:
            yield Passed(entry_name, "", LocalFileError("look at", entry.path, reason))


def _order(entry: os.DirEntry[str]) -> bytes:
    name = os.fsencode(entry.name)
    return name + b"/" if entry.is_dir(follow_symlinks=False) else name


def is_directory(path: str) -> bool:
    """Whether `path` is a directory; links are followed, for the user named it.

    LocalFileError when it is neither a directory nor a regular file.
    """
    try:
        mode = os.stat(path).st_mode
    except OSError as reason:
        raise LocalFileError("read", path, reason) from None
    if stat.S_ISDIR(mode):
        return True
    if stat.S_ISREG(mode):
        return False
    raise ObjectError(f"{path} is neither a file nor a directory")

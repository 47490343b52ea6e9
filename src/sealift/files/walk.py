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
    mtime_ns: int


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
    found = _entries(root, root)
    if isinstance(found, Passed):
        yield found
        return
    # A stack instead of recursion: trees are deeper than Python's limit.
    levels = [("", found)]
    while levels:
        name, entries = levels[-1]
        entry = next(entries, None)
        if entry is None:
            levels.pop()
            continue
        entry_name = name + entry.name
        seen = _look(entry, entry_name)
        if seen is not None:
            yield seen
            continue
        found = _entries(entry.path, entry_name + "/")
        if isinstance(found, Passed):
            yield found
        else:
            levels.append((entry_name + "/", found))


def _entries(path: str, name: str) -> Iterator[os.DirEntry[str]] | Passed:
    try:
        with os.scandir(path) as found:
            entries = [(_order(entry), entry) for entry in found]
    except OSError as reason:
        return Passed(name, "", LocalFileError("read the directory", path, reason))
    entries.sort(key=lambda pair: pair[0])
    return iter([entry for _, entry in entries])


def _look(entry: os.DirEntry[str], name: str) -> FileEntry | Passed | None:
    """What an entry is; None for a directory."""
    try:
        if entry.is_symlink():
            return Passed(name, "symbolic link")
        if entry.is_dir(follow_symlinks=False):
            return None
        if not entry.is_file(follow_symlinks=False):
            return Passed(name, "socket, pipe or device")
        name.encode()
        facts = entry.stat(follow_symlinks=False)
        return FileEntry(entry.path, name, facts.st_size, facts.st_mtime_ns)
    except UnicodeEncodeError:
        error = UnsafeNameError("the file's name is not UTF-8", hint="rename the file")
        return Passed(name, "", error)
    except FileNotFoundError:
        return Passed(name, "vanished while it was looked at")
    except OSError as reason:
        return Passed(name, "", LocalFileError("look at", entry.path, reason))


def _order(entry: os.DirEntry[str]) -> bytes:
    name = os.fsencode(entry.name)
    return name + b"/" if entry.is_dir(follow_symlinks=False) else name


def file_size(path: str) -> int | None:
    """The size of the file `path`, None for a directory; links are followed: the user named it.

    ObjectError when it is neither a directory nor a regular file.
    """
    try:
        facts = os.stat(path)
    except OSError as reason:
        raise LocalFileError("read", path, reason) from None
    if stat.S_ISDIR(facts.st_mode):
        return None
    if stat.S_ISREG(facts.st_mode):
        return facts.st_size
    raise ObjectError(f"{path} is neither a file nor a directory")

"""Walks a local tree in the order in which S3 lists names: by UTF-8 bytes, directories with `/`."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import groupby, islice
from operator import attrgetter
from typing import NamedTuple

from sealift.errors import LocalFileError, ObjectError, UnsafeNameError, UsageError
from sealift.filters import Filter
from sealift.model import TEMPORARY_NAME, TEMPORARY_PREFIX

IGNORE_FILE = ".sealiftignore"
# Files that are looked at in one go, and so many that opening their directory pays.
RUN_COUNT = 250
_WORTH_OPENING = 8

_NAME, _PATH = map(attrgetter, ("name", "path"))
_SIZE, _MTIME, _MODE, _CTIME = map(attrgetter, ("st_size", "st_mtime_ns", "st_mode", "st_ctime_ns"))


class FileEntry(NamedTuple):
    """A regular file: `path` opens it, `name` is its path below the root with `/`.

    `mtime_ns` and `ctime_ns` are in nanoseconds since the epoch, `mode` is st_mode. The `path` and
    the `name` of an empty directory end with `/`, its size is 0.
    """

    path: str
    name: str
    size: int
    mtime_ns: int
    mode: int
    ctime_ns: int = 0


@dataclass(slots=True)
class Passed:
    """Something that is not sent: `reason` for what is passed over, `error` for what failed."""

    name: str
    reason: str
    error: ObjectError | None = None


class _Level(NamedTuple):
    """A directory that is being walked; `identity` (device, inode) only where links are followed.

    Its entries come in the order of their names' bytes: files in runs, directories one by one.
    """

    path: str
    name: str
    entries: Iterator[list[os.DirEntry[str]] | os.DirEntry[str]]
    is_empty: bool
    identity: tuple[int, int] | None


def walk(
    root: str, chosen: Filter, *, follow_links: bool = False, empty_directories: bool = False
) -> Iterator[FileEntry | Passed]:
    """All regular files below `root` that `chosen` takes, in the order of their names' UTF-8 bytes.

    Passed over with a reason: symbolic links unless `follow_links`, sockets, pipes, devices, and
    files of unfinished downloads. Reported with an error: what cannot be read, names that are not
    UTF-8, links that lead nowhere or back into a directory that they are in. With
    `empty_directories` a directory that holds nothing at all is an entry. Nothing is said of what
    `chosen` does not take, and a directory of which it takes nothing is not read. Memory holds one
    directory's entries a level.
    """
    takes = None if chosen.is_open else chosen.takes
    found = _open_level(root, "", follow_links)
    if isinstance(found, Passed):
        yield Passed(root, "", found.error)
        return
    # A stack instead of recursion: trees are deeper than Python's limit.
    levels = [found]
    while levels:
        level = levels[-1]
        for entry in level.entries:
            if not isinstance(entry, list):
                break
            yield from _look_at(entry, level, takes, follow_links)
        else:
            levels.pop()
            continue
        name = f"{level.name}{entry.name}/"
        if takes is not None and not chosen.may_hold(name):
            continue
        found = _open_level(entry.path, name, follow_links)
        if isinstance(found, Passed):
            yield found
        elif found.identity is not None and found.identity in [each.identity for each in levels]:
            yield Passed(name, "", _loop(entry.path))
        elif not found.is_empty:
            levels.append(found)
        elif empty_directories and (takes is None or takes(name)):
            yield _look_at_empty(entry, name)


def _open_level(path: str, name: str, follow_links: bool) -> _Level | Passed:
    try:
        with os.scandir(path) as found:
            entries = list(found)
        facts = os.stat(path) if follow_links else None
    except OSError as reason:
        return Passed(name, "", LocalFileError("read the directory", path, reason))
    identity = (facts.st_dev, facts.st_ino) if facts else None
    return _Level(path, name, _in_order(entries, follow_links), not entries, identity)


def _in_order(
    entries: list[os.DirEntry[str]], follow_links: bool
) -> Iterator[list[os.DirEntry[str]] | os.DirEntry[str]]:
    try:
        directories = {e.name for e in entries if e.is_dir(follow_symlinks=follow_links)}
    except OSError:
        directories = {e.name for e in entries if _is_directory(e, follow_links)}

    def key(entry: os.DirEntry[str]) -> bytes:
        name = os.fsencode(entry.name)
        return name + b"/" if entry.name in directories else name

    # Texts of ASCII alone come in the order of their bytes.
    is_plain = not directories and "".join(map(_NAME, entries)).isascii()
    entries.sort(key=_NAME if is_plain else key)
    if is_plain:
        for start in range(0, len(entries), RUN_COUNT):
            yield entries[start : start + RUN_COUNT]
        return
    for is_directory, group in groupby(entries, lambda entry: entry.name in directories):
        if is_directory:
            yield from group
        else:
            while run := list(islice(group, RUN_COUNT)):
                yield run


def _is_directory(entry: os.DirEntry[str], follow_links: bool) -> bool:
    try:
        return entry.is_dir(follow_symlinks=follow_links)
    except OSError:  # said again when its turn comes
        return False


def _look_at(
    run: list[os.DirEntry[str]],
    level: _Level,
    takes: Callable[[str], bool] | None,
    follow_links: bool,
) -> Iterator[FileEntry | Passed]:
    """What the entries of a run are, those that take part.

    The kernel finds a file faster by its name in an open directory than by its path.
    """
    prefix = level.name
    if takes is not None:
        run = [entry for entry in run if takes(prefix + entry.name)]
    fd = None
    if len(run) >= _WORTH_OPENING:
        with suppress(OSError):
            fd = os.open(level.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    if fd is None:
        for entry in run:
            yield _look(entry, prefix + entry.name, None, follow_links)
        return
    try:
        files = _look_at_files(run, prefix, fd, follow_links)
        if files is None:
            found = [_look(entry, prefix + entry.name, fd, follow_links) for entry in run]
    finally:
        os.close(fd)
    yield from found if files is None else files


def _look_at_files(
    run: list[os.DirEntry[str]], prefix: str, fd: int, follow_links: bool
) -> list[FileEntry] | None:
    """The entries of a run, or None when they are not all files that take part.

    Most runs come here: steps are taken for all of their entries at once.
    """
    names = list(map(_NAME, run))
    try:
        text = prefix + "/".join(names)
        text.encode()
        found = [os.stat(name, dir_fd=fd, follow_symlinks=follow_links) for name in names]
    except (UnicodeEncodeError, OSError):
        return None
    modes = list(map(_MODE, found))
    if TEMPORARY_PREFIX in text or not all(map(stat.S_ISREG, modes)):
        return None
    names = [prefix + name for name in names]
    sizes, mtimes, ctimes = map(_SIZE, found), map(_MTIME, found), map(_CTIME, found)
    rows = zip(map(_PATH, run), names, sizes, mtimes, modes, ctimes, strict=True)
    return list(map(partial(tuple.__new__, FileEntry), rows))


def _look(
    entry: os.DirEntry[str], name: str, fd: int | None, follow_links: bool
) -> FileEntry | Passed:
    """What an entry is that is no directory, in the directory `fd` if that is open."""
    try:
        if fd is None:
            facts = entry.stat(follow_symlinks=follow_links)
        else:
            facts = os.stat(entry.name, dir_fd=fd, follow_symlinks=follow_links)
        mode = facts.st_mode
        if not stat.S_ISREG(mode):
            return Passed(name, "symbolic link" if stat.S_ISLNK(mode) else "socket, pipe or device")
        if entry.name.startswith(TEMPORARY_PREFIX) and TEMPORARY_NAME.fullmatch(entry.name):
            return Passed(name, "unfinished download")
        if not name.isascii():
            name.encode()
        return FileEntry(
            entry.path, name, facts.st_size, facts.st_mtime_ns, mode, facts.st_ctime_ns
        )
    except UnicodeEncodeError:
        return Passed(name, "", _not_utf8(name))
    except OSError as reason:
        if reason.errno == errno.ELOOP:
            return Passed(name, "", _loop(entry.path))
        if not isinstance(reason, FileNotFoundError):
            return Passed(name, "", LocalFileError("look at", entry.path, reason))
        if entry.is_symlink():
            return Passed(name, "", LocalFileError("follow the link", entry.path, reason))
        return Passed(name, "vanished while it was looked at")


def _look_at_empty(entry: os.DirEntry[str], name: str) -> FileEntry | Passed:
    """The entry of a directory that holds nothing."""
    try:
        name.encode()
        facts = os.stat(entry.path)
    except UnicodeEncodeError:
        return Passed(name, "", _not_utf8(name))
    except OSError as reason:
        return Passed(name, "", LocalFileError("look at", entry.path, reason))
    return FileEntry(entry.path + "/", name, 0, facts.st_mtime_ns, facts.st_mode)


def _loop(path: str) -> ObjectError:
    return ObjectError(
        f"the link leads in a circle: {path}", hint="exclude it, or leave out --links follow"
    )


def _not_utf8(name: str) -> UnsafeNameError:
    shown = os.fsencode(name).decode("utf-8", "backslashreplace")
    return UnsafeNameError(f"the name {shown} is not UTF-8", hint="rename it")


def ignore_lines(root: str) -> list[str]:
    """The lines of the ignore file at `root`, none without one.

    UsageError when it cannot be read: then nothing may move that it might have held back.
    """
    path = os.path.join(root, IGNORE_FILE)
    try:
        with open(path, "rb", opener=_open_now) as file:
            text = os.fsdecode(file.read()).removeprefix("\ufeff")
    except FileNotFoundError:
        return []
    except OSError as reason:
        error = LocalFileError("read", path, reason)
        raise UsageError(error.message, hint=error.hint) from None
    return [line.removesuffix("\r") for line in text.split("\n")]


def _open_now(path: str, flags: int) -> int:
    """Open without waiting for the other end of a pipe."""
    return os.open(path, flags | os.O_NONBLOCK)


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

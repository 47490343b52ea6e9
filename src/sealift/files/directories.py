"""The directories below a root, opened one component at a time and never through a link.

Every directory is opened from the root's descriptor with O_NOFOLLOW: no name and no symbolic link
leads out of the root. Those in use, and some more, stay open.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import threading
from collections import OrderedDict
from collections.abc import Collection, Iterator

from sealift.durable import sync
from sealift.errors import LocalFileError

# Idle directory descriptors kept open at most.
KEPT_DIRECTORY_COUNT = 64

# Device and inode: what a directory is, whatever its path.
Identity = tuple[int, int]

Path = tuple[str, ...]


def directory_identity(path: str) -> Identity | None:
    """What `path` is at the moment; None when nothing is there. LocalFileError."""
    try:
        facts = os.stat(path)
    except FileNotFoundError:
        return None
    except OSError as reason:
        raise LocalFileError("look at", path, reason) from None
    return facts.st_dev, facts.st_ino


def _make(path: str, *, durable: bool) -> None:
    """Make the directory `path` and those above it.

    With `durable` each that is new is synced into its parent.
    """
    missing = []
    rest = os.path.abspath(path)
    while not os.path.isdir(rest):
        missing.append(rest)
        rest = os.path.dirname(rest)
    for directory in reversed(missing):
        with contextlib.suppress(FileExistsError):
            os.mkdir(directory)
        if not durable:
            continue
        parent = os.open(os.path.dirname(directory), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            _sync_new(os.path.basename(directory), parent)
        finally:
            os.close(parent)


def sync_directory(path: str) -> None:
    """Make the entries of a directory durable. OSError."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        sync(fd)
    finally:
        os.close(fd)


def _sync_new(component: str, parent: int) -> None:
    """Sync a directory that was made into its parent; when that fails, it is gone again.

    Else it would be there for the next file below it, which would be reported durable.
    """
    try:
        sync(parent)
    except OSError:
        with contextlib.suppress(OSError):
            os.rmdir(component, dir_fd=parent)
        raise


def open_directory(component: str, parent: int) -> int:
    """A directory below `parent`; a link is not followed."""
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        return os.open(component, flags, dir_fd=parent)
    except NotADirectoryError:
        # Linux answers ENOTDIR to a link as well; say which it is.
        if stat.S_ISLNK(os.lstat(component, dir_fd=parent).st_mode):
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP)) from None
        raise


class Directory:
    """An open directory. `is_new` says that it was made here, so that nothing else is in it."""

    __slots__ = ("fd", "is_new", "path", "users")

    def __init__(self, fd: int, path: Path, is_new: bool) -> None:
        self.fd = fd
        self.path = path
        self.is_new = is_new
        self.users = 0


class Directories:
    """The open directories below `root`; may be shared by threads.

    With `durable` each that is made is synced into its parent. `kept_count` stay open when they are
    not in use. OSError.
    """

    def __init__(self, root: str, *, durable: bool, kept_count: int = KEPT_DIRECTORY_COUNT) -> None:
        self._durable = durable
        self._kept_count = kept_count
        self._lock = threading.Lock()
        self._open: dict[Path, Directory] = {}
        self._idle: OrderedDict[Path, None] = OrderedDict()
        _make(root, durable=durable)
        fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self.root = Directory(fd, (), is_new=False)
        self.root.users = 1
        self._open[()] = self.root

    def enter(self, path: Path) -> Directory:
        """The open directory `path`, counted as used; made when it is missing."""
        with self._lock:
            known = self._open.get(path)
            if known is not None:
                known.users += 1
                self._idle.pop(path, None)
                return known
            depth = len(path)
            while path[:depth] not in self._open:
                depth -= 1
            fd = self._open[path[:depth]].fd
            owned = is_new = False
            try:
                for component in path[depth:]:
                    inner, is_new = self._step(component, fd)
                    if owned:
                        os.close(fd)
                    fd, owned = inner, True
            except OSError:
                if owned:
                    os.close(fd)
                raise
            directory = Directory(fd, path, is_new)
            directory.users = 1
            self._open[path] = directory
            return directory

    def _step(self, component: str, parent: int) -> tuple[int, bool]:
        """A directory below `parent`, and whether it was made for this."""
        try:
            return open_directory(component, parent), False
        except FileNotFoundError:
            is_new = False
            with contextlib.suppress(FileExistsError):
                os.mkdir(component, 0o777, dir_fd=parent)
                is_new = True
                if self._durable:
                    _sync_new(component, parent)
            return open_directory(component, parent), is_new

    def leave(self, directory: Directory) -> None:
        with self._lock:
            directory.users -= 1
            if directory.users == 0:
                self._idle[directory.path] = None
                while len(self._idle) > self._kept_count:
                    path, _ = self._idle.popitem(last=False)
                    os.close(self._open.pop(path).fd)

    def prune(self, path: Path, kept: Collection[Path]) -> Path:
        """Remove `path` and the directories above it as far as they are empty and not in use.

        Returns the one that stays, which may be one of `kept`.
        """
        while path and path not in kept:
            with self._lock:
                known = self._open.get(path)
                if known is not None and known.users:
                    break
                try:
                    with self.found(path[:-1]) as parent:
                        os.rmdir(path[-1], dir_fd=parent)
                except FileNotFoundError:
                    pass
                except OSError:  # something is in it
                    break
                if known is not None:
                    del self._open[path], self._idle[path]
                    os.close(known.fd)
            path = path[:-1]
        return path

    @contextlib.contextmanager
    def found(self, path: Path) -> Iterator[int]:
        """The directory `path` as it is, open for the block; nothing is made."""
        fd = os.dup(self.root.fd)
        try:
            for component in path:
                inner = open_directory(component, fd)
                os.close(fd)
                fd = inner
            yield fd
        finally:
            os.close(fd)

    def close(self) -> None:
        """Close all."""
        with self._lock:
            for directory in self._open.values():
                os.close(directory.fd)
            self._open.clear()
            self._idle.clear()

"""Writes what comes back, so that a name appears only when its file is complete and durable.

- Every directory is opened from the root's descriptor, one component at a time, with O_NOFOLLOW:
  no name and no symbolic link leads out of the target.
- Bytes go to a temporary file in the same directory, 0600, made with O_EXCL.
- `commit` syncs the file, gives it its name, then syncs the directory (measured on ext4: with less,
  a power cut leaves the final name with 0 bytes, or none).
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import secrets
import stat
import threading
from collections import OrderedDict
from collections.abc import Collection, Iterator, Sequence

from sealift.errors import LocalFileError
from sealift.model import TEMPORARY_PREFIX, TEMPORARY_SUFFIX

# Idle directory descriptors kept open; far below the usual limit of 1024 open files.
KEPT_DIRECTORY_COUNT = 64

# Device and inode: what a directory is, whatever its path.
Identity = tuple[int, int]

_Path = tuple[str, ...]


def directory_identity(path: str) -> Identity | None:
    """What `path` is at the moment; None when nothing is there. LocalFileError."""
    try:
        facts = os.stat(path)
    except FileNotFoundError:
        return None
    except OSError as reason:
        raise LocalFileError("look at", path, reason) from None
    return facts.st_dev, facts.st_ino


def _make_durable(path: str) -> None:
    """Make the directory `path` and those above it; each that is new is synced into its parent."""
    missing = []
    rest = os.path.abspath(path)
    while not os.path.isdir(rest):
        missing.append(rest)
        rest = os.path.dirname(rest)
    for directory in reversed(missing):
        with contextlib.suppress(FileExistsError):
            os.mkdir(directory)
        parent = os.open(os.path.dirname(directory), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(parent)
        finally:
            os.close(parent)


def _check_replaceable(name: str, directory: int) -> None:
    """OSError when something stands there that no download may take the place of."""
    try:
        mode = os.lstat(name, dir_fd=directory).st_mode
    except FileNotFoundError:
        return
    if stat.S_ISLNK(mode):
        try:
            mode = os.stat(name, dir_fd=directory).st_mode
        except OSError:  # it leads nowhere
            return
        if stat.S_ISDIR(mode):
            return
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not stat.S_ISREG(mode):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))


def _open_directory(component: str, parent: int) -> int:
    """A directory below `parent`; a link is not followed."""
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        return os.open(component, flags, dir_fd=parent)
    except NotADirectoryError:
        # Linux answers ENOTDIR to a link as well; say which it is.
        if stat.S_ISLNK(os.lstat(component, dir_fd=parent).st_mode):
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP)) from None
        raise


class _Directory:
    """An open directory. `is_new` says that it was made here, so that nothing else is in it."""

    __slots__ = ("fd", "is_new", "path", "users")

    def __init__(self, fd: int, path: _Path, is_new: bool) -> None:
        self.fd = fd
        self.path = path
        self.is_new = is_new
        self.users = 0


class TargetFile:
    """A temporary file on its way to its name. Make it by `Target.create`; end it by `Target`."""

    __slots__ = ("directory", "fd", "mode", "name", "temporary")

    def __init__(
        self, directory: _Directory, fd: int, temporary: str, name: str, mode: int
    ) -> None:
        self.directory = directory
        self.fd = fd
        self.temporary = temporary
        self.name = name
        self.mode = mode

    def write(self, data: memoryview, position: int) -> None:
        """Write all of `data` at `position`."""
        try:
            while data:
                count = os.pwrite(self.fd, data, position)
                data = data[count:]
                position += count
        except OSError as reason:
            raise LocalFileError("write", self.name, reason) from None

    def allocate(self, size: int) -> None:
        """Reserve `size` bytes, so that a full disk shows before the transfer, not in its midst."""
        try:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(self.fd, 0, size)
            else:
                os.ftruncate(self.fd, size)
        except OSError as reason:
            if reason.errno not in (errno.EOPNOTSUPP, errno.EINVAL):
                raise LocalFileError("write", self.name, reason) from None
            os.ftruncate(self.fd, size)

    def set_mtime(self, mtime_ns: int) -> None:
        """Give the file the time of its source."""
        with contextlib.suppress(OSError, OverflowError):
            os.utime(self.fd, ns=(mtime_ns, mtime_ns))

    def set_mode(self, mode: int) -> None:
        """Give the file the permissions of its source when it gets its name; no setuid and such."""
        self.mode = mode & 0o777


class Target:
    """A directory that files are written below; may be shared by threads."""

    def __init__(self, root: str) -> None:
        self._lock = threading.Lock()
        self._open: dict[_Path, _Directory] = {}
        self._idle: OrderedDict[_Path, None] = OrderedDict()
        self._files: set[TargetFile] = set()
        self._temporary = TEMPORARY_PREFIX + secrets.token_hex(8)
        self._numbers = itertools.count()
        umask = os.umask(0o077)
        os.umask(umask)
        self._mode = 0o666 & ~umask
        try:
            _make_durable(root)
            fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as reason:
            raise LocalFileError("make the directory", root, reason) from None
        self._root = _Directory(fd, (), is_new=False)
        self._root.users = 1
        self._open[()] = self._root

    @property
    def identity(self) -> Identity:
        """What the root is."""
        facts = os.fstat(self._root.fd)
        return facts.st_dev, facts.st_ino

    def create(self, parts: list[str]) -> TargetFile:
        """A temporary file for the name `parts` (see `split_name`), its directories made.

        A file of that name is replaced, and so is a link; devices, pipes and directories are not.
        """
        shown = "/".join(parts)
        directory = self._enter(tuple(parts[:-1]), shown)
        temporary = f"{self._temporary}-{next(self._numbers)}{TEMPORARY_SUFFIX}"
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            if not directory.is_new:
                _check_replaceable(parts[-1], directory.fd)
            fd = os.open(temporary, flags, 0o600, dir_fd=directory.fd)
        except OSError as reason:
            self._leave(directory)
            raise LocalFileError("write", shown, reason) from None
        file = TargetFile(directory, fd, temporary, parts[-1], self._mode)
        self._files.add(file)
        return file

    def make_directory(self, parts: list[str]) -> None:
        """Make the directory `parts` (see `split_name`), durable; it may be there already."""
        self._leave(self._enter(tuple(parts), "/".join(parts)))

    def commit(self, file: TargetFile) -> None:
        """Make the file durable under its name; see `commit_each`. Raises LocalFileError."""
        (failure,) = self.commit_each([file])
        if failure is not None:
            raise failure

    def commit_each(self, files: Sequence[TargetFile]) -> list[LocalFileError | None]:
        """Make files durable under their names, each directory synced once; the error of each.

        On failure the temporary file is gone; when the very last step fails, the sync of the
        directory, the complete file has its name but may lose it in a power cut.
        """
        failures: dict[TargetFile, OSError] = {}
        directories: dict[_Directory, list[TargetFile]] = {}
        for file in files:
            try:
                os.fchmod(file.fd, file.mode)
                os.fsync(file.fd)
            except OSError as reason:
                failures[file] = reason
            else:
                directories.setdefault(file.directory, []).append(file)
        for directory, ready in directories.items():
            named: list[TargetFile] = []
            for file in ready:
                try:
                    os.rename(
                        file.temporary, file.name, src_dir_fd=directory.fd, dst_dir_fd=directory.fd
                    )
                except OSError as reason:
                    failures[file] = reason
                else:
                    named.append(file)
            try:
                os.fsync(directory.fd)
            except OSError as reason:
                failures |= dict.fromkeys(named, reason)
        found: list[LocalFileError | None] = []
        for file in files:
            failure = failures.get(file)
            if failure is None:
                found.append(None)
                self._end(file)
            else:
                found.append(LocalFileError("write", file.name, failure))
                self.discard(file)
        return found

    def remove_each(
        self, names: Sequence[list[str]], kept: Collection[_Path] = ()
    ) -> list[LocalFileError | None]:
        """Remove files (see `split_name`), then directories left empty; returns the error of each.

        A link is removed and not followed, a directory is an error, what is gone already is none.
        The root and the directories `kept` stay. Directories that lost an entry are synced once.
        """
        changed: set[_Path] = set()
        found: list[LocalFileError | None] = []
        for parts in names:
            try:
                if self._unlink(tuple(parts)):
                    changed.add(tuple(parts[:-1]))
            except OSError as reason:
                found.append(LocalFileError("remove", "/".join(parts), reason))
            else:
                found.append(None)
        for path in {self._prune(path, kept) for path in sorted(changed, key=len, reverse=True)}:
            with contextlib.suppress(OSError), self._found(path) as fd:
                os.fsync(fd)
        return found

    def discard(self, file: TargetFile) -> None:
        """Remove the temporary file; does nothing when the file has ended already."""
        if file not in self._files:
            return
        with contextlib.suppress(OSError):
            os.unlink(file.temporary, dir_fd=file.directory.fd)
        self._end(file)

    def close(self) -> None:
        """Remove what is unfinished, then close all directories."""
        for file in tuple(self._files):
            self.discard(file)
        with self._lock:
            for directory in self._open.values():
                os.close(directory.fd)
            self._open.clear()
            self._idle.clear()

    def _unlink(self, path: _Path) -> bool:
        """Remove a file; False when it is gone already."""
        try:
            with self._found(path[:-1]) as directory:
                os.unlink(path[-1], dir_fd=directory)
        except FileNotFoundError:
            return False
        return True

    def _prune(self, path: _Path, kept: Collection[_Path]) -> _Path:
        """Remove `path` and the directories above it as far as they are empty and not in use.

        Returns the one that stays, which may be one of `kept`.
        """
        while path and path not in kept:
            with self._lock:
                known = self._open.get(path)
                if known is not None and known.users:
                    break
                try:
                    with self._found(path[:-1]) as parent:
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
    def _found(self, path: _Path) -> Iterator[int]:
        """The directory `path` as it is, open for the block; nothing is made."""
        fd = os.dup(self._root.fd)
        try:
            for component in path:
                inner = _open_directory(component, fd)
                os.close(fd)
                fd = inner
            yield fd
        finally:
            os.close(fd)

    def _end(self, file: TargetFile) -> None:
        self._files.discard(file)
        try:  # noqa: SIM105 - once an object
            os.close(file.fd)
        except OSError:  # NFS: of writes whose failure is known, or whose sync went well
            pass
        self._leave(file.directory)

    def _enter(self, path: _Path, shown: str) -> _Directory:
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
            except OSError as reason:
                if owned:
                    os.close(fd)
                raise LocalFileError("write", shown, reason) from None
            directory = _Directory(fd, path, is_new)
            directory.users = 1
            self._open[path] = directory
            return directory

    @staticmethod
    def _step(component: str, parent: int) -> tuple[int, bool]:
        """A directory below `parent`, and whether it was made for this."""
        try:
            return _open_directory(component, parent), False
        except FileNotFoundError:
            is_new = False
            with contextlib.suppress(FileExistsError):
                os.mkdir(component, 0o777, dir_fd=parent)
                is_new = True
                os.fsync(parent)
            return _open_directory(component, parent), is_new

    def _leave(self, directory: _Directory) -> None:
        with self._lock:
            directory.users -= 1
            if directory.users == 0:
                self._idle[directory.path] = None
                while len(self._idle) > KEPT_DIRECTORY_COUNT:
                    path, _ = self._idle.popitem(last=False)
                    os.close(self._open.pop(path).fd)

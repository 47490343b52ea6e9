"""Writes what comes back, so that a name appears only when its file is complete and durable.

- No name and no symbolic link leads out of the target (see `directories`).
- Bytes go to a temporary file in the same directory, 0600, made with O_EXCL.
- `commit` syncs the file, gives it its name, then syncs the directory (measured on ext4: with less,
  a power cut leaves the final name with 0 bytes, or none), as far as its `durability` asks for it.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import secrets
import stat
from collections.abc import Collection, Sequence

from sealift.checksums import crc64
from sealift.durable import sync
from sealift.errors import LocalFileError
from sealift.files.directories import (
    KEPT_DIRECTORY_COUNT,
    Directories,
    Directory,
    Identity,
    Path,
)
from sealift.model import TEMPORARY_PREFIX, TEMPORARY_SUFFIX, Durability, token_of


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


class TargetFile:
    """A temporary file on its way to its name. Make it by `Target.create`; end it by `Target`."""

    __slots__ = ("directory", "fd", "mode", "name", "temporary")

    def __init__(self, directory: Directory, fd: int, temporary: str, name: str, mode: int) -> None:
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

    def sync_data(self) -> None:
        """Make durable what was written so far. LocalFileError: none of it can be relied on."""
        try:
            getattr(os, "fdatasync", os.fsync)(self.fd)  # macOS has no fdatasync
        except OSError as reason:
            raise LocalFileError("write", self.name, reason) from None

    def crc(self, start: int, size: int, room: memoryview) -> int | None:
        """The CRC64NVME of `size` bytes from `start` on, through `room`; None when there are less.

        LocalFileError.
        """
        crc, end = 0, start + size
        try:
            while start < end:
                count = os.preadv(self.fd, [room[: min(len(room), end - start)]], start)
                if not count:
                    return None
                crc = crc64(room[:count], crc)
                start += count
        except OSError as reason:
            raise LocalFileError("read", self.name, reason) from None
        return crc

    def set_mtime(self, mtime_ns: int) -> None:
        """Give the file the time of its source."""
        with contextlib.suppress(OSError, OverflowError):
            os.utime(self.fd, ns=(mtime_ns, mtime_ns))

    def set_mode(self, mode: int) -> None:
        """Give the file the permissions of its source when it gets its name; no setuid and such."""
        self.mode = mode & 0o777


class Target:
    """The directory `root` that files are written below; may be shared by threads.

    `token` is in the names of its temporary files. `kept_count` directories stay open when nothing
    is written to them.
    """

    def __init__(
        self,
        root: str,
        durability: Durability = Durability.DIR,
        kept_count: int = KEPT_DIRECTORY_COUNT,
    ) -> None:
        self.root = os.path.abspath(root)
        self.durability = durability
        self._files: set[TargetFile] = set()
        self.token = secrets.token_hex(8)
        self._numbers = itertools.count()
        umask = os.umask(0o077)
        os.umask(umask)
        self._mode = 0o666 & ~umask
        try:
            self._directories = Directories(
                root, durable=durability is Durability.DIR, kept_count=kept_count
            )
        except OSError as reason:
            raise LocalFileError("make the directory", root, reason) from None

    @property
    def identity(self) -> Identity:
        """What the root is."""
        facts = os.fstat(self._directories.root.fd)
        return facts.st_dev, facts.st_ino

    def create(self, parts: list[str]) -> TargetFile:
        """A temporary file for the name `parts` (see `split_name`), its directories made.

        A file of that name is replaced, and so is a link; devices, pipes and directories are not.
        """
        shown = "/".join(parts)
        directory = self._enter(tuple(parts[:-1]), shown)
        temporary = f"{TEMPORARY_PREFIX}{self.token}-{next(self._numbers)}{TEMPORARY_SUFFIX}"
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            if not directory.is_new:
                _check_replaceable(parts[-1], directory.fd)
            fd = os.open(temporary, flags, 0o600, dir_fd=directory.fd)
        except OSError as reason:
            self._directories.leave(directory)
            raise LocalFileError("write", shown, reason) from None
        file = TargetFile(directory, fd, temporary, parts[-1], self._mode)
        self._files.add(file)
        return file

    def reopen(self, parts: list[str], temporary: str, size: int) -> TargetFile | None:
        """The temporary file that an earlier run left for the name `parts`; None: there is none.

        A link is none, and neither is a file of another user, or one with a second name. What is
        beyond `size` bytes is cut off.
        """
        shown = "/".join(parts)
        directory = self._enter(tuple(parts[:-1]), shown)
        flags = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
        try:
            fd = os.open(temporary, flags, dir_fd=directory.fd)
        except OSError:
            self._directories.leave(directory)
            return None
        file = TargetFile(directory, fd, temporary, parts[-1], self._mode)
        facts = os.fstat(fd)
        if not stat.S_ISREG(facts.st_mode) or facts.st_nlink != 1 or facts.st_uid != os.geteuid():
            self._end(file)
            return None
        try:
            _check_replaceable(parts[-1], directory.fd)
            if facts.st_size > size:
                os.ftruncate(fd, size)
        except OSError as reason:
            self._end(file)
            raise LocalFileError("write", shown, reason) from None
        self._files.add(file)
        return file

    def sweep(self, tokens: Collection[str | None], kept: Collection[str]) -> int:
        """Remove the temporary files of the runs `tokens`, but for those `kept`; how many.

        Goes through all directories below the root, and over those that it may not enter.
        """
        count = 0
        for _, _, names, fd in os.fwalk(dir_fd=self._directories.root.fd, follow_symlinks=False):
            for name in names:
                token = token_of(name)
                if token is not None and token in tokens and name not in kept:
                    with contextlib.suppress(OSError):
                        os.unlink(name, dir_fd=fd)
                        count += 1
        return count

    def make_directory(self, parts: list[str]) -> None:
        """Make the directory `parts` (see `split_name`), durable; it may be there already."""
        self._directories.leave(self._enter(tuple(parts), "/".join(parts)))

    def commit(self, file: TargetFile) -> None:
        """Make the file durable under its name; see `commit_each`. Raises LocalFileError."""
        (failure,) = self.commit_each([file])
        if failure is not None:
            raise failure

    def commit_each(self, files: Sequence[TargetFile]) -> list[LocalFileError | None]:
        """Give files their names, each directory synced once; the error of each.

        On failure the temporary file is gone; when the very last step fails, the sync of the
        directory, the complete file has its name but may lose it in a power cut.
        """
        failures: dict[TargetFile, OSError] = {}
        directories: dict[Directory, list[TargetFile]] = {}
        for file in files:
            try:
                os.fchmod(file.fd, file.mode)
                if self.durability is not Durability.NONE:
                    sync(file.fd)
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
            if self.durability is not Durability.DIR:
                continue
            try:
                sync(directory.fd)
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
        self, names: Sequence[list[str]], kept: Collection[Path] = ()
    ) -> list[LocalFileError | None]:
        """Remove files (see `split_name`), then directories left empty; returns the error of each.

        A link is removed and not followed, a directory is an error, what is gone already is none.
        The root and the directories `kept` stay. Directories that lost an entry are synced once.
        """
        changed: set[Path] = set()
        found: list[LocalFileError | None] = []
        for parts in names:
            try:
                if self._unlink(tuple(parts)):
                    changed.add(tuple(parts[:-1]))
            except OSError as reason:
                found.append(LocalFileError("remove", "/".join(parts), reason))
            else:
                found.append(None)
        for path in {
            self._directories.prune(path, kept) for path in sorted(changed, key=len, reverse=True)
        }:
            with contextlib.suppress(OSError), self._directories.found(path) as fd:
                sync(fd)
        return found

    def discard(self, file: TargetFile) -> None:
        """Remove the temporary file; does nothing when the file has ended already."""
        if file not in self._files:
            return
        with contextlib.suppress(OSError):
            os.unlink(file.temporary, dir_fd=file.directory.fd)
        self._end(file)

    def keep(self, file: TargetFile) -> None:
        """End the file but leave it under its temporary name, for a later run to reopen.

        Does nothing when the file has ended already.
        """
        if file in self._files:
            self._end(file)

    def close(self) -> None:
        """Remove what is unfinished, then close all directories."""
        for file in tuple(self._files):
            self.discard(file)
        self._directories.close()

    def _unlink(self, path: Path) -> bool:
        """Remove a file; False when it is gone already."""
        try:
            with self._directories.found(path[:-1]) as directory:
                os.unlink(path[-1], dir_fd=directory)
        except FileNotFoundError:
            return False
        return True

    def _end(self, file: TargetFile) -> None:
        self._files.discard(file)
        try:  # noqa: SIM105 - once an object
            os.close(file.fd)
        except OSError:  # NFS: of writes whose failure is known, or whose sync went well
            pass
        self._directories.leave(file.directory)

    def _enter(self, path: Path, shown: str) -> Directory:
        try:
            return self._directories.enter(path)
        except OSError as reason:
            raise LocalFileError("write", shown, reason) from None

"""Reads a file that is being sent, and notices when it changes meanwhile."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence

from sealift.checksums import Digest
from sealift.errors import LocalFileError, ObjectError, SourceChangedError
from sealift.model import ByteRange, MiB

# One read of a part too large to be held whole, and of a checksum pass.
CHUNK_SIZE = 4 * MiB
# O_NONBLOCK: opening a pipe that took the file's place must not hang.
_OPEN_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK


class SourceFile:
    """An open file and what it was when it was opened.

    `path` is absolute; `identity` is its device, inode, size, mtime and ctime. The open descriptor
    pins the inode; size and times tell whether it was written to, and the path's inode whether it
    was replaced.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self.path = os.path.abspath(path)
        try:
            self._fd = os.open(path, _OPEN_FLAGS)
        except OSError as reason:
            raise LocalFileError("open", path, reason) from None
        facts = os.fstat(self._fd)
        if not stat.S_ISREG(facts.st_mode):  # a pipe has no bytes yet: it would pass for empty
            os.close(self._fd)
            raise _no_file()
        self.identity = _identity(facts)
        self.size = facts.st_size
        self.mtime_ns = facts.st_mtime_ns
        self.mode = facts.st_mode

    def read_into(self, room: memoryview, start: int) -> None:
        """Fill `room` from byte `start` on; SourceChangedError when the file ends before."""
        try:
            _read_into(self._fd, room, start)
        except OSError as reason:
            raise LocalFileError("read", self._path, reason) from None

    def chunks(self, span: ByteRange, room: memoryview) -> Iterator[memoryview]:
        """The bytes of `span` through `room`, which is overwritten by each next one."""
        position = span.start
        while position < span.end:
            view = room[: min(len(room), span.end - position)]
            self.read_into(view, position)
            yield view
            position += len(view)

    def digest(self, span: ByteRange, room: memoryview, with_md5: bool) -> Digest:
        """The digest of `span`, read through `room`. SourceChangedError as by `check`."""
        digest = Digest(with_md5=with_md5)
        for view in self.chunks(span, room):
            digest.update(view)
        self.check()
        return digest

    def read_part(self, room: memoryview, start: int, with_md5: bool) -> Digest:
        """Fill `room` from byte `start` on; returns its digest. SourceChangedError as by `check`.

        What has changed need not be sent to its end.
        """
        self.read_into(room, start)
        self.check()
        return Digest(room, with_md5=with_md5)

    def check(self) -> None:
        """SourceChangedError when the file was written to or replaced since it was opened."""
        try:
            same = (
                _identity(os.fstat(self._fd)) == self.identity
                and _identity(os.stat(self._path)) == self.identity
            )
        except OSError:
            same = False
        if not same:
            raise _changed()

    def close(self) -> None:
        os.close(self._fd)


def _read_into(fd: int, room: memoryview, start: int) -> None:
    filled = 0
    while filled < len(room):
        count = os.preadv(fd, [room[filled:]], start + filled)
        if count == 0:
            raise SourceChangedError("the file became shorter while it was read")
        filled += count


def _no_file() -> SourceChangedError:
    return SourceChangedError("the file was replaced by something that is no file")


def _changed() -> SourceChangedError:
    return SourceChangedError(
        "the file was changed while it was sent", hint="send it again when it is at rest"
    )


def _identity(facts: os.stat_result) -> tuple[int, int, int, int, int]:
    return facts.st_dev, facts.st_ino, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns


def read_small(path: str, room: memoryview, with_md5: bool) -> tuple[Digest, int, int]:
    """Read a whole file into `room`, which has the size that the plan saw.

    Returns its digest, mtime in ns and mode. SourceChangedError when it has another size by now or
    changed while it was read. Like a `SourceFile` that is read once, with the fewest system calls.
    A directory, whose path ends with `/`, reads as an empty file.
    """
    try:
        fd = os.open(path, _OPEN_FLAGS)
    except OSError as reason:
        raise LocalFileError("open", path, reason) from None
    try:
        facts = os.fstat(fd)
        if not stat.S_ISREG(facts.st_mode):
            if not (path.endswith("/") and stat.S_ISDIR(facts.st_mode)):
                raise _no_file()
            return Digest(room, with_md5=with_md5), facts.st_mtime_ns, facts.st_mode
        if facts.st_size != len(room):
            raise SourceChangedError("the file was changed after it was planned")
        if os.readv(fd, [room]) != len(room):  # interrupted, or a file system of its own mind
            _read_into(fd, room, 0)
        if _identity(os.stat(path)) != _identity(facts):
            raise _changed()
    except FileNotFoundError:
        raise _changed() from None
    except OSError as reason:
        raise LocalFileError("read", path, reason) from None
    finally:
        os.close(fd)
    return Digest(room, with_md5=with_md5), facts.st_mtime_ns, facts.st_mode


def read_each(
    files: Sequence[tuple[str, int]], room: memoryview, with_md5: bool
) -> list[tuple[Digest, int, int] | ObjectError]:
    """Read whole files, given by path and planned size, one behind the other into `room`.

    Returns for each what `read_small` does, or its error.
    """
    found: list[tuple[Digest, int, int] | ObjectError] = []
    start = 0
    for path, size in files:
        try:
            found.append(read_small(path, room[start : start + size], with_md5))
        except ObjectError as error:
            found.append(error)
        start += size
    return found


def file_crc(path: str, room: memoryview) -> int:
    """The CRC64NVME of a whole file, read through `room`. LocalFileError, SourceChangedError."""
    source = SourceFile(path)
    try:
        digest = source.digest(ByteRange(0, source.size), room, False)
    finally:
        source.close()
    return digest.crc

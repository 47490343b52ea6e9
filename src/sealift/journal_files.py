"""The files of journals: whose they are, and reading them in whatever state they are found.

One file a run, and a lock beside it that the run holds. A file that is no database any more is set
aside; one that cannot be read at the moment (no room, no rights) is left as it is.
"""

from __future__ import annotations

import os
import stat
import struct
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

from sealift.errors import JournalError
from sealift.journal_rows import Content, content_of
from sealift.locks import take_lock

if TYPE_CHECKING:
    from sqlite3 import Connection

T = TypeVar("T")

SUFFIX = ".sqlite3"
LOCK_SUFFIX = ".lock"
DAMAGED_SUFFIX = ".damaged"
_LOG_SUFFIX = "-wal"
# Beside the file of a run there may be these of SQLite's.
_COMPANIONS = tuple(SUFFIX + end for end in ("-journal", _LOG_SUFFIX, "-shm"))
# Seconds that a call waits for a reader of another process.
BUSY_TIMEOUT = 5.0

_SELECT = "SELECT kind, name, number, data, crc FROM entry"
# https://www.sqlite.org/fileformat2.html#the_write_ahead_log
_LOG_HEADER_SIZE = 32
_FRAME_HEADER_SIZE = 24


class DamagedError(JournalError):
    """The file is no journal, or no journal any more."""


def journals(directory: str) -> list[str]:
    """The paths of all journals in `directory`. Raises JournalError.

    Also those of runs that were killed at their begin or end: then only something beside is there.
    """
    try:
        names = sorted(os.listdir(directory))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise trouble(directory, error) from None
    ends = (SUFFIX, LOCK_SUFFIX, *_COMPANIONS)
    tokens = {name.partition(".")[0] for name in names if name.endswith(ends)}
    return [os.path.join(directory, token + SUFFIX) for token in sorted(tokens)]


def take_run_lock(path: str) -> int | None:
    """The lock of the run whose file is `path`; None while the run is alive. Raises OSError."""
    return take_lock(_lock_name(path))


def take_dead_lock(path: str) -> int | None:
    """As `take_run_lock`, but None as well when the run has come to its end meanwhile."""
    lock = take_run_lock(path)
    if lock is not None and not os.path.lexists(path):
        remove(path)
        os.close(lock)
        return None
    return lock


def set_aside(path: str) -> str:
    """Rename a damaged journal; what the user should know of it."""
    aside = path.removesuffix(SUFFIX) + DAMAGED_SUFFIX
    try:
        os.replace(path, aside)
    except OSError as error:
        return f"the journal {path} is damaged, and cannot be renamed: {error.strerror}"
    with suppress(OSError):
        os.replace(path + _LOG_SUFFIX, aside + _LOG_SUFFIX)
    remove(path)
    return f"the journal {path} is damaged and was renamed to {aside}; work is done again"


def remove(path: str) -> None:
    """Remove a journal, its lock last."""
    base = path.removesuffix(SUFFIX)
    for name in (path, *(base + end for end in _COMPANIONS), _lock_name(path)):
        with suppress(OSError):
            os.unlink(name)


def connect(path: str, mode: str = "rw") -> Connection:
    """Open the file, which must be there."""
    import sqlite3  # here: a run that moves nothing has no use for it
    from urllib.parse import quote

    connection = sqlite3.connect(
        f"file:{quote(os.fsencode(path))}?mode={mode}",
        uri=True,
        timeout=BUSY_TIMEOUT,
        isolation_level=None,
        check_same_thread=False,
    )
    # Text that is damaged is no reason to read no more: its row says itself that it is.
    connection.text_factory = lambda raw: raw.decode("utf-8", "replace")
    return connection


def read_live(path: str) -> Content:
    """What a run that is alive has written. Raises JournalError."""
    return attempt(path, _content, "ro")


def read_dead(path: str) -> Content | None:
    """What a dead run has written; None when it had not begun.

    Raises JournalError, and DamagedError where nothing can be read any more.
    """
    if not stat.S_ISREG(_mode(path)):
        raise DamagedError(f"the journal {path} is no file")
    log = _read_log(path)

    def read(connection: Connection) -> Content | None:
        # Its lock is held, so nobody else reads it; and a full disk has no room for shared memory.
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        ((table_count,),) = connection.execute("SELECT count(*) FROM sqlite_master").fetchall()
        content = _content(connection) if table_count else None
        is_cut = _frame_count(connection) < _settled_count(log)
        if content is None:
            if is_cut:
                raise DamagedError(f"nothing is left of the journal {path}")
            return None
        content.is_cut = is_cut
        return content

    return attempt(path, read)


def attempt(path: str, work: Callable[[Connection], T], mode: str = "rw") -> T:
    """`work` on a connection of its own. Raises JournalError."""

    def run() -> T:
        connection = connect(path, mode)
        try:
            return work(connection)
        finally:
            connection.close()

    return translated(path, run)


def translated(path: str, work: Callable[[], T]) -> T:
    """`work()`, whatever goes wrong raised as JournalError."""
    import sqlite3

    try:
        return work()
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
        kind = JournalError
        if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR):
            kind = DamagedError
        raise trouble(path, error, kind) from None
    except (OSError, UnicodeError) as error:
        raise trouble(path, error) from None


def trouble(path: str, error: Exception, kind: type[JournalError] = JournalError) -> JournalError:
    """The error of a journal that cannot be used."""
    reason = error.strerror if isinstance(error, OSError) else str(error)
    return kind(
        f"the journal {path} cannot be used: {reason}",
        hint="check that its directory can be written and has room",
    )


def _lock_name(path: str) -> str:
    return path.removesuffix(SUFFIX) + LOCK_SUFFIX


def _content(connection: Connection) -> Content:
    return content_of(connection.execute(_SELECT).fetchall())


def _mode(path: str) -> int:
    return translated(path, lambda: os.lstat(path).st_mode)


def _frame_count(connection: Connection) -> int:
    """How many frames of the log can be used; it takes a checkpoint to learn that."""
    import sqlite3

    with suppress(sqlite3.Error):  # a full disk, say
        ((_, count, _),) = connection.execute("PRAGMA wal_checkpoint").fetchall()
        return max(0, int(count))  # -1: there is no log
    return sys.maxsize


def _read_log(path: str) -> bytes:
    """The write-ahead log, which ends when the file is opened."""

    def read() -> bytes:
        with open(path + _LOG_SUFFIX, "rb") as file:
            return file.read()

    try:
        return translated(path, read)
    except JournalError:  # there is none, or SQLite will say what is the matter
        return b""


def _settled_count(log: bytes) -> int:
    """How many frames a log should have at least: up to its last commit but one, as its salts tell.

    The very last may have been under way when the process was killed. Frames with other salts are
    of an earlier use of the file. 1 when the header is damaged: then nothing of it can be used.
    """
    if len(log) <= _LOG_HEADER_SIZE:
        return 0
    if not _is_header(log[:_LOG_HEADER_SIZE]):
        return 1
    step = _FRAME_HEADER_SIZE + int.from_bytes(log[8:12], "big")
    salts = log[16:24]
    commits = [
        number
        for number, start in enumerate(range(_LOG_HEADER_SIZE, len(log) - step + 1, step), 1)
        if log[start + 8 : start + 16] == salts and any(log[start + 4 : start + 8])
    ]
    return commits[-2] if len(commits) > 1 else 0


def _is_header(header: bytes) -> bool:
    """Whether its checksum, of the numbers before it, is right."""
    order = ">" if header[3] & 1 else "<"
    numbers = struct.unpack(f"{order}6I", header[:24])
    first = second = 0
    for even, odd in zip(numbers[::2], numbers[1::2], strict=True):
        first = (first + even + second) & 0xFFFFFFFF
        second = (second + odd + first) & 0xFFFFFFFF
    return (first, second) == struct.unpack(">2I", header[24:])

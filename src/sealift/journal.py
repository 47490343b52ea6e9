"""What a run has under way, in SQLite: enough to go on after `kill -9` or a power cut.

One file a run, and a lock beside it that the run holds: a run whose lock can be had is dead. A run
takes over what dead runs on the same bucket left, and holds their locks meanwhile, so that no two
go on with one upload.

Every row carries the CRC64 of its content. One that is torn or altered is dropped, and with it what
belongs to it; a file that is no database any more is set aside. What is read here is no more than a
hint: whoever goes on with it asks the server, or reads the bytes again.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from sealift.errors import JournalError
from sealift.journal_rows import Content, Row, content_of, rows_of, run_row
from sealift.records import Change, DownloadRecord, Ended, RunRecord, UploadRecord
from sealift.state import state_directory

if TYPE_CHECKING:
    from sqlite3 import Connection

T = TypeVar("T")

SUFFIX = ".sqlite3"
LOCK_SUFFIX = ".lock"
# Seconds that a call waits for a reader of another process.
BUSY_TIMEOUT = 5.0
# SQLite's own default.
CHECKPOINT_PAGE_COUNT = 1000

_SCHEMA = """CREATE TABLE IF NOT EXISTS entry (
    kind TEXT NOT NULL, name TEXT NOT NULL, number INTEGER NOT NULL, data TEXT NOT NULL,
    crc TEXT NOT NULL, PRIMARY KEY (kind, name, number)) WITHOUT ROWID"""
_SELECT = "SELECT kind, name, number, data, crc FROM entry"


@dataclass(slots=True)
class DeadRun:
    """A run that did not come to its end, locked: nobody else goes on with it meanwhile."""

    path: str
    lock: int
    run: RunRecord
    uploads: list[UploadRecord]
    downloads: list[DownloadRecord]
    dropped: int
    is_swept: bool = False

    def forget(self, name: str) -> None:
        """The upload (by its marker) or download (by its temporary file) `name` is over."""
        self.uploads = [record for record in self.uploads if record.marker != name]
        self.downloads = [record for record in self.downloads if record.temporary != name]
        _attempt(self.path, lambda connection: _delete(connection, name))

    def remove(self) -> None:
        """Forget the run; its lock ends."""
        _remove(self.path)
        self.unlock()

    def unlock(self) -> None:
        if self.lock >= 0:
            os.close(self.lock)
            self.lock = -1


@dataclass(slots=True)
class Leftovers:
    """What dead runs on one bucket left; see `ledger.Left`."""

    uploads: dict[tuple[str, str], UploadRecord] = field(default_factory=dict)
    superseded: list[UploadRecord] = field(default_factory=list)
    downloads: dict[tuple[str, str, str], DownloadRecord] = field(default_factory=dict)
    runs: list[RunRecord] = field(default_factory=list)
    alive: frozenset[str] = frozenset()
    damaged: list[str] = field(default_factory=list)


class Journal:
    """That of `run`, in `directory`, by default the user's state directory.

    Calls block, and may come from any thread, one at a time. Raises JournalError.
    """

    def __init__(self, directory: str | None, run: RunRecord) -> None:
        self._directory = directory
        self._run = run
        self._path = ""
        self._lock = -1
        self._connection: Connection | None = None
        self._is_durable = False
        self._dead: list[DeadRun] = []

    def open(self) -> None:
        """Make the file; it need not outlive a power cut before the first durable change."""
        directory = _journal_directory(self._directory)
        path = os.path.join(directory, self._run.token + SUFFIX)

        def begin() -> None:
            os.makedirs(directory, 0o700, exist_ok=True)
            lock = _take_lock(path)
            if lock is None:
                raise JournalError("another run has this name")
            self._lock = lock
            self._path = path
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600))
            self._connection = _connect(path)
            self._connection.execute("PRAGMA synchronous = OFF")
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute("PRAGMA wal_autocheckpoint = 0")  # it would not be synced
            self._connection.execute(_SCHEMA)
            _insert(self._connection, [run_row(self._run)])

        try:
            _translated(path, begin)
        except JournalError:
            self.close(finished=True)  # nobody is to find it, and half of it is no journal
            raise

    def leftovers(self) -> Leftovers:
        """Take the locks of dead runs on the same bucket until `close`; what they left."""
        found = Leftovers()
        directory = os.path.dirname(self._path)
        for dead in _find_dead(directory, found.damaged):
            if dead.run.scope != self._run.scope:
                dead.unlock()
                continue
            self._dead.append(dead)
        for dead in sorted(self._dead, key=lambda dead: dead.run.started_at):
            found.runs.append(dead.run)
            for upload in dead.uploads:
                earlier = found.uploads.get((upload.scope, upload.name))
                if earlier is not None:
                    found.superseded.append(earlier)
                found.uploads[upload.scope, upload.name] = upload
            for download in dead.downloads:
                found.downloads[download.scope, download.root, download.path] = download
        if self._dead:
            found.alive = frozenset(live_upload_ids(self._directory))
        return found

    def write(self, changes: Sequence[Change], *, durable: bool) -> None:
        """Make all changes or none; `durable`: they outlive a power cut when this returns."""

        def change() -> None:
            connection = self._connection
            if connection is None:
                raise JournalError("the journal is closed")
            if durable and not self._is_durable:
                self._begin_durable(connection)
            # Even what may be lost must not overwrite unsynced what may not.
            level = "FULL" if durable else "NORMAL" if self._is_durable else "OFF"
            connection.execute(f"PRAGMA synchronous = {level}")
            with connection:
                connection.execute("BEGIN IMMEDIATE")
                for one in changes:
                    if isinstance(one, Ended):
                        _delete(connection, one.name)
                    else:
                        _insert(connection, rows_of(one))

        _translated(self._path, change)

    def _begin_durable(self, connection: Connection) -> None:
        """What was written so far without a sync: a checkpoint makes the file itself durable."""
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGE_COUNT}")
        directory = os.open(os.path.dirname(self._path), os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
        self._is_durable = True

    def release(self, name: str) -> None:
        """An upload or download of a dead run was taken over, or undone."""
        for dead in self._dead:
            known = [record.marker for record in dead.uploads]
            known += [record.temporary for record in dead.downloads]
            if name in known:
                dead.forget(name)

    def swept(self, token: str) -> None:
        """No temporary file of a dead run is left, but for those of its downloads."""
        for dead in self._dead:
            dead.is_swept = dead.is_swept or dead.run.token == token

    def close(self, *, finished: bool) -> None:
        """End the run; `finished`: there is nothing to go on with, and the file goes.

        So do those of dead runs of the same command: this one stands for them.
        """
        for dead in self._dead:
            is_open = dead.uploads or dead.downloads or (dead.run.root and not dead.is_swept)
            if not is_open and _command(dead.run) == _command(self._run):
                dead.remove()
            else:
                dead.unlock()
        self._dead.clear()
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        if self._lock >= 0:
            if finished:
                _remove(self._path)
            os.close(self._lock)
            self._lock = -1


@contextmanager
def dead_runs(directory: str | None, damaged: list[str] | None = None) -> Iterator[list[DeadRun]]:
    """All dead runs, locked for the block; `damaged` gets what the user should know of damage."""
    found = _find_dead(_journal_directory(directory), [] if damaged is None else damaged)
    try:
        yield found
    finally:
        for dead in found:
            dead.unlock()


def live_upload_ids(directory: str | None) -> set[str]:
    """The ids of the uploads of all runs that are alive."""
    ids: set[str] = set()
    place = _journal_directory(directory)
    for path in _files(place):
        try:
            lock = _take_lock(path)
        except OSError as error:
            raise _trouble(place, error) from None
        if lock is not None:
            os.close(lock)
            continue
        with suppress(JournalError):
            ids |= {upload.upload_id for upload in _read(path, "ro").uploads if upload.upload_id}
    return ids


def _command(run: RunRecord) -> tuple[object, ...]:
    return tuple(run.words), run.directory, run.scope, run.root


# Files


def _journal_directory(directory: str | None) -> str:
    chosen = state_directory() if directory is None else directory
    if chosen is None:
        raise JournalError(
            "this run goes on without a journal: there is no home directory",
            hint="set HOME or XDG_STATE_HOME",
        )
    return os.path.join(chosen, "journal")


def _files(directory: str) -> list[str]:
    try:
        names = sorted(os.listdir(directory))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise _trouble(directory, error) from None
    return [os.path.join(directory, name) for name in names if name.endswith(SUFFIX)]


def _take_lock(path: str) -> int | None:
    """The lock of the run whose file is `path`; None while the run is alive. OSError."""
    name = path.removesuffix(SUFFIX) + LOCK_SUFFIX
    fd = os.open(name, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        ours, theirs = os.fstat(fd), os.stat(name)
    except (BlockingIOError, FileNotFoundError):  # held, or whoever held it has removed it
        os.close(fd)
        return None
    except OSError:
        os.close(fd)
        raise
    if (ours.st_dev, ours.st_ino) != (theirs.st_dev, theirs.st_ino):
        os.close(fd)
        return None
    return fd


def _find_dead(directory: str, damaged: list[str]) -> list[DeadRun]:
    found = []
    for path in _files(directory):
        try:
            lock = _take_lock(path)
        except OSError as error:
            raise _trouble(directory, error) from None
        if lock is None:
            continue
        content = None
        with suppress(JournalError):
            content = _read(path, "rw")
        if content is None:
            damaged.append(_set_aside(path))
        if content is None or content.run is None:
            _remove(path)
            os.close(lock)
            continue
        if content.dropped:
            damaged.append(
                f"{content.dropped} entries of the journal {path} are damaged and were left out; "
                "nothing is lost, some work is done again"
            )
        found.append(
            DeadRun(path, lock, content.run, content.uploads, content.downloads, content.dropped)
        )
    return found


def _set_aside(path: str) -> str:
    aside = path.removesuffix(SUFFIX) + ".damaged"
    with suppress(OSError):
        os.replace(path, aside)
    return f"the journal {path} is damaged and was renamed to {aside}; work is done again"


def _remove(path: str) -> None:
    lock = path.removesuffix(SUFFIX) + LOCK_SUFFIX
    for name in (path, path + "-wal", path + "-shm", lock):
        with suppress(OSError):
            os.unlink(name)


# SQLite


def _connect(path: str, mode: str = "rw") -> Connection:
    import sqlite3  # here: a run that moves nothing has no use for it
    from urllib.parse import quote

    return sqlite3.connect(
        f"file:{quote(path)}?mode={mode}",
        uri=True,
        timeout=BUSY_TIMEOUT,
        isolation_level=None,
        check_same_thread=False,
    )


def _insert(connection: Connection, rows: Sequence[Row]) -> None:
    connection.executemany("INSERT OR REPLACE INTO entry VALUES (?, ?, ?, ?, ?)", rows)


def _delete(connection: Connection, name: str) -> None:
    connection.execute("DELETE FROM entry WHERE name = ? AND kind != 'run'", (name,))


def _read(path: str, mode: str) -> Content:
    return content_of(_attempt(path, lambda c: c.execute(_SELECT).fetchall(), mode))


def _attempt(path: str, work: Callable[[Connection], T], mode: str = "rw") -> T:
    def run() -> T:
        connection = _connect(path, mode)
        try:
            return work(connection)
        finally:
            connection.close()

    return _translated(path, run)


def _translated(path: str, work: Callable[[], T]) -> T:
    import sqlite3

    try:
        return work()
    except (sqlite3.Error, OSError, UnicodeError) as error:
        raise _trouble(path, error) from None


def _trouble(path: str, error: Exception) -> JournalError:
    reason = error.strerror if isinstance(error, OSError) else str(error)
    return JournalError(
        f"this run goes on without the journal {path}, so that nothing can go on with it: {reason}",
        hint="check that its directory can be written and has room",
    )

"""What a run has under way, in SQLite: enough to go on after `kill -9` or a power cut.

One file a run, and a lock beside it that the run holds: a run whose lock can be had is dead. A run
takes over what dead runs on the same bucket left, and holds their locks meanwhile, so that no two
go on with one upload.

Every row carries the CRC64 of its content. One that is torn or altered is dropped, and with it what
belongs to it; a file that is no database any more is set aside. What is read here is no more than a
hint: whoever goes on with it asks the server, or reads the bytes again.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sealift.errors import JournalError
from sealift.files.directories import sync_directory
from sealift.journal_files import (
    SUFFIX,
    DamagedError,
    attempt,
    connect,
    journals,
    read_dead,
    read_live,
    remove,
    set_aside,
    take_dead_lock,
    take_run_lock,
    translated,
    trouble,
)
from sealift.journal_rows import TRANSFER_KINDS, Content, Row, rows_of, run_row
from sealift.records import Change, DownloadRecord, Ended, RunRecord, UploadRecord
from sealift.state import state_directory

if TYPE_CHECKING:
    from sqlite3 import Connection

# SQLite's own default.
CHECKPOINT_PAGE_COUNT = 1000
LOCK_TRIES = 10

_SCHEMA = """CREATE TABLE IF NOT EXISTS entry (
    kind TEXT NOT NULL, name TEXT NOT NULL, number INTEGER NOT NULL, data TEXT NOT NULL,
    crc TEXT NOT NULL, PRIMARY KEY (kind, name, number)) WITHOUT ROWID"""


@dataclass(slots=True)
class DeadRun:
    """A run that did not come to its end, locked: nobody else goes on with it meanwhile."""

    path: str
    lock: int
    run: RunRecord
    uploads: list[UploadRecord]
    downloads: list[DownloadRecord]
    is_swept: bool = False

    def names(self) -> set[str]:
        """Of all that it left: markers and temporary files."""
        uploads = {record.marker for record in self.uploads}
        return uploads | {record.temporary for record in self.downloads}

    def forget(self, name: str) -> None:
        """The upload (by its marker) or download (by its temporary file) `name` is over."""
        self.uploads = [record for record in self.uploads if record.marker != name]
        self.downloads = [record for record in self.downloads if record.temporary != name]
        with suppress(JournalError):  # what stays there is found to be over by whoever reads it
            attempt(self.path, lambda connection: _delete(connection, name))

    def remove(self) -> None:
        """Forget the run; its lock ends."""
        remove(self.path)
        self.unlock()

    def unlock(self) -> None:
        if self.lock >= 0:
            os.close(self.lock)
            self.lock = -1


@dataclass(slots=True)
class Leftovers:
    """What dead runs on one bucket left; see `ledger.Left`."""

    uploads: dict[tuple[str, str], list[UploadRecord]] = field(default_factory=dict)
    downloads: dict[tuple[str, str, str], list[DownloadRecord]] = field(default_factory=dict)
    runs: list[RunRecord] = field(default_factory=list)
    ours: set[str] = field(default_factory=set)
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
        self._unsynced: list[str] = []
        self._is_begun = False
        self._is_durable = False
        self._dead: list[DeadRun] = []

    def open(self) -> None:
        """Make the file; it need not outlive a power cut before the first durable change."""
        directory = _journal_directory(self._directory)
        path = os.path.join(directory, self._run.token + SUFFIX)

        def begin() -> None:
            self._unsynced = _with_missing(directory)
            os.makedirs(directory, 0o700, exist_ok=True)
            try:
                # Another run may take it for one that is left over, and remove it.
                locks = (take_run_lock(path) for _ in range(LOCK_TRIES))
                lock = next((lock for lock in locks if lock is not None), None)
            except OSError:
                remove(path)
                raise
            if lock is None:
                raise JournalError(
                    "cannot lock the journal", hint="does the file system have locks?"
                )
            self._lock = lock
            self._path = path
            try:
                os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600))
            except FileExistsError:  # it is another's, and stays
                self._path = ""
                raise
            self._connection = connect(path)
            self._connection.execute("PRAGMA synchronous = OFF")
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute("PRAGMA wal_autocheckpoint = 0")  # it would not be synced
            with self._connection:  # a table without the run would look like damage
                self._connection.execute("BEGIN IMMEDIATE")
                self._connection.execute(_SCHEMA)
                _insert(self._connection, [run_row(self._run)])
            self._is_begun = True

        translated(path, begin)

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
            if dead.run.words and _command(dead.run) == _command(self._run):
                found.ours |= dead.names()
            for upload in sorted(dead.uploads, key=lambda upload: upload.planned_at):
                found.uploads.setdefault((upload.scope, upload.name), []).append(upload)
            for download in dead.downloads:
                place = download.scope, download.root, download.path
                found.downloads.setdefault(place, []).append(download)
        return found

    def alive(self) -> frozenset[str]:
        """The ids of the uploads of all runs that are alive, this one among them."""
        return live_upload_ids(self._directory, self._dead)

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

        translated(self._path, change)

    def _begin_durable(self, connection: Connection) -> None:
        """What was written so far without a sync: a checkpoint makes the file itself durable."""
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGE_COUNT}")
        for name in self._unsynced:
            with suppress(PermissionError):  # one above ours that we may only go through
                sync_directory(name)
        self._is_durable = True

    def release(self, name: str) -> None:
        """An upload or download of a dead run was taken over, or undone."""
        for dead in self._dead:
            if name in dead.names():
                dead.forget(name)

    def swept(self, token: str) -> None:
        """No temporary file of a dead run is left, but for those of its downloads."""
        for dead in self._dead:
            dead.is_swept = dead.is_swept or dead.run.token == token

    def close(self, *, finished: bool) -> None:
        """End the run; `finished`: there is nothing to go on with, and the file goes.

        So do those of dead runs of the same command then. Until one has come to its end, the first
        of them tells since when the catalogue may lack something.
        """
        for dead in self._dead:
            is_open = dead.uploads or dead.downloads or (dead.run.root and not dead.is_swept)
            if finished and not is_open and _command(dead.run) == _command(self._run):
                dead.remove()
            else:
                dead.unlock()
        self._dead.clear()
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        if self._lock >= 0:
            if self._path and (finished or not self._is_begun):
                remove(self._path)
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


def live_upload_ids(directory: str | None, dead: Sequence[DeadRun] = ()) -> frozenset[str]:
    """The ids of the uploads of all runs that are alive; those that are `dead` are locked here."""
    ids: set[str] = set()
    place = _journal_directory(directory)
    for path in {*journals(place)} - {run.path for run in dead}:
        with suppress(JournalError, OSError):
            lock = take_dead_lock(path)
            if lock is not None:
                os.close(lock)
                continue
            ids |= {upload.upload_id for upload in read_live(path).uploads if upload.upload_id}
    return frozenset(ids)


def _command(run: RunRecord) -> tuple[object, ...]:
    return tuple(run.aim), run.directory, run.scope, run.root


def _journal_directory(directory: str | None) -> str:
    chosen = state_directory() if directory is None else directory
    if chosen is None:
        raise JournalError(
            "there is no home directory for a journal", hint="set HOME or XDG_STATE_HOME"
        )
    return os.path.join(chosen, "journal")


def _with_missing(directory: str) -> list[str]:
    """`directory`, and those above it as far as to the first that is there."""
    found = [os.path.abspath(directory)]
    while not os.path.lexists(found[-1]):
        found.append(os.path.dirname(found[-1]))
    return found


def _find_dead(directory: str, damaged: list[str]) -> list[DeadRun]:
    found = []
    for path in journals(directory):
        try:
            lock = take_dead_lock(path)
        except OSError as error:
            damaged.append(trouble(path, error).message)
            continue
        if lock is None:
            continue
        content = _believed(path, damaged)
        if content is None or content.run is None:
            os.close(lock)
            continue
        found.append(DeadRun(path, lock, content.run, content.uploads, content.downloads))
    return found


def _believed(path: str, damaged: list[str]) -> Content | None:
    """What a dead run has written; None, and the file is gone, when that is nothing."""
    try:
        content = read_dead(path)
    except DamagedError:
        damaged.append(set_aside(path))
        return None
    except JournalError as error:
        damaged.append(error.message)
        return None
    if content is None:
        remove(path)
        return None
    if content.run is None:
        damaged.append(set_aside(path))
        return None
    if content.dropped:
        damaged.append(
            f"{content.dropped} entries of the journal {path} are damaged and were left out; "
            "nothing is lost, some work is done again"
        )
    if content.is_cut:
        damaged.append(
            f"the end of the journal {path} is damaged and was left out; "
            "nothing is lost, some work is done again"
        )
    return content


# SQLite


def _insert(connection: Connection, rows: Sequence[Row]) -> None:
    connection.executemany("INSERT OR REPLACE INTO entry VALUES (?, ?, ?, ?, ?)", rows)


def _delete(connection: Connection, name: str) -> None:
    connection.executemany(
        "DELETE FROM entry WHERE kind = ? AND name = ?", [(kind, name) for kind in TRANSFER_KINDS]
    )

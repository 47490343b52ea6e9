"""What each object was when it was moved: a memory of earlier runs, in SQLite.

S3 does not tell which customer key sealed an object, the ETag of a sealed object is no MD5 of its
bytes, and HEAD needs the key. What was seen when an object was moved makes up for that: while LIST
still shows the same size and ETag, the object is the one recorded here.

It is a memory and no more. An entry counts only as long as LIST agrees with it, so that one that is
stale (the object was replaced by others, or a later move failed half-way) is as good as none: none
are deleted for being stale. A catalogue that is lost or damaged costs time, never correctness.

Any number of processes may use one file. A damaged one is set aside under another name.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

from sealift.errors import CatalogueError
from sealift.model import Known, known_objects
from sealift.state import state_directory

if TYPE_CHECKING:
    from sqlite3 import Connection

T = TypeVar("T")

FILE_NAME = "catalogue.sqlite3"
# Seconds that a call waits for another process; one transaction takes milliseconds.
BUSY_TIMEOUT = 1.0

_VERSION = 1
# Names are blobs: they sort by their bytes, as LIST does.
_SCHEMA = (
    "CREATE TABLE bucket (id INTEGER PRIMARY KEY, scope TEXT NOT NULL UNIQUE)",
    """CREATE TABLE object (
        bucket INTEGER NOT NULL, name BLOB NOT NULL, size INTEGER NOT NULL, etag TEXT NOT NULL,
        version_id TEXT, crc INTEGER, mtime_ns INTEGER, key_id TEXT, recorded_at INTEGER NOT NULL,
        PRIMARY KEY (bucket, name)) WITHOUT ROWID""",
    f"PRAGMA user_version = {_VERSION}",
)
_BUCKET = "bucket = (SELECT id FROM bucket WHERE scope = ?)"
_RANGE = f"{_BUCKET} AND name >= ? AND name < ?"
SELECT = (
    "SELECT name, size, etag, version_id, crc, mtime_ns, key_id FROM object "  # noqa: S608 - no input
    f"WHERE {_RANGE} ORDER BY name LIMIT ?"
)
_NAMED = (
    "SELECT name, size, etag, version_id, crc, mtime_ns, key_id FROM object "  # noqa: S608 - no input
    f"WHERE {_BUCKET} AND name IN ("
)
_BY_KEY = "SELECT key_id, count(*), sum(size) FROM object WHERE key_id NOT NULL GROUP BY key_id"
_CUTS = (
    "SELECT name FROM (SELECT name, row_number() OVER (ORDER BY name) AS number FROM object "  # noqa: S608 - no input
    f"WHERE {_RANGE}) WHERE number % ? = 0 ORDER BY name"
)
# Rows of one statement (SQLite takes 999 parameters at least): each one hands the interpreter's
# lock over once, and row by row took five times as long beside a busy event loop.
_ROWS_AT_ONCE = 20
_NAMES_AT_ONCE = 500
_ROW = "(?, ?, ?, ?, ?, ?, ?, ?, ?)"

_INT64 = range(-(2**63), 2**63)
_UINT64_MASK = 2**64 - 1

# One process at a time makes the file: closing a descriptor drops SQLite's locks in all of it.
_creation = threading.Lock()


class Catalogue:
    """The file at `path`, by default in the user's state directory; opened when first needed.

    A bucket is named by its scope, as "https://host:port/bucket". Calls block, and may come from
    any thread. Each trouble is raised once, as CatalogueError for the caller to note, after the
    call has done what can be done; from then on a catalogue that is of no use knows nothing and
    records nothing.
    """

    def __init__(self, path: str | None = None) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._connection: Connection | None = None
        self._file: tuple[int, int] | None = None
        self._was_set_aside = False
        self._is_off = False

    def open(self) -> None:
        """Open the file before it is needed: the first time of a process takes some 10 ms."""
        self._run(lambda _: None, None)

    def is_there(self) -> bool:
        """Whether there is such a file; it is not made, nor opened."""
        try:
            return os.path.exists(self._path or _default_path())
        except CatalogueError:
            return False

    def known(self, bucket: str, prefix: str, after: str = "", limit: int = 1000) -> list[Known]:
        """Up to `limit` objects whose names start with `prefix` and come behind `after`.

        In the order of the names' UTF-8 bytes.
        """
        low, high = _bounds(prefix)
        if after:
            low = max(low, after.encode() + b"\0")  # the next name there could be

        def select(connection: Connection) -> list[Known]:
            return _read(connection.execute(SELECT, (bucket, low, high, limit)).fetchall())

        return self._run(select, [])

    def look_up(self, bucket: str, names: Sequence[str]) -> list[Known]:
        """What is known of the objects `names`, in no order."""

        def select(connection: Connection) -> list[Known]:
            found = []
            for start in range(0, len(names), _NAMES_AT_ONCE):
                some = [name.encode() for name in names[start : start + _NAMES_AT_ONCE]]
                rows = connection.execute(
                    _NAMED + ", ".join("?" * len(some)) + ")", (bucket, *some)
                )
                found += _read(rows.fetchall())
            return found

        return self._run(select, [])

    def cuts(self, bucket: str, prefix: str, step: int) -> list[str]:
        """Each `step`th name that starts with `prefix`, in the order of UTF-8 bytes."""

        def select(connection: Connection) -> list[str]:
            rows = connection.execute(_CUTS, (bucket, *_bounds(prefix), step))
            return [name.decode() for (name,) in rows]

        return self._run(select, [])

    def by_key(self) -> dict[str, tuple[int, int]]:
        """How many objects each customer key seals, and their bytes, by the key's id."""

        def select(connection: Connection) -> dict[str, tuple[int, int]]:
            return {key_id: (count, size) for key_id, count, size in connection.execute(_BY_KEY)}

        return self._run(select, {})

    def record(self, bucket: str, rows: Sequence[Known]) -> None:
        """Remember `rows`, in place of what was known of these names; all or none."""
        now = int(time.time())

        def insert(connection: Connection) -> None:
            connection.execute("INSERT OR IGNORE INTO bucket (scope) VALUES (?)", (bucket,))
            (number,) = connection.execute("SELECT id FROM bucket WHERE scope = ?", (bucket,))
            for start in range(0, len(rows), _ROWS_AT_ONCE):
                some = rows[start : start + _ROWS_AT_ONCE]
                values = [value for row in some for value in (*number, *_written(row), now)]
                places = ", ".join([_ROW] * len(some))
                connection.execute(f"INSERT OR REPLACE INTO object VALUES {places}", values)  # noqa: S608

        self._write(insert)

    def forget(self, bucket: str, names: Sequence[str]) -> None:
        """Forget the objects `names`."""
        rows = [(bucket, name.encode()) for name in names]
        statement = f"DELETE FROM object WHERE {_BUCKET} AND name = ?"  # noqa: S608
        self._write(lambda connection: connection.executemany(statement, rows))

    def forget_prefix(self, bucket: str, prefix: str) -> None:
        """Forget all objects whose names start with `prefix`."""
        statement = f"DELETE FROM object WHERE {_RANGE}"  # noqa: S608
        self._write(lambda connection: connection.execute(statement, (bucket, *_bounds(prefix))))

    def close(self) -> None:
        """Close the file; a further call opens it again."""
        with self._lock:
            self._disconnect()

    # Trouble

    def _write(self, change: Callable[[Connection], object]) -> None:
        def transact(connection: Connection) -> None:
            with connection:
                connection.execute("BEGIN IMMEDIATE")
                change(connection)

        self._run(transact, None)

    def _run(self, work: Callable[[Connection], T], otherwise: T) -> T:
        import sqlite3  # here: a run that moves nothing has no use for it

        with self._lock:
            result, trouble = otherwise, None
            while not self._is_off:
                try:
                    result = work(self._connect())
                    break
                except (sqlite3.Error, OSError, UnicodeDecodeError) as error:
                    trouble = self._give_way(error)
                except CatalogueError as error:
                    self._disconnect()
                    self._is_off, trouble = True, error
            if trouble is not None:
                raise trouble
            return result

    def _give_way(self, error: Exception) -> CatalogueError:
        """Set a damaged file aside, once, so that a new one can begin; else do without."""
        self._disconnect()
        if not self._was_set_aside and _is_damage(error):
            with suppress(OSError):
                aside = self._set_aside()
                self._was_set_aside = True
                return CatalogueError(
                    f"the catalogue {self._path} is damaged, a new one begins",
                    hint=f"nothing is lost but time; the old one may be removed: {aside}",
                )
        self._is_off = True
        reason = error.strerror if isinstance(error, OSError) else str(error)
        return CatalogueError(
            f"this run goes on without the catalogue {self._path}: {reason}",
            hint="check that its directory can be written and has room",
        )

    def _set_aside(self) -> str:
        """Rename the file that was opened, unless another process has done so already."""
        assert self._path is not None
        number = 1
        while os.path.lexists(aside := f"{self._path}.damaged-{number}"):
            number += 1
        if self._file == _identity(self._path):
            os.rename(self._path, aside)
            # What is in the log of the old file must not be played into the new one.
            for suffix in ("-wal", "-shm"):
                with suppress(FileNotFoundError):
                    os.unlink(self._path + suffix)
        return aside

    # The file

    def _connect(self) -> Connection:
        if self._connection is None:
            import sqlite3

            if self._path is None:
                self._path = _default_path()
            with _creation:
                _create(self._path)
            self._file = _identity(self._path)
            self._connection = sqlite3.connect(
                self._path, timeout=BUSY_TIMEOUT, isolation_level=None, check_same_thread=False
            )
            _prepare(self._connection)
        return self._connection

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _default_path() -> str:
    directory = state_directory()
    if directory is None:
        raise CatalogueError(
            "this run goes on without a catalogue: there is no home directory",
            hint="set HOME or XDG_STATE_HOME",
        )
    return os.path.join(directory, FILE_NAME)


def _create(path: str) -> None:
    """Make the file if there is none, for nobody else to read; SQLite gives its logs that mode."""
    if os.path.exists(path):
        return
    os.makedirs(os.path.dirname(path) or ".", 0o700, exist_ok=True)
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600))


def _prepare(connection: Connection) -> None:
    from sqlite3 import OperationalError

    with suppress(OperationalError):  # another process may be at it; what else is wrong shows below
        connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    if _version(connection) == 0:
        with connection:
            connection.execute("BEGIN IMMEDIATE")
            if _version(connection) == 0:
                for statement in _SCHEMA:
                    connection.execute(statement)
    if _version(connection) != _VERSION:
        raise CatalogueError(
            "this run goes on without the catalogue, which another version of sealift has written",
            hint="use the newest sealift, or remove the file: it is made anew",
        )


def _version(connection: Connection) -> int:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    return int(version)


def _identity(path: str) -> tuple[int, int]:
    facts = os.stat(path)
    return facts.st_dev, facts.st_ino


def _is_damage(error: Exception) -> bool:
    """Whether the content of the file is at fault: no database, a broken one, or not ours."""
    import sqlite3

    if isinstance(error, OSError):
        return False
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT)  # none: text that is no text
    return code & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR)


# Rows


def _bounds(prefix: str) -> tuple[bytes, bytes]:
    """The first name that may start with `prefix`, and the first behind all that do.

    No byte of UTF-8 is 0xFF, so each has a next one, and 0xFF is behind every name.
    """
    low = prefix.encode()
    return low, low[:-1] + bytes([low[-1] + 1]) if low else b"\xff"


def _written(row: Known) -> Iterable[object]:
    """The columns of `row`: SQLite's integers are signed and of 64 bits."""
    name, size, etag, version_id, crc, mtime_ns, key_id = row
    if crc is not None and crc not in _INT64:
        crc -= 2**64
    if mtime_ns is not None and mtime_ns not in _INT64:
        mtime_ns = None
    return name.encode(), size, etag, version_id, crc, mtime_ns, key_id


def _read(rows: list[tuple[Any, ...]]) -> list[Known]:
    if not rows:
        return []
    names, sizes, etags, version_ids, crcs, mtimes, key_ids = zip(*rows, strict=True)
    try:
        texts = [str(name, "utf-8") for name in names]
        unsigned = [None if crc is None else crc & _UINT64_MASK for crc in crcs]
        return known_objects(
            zip(texts, sizes, etags, version_ids, unsigned, mtimes, key_ids, strict=True)
        )
    except TypeError:
        import sqlite3

        raise sqlite3.DatabaseError("a row is damaged") from None

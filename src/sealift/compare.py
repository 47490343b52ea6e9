"""What counts as different: a file and an object, or two objects, of one name. Pure.

The first row that fits decides. The *entry* is what the catalogue says the object was when it was
last moved: its file half holds when size and mtime_ns are those of the file, its object half when
size and ETag are those that LIST shows. `-` fits everything.

| row | method      | entry                 | what is seen             | verdict              |
|-----|-------------|-----------------------|--------------------------|----------------------|
| 1   | not rebuild | both halves hold      | -                        | same                 |
| 2   | -           | -                     | sizes differ             | different            |
| 3   | size        | -                     | -                        | same                 |
| 4   | rebuild     | -                     | -                        | ask                  |
| 5   | checksum    | object half, with CRC | -                        | ask, against its CRC |
| 6   | checksum    | -                     | -                        | ask                  |
| 7   | times       | object half, no mtime | -                        | ask, against its CRC |
| 8   | times       | at most one half      | -                        | different            |
| 9   | times       | none                  | file newer than object   | different            |
| 10  | times       | none                  | file since a killed run  | ask                  |
| 11  | times       | none                  | -                        | same                 |

Row 7: the file was too young for its mtime to prove anything (see `recorder`), or there was none.
Row 8: what changed since it was moved is different, however old it claims to be. Row 9 is that of
`aws s3 sync`: an upload is due when the file was written after the object was stored, a download
when the file was written since (it was changed here; a file that was brought back has the time of
its source, which is older than the object). Row 10: a run down that was killed may have written the
file before the catalogue knew, and the object may have been replaced since by one of that size; the
last request of a run up that was killed may have been served after the file was written again.

Where the destination is an object, one that the entry says to be under another customer key than
that of today is different, before all rows.

"Ask" reads the file's CRC64NVME and, unless the entry has it, HEADs the object with the customer
key. The table costs no request.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from operator import attrgetter, methodcaller

from sealift.files.walk import FileEntry
from sealift.model import Known, RemoteObject, bare_etag

_NANO = 1_000_000_000
_SIZE, _MTIME, _ETAG, _KEY_ID = map(attrgetter, ("size", "mtime_ns", "etag", "key_id"))
_BARE = methodcaller("strip", '"')  # `bare_etag` at half the time
# Seconds: the coarsest steps in which file systems count time.
CLOCK_TICK = 2.0


class Method(enum.StrEnum):
    """How to tell. `REBUILD` makes the catalogue anew: every object is asked."""

    TIMES = "times"
    SIZE = "size"
    CHECKSUM = "checksum"
    REBUILD = "rebuild"


class Verdict(enum.Enum):
    SAME = "same"
    DIFFERENT = "different"
    ASK = "ask"


def compare_file(
    file: FileEntry,
    found: RemoteObject,
    known: Known | None,
    method: Method,
    gap_since: float | None = None,
) -> Verdict:
    """Whether `file` and the listed object are the same; the table above, for both directions.

    The catalogue may lack files since `gap_since` (seconds since the epoch): runs were killed.
    """
    if (
        known is not None
        and method is not Method.REBUILD
        and is_as_recorded(file.size, file.mtime_ns, found, known)
    ):
        return Verdict.SAME
    if file.size != found.size:
        return Verdict.DIFFERENT
    if method is Method.SIZE:
        return Verdict.SAME
    if method is not Method.TIMES:
        return Verdict.ASK
    if known is not None and known.mtime_ns is None and is_of(known, found):
        return Verdict.ASK
    if known is not None or file.mtime_ns > found.modified * _NANO:
        return Verdict.DIFFERENT
    if gap_since is not None and file.ctime_ns >= (gap_since - CLOCK_TICK) * _NANO:
        return Verdict.ASK
    return Verdict.SAME


def is_as_recorded(size: int, mtime_ns: int, found: RemoteObject, known: Known) -> bool:
    """Whether both halves of an entry hold: a file of this size and mtime is the listed object."""
    return known.mtime_ns == mtime_ns and known.size == size and is_of(known, found)


def are_surely_same(
    files: Sequence[FileEntry],
    found: Sequence[RemoteObject],
    known: Sequence[Known | None],
    method: Method,
    key_id: str | None,
) -> bool:
    """Whether pairs of a file, a listed object and its entry are the same by rows 1 and 3.

    All of them, and none may be under another customer key than `key_id`. False also where it takes
    the whole table to tell. Columns are compared as a whole: most syncs find next to nothing.
    """
    sizes = list(map(_SIZE, files))
    if sizes != list(map(_SIZE, found)):
        return False
    entries = [entry for entry in known if entry is not None]
    if not {key_id}.issuperset(map(_KEY_ID, entries)):
        return False
    if method is Method.SIZE:
        return True
    return (
        method is not Method.REBUILD
        and len(entries) == len(files)
        and list(map(_SIZE, entries)) == sizes
        and list(map(_MTIME, entries)) == list(map(_MTIME, files))
        and list(map(_ETAG, entries)) == list(map(_BARE, map(_ETAG, found)))
    )


def compare_objects(
    source: RemoteObject, found: RemoteObject, known: Known | None, method: Method
) -> Verdict:
    """Whether two listed objects are the same; `known` is the entry of the destination's.

    A source of the same second may have been replaced since: AWS lists whole seconds.
    """
    if source.size != found.size:
        return Verdict.DIFFERENT
    if method is Method.SIZE:
        return Verdict.SAME
    if method is not Method.TIMES:
        return Verdict.ASK
    if known is not None and not is_of(known, found):
        return Verdict.DIFFERENT
    return Verdict.DIFFERENT if source.modified >= found.modified else Verdict.SAME


def is_sealed_otherwise(known: Known | None, found: RemoteObject, key_id: str | None) -> bool:
    """Whether the listed object is known to be under another customer key than `key_id`.

    Then it is different from all that could be sent: a restore under the key of today would fail.
    """
    return known is not None and known.key_id != key_id and is_of(known, found)


def known_crc(known: Known | None, found: RemoteObject) -> int | None:
    """The CRC64NVME of the listed object, where its entry holds and has one."""
    return known.crc if known is not None and is_of(known, found) else None


def is_of(known: Known, found: RemoteObject) -> bool:
    """Whether an entry's object half holds."""
    return known.etag == bare_etag(found.etag) and known.size == found.size

"""What is written down of transfers under way, so that a later run can go on with them. Pure.

An upload is named by its marker, a download by its temporary file: both are random. A record never
holds a customer key, but its key id.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from sealift.model import PartDone

# Of a file: device, inode, size in bytes, mtime and ctime in nanoseconds since the epoch; its mode,
# where that goes along.
FileIdentity = tuple[int, ...]


class UploadState(enum.IntEnum):
    """How far an upload came.

    PLANNED: CreateMultipartUpload was about to be sent, so the server may have one of unknown id.
    CREATED: its id is known. COMPLETING: Complete was about to be sent, so the object may be there.
    """

    PLANNED = 0
    CREATED = 1
    COMPLETING = 2


class UploadRecord(NamedTuple):
    """A multipart upload of the object `name`, in the bucket `scope`.

    `key_id` is that of the customer key, or names what S3 encrypts by itself, as `aws:kms:ID`.
    `path` is the absolute path of the file and `identity` what it was; for a copy on the server the
    source's URI and None. `whole_crc` is the CRC64NVME in the metadata; `keeps_crc` says that the
    server keeps it instead. `planned_at` in seconds since the epoch. `upload_id` is empty until
    the server has told it; `parts` are those that it took, in no order.
    """

    marker: str
    scope: str
    name: str
    path: str
    identity: FileIdentity | None
    size: int
    part_size: int
    key_id: str | None
    whole_crc: int | None
    planned_at: float
    state: UploadState = UploadState.PLANNED
    upload_id: str = ""
    keeps_crc: bool = False
    parts: Sequence[PartDone] = ()


class RangeDone(NamedTuple):
    """Bytes of an object that are durable in the temporary file, with their CRC64NVME."""

    start: int
    size: int
    crc: int


class DownloadRecord(NamedTuple):
    """A download of one version of the object `name`, in the bucket `scope`, by ranges.

    The file is `path`, relative to the absolute directory `root`; `temporary` is the name that it
    has in the same directory until it is complete. `ranges` are those that are there, in no order.
    """

    temporary: str
    scope: str
    name: str
    root: str
    path: str
    etag: str
    version_id: str | None
    size: int
    range_size: int
    key_id: str | None
    ranges: Sequence[RangeDone] = ()


class RunRecord(NamedTuple):
    """One run of a command: `words` are its arguments, empty when a program called the engine;
    `aim` those of them that say what is moved.

    `token` names it, in 16 hexadecimal digits, and begins the names of its temporary files;
    `scope` is the bucket that it writes to or reads from, `root` the absolute directory that it
    writes below, `started_at` in seconds since the epoch.
    """

    token: str
    started_at: float
    words: Sequence[str]
    directory: str
    scope: str
    root: str | None
    aim: Sequence[str] = ()


# Changes to the journal; those of one call to `Store.write` are made together or not at all.


class UploadPlanned(NamedTuple):
    """Also one that was taken over from a dead run, with all that is known of it."""

    record: UploadRecord


class UploadCreated(NamedTuple):
    marker: str
    upload_id: str
    keeps_crc: bool


class PartAdded(NamedTuple):
    marker: str
    part: PartDone


class UploadCompleting(NamedTuple):
    marker: str


class DownloadPlanned(NamedTuple):
    """Also one that was taken over from a dead run, with all that is known of it."""

    record: DownloadRecord


class RangeAdded(NamedTuple):
    temporary: str
    done: RangeDone


class Ended(NamedTuple):
    """Nothing is left to do for the upload or download `name`: it is done, or undone."""

    name: str


Change = (
    UploadPlanned
    | UploadCreated
    | PartAdded
    | UploadCompleting
    | DownloadPlanned
    | RangeAdded
    | Ended
)


class Store(Protocol):
    """Where changes are written; calls block."""

    def write(self, changes: Sequence[Change], *, durable: bool) -> None:
        """Make all changes or none; `durable`: they outlive a power cut when this returns."""
        ...

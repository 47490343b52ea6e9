"""The values everything else speaks of, and the limits S3 puts on them. Pure.

Limits: https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html
"""

from __future__ import annotations

import enum
import re
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple, Protocol, TypeVar

from sealift.errors import UsageError

T = TypeVar("T")

KiB = 1024
MiB = 1024 * KiB
GiB = 1024 * MiB
TiB = 1024 * GiB

MAX_PART_COUNT = 10_000
MIN_PART_SIZE = 5 * MiB
MAX_PART_SIZE = 5 * GiB
MAX_OBJECT_SIZE = MAX_PART_COUNT * MAX_PART_SIZE
MAX_NAME_SIZE = 1024
DEFAULT_PART_SIZE = 8 * MiB
# Of a download: a range need not grow with the object, as parts must.
MAX_RANGE_SIZE = 16 * MiB

# A download's file until it is complete: 16 hexadecimal digits of its run, then a number.
TEMPORARY_PREFIX = ".sealift-"
TEMPORARY_SUFFIX = ".tmp"
TEMPORARY_NAME = re.compile(r"\.sealift-([0-9a-f]{16})-[0-9]+\.tmp")


class Durability(enum.StrEnum):
    """What is synced before a downloaded file counts as done.

    NONE: nothing, a power cut may leave an empty file under the final name. FILE: the file, so that
    it has all its bytes or not its name. DIR: its directory too, so that it has both.
    """

    NONE = "none"
    FILE = "file"
    DIR = "dir"


class Location(NamedTuple):
    """An object `name` in a `bucket`, or all objects whose names start with it (a prefix)."""

    bucket: str
    name: str = ""

    @classmethod
    def parse(cls, uri: str) -> Location:
        """Read `s3://bucket/name`; the name is taken literally, nothing is unescaped."""
        if not uri.startswith("s3://"):
            raise UsageError(f"{uri} is not an s3:// URI", hint="write s3://BUCKET/NAME")
        bucket, _, name = uri[len("s3://") :].partition("/")
        if not bucket:
            raise UsageError(f"{uri} names no bucket", hint="write s3://BUCKET/NAME")
        return cls(bucket, name)

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.name}"

    def child(self, relative: str) -> Location:
        """The object `relative` below this prefix."""
        return Location(self.bucket, self.name + relative)


@dataclass(frozen=True, slots=True)
class ByteRange:
    """Bytes `start` up to and without `end` of an object."""

    start: int
    end: int

    @property
    def size(self) -> int:
        return self.end - self.start

    def header(self) -> str:
        """The inclusive form of the Range header (RFC 9110 section 14.1.2)."""
        return f"bytes={self.start}-{self.end - 1}"


@dataclass(frozen=True, slots=True)
class Part:
    """Part `number` (1-based) of a multipart upload and the bytes of the file it holds."""

    number: int
    span: ByteRange


@dataclass(frozen=True, slots=True)
class PartDone:
    """A part that the server has: its ETag, and the CRC64NVME of its bytes as a number.

    `crc` is None when the server copied the bytes: nobody here has seen them.
    """

    number: int
    size: int
    etag: str
    crc: int | None


class RemoteObject(NamedTuple):
    """One object as LIST shows it; `modified` is in seconds since the epoch."""

    name: str
    size: int
    etag: str
    modified: float
    storage_class: str = "STANDARD"


def remote_objects(rows: Iterable[tuple[str, int, str, float, str]]) -> list[RemoteObject]:
    """All `rows` at a third of what it takes to call the class for each."""
    return list(map(partial(tuple.__new__, RemoteObject), rows))


class Known(NamedTuple):
    """One object as it was when it was moved, as the catalogue keeps it.

    `size` in bytes; `etag` without quotes (see `bare_etag`); `crc` is the CRC64NVME of all bytes;
    `mtime_ns` that of the local file when it was equal to the object, in nanoseconds since the
    epoch, None when there was none; `key_id` None says that the object was not sealed.
    """

    name: str
    size: int
    etag: str
    version_id: str | None
    crc: int | None
    mtime_ns: int | None
    key_id: str | None


def known_objects(
    rows: Iterable[tuple[str, int, str, str | None, int | None, int | None, str | None]],
) -> list[Known]:
    """The same for these."""
    return list(map(partial(tuple.__new__, Known), rows))


def bare_etag(etag: str) -> str:
    """An ETag without its quotes: LIST and headers have them, some replies to Complete do not."""
    return etag.strip('"')


# What a job expects of an object that is not to be there: no ETag is empty.
ABSENT = ""
# In the place of a key id: the object is under no customer key.
UNSEALED = ""


class Direction(enum.Enum):
    UP = "upload"
    DOWN = "download"
    COPY = "copy"
    VERIFY = "verify"
    REKEY = "rekey"


@dataclass(slots=True, eq=False)
class Job:
    """The planned move of one object.

    `path` is the local file (for a download: relative to the target directory, with `/`; for a
    copy: the source's name), `location` the object (for a copy: the new one, made of `source`),
    `size` in bytes as the plan saw it, or as it is by now when the file or object was replaced.
    `moved` counts the bytes moved so far; a screen may poll it.

    `key_id` is that of the customer key which the object is under, or gets; UNSEALED: none, None:
    as the run has it; `source_key_id` the same of a copy's source. `listed_etag` is the ETag that
    the plan saw of the object to read, as the server wrote it, if any. `is_named_anew` says that
    the next run will give the file another path, so that an unfinished download is of no use.
    `expects` is the bare ETag of the object that a write may replace, or ABSENT; None: any.

    What the finished move found comes last: the object's `etag` as the server wrote it, its
    version in a versioned bucket, the CRC64NVME of all bytes, and the mtime of the file in
    nanoseconds since the epoch. Until then, and after a failure, they mean nothing.
    """

    direction: Direction
    location: Location
    path: str
    size: int
    moved: int = 0
    etag: str = ""
    version_id: str | None = None
    crc: int | None = None
    mtime_ns: int | None = None
    source: Location | None = None
    expects: str | None = None
    is_named_anew: bool = False
    key_id: str | None = None
    source_key_id: str | None = None
    listed_etag: str = ""

    @property
    def read_from(self) -> Location:
        """The object whose bytes are read, of a download or a copy."""
        return self.source or self.location

    @property
    def read_key_id(self) -> str | None:
        """Of the customer key under which they are read."""
        return self.key_id if self.source is None else self.source_key_id

    @read_key_id.setter
    def read_key_id(self, key_id: str | None) -> None:
        if self.source is None:
            self.key_id = key_id
        else:
            self.source_key_id = key_id


class Spread(Protocol):
    """Runs `run_piece` for all pieces, several at once; returns when none is in flight any more.

    After an error no further piece is begun; when those in flight have ended it is raised.
    """

    async def __call__(
        self, pieces: Iterator[T], run_piece: Callable[[T], Awaitable[None]], /
    ) -> None: ...


def part_size_for(size: int, wanted: int = DEFAULT_PART_SIZE) -> int:
    """The part size for an object of `size` bytes: `wanted`, grown so that 10,000 parts do.

    Grown sizes are whole MiB, so that parts stay aligned on disk.
    """
    if size > MAX_OBJECT_SIZE:
        raise UsageError(
            f"{size} bytes are more than an object can hold ({MAX_OBJECT_SIZE} bytes)",
            hint="split the file",
        )
    needed = -(-size // MAX_PART_COUNT)
    if needed <= wanted:
        return wanted
    return min(-(-needed // MiB) * MiB, MAX_PART_SIZE)


def cut_ranges(size: int, step: int) -> Iterator[ByteRange]:
    """Cut `size` bytes into ranges of `step` bytes, the last one shorter."""
    for start in range(0, size, step):
        yield ByteRange(start, min(start + step, size))


def cut_parts(size: int, part_size: int) -> Iterator[Part]:
    """Cut `size` bytes into parts numbered from 1."""
    for number, span in enumerate(cut_ranges(size, part_size), 1):
        yield Part(number, span)


_SPANS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def parse_span(text: str) -> float:
    """Seconds of a span such as `90s`, `30m`, `12h` or `7d`."""
    number, unit = text.strip()[:-1], text.strip()[-1:]
    try:
        seconds = float(number) * _SPANS[unit]
    except (KeyError, ValueError):
        seconds = -1.0
    if not 0 <= seconds < float("inf"):
        raise UsageError(f"{text!r} is not a span of time", hint="write for example 12h")
    return seconds


_UNITS = {
    "": 1,
    "K": KiB, "KB": KiB, "KIB": KiB,
    "M": MiB, "MB": MiB, "MIB": MiB,
    "G": GiB, "GB": GiB, "GIB": GiB,
    "T": TiB, "TB": TiB, "TIB": TiB,
}  # fmt: skip


def parse_size(text: str) -> int:
    """Read a size such as `64MiB`, `64M` or `67108864`; units are powers of 1024, as in aws s3."""
    digits = text.strip().rstrip("kKmMgGtTiIbB")
    unit = text.strip()[len(digits) :].upper()
    try:
        return int(float(digits) * _UNITS["" if unit == "B" else unit])
    except (KeyError, ValueError, OverflowError):
        raise UsageError(f"{text!r} is not a size", hint="write for example 64MiB") from None


def token_of(name: str) -> str | None:
    """The run that a temporary file is of, by its name; None when it is none."""
    match = TEMPORARY_NAME.fullmatch(name)
    return match[1] if match else None

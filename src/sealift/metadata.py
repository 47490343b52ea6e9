"""What an object's metadata says of the file it holds, and the headers that say it. Pure.

`mtime` is written as rclone and s3fs write it: seconds since the epoch with a decimal fraction;
`mode` as rclone writes it: file type and permissions in octal, as 100644.
User metadata is only readable with the customer key.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

from sealift.checksums import decode, encode
from sealift.errors import IntegrityError

MTIME = "mtime"
CRC = "sealift-crc64nvme"
MARKER = "sealift-id"
MODE = "mode"
# Of an object whose tags are not known to be set yet.
TAGS = "sealift-tags"
PREFIX = "x-amz-meta-"

_NANO = 1_000_000_000
# Eleven digits of seconds reach the year 5138.
_DECIMAL = re.compile(r"(-)?([0-9]{1,11})(?:\.([0-9]*))?")
_OCTAL = re.compile(r"[0-7]{1,8}")


class FileFacts(NamedTuple):
    """`mtime_ns` in nanoseconds since the epoch; `crc` is the CRC64NVME of all bytes; `marker` is a
    random text by which an upload recognises the object that it made; `mode` is the file type and
    the permissions, as in st_mode."""

    mtime_ns: int | None = None
    crc: int | None = None
    marker: str | None = None
    mode: int | None = None

    def metadata(self) -> dict[str, str]:
        """Metadata names and values, without the `x-amz-meta-` prefix."""
        named = {}
        if self.mtime_ns is not None:
            seconds, fraction = divmod(abs(self.mtime_ns), _NANO)
            named[MTIME] = f"{'-' if self.mtime_ns < 0 else ''}{seconds}.{fraction:09d}"
        if self.crc is not None:
            named[CRC] = encode(self.crc)
        if self.marker is not None:
            named[MARKER] = self.marker
        if self.mode is not None:
            named[MODE] = f"{self.mode:o}"
        return named

    def check(self, crc: int) -> None:
        """IntegrityError when bytes with the CRC64NVME `crc` are not those of the object."""
        if self.crc is not None and crc != self.crc:
            raise IntegrityError(
                "the bytes received do not have the checksum stored with the object"
            )

    @classmethod
    def from_reply(
        cls, metadata: Mapping[str, str], checksum: str | None, modified: float | None
    ) -> FileFacts:
        """Read metadata, without the prefix; what cannot be read counts as absent.

        `checksum` is the CRC64NVME that the server itself keeps, which goes first; `modified`, the
        object's Last-Modified in seconds, stands in for a missing mtime, as in aws s3.
        """
        mtime_ns = _parse_mtime(metadata.get(MTIME))
        if mtime_ns is None and modified is not None:
            mtime_ns = int(modified * _NANO)
        crc = decode(checksum)
        return cls(
            mtime_ns,
            decode(metadata.get(CRC)) if crc is None else crc,
            metadata.get(MARKER),
            _parse_mode(metadata.get(MODE)),
        )


def _parse_mtime(text: str | None) -> int | None:
    if text is None:
        return None
    match = _DECIMAL.fullmatch(text)
    if match is None:
        return None
    sign, seconds, fraction = match.groups(default="")
    mtime_ns = int(seconds) * _NANO + int(fraction[:9].ljust(9, "0"))
    return -mtime_ns if sign else mtime_ns


def _parse_mode(text: str | None) -> int | None:
    if text is None or _OCTAL.fullmatch(text) is None:
        return None
    return int(text, 8)


def content_type(name: str) -> str | None:
    """The content type that a name suggests, as aws s3 guesses it.

    The module reads URLs: after `./` no name is a `data:` URL, which would name a type of its own.
    """
    base = name[name.rfind("/") + 1 :].lstrip(".")
    dot = base.find(".")
    return None if dot < 0 else _type_of_suffixes(base[dot:])


@lru_cache(maxsize=1024)
def _type_of_suffixes(suffixes: str) -> str | None:
    import mimetypes  # here: it reads the system's tables

    kind, encoding = mimetypes.guess_type("./x" + suffixes)
    return kind if encoding is None else None

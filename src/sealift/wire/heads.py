"""What the head of a GET or HEAD says of an object. Pure.

Fields: https://docs.aws.amazon.com/AmazonS3/latest/API/API_HeadObject.html
"""

from __future__ import annotations

from urllib.parse import parse_qsl

from sealift.metadata import CRC, MARKER, MODE, MTIME, PREFIX, TAGS, FileFacts
from sealift.replies import http_seconds
from sealift.wire.http1 import Head

CRC_HEADER = "x-amz-checksum-crc64nvme"
_CRC_FIELD = CRC_HEADER.encode()
_METADATA_FIELDS = {name: (PREFIX + name).encode() for name in (MTIME, CRC, MARKER, MODE)}
_PREFIX_FIELD = PREFIX.encode()
_CARRIED_FIELDS = frozenset(
    (b"content-type", b"content-encoding", b"content-disposition", b"content-language",
     b"cache-control", b"expires")
)  # fmt: skip
# Made by the upload that they tell of, or true of its bytes only.
_OWN_FIELDS = frozenset((PREFIX + name).encode() for name in (CRC, MARKER, TAGS))
RETAIN_UNTIL = "x-amz-object-lock-retain-until-date"
_KEPT_FIELDS = (
    "x-amz-storage-class", "x-amz-website-redirect-location", "x-amz-object-lock-mode",
    RETAIN_UNTIL, "x-amz-object-lock-legal-hold",
)  # fmt: skip
_NOTE_FIELD = (PREFIX + TAGS).encode()


def facts_of(head: Head) -> FileFacts:
    """What the head says of the file."""
    headers = head.headers
    metadata = {
        name: headers[field].decode("latin-1")
        for name, field in _METADATA_FIELDS.items()
        if field in headers
    }
    checksum = head.get(_CRC_FIELD)
    facts = FileFacts.from_reply(metadata, checksum, None)
    if facts.mtime_ns is not None:  # an HTTP date costs half as much to read as a head
        return facts
    return FileFacts.from_reply(metadata, checksum, http_seconds(head.get(b"last-modified")))


def carried_headers(head: Head) -> dict[str, str]:
    """The request headers by which a copy is described as its source is.

    All user metadata with the mtime among them, and what browsers are told; without the checksum
    and the mark of the upload, which are the copy's own to say.
    """
    return {
        name.decode("latin-1"): _text(value)
        for name, value in head.headers.items()
        if name in _CARRIED_FIELDS or (name.startswith(_PREFIX_FIELD) and name not in _OWN_FIELDS)
    }


def kept_headers(head: Head) -> dict[str, str]:
    """The request headers by which an object is stored, and held, as this one is."""
    found = {name: value for name in _KEPT_FIELDS if (value := head.get(name.encode()))}
    if found.get("x-amz-storage-class") == "STANDARD":
        del found["x-amz-storage-class"]
    if found.get("x-amz-object-lock-legal-hold") == "OFF":
        del found["x-amz-object-lock-legal-hold"]
    return found


def noted_tags(head: Head) -> dict[str, str]:
    """Tags that the object is to have and may lack; see `describing`."""
    note = head.get(_NOTE_FIELD)
    return dict(parse_qsl(note, keep_blank_values=True)) if note else {}


def tag_count(head: Head) -> int:
    """How many tags the object has, as far as the server tells: AWS and Ceph do."""
    told = head.get(b"x-amz-tagging-count") or ""
    return int(told) if told.isascii() and told.isdigit() else 0


def _text(value: bytes) -> str:
    """A value as it is sent again: servers that do not encode metadata answer in UTF-8."""
    try:
        return value.decode().strip()
    except UnicodeDecodeError:
        return value.decode("latin-1").strip()

"""The XML documents of multipart uploads and of copies. Pure.

The lists of what is unfinished are read by a parser, as listings are.

Source: https://docs.aws.amazon.com/AmazonS3/latest/API/API_CompleteMultipartUpload.html,
API_CreateMultipartUpload.html, API_CopyObject.html, API_UploadPartCopy.html, API_ListParts.html
and API_ListMultipartUploads.html. Of most replies one field is wanted, so no parser is fed with a
stranger's bytes.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NamedTuple
from urllib.parse import unquote_plus

from sealift.checksums import decode, encode
from sealift.errors import ProtocolError
from sealift.model import PartDone
from sealift.wire.documents import Fields, escaped, malformed, read_repaired

_NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
_UPLOAD_ID = re.compile(rb"<(?:\w+:)?UploadId>\s*([^<]{1,4096}?)\s*</")
_ETAG = re.compile(rb"<(?:\w+:)?ETag>\s*([^<]{1,1024}?)\s*</")
_COMPLETED = re.compile(rb"<(?:\w+:)?CompleteMultipartUploadResult[\s>]")
_ERROR = re.compile(rb"\s*(?:<\?[^>]*>\s*)?<(?:\w+:)?Error[\s>]")


def part_list(parts: Sequence[PartDone], *, with_crc: bool) -> bytes:
    """The body of CompleteMultipartUpload; `with_crc` names the CRC64NVME of every part."""
    entries = [
        f"<Part><PartNumber>{part.number}</PartNumber><ETag>{escaped(part.etag)}</ETag>"
        + (f"<ChecksumCRC64NVME>{encode(part.crc)}</ChecksumCRC64NVME></Part>"
           if with_crc and part.crc is not None else "</Part>")
        for part in parts
    ]  # fmt: skip
    return (
        f'<CompleteMultipartUpload xmlns="{_NAMESPACE}">'
        f"{''.join(entries)}</CompleteMultipartUpload>"
    ).encode()


def upload_id(body: bytes) -> str:
    """The upload id in the reply to CreateMultipartUpload; ProtocolError where there is none."""
    found = _UPLOAD_ID.search(body)
    if found is None:
        raise ProtocolError("CreateMultipartUpload: the reply has no UploadId")
    return _text(found[1])


def completed_etag(body: bytes) -> str | None:
    """The ETag in the reply to CompleteMultipartUpload; None: then it is no success."""
    return named_etag(body) if _COMPLETED.search(body) else None


def named_etag(body: bytes) -> str | None:
    """The ETag in the reply to a copy; None: then it is no success."""
    found = _ETAG.search(body)
    return None if found is None else _text(found[1])


def is_error(body: bytes) -> bool:
    """Whether a reply of status 200 is an error: S3 may begin to answer before it has failed."""
    return _ERROR.match(body) is not None


class ServerPart(NamedTuple):
    """A part that the server has; `crc` is its CRC64NVME where the server tells it."""

    number: int
    size: int
    etag: str
    crc: int | None


class OpenUpload(NamedTuple):
    """An unfinished upload; `initiated` in seconds since the epoch."""

    upload_id: str
    initiated: float


def parse_parts(body: bytes) -> tuple[list[ServerPart], int | None]:
    """A page of ListParts, and the number of the part it ends with, None when it is the last."""
    rows: list[Fields] = []
    head = read_repaired("ListParts", body, "ListPartsResult", {"Part": rows})
    try:
        parts = [
            ServerPart(
                int(row["PartNumber"]),
                int(row["Size"]),
                row["ETag"],
                decode(row.get("ChecksumCRC64NVME")),
            )
            for row in rows
        ]
        following = int(head["NextPartNumberMarker"]) if _is_cut(head) else None
    except (KeyError, ValueError):
        raise malformed("ListParts", "lacks a field or has one that is no number") from None
    return parts, following


def parse_uploads(body: bytes) -> tuple[list[tuple[str, OpenUpload]], tuple[str, str] | None]:
    """The uploads in a page of ListMultipartUploads, each with the name of its object.

    And the name and id that it ends with, None when it is the last. Names are asked for with
    `encoding-type=url`. AWS says that it encodes them. Ceph 16 does without a word, but for the
    marker, which is always there and is the last name; MiniStack does not.
    """
    operation = "ListMultipartUploads"
    rows: list[Fields] = []
    head = read_repaired(operation, body, "ListMultipartUploadsResult", {"Upload": rows})
    is_told = head.get("EncodingType") == "url"
    last = head.get("NextKeyMarker")
    is_encoded = is_told or (bool(last and rows) and rows[-1].get("Key") != last)
    following = None
    try:
        uploads = [
            (
                unquote_plus(row["Key"]) if is_encoded else row["Key"],
                OpenUpload(row["UploadId"], _seconds(row["Initiated"])),
            )
            for row in rows
        ]
        if _is_cut(head):
            last = head["NextKeyMarker"]
            following = unquote_plus(last) if is_told else last, head["NextUploadIdMarker"]
    except (KeyError, ValueError):
        raise malformed(operation, "lacks a field or has one that is no time") from None
    return uploads, following


def _seconds(date: str) -> float:
    """An ISO 8601 date in seconds since the epoch; without a zone it is UTC."""
    moment = datetime.fromisoformat(date)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _is_cut(head: Fields) -> bool:
    return head.get("IsTruncated") == "true"


def _text(raw: bytes) -> str:
    from html import unescape

    return unescape(raw.decode("utf-8", "replace"))

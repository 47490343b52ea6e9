"""The three listings as pure functions from sorted names to an XML root."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Protocol
from urllib.parse import quote, quote_plus

from .customer import Dialect, S3Error
from .messages import element, text

_MAX_KEYS = 1000  # AWS clamps every listing to this
_NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"


class Entry(Protocol):
    """What a listing says of an object or a part."""

    @property
    def etag(self) -> str: ...
    @property
    def size(self) -> int: ...
    @property
    def modified(self) -> float: ...


def iso(moment: float) -> str:
    """Time as S3 has it in XML."""
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")


def limit(query: Mapping[str, str], parameter: str) -> int:
    """The page size asked for, clamped."""
    asked = query.get(parameter, str(_MAX_KEYS))
    if not asked.isdecimal():
        raise S3Error(400, "InvalidArgument", f"Provided {parameter} not an integer")
    return min(int(asked), _MAX_KEYS)


def encoder(query: Mapping[str, str], dialect: Dialect) -> _Encoder:
    """How names are written: AWS has + for a space and keeps /, Ceph has %20 and %2F."""
    return _Encoder(query.get("encoding-type") == "url", dialect)


@dataclass(frozen=True, slots=True)
class _Encoder:
    url: bool
    dialect: Dialect

    def __call__(self, name: str) -> str:
        if not self.url:
            return name
        return quote_plus(name, safe="/*") if self.dialect == "aws" else quote(name, safe="*")


@dataclass(frozen=True, slots=True)
class _Cursor:
    """Where a page goes on: behind a name, or behind everything under a common prefix."""

    after: str
    is_prefix: bool = False

    def hides(self, name: str) -> bool:
        return name <= self.after or (self.is_prefix and name.startswith(self.after))

    def token(self) -> str:
        return base64.urlsafe_b64encode(
            f"{'p' if self.is_prefix else 'k'}{self.after}".encode()
        ).decode()

    @classmethod
    def of(cls, query: Mapping[str, str]) -> _Cursor:
        token = query.get("continuation-token")
        if token is None:
            return cls(query.get("start-after", ""))
        try:
            decoded = base64.urlsafe_b64decode(token).decode()
        except ValueError:
            raise S3Error(400, "InvalidArgument", "The continuation token is incorrect") from None
        return cls(decoded[1:], decoded[:1] == "p")


def list_objects(
    bucket: str, entries: Mapping[str, Entry], query: Mapping[str, str], dialect: Dialect
) -> str:
    """ListObjectsV2 of one bucket."""
    prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
    max_keys, write = limit(query, "max-keys"), encoder(query, dialect)
    cursor, truncated = _Cursor.of(query), False
    rows: list[str] = []
    for name in sorted(entries):  # order of code points = order of UTF-8 bytes
        if not name.startswith(prefix) or cursor.hides(name):
            continue
        if len(rows) == max_keys:
            truncated = max_keys > 0
            break
        head, found, _ = name[len(prefix) :].partition(delimiter) if delimiter else ("", "", "")
        if found:
            cursor = _Cursor(prefix + head + found, is_prefix=True)
            rows.append(element("CommonPrefixes", text("Prefix", write(cursor.after))))
        else:
            cursor = _Cursor(name)
            rows.append(_object(write(name), entries[name]))
    plain = dialect == "ceph"  # which does not encode <Prefix>
    head_elements = [
        text("Name", bucket),
        text("Prefix", prefix if plain else write(prefix)),
        text("MaxKeys", max_keys),
        text("KeyCount", len(rows)),
        text("IsTruncated", str(truncated).lower()),
        *([text("Delimiter", write(delimiter))] if delimiter else []),
        *([text("EncodingType", "url")] if write.url else []),
        *([text("StartAfter", write(query["start-after"]))] if "start-after" in query else []),
        *([text("NextContinuationToken", cursor.token())] if truncated else []),
    ]
    return _root("ListBucketResult", *head_elements, *rows)


def _object(name: str, entry: Entry) -> str:
    return element(
        "Contents",
        text("Key", name),
        text("LastModified", iso(entry.modified)),
        text("ETag", f'"{entry.etag}"'),
        text("Size", entry.size),
        text("StorageClass", "STANDARD"),
    )


def list_parts(
    bucket: str, name: str, upload_id: str, parts: Mapping[int, Entry], query: Mapping[str, str]
) -> str:
    """ListParts of one upload."""
    marker, max_parts = int(query.get("part-number-marker") or 0), limit(query, "max-parts")
    left = [number for number in sorted(parts) if number > marker]
    page = left[:max_parts]
    rows = [
        element(
            "Part",
            text("PartNumber", number),
            text("LastModified", iso(parts[number].modified)),
            text("ETag", f'"{parts[number].etag}"'),
            text("Size", parts[number].size),
        )
        for number in page
    ]
    return _root(
        "ListPartsResult",
        text("Bucket", bucket),
        text("Key", name),
        text("UploadId", upload_id),
        text("PartNumberMarker", marker),
        text("NextPartNumberMarker", page[-1] if page else marker),
        text("MaxParts", max_parts),
        text("IsTruncated", str(len(page) < len(left)).lower()),
        *rows,
    )


def list_uploads(
    bucket: str,
    uploads: Sequence[tuple[str, str, float]],
    query: Mapping[str, str],
    dialect: Dialect,
) -> str:
    """ListMultipartUploads; each upload is name, id, time of creation.

    By name, and those of one name by time. Here Ceph keeps /, encodes the names of uploads only,
    and does not say that it does.
    """
    prefix, write = query.get("prefix", ""), encoder(query, dialect)
    is_told = write.url and dialect == "aws"
    write_key = write if is_told else partial(quote, safe="/") if write.url else str
    write = write if is_told else encoder({}, dialect)
    after, last_id = query.get("key-marker", ""), query.get("upload-id-marker")
    left = sorted(
        (row for row in uploads if row[0].startswith(prefix) and row[0] >= after),
        key=lambda row: (row[0], row[2], row[1]),
    )
    ids = [row[1] for row in left if row[0] == after]
    left = left[ids.index(last_id) + 1 if last_id in ids else len(ids) :]
    page = left[: limit(query, "max-uploads")]
    rows = [
        element(
            "Upload",
            text("Key", write_key(name)),
            text("UploadId", upload_id),
            text("Initiated", iso(created)),
        )
        for name, upload_id, created in page
    ]
    truncated = len(page) < len(left)
    markers = (
        [
            text("NextKeyMarker", write(page[-1][0])),
            text("NextUploadIdMarker", page[-1][1]),
        ]
        if page
        else []
    )
    return _root(
        "ListMultipartUploadsResult",
        text("Bucket", bucket),
        text("Prefix", write(prefix)),
        *([text("EncodingType", "url")] if is_told else []),
        text("IsTruncated", str(truncated).lower()),
        *markers,
        *rows,
    )


def _root(tag: str, *content: str) -> str:
    return f'<{tag} xmlns="{_NAMESPACE}">{"".join(content)}</{tag}>'

"""A page of ListObjectVersions as its XML says it. Pure.

Source: https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectVersions.html

    ListVersionsResult   IsTruncated, NextKeyMarker, NextVersionIdMarker, EncodingType
      Version            Key, VersionId, IsLatest, Size
      DeleteMarker       Key; it holds nothing

What is not named above is passed over.
"""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import unquote_plus

from sealift.wire.documents import Fields, malformed, read_repaired

OPERATION = "ListObjectVersions"
# Sizes end at 50 TB; int() of thousands of digits would raise.
_MAX_SIZE_DIGITS = 18


class Version(NamedTuple):
    """One version of an object; `is_latest`: what a GET without a version id reads."""

    name: str
    version_id: str
    is_latest: bool
    size: int


class VersionPage(NamedTuple):
    """Versions, and the name and version id behind which the next page begins: None after the
    last one."""

    versions: list[Version]
    following: tuple[str, str] | None


def parse_versions(body: bytes | memoryview) -> VersionPage:
    """The page in `body`. Raises ProtocolError where there is none."""
    rows: list[Fields] = []
    markers: list[Fields] = []
    groups = {"Version": rows, "DeleteMarker": markers}
    head = read_repaired(OPERATION, body, "ListVersionsResult", groups)
    decode = unquote_plus if head.get("EncodingType") == "url" else str
    truncated = head.get("IsTruncated", "").lower()
    if truncated not in ("true", "false"):
        raise malformed(OPERATION, "does not say whether it is the last page")
    following = None
    if truncated == "true":
        last = max((decode(row.get("Key", "")) for row in [*rows, *markers]), default="")
        name = head.get("NextKeyMarker", "")
        if name != last:  # Ceph 16 does not encode it
            name = decode(name)
        if not name:
            raise malformed(OPERATION, "gives no next page, and is not the last one")
        following = name, head.get("NextVersionIdMarker", "")
    try:
        versions = [
            Version(
                decode(row["Key"]),
                row.get("VersionId") or "null",
                row["IsLatest"].lower() == "true",
                _size(row["Size"]),
            )
            for row in rows
        ]
    except KeyError as missing:
        raise malformed(OPERATION, f"has no {missing.args[0]}") from None
    return VersionPage(versions, following)


def _size(text: str) -> int:
    if not (text.isdigit() and text.isascii() and len(text) <= _MAX_SIZE_DIGITS):
        raise malformed(OPERATION, "has a size that is no number")
    return int(text)

"""A page of ListObjectsV2 as its XML says it. Pure.

Source: https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html

    ListBucketResult     IsTruncated, NextContinuationToken, EncodingType
      Contents           Key, LastModified, ETag, Size, StorageClass
      CommonPrefixes     Prefix

What is not named above is passed over.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import unquote_plus

from sealift.errors import ProtocolError
from sealift.model import RemoteObject, remote_objects
from sealift.wire.documents import Fields, malformed, read_repaired

# Sizes end at 50 TB; int() of thousands of digits would raise.
_MAX_SIZE_DIGITS = 18

_OPERATION = "ListObjectsV2"


class Page(NamedTuple):
    """Objects and common prefixes, and the token of the next page: None after the last one.

    An empty token says that there is a next page and not how to ask for it.
    """

    objects: list[RemoteObject]
    prefixes: list[str]
    next_token: str | None


# An object as servers write it, with nothing in its way: no space, no other order. So many of them
# in a row are cut apart and made objects at 2 us each, where expat's calls into Python take 5.
_PLAIN = re.compile(
    r"<Contents><Key>([^<]*)</Key>"
    r"<LastModified>([^<]*)</LastModified><ETag>([^<]*)</ETag>"
    r"(?:<Checksum\w+>[^<]*</Checksum\w+>)*"
    r"<Size>([0-9]{1,18})</Size>(?:<StorageClass>([^<]*)</StorageClass>)?"
    r"(?:<Owner>(?:<\w+>[^<]*</\w+>)*</Owner>)?(?:<Type>[^<]*</Type>)?</Contents>"
)
_PIECES = _PLAIN.groups + 1
# What no XML may hold: expat refuses it, or its repair does.
_BANNED = re.compile("[\x00-\x1f\ufffe\uffff]")
_BEGIN, _END = "<Contents>", "</Contents>"
# What stands for the row when expat reads the rest, and what it then finds.
_MARK = "<Contents><Key/></Contents>"
_MARK_FIELDS = {"Key": ""}


def parse_page(body: bytes | memoryview) -> Page:
    """The page in `body`; raises ProtocolError, and nothing else, where there is none."""
    return _plain_page(body) or _page(*_read(body))


def _malformed(what: str) -> ProtocolError:
    return malformed(_OPERATION, what)


# A plain row of objects


def _plain_page(body: bytes | memoryview) -> Page | None:
    """The page, if all its objects are plain and in one row; else None: expat is to read it."""
    try:
        text = str(body, "utf-8")
    except UnicodeDecodeError:
        return None
    start, end = text.find(_BEGIN), text.rfind(_END) + len(_END)
    if not 0 <= start < end:
        return None
    pieces = _PLAIN.split(text[start:end])
    if any(pieces[::_PIECES]):
        return None
    keys, dates, etags, sizes, classes = (pieces[index::_PIECES] for index in range(1, _PIECES))
    names = "<".join(keys)  # which stands in no text of XML
    seals = "<".join(etags).replace("&quot;", '"')
    if None in classes:
        classes = [storage_class or "STANDARD" for storage_class in classes]
    if any("&" in texts for texts in (names, seals, *set(dates), *set(classes))):
        return None
    if not names.isprintable() and _BANNED.search(names):
        return None
    head, marks, prefixes = _read((text[:start] + _MARK + text[end:]).encode())
    if marks != [_MARK_FIELDS]:  # a comment, or an element that is passed over
        return None
    if head.get("EncodingType") == "url" and ("%" in names or "+" in names):
        keys = [_url_decoded(key) for key in keys]
    rows = zip(keys, map(int, sizes), seals.split("<"), map(_seconds, dates), classes, strict=True)
    return _page(head, [], prefixes)._replace(objects=remote_objects(rows))


# XML -> texts


def _read(document: bytes | memoryview) -> tuple[Fields, list[Fields], list[Fields]]:
    """The texts of the root's own elements, and those of each Contents and CommonPrefixes."""
    groups: dict[str, list[Fields]] = {"Contents": [], "CommonPrefixes": []}
    head = read_repaired(_OPERATION, document, "ListBucketResult", groups)
    return head, groups["Contents"], groups["CommonPrefixes"]


# Texts -> values


def _page(head: Fields, contents: list[Fields], prefixes: list[Fields]) -> Page:
    decode = _url_decoded if head.get("EncodingType") == "url" else str
    truncated = head.get("IsTruncated", "").lower()
    if truncated not in ("true", "false"):
        # An incomplete listing that passes for a complete one would make files look deleted.
        raise _malformed("does not say whether it is the last page")
    try:
        return Page(
            [_object(fields, decode) for fields in contents],
            [decode(fields["Prefix"]) for fields in prefixes],
            head.get("NextContinuationToken", "") if truncated == "true" else None,
        )
    except KeyError as missing:
        raise _malformed(f"has no {missing.args[0]}") from None


def _object(fields: Fields, decode: Callable[[str], str]) -> RemoteObject:
    size = fields["Size"]
    if not (size.isdigit() and size.isascii() and len(size) <= _MAX_SIZE_DIGITS):
        raise _malformed("has a size that is no number")
    return RemoteObject(
        decode(fields["Key"]),
        int(size),
        fields.get("ETag", ""),
        _seconds(fields["LastModified"]) if "LastModified" in fields else 0.0,
        fields.get("StorageClass", "STANDARD"),
    )


def _url_decoded(text: str) -> str:
    """A text under EncodingType `url`: AWS has + for a space, Ceph has %2F for each slash."""
    if "%" not in text and "+" not in text:
        return text
    return unquote_plus(text.replace("%2F", "/"))


@lru_cache(maxsize=256)
def _seconds(date: str) -> float:
    """An ISO 8601 date in seconds since the epoch; without a zone it is UTC."""
    try:
        moment = datetime.fromisoformat(date)
    except ValueError:
        raise _malformed("has a date that is none") from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()

"""The XML document of an object's tags. Pure.

Source: https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObjectTagging.html

    Tagging
      TagSet
        Tag           Key, Value
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote
from xml.parsers import expat

from sealift.wire.documents import Fields, escaped, malformed, read_document

# By which the customer key of an object is told without that key.
KEY_ID_TAG = "sealift-key-id"

_START = b'<Tagging xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><TagSet>'
_END = b"</TagSet></Tagging>"


def tag_set(tags: Mapping[str, str]) -> bytes:
    """The body of PutObjectTagging."""
    entries = [
        f"<Tag><Key>{escaped(name)}</Key><Value>{escaped(value)}</Value></Tag>".encode()
        for name, value in tags.items()
    ]
    return b"".join([_START, *entries, _END])


def parse_tags(body: bytes | memoryview) -> dict[str, str]:
    """The tags in a reply to GetObjectTagging. Raises ProtocolError.

    Ceph 16 answers nothing at all about tags that CreateMultipartUpload was given: it lost them.
    """
    operation = "GetObjectTagging"
    if not body:
        return {}
    rows: list[Fields] = []
    try:
        read_document(operation, body, "Tagging", {"Tag": rows}, depth=3)
        return {row["Key"]: row["Value"] for row in rows}
    except expat.ExpatError as error:
        raise malformed(operation, f"is no XML ({expat.ErrorString(error.code)})") from None
    except KeyError:
        raise malformed(operation, "has a tag without a name or value") from None


def tagging_header(tags: Mapping[str, str]) -> dict[str, str]:
    """The header by which a write gives the object its tags, as the query of a URL."""
    pairs = [f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in tags.items()]
    return {"x-amz-tagging": "&".join(pairs)} if pairs else {}

"""Object tags: the documents, and the header."""

from __future__ import annotations

import pytest

from sealift.errors import ProtocolError
from sealift.wire.tagging import parse_tags, tag_set, tagging_header

TAGS = {"sealift-key-id": "0123abcd", "a & <b>": "ü=+/ @", "empty": ""}


@pytest.mark.parametrize("tags", [TAGS, {}])
def test_tags_there_and_back(tags: dict[str, str]) -> None:
    assert parse_tags(tag_set(tags)) == tags


def test_what_servers_answer() -> None:
    """A prefix of the namespace, white space, an owner; and Ceph 16's nothing."""
    document = (
        b'<?xml version="1.0"?>\n<s3:Tagging xmlns:s3="http://s3.amazonaws.com/doc/2006-03-01/">\n'
        b"<s3:TagSet>\n<s3:Tag>\n<s3:Value>v</s3:Value><s3:Key>k</s3:Key></s3:Tag></s3:TagSet>"
        b"</s3:Tagging>"
    )
    assert parse_tags(document) == {"k": "v"}
    assert parse_tags(b"<Tagging><TagSet/></Tagging>") == {}
    assert parse_tags(b"") == {}


@pytest.mark.parametrize(
    "document",
    [
        b" ",
        b"<Tagging><TagSet>",
        b"<Other><TagSet/></Other>",
        b"<Tagging><TagSet><Tag><Key>k</Key></Tag></TagSet></Tagging>",
        b"<!DOCTYPE Tagging><Tagging><TagSet/></Tagging>",
    ],
)
def test_what_is_no_list_of_tags(document: bytes) -> None:
    with pytest.raises(ProtocolError):
        parse_tags(document)


def test_the_header() -> None:
    assert tagging_header({}) == {}
    assert tagging_header({"a": "b", "c d": "&=+/"}) == {"x-amz-tagging": "a=b&c%20d=%26%3D%2B%2F"}

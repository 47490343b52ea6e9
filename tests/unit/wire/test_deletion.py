"""What DeleteObjects is sent, and what of its replies is believed."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealift.errors import Cause, ProtocolError
from sealift.wire.deletion import (
    MAX_COUNT,
    MAX_DOCUMENT_SIZE,
    delete_lists,
    failures_in,
    fits_in_xml,
)


def names_in(document: bytes) -> list[str]:
    return [node.text or "" for node in ET.fromstring(document).iterfind("{*}Object/{*}Key")]


@given(st.lists(st.text(min_size=1).filter(fits_in_xml)))
def test_every_name_is_named_once(names: list[str]) -> None:
    lists = list(delete_lists(names))
    assert [name for named, _ in lists for name in named] == names
    for named, document in lists:
        assert names_in(document) == named
        assert ET.fromstring(document).findtext("{*}Quiet") == "true"


@pytest.mark.parametrize(
    "name", ["\x01", "a\tb", "a\nb", "a\rb", "\x7f", "\x85", "\u2028", "\ufffe", " a", "a ", "a\n"]
)
def test_names_that_xml_does_not_carry(name: str) -> None:
    assert not fits_in_xml(name)


@pytest.mark.parametrize("name", ["a b", "&<>", "]]>", "é", "\U0001f600", "a/", "//", "a+%2F"])
def test_names_that_xml_carries(name: str) -> None:
    assert fits_in_xml(name)


def test_lists_are_no_longer_than_servers_take() -> None:
    assert [len(named) for named, _ in delete_lists(["x"] * 2500)] == [MAX_COUNT, MAX_COUNT, 500]
    long = list(delete_lists(["&" * 1024] * MAX_COUNT))
    assert sum(len(named) for named, _ in long) == MAX_COUNT
    assert len(long) > 1
    assert all(len(document) < MAX_DOCUMENT_SIZE + 200 for _, document in long)


def test_failures_have_name_code_and_cause() -> None:
    body = (
        b'<?xml version="1.0"?><DeleteResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
        b"<Error><Code>AccessDenied</Code><Key>a&amp;b</Key><Message>No.</Message></Error>"
        b"<Error><Key>c</Key><Code>SlowDown</Code></Error><Deleted><Key>d</Key></Deleted>"
        b"<Error><Key>e</Key><Code>NoSuchKey</Code></Error></DeleteResult>"
    )
    failures = failures_in(body, 200, ["a&b", "c", "d", "e"])
    assert {name: error.cause for name, error in failures.items()} == {
        "a&b": Cause.PERMANENT,
        "c": Cause.THROTTLED,
    }
    assert failures["a&b"].code == "AccessDenied"
    assert "right to remove" in failures["a&b"].hint


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html/>",
        b"<DeleteResult>",
        b"<DeleteResult><Error><Key>y</Key><Code>AccessDenied</Code></Error></DeleteResult>",
        b"<DeleteResult><Error><Code>AccessDenied</Code></Error></DeleteResult>",
        b"<!DOCTYPE x><DeleteResult/>",
    ],
)
def test_what_is_no_reply(body: bytes) -> None:
    with pytest.raises(ProtocolError, match="DeleteObjects"):
        failures_in(body, 200, ["x"])

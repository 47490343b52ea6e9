"""An object that takes the place of its source is described as that was."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from sealift.describing import MAX_NOTE_SIZE, describe
from sealift.wire.heads import carried_headers, kept_headers, noted_tags
from sealift.wire.http1 import Head

NOW = datetime(2026, 11, 26, tzinfo=UTC)
LOCK = "x-amz-object-lock-mode"
UNTIL = "x-amz-object-lock-retain-until-date"


def head(headers: dict[str, str]) -> Head:
    fields = {name.encode(): value.encode() for name, value in headers.items()}
    return Head(1, 200, "OK", fields)


def test_the_tag_of_the_old_key_names_the_new_one() -> None:
    tags = {"a": "1", "sealift-key-id": "01d"}
    found = describe({}, {}, tags, "2e3", NOW)
    assert found.tags == {"a": "1", "sealift-key-id": "2e3"}
    assert found.is_retagged
    assert found.carried["x-amz-tagging"] == "a=1&sealift-key-id=2e3"


def test_without_a_customer_key_no_tag_names_one() -> None:
    found = describe({}, {}, {"sealift-key-id": "01d"}, "", NOW)
    assert (found.tags, found.is_retagged, found.carried) == ({}, True, {})


def test_an_object_without_that_tag_gets_none() -> None:
    found = describe({"content-type": "a/b"}, {}, {"a": "1"}, "2e3", NOW)
    assert (found.tags, found.is_retagged) == ({"a": "1"}, False)
    assert found.carried == {"content-type": "a/b", "x-amz-tagging": "a=1"}


@pytest.mark.parametrize(
    ("until", "is_kept"),
    [
        ("2026-11-26T00:00:01Z", True), ("2026-11-25T23:59:59.000Z", False),
        ("2030-01-01T00:00:00", True), ("odd", True),
    ],
)  # fmt: skip
def test_a_retention_is_kept_while_it_lasts(until: str, is_kept: bool) -> None:
    kept = {LOCK: "GOVERNANCE", UNTIL: until, "x-amz-storage-class": "STANDARD_IA"}
    found = describe({}, kept, {}, "2e3", NOW)
    assert (UNTIL in found.carried) is (LOCK in found.kept) is is_kept
    assert found.carried["x-amz-storage-class"] == found.kept["x-amz-storage-class"]


def test_tags_are_noted_in_the_metadata_of_parts_where_there_is_room() -> None:
    few = describe({}, {}, {"a b": "ü"}, "2e3", NOW)
    assert few.for_parts()["x-amz-meta-sealift-tags"] == "a%20b=%C3%BC"
    many = describe({}, {}, {"a": "x" * MAX_NOTE_SIZE}, "2e3", NOW)
    assert many.for_parts() == many.carried
    assert describe({}, {}, {}, "2e3", NOW).for_parts() == {}


def test_what_a_head_tells_of_how_an_object_is_stored_and_held() -> None:
    kept = {
        "x-amz-storage-class": "GLACIER_IR", "x-amz-website-redirect-location": "/x",
        LOCK: "COMPLIANCE", UNTIL: "2030-01-01T00:00:00Z", "x-amz-object-lock-legal-hold": "ON",
    }  # fmt: skip
    assert kept_headers(head({**kept, "etag": "x", "content-type": "a/b"})) == kept
    plain = {"x-amz-storage-class": "STANDARD", "x-amz-object-lock-legal-hold": "OFF"}
    assert kept_headers(head(plain)) == {}


def test_noted_tags_are_read_back_and_go_no_further() -> None:
    described = describe({}, {}, {"a b": "ü&=", "c": ""}, "2e3", NOW)
    shown = head({**described.for_parts(), "x-amz-meta-mtime": "1"})
    assert noted_tags(shown) == {"a b": "ü&=", "c": ""}
    assert carried_headers(shown) == {"x-amz-meta-mtime": "1"}

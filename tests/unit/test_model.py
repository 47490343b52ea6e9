"""Sizes, ranges and parts obey the limits of S3."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealift.errors import UsageError
from sealift.model import (
    DEFAULT_PART_SIZE,
    MAX_OBJECT_SIZE,
    MAX_PART_COUNT,
    MAX_PART_SIZE,
    MIN_PART_SIZE,
    ByteRange,
    GiB,
    KiB,
    Location,
    MiB,
    TiB,
    cut_parts,
    cut_ranges,
    parse_size,
    part_size_for,
)


@pytest.mark.parametrize(
    ("uri", "bucket", "name"),
    [
        ("s3://b", "b", ""),
        ("s3://b/", "b", ""),
        ("s3://b/n", "b", "n"),
        ("s3://b/a/b/", "b", "a/b/"),
        ("s3://b//n", "b", "/n"),
        ("s3://b/a%20b+c?d#e", "b", "a%20b+c?d#e"),
        ("s3://b/../x", "b", "../x"),
        ("s3://b/s3://c/d", "b", "s3://c/d"),
    ],
)
def test_a_location_is_taken_literally(uri: str, bucket: str, name: str) -> None:
    assert Location.parse(uri) == Location(bucket, name)


@given(st.text(st.characters(exclude_characters="/"), min_size=1), st.text())
def test_a_location_reads_what_it_shows(bucket: str, name: str) -> None:
    location = Location(bucket, name)
    assert Location.parse(str(location)) == location


@pytest.mark.parametrize("uri", ["", "b/n", "/b/n", "S3://b/n", "s3:/b/n", "s3:///n", "https://b"])
def test_what_is_no_location_is_refused(uri: str) -> None:
    with pytest.raises(UsageError, match="; write s3://BUCKET/NAME"):
        Location.parse(uri)


def test_a_child_is_appended() -> None:
    assert Location("b", "p/").child("c/d") == Location("b", "p/c/d")
    assert Location("b").child("/c") == Location("b", "/c")


def test_the_range_header_is_inclusive() -> None:
    span = ByteRange(10, 20)
    assert span.size == 10
    assert span.header() == "bytes=10-19"
    assert ByteRange(0, 1).header() == "bytes=0-0"


@given(st.integers(0, MAX_OBJECT_SIZE), st.integers(MIN_PART_SIZE, MAX_PART_SIZE))
def test_every_object_fits_into_10000_legal_parts(size: int, wanted: int) -> None:
    part_size = part_size_for(size, wanted)
    assert wanted <= part_size <= MAX_PART_SIZE
    assert -(-size // part_size) <= MAX_PART_COUNT
    assert part_size == wanted or part_size % MiB == 0
    # no more than is needed
    if part_size - MiB >= wanted:
        assert -(-size // (part_size - MiB)) > MAX_PART_COUNT


@pytest.mark.parametrize(
    ("size", "part_size"),
    [
        (0, 8 * MiB),
        (80_000 * MiB, 8 * MiB),
        (80_000 * MiB + 1, 9 * MiB),
        (5 * TiB, 525 * MiB),
        (MAX_OBJECT_SIZE, 5 * GiB),
    ],
)
def test_parts_grow_when_they_must(size: int, part_size: int) -> None:
    assert part_size_for(size, DEFAULT_PART_SIZE) == part_size


def test_an_object_larger_than_s3_holds_is_refused() -> None:
    with pytest.raises(UsageError, match="; split the file"):
        part_size_for(MAX_OBJECT_SIZE + 1)


@given(st.integers(0, 10**6), st.integers(1, 10**6))
def test_ranges_cover_every_byte_once(size: int, step: int) -> None:
    step = max(step, size // 500)
    ranges = list(cut_ranges(size, step))
    assert [span.start for span in ranges] == [0, *(span.end for span in ranges[:-1])][
        : len(ranges)
    ]
    assert sum(span.size for span in ranges) == size
    assert all(span.size == step for span in ranges[:-1])
    assert all(0 < span.size <= step for span in ranges)
    parts = list(cut_parts(size, step))
    assert [part.span for part in parts] == ranges
    assert [part.number for part in parts] == list(range(1, len(parts) + 1))


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("123", 123),
        ("123B", 123),
        ("1K", KiB),
        ("1kb", KiB),
        ("64MiB", 64 * MiB),
        ("64 mib ", 64 * MiB),
        ("1.5G", 3 * GiB // 2),
        ("2TB", 2 * TiB),
        ("1e3", 1000),
    ],
)
def test_reads_sizes(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "M",
        "x",
        "1X",
        "1KK",
        "1MBB",
        "1 2",
        "1,5M",
        "nan",
        "inf",
        "1e999",
        "0x10",
        "9" * 400,
    ],
)
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is not a size; write for example 64MiB"):
        parse_size(text)

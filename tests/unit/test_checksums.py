"""CRC64NVME: known values, and the whole from its pieces."""

from __future__ import annotations

import base64
import hashlib
import itertools
import random

import pytest
from awscrt.checksums import crc64nvme
from hypothesis import given
from hypothesis import strategies as st

from sealift import checksums
from sealift.checksums import Digest, combine, crc64, decode, encode


def slow_crc64(data: bytes) -> int:
    """CRC-64/NVME bit by bit, as the catalogue of CRC algorithms defines it."""
    value = 2**64 - 1
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = (value >> 1) ^ (0x9A6C9329AC4BC9B5 if value & 1 else 0)
    return value ^ (2**64 - 1)


def test_known_values() -> None:
    assert crc64(b"123456789") == 0xAE8B14860A799888
    assert crc64(b"") == 0
    assert combine([]) == 0


@given(st.binary(max_size=300))
def test_agrees_with_the_definition(data: bytes) -> None:
    expected = slow_crc64(data)
    assert [crc64(form) for form in (data, bytearray(data), memoryview(data))] == [expected] * 3


@given(st.binary(max_size=3000), st.integers(0, 2**64 - 1))
def test_the_table_and_awscrt_agree(data: bytes, previous: int) -> None:
    fresh = checksums._First()
    by_table = fresh.crc64(data, previous)
    assert fresh.fast is None
    assert by_table == crc64nvme(data, previous)


def test_more_than_a_little_is_left_to_awscrt() -> None:
    data = random.Random(1).randbytes(checksums.TABLE_SIZE)
    fresh = checksums._First()
    assert fresh.crc64(data, 0) == crc64nvme(data)
    assert fresh.fast is None
    assert fresh.crc64(memoryview(data), 5) == crc64nvme(data, 5)
    assert fresh.fast is crc64nvme


@given(st.binary(max_size=2000), st.lists(st.integers(0, 2000), max_size=20))
def test_the_whole_follows_from_the_pieces(data: bytes, cuts: list[int]) -> None:
    edges = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    pieces = [data[start:end] for start, end in itertools.pairwise(edges)]
    whole = crc64(data)
    assert combine((crc64(piece), len(piece)) for piece in pieces) == whole
    value = 0
    for piece in pieces:
        value = crc64(piece, value)
    assert value == whole


def test_large_pieces() -> None:
    """Beyond 32 bits, by doubling: a whole that nobody has to hold."""
    value, size = crc64(bytes(1 << 16)), 1 << 16
    assert combine([(value, size), (value, size)]) == crc64(bytes(1 << 17))
    for _ in range(26):
        value, size = combine([(value, size), (value, size)]), size * 2
    assert size == 1 << 42
    assert combine([(crc64(b"a"), 1), (value, size), (0, 0)]) == combine(
        [(combine([(crc64(b"a"), 1), (value, size)]), size + 1)]
    )


@given(st.integers(0, 2**64 - 1))
def test_headers_round_trip(crc: int) -> None:
    assert len(encode(crc)) == 12
    assert decode(encode(crc)) == crc


@pytest.mark.parametrize(
    "text", [None, "", "x", "AAAA", "AAAAAAAAAAA=-2", "é" * 12, "A" * 12, "AAAAAAAA\nAAA="]
)
def test_what_is_no_whole_object_value_counts_as_none(text: str | None) -> None:
    assert decode(text) is None


@given(st.lists(st.binary(max_size=100)))
def test_a_digest_of_pieces_is_that_of_the_whole(pieces: list[bytes]) -> None:
    whole = b"".join(pieces)
    digest = Digest(with_md5=True)
    for piece in pieces:
        digest.update(memoryview(piece))
    assert digest.crc == crc64(whole)
    assert base64.b64decode(digest.content_md5 or "") == hashlib.md5(whole).digest()


def test_a_digest_without_md5() -> None:
    assert Digest(b"x", with_md5=False).content_md5 is None

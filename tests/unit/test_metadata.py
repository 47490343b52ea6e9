"""What metadata say of a file reads back exactly, and rubbish counts as nothing."""

from __future__ import annotations

import math
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealift.checksums import encode
from sealift.metadata import CRC, MARKER, MODE, MTIME, FileFacts, content_type

nanoseconds = st.integers(-(10**20) + 1, 10**20 - 1)
crcs = st.integers(0, 2**64 - 1)


@given(st.none() | nanoseconds, st.none() | crcs, st.none() | st.text(min_size=1))
def test_reads_back_what_it_wrote(
    mtime_ns: int | None, crc: int | None, marker: str | None
) -> None:
    facts = FileFacts(mtime_ns, crc, marker)
    assert FileFacts.from_reply(facts.metadata(), None, None) == facts


@given(nanoseconds)
def test_mtime_is_a_decimal_number_of_seconds(mtime_ns: int) -> None:
    """As rclone and s3fs read it, before 1970 too."""
    assert Decimal(FileFacts(mtime_ns).metadata()[MTIME]) == Decimal(mtime_ns).scaleb(-9)


@pytest.mark.parametrize(
    ("text", "mtime_ns"),
    [
        ("0", 0),
        ("1700000000", 1_700_000_000_000_000_000),
        ("1700000000.", 1_700_000_000_000_000_000),
        ("1700000000.5", 1_700_000_000_500_000_000),
        ("1700000000.123456789", 1_700_000_000_123_456_789),
        ("1700000000.1234567899", 1_700_000_000_123_456_789),
        ("-0.5", -500_000_000),
        ("-1.25", -1_250_000_000),
    ],
)
def test_reads_mtime(text: str, mtime_ns: int) -> None:
    assert FileFacts.from_reply({MTIME: text}, None, None).mtime_ns == mtime_ns


@pytest.mark.parametrize(
    "text",
    ["", ".", "-", ".5", "-.5", "--1", "+1", "1e9", "1.2.3", "1,5", "nan", "inf", " 1", "1 ",
     "1.-5", "0x1", "1_0", "٣", "1.٣", "²", "1" * 12, "2024-01-01T00:00:00Z", "1\n"],
)  # fmt: skip
def test_an_unreadable_mtime_counts_as_absent(text: str) -> None:
    assert FileFacts.from_reply({MTIME: text}, None, None).mtime_ns is None
    assert FileFacts.from_reply({MTIME: text}, None, 2.5).mtime_ns == 2_500_000_000


@given(st.dictionaries(st.sampled_from([MTIME, CRC, MARKER]), st.text()), st.none() | st.text())
def test_strange_metadata_never_fail(metadata: dict[str, str], checksum: str | None) -> None:
    facts = FileFacts.from_reply(metadata, checksum, None)
    assert facts.marker == metadata.get(MARKER)


def test_what_the_server_keeps_goes_first() -> None:
    stored = {CRC: encode(1), MTIME: "7"}
    assert FileFacts.from_reply(stored, encode(2), 9.0) == FileFacts(7_000_000_000, 2)
    assert FileFacts.from_reply(stored, None, 9.0).crc == 1
    assert FileFacts.from_reply(stored, "AAAAAAAAAAA=-3", 9.0).crc == 1  # a value of parts
    assert FileFacts.from_reply({CRC: "rubbish"}, "rubbish", None).crc is None


def test_last_modified_stands_in() -> None:
    facts = FileFacts.from_reply({}, None, 1_700_000_000.0)
    assert facts.mtime_ns == 1_700_000_000_000_000_000
    assert math.isclose(FileFacts.from_reply({}, None, 0.25).mtime_ns or 0, 250_000_000)


def test_metadata_names_only_what_is_known() -> None:
    assert FileFacts().metadata() == {}
    assert set(FileFacts(1, 2, "m").metadata()) == {MTIME, CRC, MARKER}


def test_mode_is_octal_with_the_file_type() -> None:
    """As rclone writes it; it reads an example of its own as 0100664."""
    assert FileFacts(mode=0o100644).metadata() == {MODE: "100644"}
    for text in ("100664", "0100664", "664"):
        assert (FileFacts.from_reply({MODE: text}, None, None).mode or 0) & 0o777 == 0o664


@pytest.mark.parametrize("text", ["", "9", "0o644", "-644", "rw-r--r--", "٦٤٤", "7" * 9, "644\n"])
def test_an_unreadable_mode_counts_as_absent(text: str) -> None:
    assert FileFacts.from_reply({MODE: text}, None, None).mode is None


@pytest.mark.parametrize(
    ("name", "kind"),
    [("a.txt", "text/plain"), ("p/a.JPG", "image/jpeg"), ("a.tar.gz", None), ("a", None),
     ("a.unknown-kind", None), ("", None), (".txt", None), ("a.html?x=.png", "image/png")],
)  # fmt: skip
def test_guesses_content_types(name: str, kind: str | None) -> None:
    assert content_type(name) == kind


@pytest.mark.parametrize(
    "name", ["data:a/b  c,x", "data:\u00e9/\u00fc;x,y", "p/data:a/b\x01,c", "data:,x"]
)
def test_no_name_brings_a_content_type_of_its_own(name: str) -> None:
    assert content_type(name) is None


@pytest.mark.parametrize("name", ["//[x.png", "http://[x.png", "a//[::1/x.png"])
def test_a_name_that_is_no_url_has_a_content_type_all_the_same(name: str) -> None:
    assert content_type(name) == "image/png"

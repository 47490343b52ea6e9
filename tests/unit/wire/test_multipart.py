"""The documents of multipart uploads, as sent and as read."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest

from sealift.checksums import encode
from sealift.errors import ProtocolError
from sealift.model import PartDone
from sealift.wire.multipart import (
    OpenUpload,
    ServerPart,
    completed_etag,
    is_error,
    named_etag,
    parse_parts,
    parse_uploads,
    part_list,
    upload_id,
)

NAMESPACE = "{http://s3.amazonaws.com/doc/2006-03-01/}"
PARTS = [PartDone(1, 5, '"a&<b>"', 7), PartDone(2, 6, '"c"', 8)]


@pytest.mark.parametrize("with_crc", [True, False])
def test_a_part_list_is_what_s3_reads(with_crc: bool) -> None:
    root = ET.fromstring(part_list(PARTS, with_crc=with_crc))
    assert root.tag == f"{NAMESPACE}CompleteMultipartUpload"
    read = [{field.tag.removeprefix(NAMESPACE): field.text for field in part} for part in root]
    expected = [{"PartNumber": str(part.number), "ETag": part.etag} for part in PARTS]
    if with_crc:
        for entry, part in zip(expected, PARTS, strict=True):
            entry["ChecksumCRC64NVME"] = encode(part.crc)
    assert read == expected


@pytest.mark.parametrize(
    "body",
    [
        b"<R><UploadId>a&amp;b</UploadId></R>",
        b"<?xml version='1.0'?>\n<x:R xmlns:x='y'><x:UploadId>\n a&#38;b </x:UploadId></x:R>",
    ],
)
def test_an_upload_id(body: bytes) -> None:
    assert upload_id(body) == "a&b"


@pytest.mark.parametrize("body", [b"", b"<R/>", b"<R><UploadId></UploadId></R>", b"\xff"])
def test_no_upload_id(body: bytes) -> None:
    with pytest.raises(ProtocolError, match="UploadId"):
        upload_id(body)


def test_the_etag_of_a_complete() -> None:
    result = b"<CompleteMultipartUploadResult xmlns='s3'><ETag>&quot;e-2&quot;</ETag></R>"
    assert completed_etag(b"   " + result) == '"e-2"'
    assert named_etag(b"<R><ETag>&quot;e&quot;</ETag></R>") == '"e"'
    for body in (b"", b"   ", b"<R><ETag></ETag></R>", b"<html/>"):
        assert named_etag(body) is None
    for body in (b"", b"<R><ETag>e</ETag></R>", b"<CompleteMultipartUploadResult/>"):
        assert completed_etag(body) is None


@pytest.mark.parametrize("start", [b"", b"\n ", b"<?xml version='1.0'?>", b"  <?xml?>\n"])
def test_an_error_of_status_200(start: bytes) -> None:
    """S3 sends spaces while it completes, and may fail then."""
    assert is_error(start + b"<Error><Code>x</Code></Error>")
    assert is_error(start + b"<s:Error xmlns:s='y'/>")
    assert not is_error(start + b"<Errors/>")
    assert not is_error(start + b"<R><Error/></R>")


# What is unfinished


def parts_page(*rows: str, head: str = "") -> bytes:
    body = "".join(f"<Part>{row}</Part>" for row in rows)
    return f"<ListPartsResult>{head}{body}</ListPartsResult>".encode()


PART_ROW = "<PartNumber>3</PartNumber><Size>5</Size><ETag>&quot;e&quot;</ETag>"


def test_a_page_of_parts() -> None:
    crc = f"<ChecksumCRC64NVME>{encode(7)}</ChecksumCRC64NVME>"
    parts, following = parse_parts(parts_page(PART_ROW, PART_ROW + crc))
    assert parts == [ServerPart(3, 5, '"e"', None), ServerPart(3, 5, '"e"', 7)]
    assert following is None
    more = "<IsTruncated>true</IsTruncated><NextPartNumberMarker>3</NextPartNumberMarker>"
    assert parse_parts(parts_page(PART_ROW, head=more)) == (parts[:1], 3)
    last = more.replace("true", "false")
    assert parse_parts(parts_page(head=last)) == ([], None)


@pytest.mark.parametrize(
    "body",
    [
        parts_page("<PartNumber>3</PartNumber><Size>5</Size>"),
        parts_page(PART_ROW.replace("3", "x")),
        parts_page(PART_ROW.replace("5", "")),
        parts_page(head="<IsTruncated>true</IsTruncated>"),
        parts_page(head="<IsTruncated>true</IsTruncated>"
                        "<NextPartNumberMarker/>"),
        parts_page(PART_ROW + "<ChecksumCRC64NVME>?</ChecksumCRC64NVME>"),
    ],
)  # fmt: skip
def test_a_page_of_parts_that_cannot_be_believed(body: bytes) -> None:
    try:
        parts, _ = parse_parts(body)
    except ProtocolError:
        return
    assert [part.crc for part in parts] == [None]  # a checksum that is none is not known


def uploads_page(*rows: str, head: str = "") -> bytes:
    body = "".join(f"<Upload>{row}</Upload>" for row in rows)
    return f"<ListMultipartUploadsResult>{head}{body}</ListMultipartUploadsResult>".encode()


URL = "<EncodingType>url</EncodingType>"


def upload_row(name: str, initiated: str = "2026-11-24T01:02:03.500Z") -> str:
    return (
        f"<Key>{name}</Key><UploadId>id+%20</UploadId><Initiated>{initiated}</Initiated>"
        "<Owner><ID>x</ID></Owner><Initiator><ID>y</ID></Initiator>"
    )


ID = "id+%20"
TIME = 1_795_482_123.5


def last(name: str) -> str:
    return f"<NextKeyMarker>{name}</NextKeyMarker>"


@pytest.mark.parametrize(
    ("head", "key", "name", "is_its"),
    [
        # Told.
        (URL, "a+b%2B%20%C3%BC%0A", "a b+ ü\n", True),
        (URL, "a", "a", True),
        (URL, "ab", "a", False),
        (URL, "a%20b", "a%20b", False),
        (URL, "a%2520b", "a%20b", True),
        (URL + last("a%2520b"), "a%2520b", "a%20b", True),
        # As they are.
        ("", "a b+ ü", "a b+ ü", True),
        ("", "a%20b", "a%20b", True),
        ("", "a%20b", "a b", False),
        ("", "ab", "a", False),
        ("", "%2525", "%25", False),
        (last("%2525"), "%2525", "%25", False),
        (last("a%20b"), "a%20b", "a%20b", True),
        ("", "a&#x01;b", "a\x01b", True),
        ("", "a\x1bb", "a\x1bb", True),
        ("", "a\ufffeb", "a\ufffeb", True),
        # Encoded, as the marker shows.
        (last("a b"), "a%20b", "a b", True),
        (last("a%20b"), "a%2520b", "a%20b", True),
        (last("100%"), "100%25", "100%", True),
        (last("a&#x0d;"), "a%0D", "a\r", True),
        (last("a&#x01;"), "a%01", "a\x01", True),
        (last("ab"), "ab", "ab", True),
    ],
)
def test_whose_uploads_a_page_has(head: str, key: str, name: str, is_its: bool) -> None:
    """Whether names are encoded is told, or to be seen; ids never are."""
    ((found, upload),), _ = parse_uploads(uploads_page(upload_row(key), head=head))
    assert upload == OpenUpload(ID, TIME)
    assert (found == name) is is_its


def test_where_a_page_of_uploads_ends() -> None:
    more = ("<IsTruncated>true</IsTruncated><NextKeyMarker>a+%2B&#x01;</NextKeyMarker>"
            "<NextUploadIdMarker>id+%20</NextUploadIdMarker>")  # fmt: skip
    assert parse_uploads(uploads_page(head=URL + more))[1] == ("a +\x01", ID)
    assert parse_uploads(uploads_page(head=more))[1] == ("a+%2B\x01", ID)
    with pytest.raises(ProtocolError, match="lacks a field"):
        parse_uploads(uploads_page(head="<IsTruncated>true</IsTruncated>"))


@pytest.mark.parametrize(
    ("initiated", "seconds"),
    [
        ("2026-11-24T01:02:03Z", 1_795_482_123.0),
        ("2026-11-24T01:02:03.000Z", 1_795_482_123.0),
        ("2026-11-24T02:02:03+01:00", 1_795_482_123.0),
        ("2026-11-24T01:02:03", 1_795_482_123.0),
    ],
)
def test_times_of_uploads(initiated: str, seconds: float) -> None:
    ((_, upload),), _ = parse_uploads(uploads_page(upload_row("a", initiated)))
    assert upload.initiated == seconds


@pytest.mark.parametrize("initiated", ["", "now", "10000-01-01T00:00:00Z", "2026-02-30T00:00:00Z"])
def test_no_time_of_an_upload(initiated: str) -> None:
    with pytest.raises(ProtocolError, match="no time"):
        parse_uploads(uploads_page(upload_row("a", initiated)))

"""The documents of multipart uploads, as sent and as read."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest

from sealift.checksums import encode
from sealift.errors import ProtocolError
from sealift.model import PartDone
from sealift.wire.multipart import (
    completed_etag,
    is_error,
    named_etag,
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


@pytest.mark.parametrize(
    ("told", "encoding"),
    [
        ("d/a%2Bb+c%252B", "<EncodingType>url</EncodingType>"),  # AWS
        ("d/a%2Bb%20c%252B", ""),  # Ceph
        ("d/a+b c%2B", ""),  # MiniStack
    ],
    ids=["encoded", "encoded unsaid", "plain"],
)
def test_the_name_of_an_upload_is_found_however_it_is_written(told: str, encoding: str) -> None:
    name = "d/a+b c%2B"
    body = (
        f"<ListMultipartUploadsResult>{encoding}<IsTruncated>true</IsTruncated>"
        f"<NextKeyMarker>{told}</NextKeyMarker><NextUploadIdMarker>u</NextUploadIdMarker>"
        f"<Upload><Key>{told}</Key><UploadId>u</UploadId>"
        "<Initiated>2026-11-26T01:42:19.792Z</Initiated></Upload></ListMultipartUploadsResult>"
    )

    (upload,), following = parse_uploads(body.encode(), name)

    assert upload.name == name
    assert following == (name, "u")

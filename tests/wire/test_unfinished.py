"""What is unfinished on the server, listed: pages, names, and replies that are not believed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from tests.faults import Dialect, FaultServer, Match, Status, Stored, Upload, key_md5_of
from tests.kit import CUSTOMER_KEY, KEY, Certificate, assert_signed, open_pool

from sealift.errors import IntegrityError, ObjectError, ProtocolError, ReplyError
from sealift.wire.bucket import BucketClient
from sealift.wire.identity import Identity
from sealift.wire.multipart import OpenUpload
from sealift.wire.operations import Bucket
from sealift.wire.sigv4 import Credentials

pytestmark = pytest.mark.anyio

NAME = "a b/ü+&"
# What an URL or an XML document cannot hold as it is.
ODD = ["a b", "a%20b", "a+b", "ü", "x\n", "\x1b[2J", "<&>\"'", "a/../b", "🚢", "%", "+", " "]


@asynccontextmanager
async def open_client(server: FaultServer, certificate: Certificate) -> AsyncIterator[BucketClient]:
    async with open_pool(server, certificate) as pool:
        bucket = Bucket(f"localhost:{server.port}", "/bucket/", "eu-west-1", "bucket")
        yield BucketClient(pool, bucket, Identity(Credentials("AK", "SK", "TOKEN")), CUSTOMER_KEY)


def begin(server: FaultServer, name: str, upload_id: str, created: float = 0.0) -> Upload:
    made = Upload("bucket", name, {}, key_md5_of(KEY), created)
    server.uploads[upload_id] = made
    return made


def send_parts(upload: Upload, numbers: Iterable[int]) -> None:
    for number in numbers:
        upload.parts[number] = Stored(b"x" * (number % 7), {}, f"e{number}", None, None, 0.0)


@pytest.mark.parametrize("count", [0, 1, 1000, 1001, 2300])
async def test_all_parts_are_listed(
    server: FaultServer, certificate: Certificate, count: int
) -> None:
    numbers = [4 * number + 1 for number in range(count)]
    send_parts(begin(server, NAME, "u/1 +"), numbers)
    async with open_client(server, certificate) as client:
        parts = await client.list_parts(NAME, "u/1 +")
    assert parts is not None
    assert [part.number for part in parts] == numbers
    assert [(part.size, part.etag, part.crc) for part in parts] == [
        (number % 7, f'"e{number}"', None) for number in numbers
    ]
    assert len(server.requests) == max(1, -(-count // 1000))
    for request in server.requests:
        assert_signed(request)


@pytest.mark.parametrize("code", ["NoSuchUpload", "NoSuchKey"])
async def test_no_upload_has_no_parts(
    server: FaultServer, certificate: Certificate, code: str
) -> None:
    """The second is what Ceph says."""
    server.script(Match(operation="ListParts"), Status(404, code))
    async with open_client(server, certificate) as client:
        assert await client.list_parts(NAME, "gone") is None


@pytest.mark.parametrize(
    ("status", "code"), [(404, "NoSuchBucket"), (404, ""), (403, "AccessDenied"), (500, "")]
)
async def test_another_refusal_says_nothing_of_the_upload(
    server: FaultServer, certificate: Certificate, status: int, code: str
) -> None:
    begin(server, NAME, "u")
    server.script(Match(operation="ListParts"), Status(status, code))
    async with open_client(server, certificate) as client:
        with pytest.raises(ReplyError) as caught:
            await client.list_parts(NAME, "u")
    assert (caught.value.status, caught.value.code) == (status, code)


@pytest.mark.parametrize("dialect", ["aws", "ceph"])
async def test_uploads_of_any_name_are_listed(certificate: Certificate, dialect: Dialect) -> None:
    names = ODD if dialect == "aws" else [name for name in ODD if name.isprintable()]
    with FaultServer(certificate, dialect=dialect) as server:
        for number, name in enumerate(names):
            begin(server, f"p/{name}", f"id-{number}", 1_764_000_000.0 + number)
            begin(server, f"p/{name}x", f"other-{number}", 1_764_000_000.0)
        async with open_client(server, certificate) as client:
            found = [await client.list_uploads(f"p/{name}") for name in names]
            assert await client.list_uploads("p/") == []
    assert found == [
        [OpenUpload(f"id-{number}", 1_764_000_000.0 + number)] for number in range(len(names))
    ]


async def test_many_uploads_of_one_name_are_listed(
    server: FaultServer, certificate: Certificate
) -> None:
    """They are in the order of their time: the ids that pages end with go up and down."""
    ids = [f"{number * 7919 % 3001:04}" for number in range(3000)]
    for number, upload_id in enumerate(ids):
        begin(server, NAME, upload_id, float(number))
    async with open_client(server, certificate) as client:
        found = await client.list_uploads(NAME)
    assert [upload.upload_id for upload in found] == ids
    assert len(server.requests) == 3
    for request in server.requests:
        assert_signed(request)


async def test_an_upload_behind_many_of_longer_names(
    server: FaultServer, certificate: Certificate
) -> None:
    for number in range(1500):
        begin(server, f"{NAME}{number:04} +", f"id of {number}")
    begin(server, NAME + "\U0010ffff", "last")
    async with open_client(server, certificate) as client:
        assert await client.list_uploads(NAME) == []
        assert await client.list_uploads(NAME + "\U0010ffff") == [OpenUpload("last", 0.0)]
    assert len(server.requests) == 3


def parts_page(marker: object) -> bytes:
    return (
        "<ListPartsResult><IsTruncated>true</IsTruncated>"
        f"<NextPartNumberMarker>{marker}</NextPartNumberMarker></ListPartsResult>"
    ).encode()


def uploads_page(name: str, upload_id: str) -> bytes:
    return (
        "<ListMultipartUploadsResult><IsTruncated>true</IsTruncated>"
        f"<NextKeyMarker>{name}</NextKeyMarker>"
        f"<NextUploadIdMarker>{upload_id}</NextUploadIdMarker></ListMultipartUploadsResult>"
    ).encode()


@pytest.mark.parametrize("markers", [[0], [5, 5], [5, 4], [5, -1]])
async def test_parts_that_never_end(
    server: FaultServer, certificate: Certificate, markers: list[int]
) -> None:
    server.script(
        Match(operation="ListParts"), *(Status(200, body=parts_page(one)) for one in markers)
    )
    async with open_client(server, certificate) as client:
        with pytest.raises(IntegrityError, match="stops in the middle"):
            await client.list_parts(NAME, "u")
    assert len(server.requests) == len(markers)


@pytest.mark.parametrize("pages", [["a1", "a1"], ["a1", "b1", "a1"], ["a2", "a1", "a2"]])
async def test_uploads_that_never_end(
    server: FaultServer, certificate: Certificate, pages: list[str]
) -> None:
    server.script(
        Match(operation="ListMultipartUploads"),
        *(Status(200, body=uploads_page(page[0], page[1])) for page in pages),
    )
    async with open_client(server, certificate) as client:
        with pytest.raises(IntegrityError, match="stops in the middle"):
            await client.list_uploads("")
    assert len(server.requests) == len(pages)


@pytest.mark.parametrize(
    "body", [b"", b"<html/>", b"<ListPartsResult>", b"<!DOCTYPE x><ListPartsResult/>",
             b"<ListPartsResult><IsTruncated>true</IsTruncated></ListPartsResult>"]
)  # fmt: skip
async def test_lists_that_cannot_be_read(
    server: FaultServer, certificate: Certificate, body: bytes
) -> None:
    swapped = body.replace(b"ListParts", b"ListMultipartUploads")
    server.script(Match(operation="ListParts"), Status(200, body=body))
    server.script(Match(operation="ListMultipartUploads"), Status(200, body=swapped))
    async with open_client(server, certificate) as client:
        calls: list[Any] = [client.list_parts(NAME, "u"), client.list_uploads("")]
        for call in calls:
            with pytest.raises(ProtocolError):
                await call


async def test_an_error_of_status_200(server: FaultServer, certificate: Certificate) -> None:
    body = b"<Error><Code>InternalError</Code></Error>"
    server.script(Match(operation="ListParts"), Status(200, body=body))
    async with open_client(server, certificate) as client:
        with pytest.raises(ObjectError, match="InternalError"):
            await client.list_parts(NAME, "u")


async def test_a_page_of_the_longest_names(server: FaultServer, certificate: Certificate) -> None:
    """A thousand names of 1024 bytes, three characters a byte."""
    name = "ü" * 510
    for number in range(1000):
        begin(server, f"{name}{number:04}", f"id of {number}")
    async with open_client(server, certificate) as client:
        assert await client.list_uploads(f"{name}0999") == [OpenUpload("id of 999", 0.0)]
        assert await client.list_uploads(name) == []

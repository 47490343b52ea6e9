"""The rarer requests as sent, and the replies that are not believed."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from hashlib import md5

import pytest
from tests.faults import (
    CloseBeforeReply,
    Complete200Empty,
    Complete200Error,
    Dialect,
    Fault,
    FaultServer,
    Garbage,
    Match,
    NoEcho,
    NoETag,
    Redirect,
    Status,
    WrongEcho,
)
from tests.kit import CUSTOMER_KEY, KEY, OTHER_KEY, Certificate, assert_signed, open_pool

from sealift.checksums import Digest, combine, crc64, encode
from sealift.errors import (
    Cause,
    IntegrityError,
    NetworkError,
    NotSealedError,
    ObjectChangedError,
    ProtocolError,
    ReplyError,
    WrongCustomerKeyError,
)
from sealift.keys import CustomerKey
from sealift.metadata import FileFacts
from sealift.model import ByteRange, Location, Part, PartDone
from sealift.tls import client_context
from sealift.wire.address import Server
from sealift.wire.bucket import BucketClient
from sealift.wire.identity import Identity
from sealift.wire.operations import Bucket
from sealift.wire.pool import Pool
from sealift.wire.sigv4 import Credentials

pytestmark = pytest.mark.anyio

SEAL = "x-amz-server-side-encryption-customer-"
FACTS = FileFacts(1_700_000_000_123_456_789, 7, "marker")
DATA = b"content" * 100
NAME = "a b/ü+&"


@asynccontextmanager
async def open_client(
    server: FaultServer, certificate: Certificate, *, key: CustomerKey | None = CUSTOMER_KEY
) -> AsyncIterator[BucketClient]:
    async with open_pool(server, certificate) as pool:
        bucket = Bucket(f"localhost:{server.port}", "/bucket/", "eu-west-1", "bucket")
        yield BucketClient(pool, bucket, Identity(Credentials("AK", "SK", "TOKEN")), key)


def shown_key(server: FaultServer) -> list[bool]:
    """Which requests carried the customer key."""
    return [SEAL + "key" in sent.headers for sent in server.requests]


# Multipart uploads


@pytest.mark.parametrize("dialect", ["aws", "ceph"])
async def test_an_upload_from_end_to_end(certificate: Certificate, dialect: Dialect) -> None:
    with FaultServer(certificate, dialect=dialect) as server:
        server.s3.min_part_size = 0
        async with open_client(server, certificate) as client:
            start = await client.create_multipart_upload(NAME, "text/x", FACTS, whole_crc=True)
            assert start.whole_crc is (dialect == "aws")
            crc = crc64(DATA)
            parts = []
            for number in (1, 2):
                stored = await client.upload_part(
                    NAME, start.upload_id, number, memoryview(DATA), len(DATA),
                    Digest(DATA, with_md5=False), None,
                )  # fmt: skip
                parts.append(PartDone(number, len(DATA), stored.etag, crc))
            whole = combine([(crc, len(DATA))] * 2)
            done = await client.complete_multipart_upload(NAME, start.upload_id, parts, whole)
            head = await client.head_object(NAME)
        assert server.objects["bucket", NAME].body == DATA * 2
        assert (head.size, head.etag, head.sealed) == (2 * len(DATA), done.etag, True)
        assert (head.content_type, head.key_md5) == ("text/x", CUSTOMER_KEY.md5)
        assert head.facts.marker == "marker"
        assert head.facts.mtime_ns == FACTS.mtime_ns
        assert head.facts.crc == (whole if dialect == "aws" else FACTS.crc)
        assert not done.echoed  # neither server's Complete shows it
        assert all(shown_key(server))
        for request in server.requests:
            assert_signed(request)
        create, *_, complete, _ = server.requests
    assert create.target.endswith("?uploads=")
    assert create.headers["content-length"] == "0"
    assert create.headers["x-amz-checksum-algorithm"] == "CRC64NVME"
    assert create.headers["x-amz-checksum-type"] == "FULL_OBJECT"
    assert create.headers["x-amz-meta-sealift-id"] == "marker"
    assert complete.headers["x-amz-checksum-crc64nvme"] == encode(whole)
    assert complete.headers["x-amz-checksum-type"] == "FULL_OBJECT"
    assert complete.body.count(b"<ChecksumCRC64NVME>") == 2


async def test_an_upload_without_a_whole_crc(server: FaultServer, certificate: Certificate) -> None:
    async with open_client(server, certificate) as client:
        start = await client.create_multipart_upload("x", None, FACTS, whole_crc=False)
        assert not start.whole_crc
        with pytest.raises(ReplyError):
            await client.complete_multipart_upload(
                "x", start.upload_id, [PartDone(1, 1, '"e"', 5)], None
            )
    create, complete = server.requests
    for request in (create, complete):
        assert not [name for name in request.headers if "checksum" in name]
    assert "content-type" not in create.headers
    assert b"Checksum" not in complete.body


@pytest.mark.parametrize("fault", [NoEcho(), WrongEcho()], ids=str)
async def test_a_create_without_echo_is_aborted(
    server: FaultServer, certificate: Certificate, fault: Fault
) -> None:
    server.script(Match(operation="CreateMultipartUpload", times=2), fault)
    async with open_client(server, certificate) as client:
        with pytest.raises(NotSealedError, match="nothing was sent") as caught:
            await client.create_multipart_upload("x", None, FACTS, whole_crc=True)
        assert (caught.value.hint, dict(server.uploads)) == (NotSealedError.advice, {})
        server.script(Match(operation="AbortMultipartUpload"), Status(403, "AccessDenied"))
        with pytest.raises(NotSealedError) as caught:
            await client.create_multipart_upload("x", None, FACTS, whole_crc=True)
        (left,) = server.uploads
        assert left in caught.value.hint


async def test_a_create_without_an_id(server: FaultServer, certificate: Certificate) -> None:
    server.script(Match(operation="CreateMultipartUpload"), Status(200, body=b"<R/>"))
    async with open_client(server, certificate) as client:
        with pytest.raises(ProtocolError, match="UploadId"):
            await client.create_multipart_upload("x", None, FACTS, whole_crc=True)


@pytest.mark.parametrize(
    ("fault", "kind", "cause"),
    [
        (Complete200Error(), ReplyError, Cause.SERVER),
        (Complete200Error("SlowDown"), ReplyError, Cause.THROTTLED),
        (Complete200Empty(), IntegrityError, Cause.BAD_DIGEST),
        (Status(200, body=b"<html>"), IntegrityError, Cause.BAD_DIGEST),
        (Redirect(307, "https://elsewhere.example/"), ReplyError, Cause.PERMANENT),
    ],
    ids=str,
)
async def test_a_complete_that_is_none(
    server: FaultServer, certificate: Certificate, fault: Fault, kind: type, cause: Cause
) -> None:
    server.script(Match(operation="CompleteMultipartUpload"), fault)
    async with open_client(server, certificate) as client:
        start = await client.create_multipart_upload("x", None, FACTS, whole_crc=True)
        with pytest.raises(kind) as caught:
            await client.complete_multipart_upload("x", start.upload_id, [], 0)
    assert caught.value.cause is cause
    if isinstance(fault, Complete200Error):
        assert caught.value.status == 500


async def test_an_abort_and_a_second_one(server: FaultServer, certificate: Certificate) -> None:
    async with open_client(server, certificate) as client:
        start = await client.create_multipart_upload(NAME, None, FACTS, whole_crc=True)
        await client.abort_multipart_upload(NAME, start.upload_id)
        await client.abort_multipart_upload(NAME, start.upload_id)
        assert not server.uploads
        server.script(Match(operation="AbortMultipartUpload"), Status(403, "AccessDenied"))
        with pytest.raises(ReplyError):
            await client.abort_multipart_upload(NAME, start.upload_id)
    assert shown_key(server) == [True, False, False, False]


# Objects


async def test_a_delete(server: FaultServer, certificate: Certificate) -> None:
    server.store(NAME, DATA)
    async with open_client(server, certificate) as client:
        await client.delete_object(NAME)
        await client.delete_object(NAME, "v/1+")
    assert ("bucket", NAME) not in server.objects
    assert server.requests[1].target.endswith("?versionId=v%2F1%2B")
    assert shown_key(server) == [False, False]


ODD = [
    "\x01",
    "a\x1b[2J",
    "&<>",
    "\U0001f600",
    "a+b",
    "a%2Fb",
    "marker/",
    " lead",
    "trail ",
    "\ufffe",
]
AS_TEXT = ["&<>", "\U0001f600", "a+b", "a%2Fb", "marker/"]


async def test_a_delete_of_many(server: FaultServer, certificate: Certificate) -> None:
    names = [*ODD, *(f"n{number:04}" for number in range(1500))]
    for name in names:
        server.store(name, b"")
    server.store("lead", b"another object than the one with a space")
    async with open_client(server, certificate) as client:
        assert await client.delete_objects([*names, "never there"]) == {}
    assert set(server.objects) == {("bucket", "lead"), ("bucket", "x")}
    lists = server.seen("DeleteObjects")
    assert len(lists) == 2
    assert len(server.seen("DeleteObject")) == len(ODD) - len(AS_TEXT)
    for request in lists:
        assert request.target == "/bucket?delete="
        assert request.headers["content-md5"] == b64encode(md5(request.body).digest()).decode()
        assert request.headers["x-amz-checksum-crc64nvme"] == encode(crc64(request.body))
        assert_signed(request)
    assert not any(shown_key(server))


async def test_failures_of_a_delete_are_told_by_name(
    server: FaultServer, certificate: Certificate
) -> None:
    body = b"<DeleteResult><Error><Key>a&amp;</Key><Code>AccessDenied</Code></Error></DeleteResult>"
    server.script(Match(operation="DeleteObjects"), Status(200, body=body))
    server.script(Match(operation="DeleteObject"), Status(403, "AccessDenied"))
    async with open_client(server, certificate) as client:
        failures = await client.delete_objects(["a&", "b", "\x01"])
    assert {name: error.code for name, error in failures.items()} == dict.fromkeys(
        ["a&", "\x01"], "AccessDenied"
    )


@pytest.mark.parametrize(("status", "code"), [(501, "NotImplemented"), (405, "MethodNotAllowed")])
async def test_a_server_without_delete_objects_is_asked_once(
    server: FaultServer, certificate: Certificate, status: int, code: str
) -> None:
    names = [f"n{number:02}" for number in range(40)]
    for name in names:
        server.store(name, b"")
    server.script(Match(operation="DeleteObjects"), Status(status, code))
    async with open_client(server, certificate) as client:
        assert await client.delete_objects(names[:30]) == {}
        assert await client.delete_objects(names[30:]) == {}
    assert set(server.objects) == {("bucket", "x")}
    assert (len(server.seen("DeleteObjects")), len(server.seen("DeleteObject"))) == (1, 40)


@pytest.mark.parametrize(
    ("fault", "kind", "cause"),
    [
        (Status(403, "AccessDenied"), ReplyError, Cause.PERMANENT),
        (Complete200Error("SlowDown"), ReplyError, Cause.THROTTLED),
        (Status(200, body=b"<html/>"), ProtocolError, Cause.GARBLED),
        (Complete200Empty(), ProtocolError, Cause.GARBLED),
        (CloseBeforeReply(), NetworkError, Cause.RESET),
    ],
    ids=str,
)
async def test_a_delete_that_fails_as_a_whole(
    server: FaultServer, certificate: Certificate, fault: Fault, kind: type, cause: Cause
) -> None:
    server.script(Match(operation="DeleteObjects"), fault)
    async with open_client(server, certificate) as client:
        with pytest.raises(kind) as caught:
            await client.delete_objects(["x"])
    assert caught.value.cause is cause
    assert ("bucket", "x") in server.objects


async def test_a_single_delete_without_a_reply(
    server: FaultServer, certificate: Certificate
) -> None:
    server.script(Match(operation="DeleteObject"), CloseBeforeReply())
    async with open_client(server, certificate) as client:
        with pytest.raises(NetworkError):
            await client.delete_objects(["\x01"])


@pytest.mark.parametrize("fault", [NoEcho(), WrongEcho()], ids=str)
async def test_a_head_without_echo(
    server: FaultServer, certificate: Certificate, fault: Fault
) -> None:
    server.store("x", DATA, customer_key=KEY)
    server.script(Match(operation="HeadObject", times=2), fault)
    async with open_client(server, certificate) as client:
        with pytest.raises(NotSealedError):
            await client.head_object("x")
        assert not (await client.head_object("x", check_echo=False)).sealed


async def test_a_head_that_lacks_what_it_must_have(
    server: FaultServer, certificate: Certificate
) -> None:
    server.store("x", DATA)
    server.script(Match(operation="HeadObject"), NoETag())
    async with open_client(server, certificate, key=None) as client:
        with pytest.raises(ProtocolError, match="etag"):
            await client.head_object("x")


@pytest.mark.parametrize("body", [b"", DATA], ids=["empty", "not empty"])
@pytest.mark.parametrize("dialect", ["aws", "ceph"])
async def test_a_wrong_key_at_head(certificate: Certificate, dialect: Dialect, body: bytes) -> None:
    with FaultServer(certificate, dialect=dialect) as server:
        server.store("x", body, customer_key=KEY)
        async with open_client(server, certificate, key=CustomerKey(OTHER_KEY)) as client:
            with pytest.raises(WrongCustomerKeyError):
                await client.head_object("x")


@pytest.mark.parametrize(
    ("status", "code", "cause"),
    [(400, "ExpiredToken", Cause.EXPIRED), (403, "RequestTimeTooSkewed", Cause.SKEWED)],
)
async def test_a_bare_head_is_told_by_a_get(
    server: FaultServer, certificate: Certificate, status: int, code: str, cause: Cause
) -> None:
    server.script(Match(operation="HeadObject"), Status(status))
    server.script(Match(operation="GetObject"), Status(status, code))
    async with open_client(server, certificate) as client:
        with pytest.raises(ReplyError) as caught:
            await client.head_object("x")
    assert (caught.value.cause, caught.value.code) == (cause, code)
    assert server.requests[1].headers["range"] == "bytes=0-0"


@pytest.mark.parametrize("body", [b"", DATA])
async def test_a_bare_head_that_a_get_does_not_explain(
    server: FaultServer, certificate: Certificate, body: bytes
) -> None:
    """The key is right, then: another request has had credentials or clock put right meanwhile."""
    server.store("x", body, customer_key=KEY)
    server.script(Match(operation="HeadObject"), Status(403))
    async with open_client(server, certificate) as client:
        with pytest.raises(ReplyError) as caught:
            await client.head_object("x")
        assert caught.value.cause is Cause.SERVER
        assert not isinstance(caught.value, WrongCustomerKeyError)
        assert (await client.head_object("x")).size == len(body)


async def test_a_head_of_nothing(server: FaultServer, certificate: Certificate) -> None:
    async with open_client(server, certificate) as client:
        with pytest.raises(ReplyError) as caught:
            await client.head_object("missing")
    assert caught.value.status == 404
    assert len(server.requests) == 1


# The bucket


async def test_reaching_a_bucket(server: FaultServer, certificate: Certificate) -> None:
    async with open_client(server, certificate) as client:
        await client.reach()
    (request,) = server.requests
    assert request.target == "/bucket?encoding-type=url&list-type=2&max-keys=0&prefix="
    assert shown_key(server) == [False]


@pytest.mark.parametrize(
    ("fault", "cause"),
    [
        (Status(404, "NoSuchBucket"), Cause.PERMANENT),
        (Status(403, "RequestTimeTooSkewed"), Cause.SKEWED),
        (Redirect(301, "https://elsewhere.example/"), Cause.PERMANENT),
        (Status(200, body=b"<html>welcome</html>"), Cause.GARBLED),
        (Garbage(), Cause.GARBLED),
    ],
    ids=str,
)
async def test_a_bucket_that_cannot_be_reached(
    server: FaultServer, certificate: Certificate, fault: Fault, cause: Cause
) -> None:
    server.script(Match(operation="ListObjectsV2"), fault)
    async with open_client(server, certificate) as client:
        with pytest.raises((ReplyError, ProtocolError)) as caught:
            await client.reach()
    assert caught.value.cause is cause


@pytest.mark.parametrize(
    ("netloc", "base_path", "scope"),
    [
        ("localhost:9000", "/b.c/", "https://localhost:9000/b.c"),
        ("b.c.localhost:9000", "/", "https://localhost:9000/b.c"),
        ("b.c.example.org", "/b.c/", "https://b.c.example.org/b.c"),
        ("s3.eu-west-1.amazonaws.com", "/b.c/", "https://s3.amazonaws.com/b.c"),
        ("b.c.s3.amazonaws.com", "/", "https://s3.amazonaws.com/b.c"),
        ("b.c.s3.dualstack.us-west-2.amazonaws.com", "/", "https://s3.amazonaws.com/b.c"),
        ("b.c.s3.cn-north-1.amazonaws.com.cn", "/", "https://s3.amazonaws.com.cn/b.c"),
        ("s3.amazonaws.com.example.org", "/b.c/", "https://s3.amazonaws.com.example.org/b.c"),
    ],
)
async def test_a_bucket_has_one_scope(netloc: str, base_path: str, scope: str) -> None:
    pool = Pool(Server.from_url(f"https://{netloc}"), client_context(None))
    reached = Bucket(netloc, base_path, "eu-west-1", "b.c")
    assert BucketClient(pool, reached, Identity(Credentials("AK", "SK")), None).scope == scope
    pool.close()


# Copies


@pytest.mark.parametrize("key", [OTHER_KEY, None], ids=["sealed", "plain"])
async def test_a_copy_carries_both_keys(
    server: FaultServer, certificate: Certificate, key: bytes | None
) -> None:
    server.store(NAME, DATA, customer_key=key)
    other = None if key is None else CustomerKey(key)
    async with (
        open_client(server, certificate) as client,
        open_client(server, certificate, key=other) as source,
    ):
        start = await client.create_multipart_upload("b", None, FACTS, whole_crc=False)
        location = Location("bucket", NAME)
        etag = (await source.head_object(NAME)).etag
        assert await client.copy_object("a", source, location)
        part = Part(1, ByteRange(2, 9))
        assert await client.copy_part("b", start.upload_id, part, source, location, etag)
        with pytest.raises(ObjectChangedError):
            await client.copy_part("b", start.upload_id, part, source, location, '"other"')
    (whole,), (piece, _) = server.seen("CopyObject"), server.seen("UploadPartCopy")
    for sent in (whole, piece):
        assert_signed(sent)
        assert sent.headers["x-amz-copy-source"] == "/bucket/a%20b/%C3%BC%2B%26"
        assert sent.headers[SEAL + "key-md5"] == CUSTOMER_KEY.md5
        shown = sent.headers.get(SEAL.replace("x-amz-", "x-amz-copy-source-") + "key-md5")
        assert shown == (None if other is None else other.md5)
        assert sent.headers["content-length"] == "0"
    assert whole.headers["x-amz-metadata-directive"] == "COPY"
    assert piece.headers["x-amz-copy-source-range"] == "bytes=2-8"
    assert piece.headers["x-amz-copy-source-if-match"] == etag
    assert server.objects["bucket", "a"].customer_key_md5 == CUSTOMER_KEY.md5
    assert server.s3.uploads[start.upload_id].parts[1].body == DATA[2:9]


async def test_what_describes_an_object_is_carried(
    server: FaultServer, certificate: Certificate
) -> None:
    described = {
        "x-amz-meta-mtime": "1.5",
        "x-amz-meta-100%s": "two  spaces, 100%",
        "content-type": "text/x",
        "content-disposition": 'attachment; filename="a  b"',
    }
    own = {"x-amz-meta-sealift-id": "mark", "x-amz-meta-sealift-crc64nvme": encode(crc64(DATA))}
    server.store("a", DATA, customer_key=KEY, headers=described | own)
    async with open_client(server, certificate) as client:
        head = await client.head_object("a")
        assert head.carried == described
        digest = Digest(DATA, with_md5=False)
        await client.put_object(
            "b", memoryview(DATA), len(DATA), digest, None, FileFacts(), None, head.carried
        )
        await client.create_multipart_upload("c", None, FACTS, head.carried, whole_crc=True)
    for operation in ("PutObject", "CreateMultipartUpload"):
        (sent,) = server.seen(operation)
        assert_signed(sent)
        assert sent.headers.items() >= described.items() - {("x-amz-meta-mtime", "1.5")}
    assert server.objects["bucket", "b"].headers == described

"""SSE-S3, SSE-KMS and tags as sent, and the replies that are not believed."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest
from tests.faults import Fault, FaultServer, Garbage, Match, NoEcho, Status
from tests.faults.messages import Reply
from tests.faults.plan import Plan
from tests.kit import CUSTOMER_KEY, KEY, Certificate, assert_signed, open_pool

from sealift.checksums import Digest, crc64
from sealift.encryption import KMS, S3, ServerSide
from sealift.errors import NotSealedError, ProtocolError, ReplyError, WrongCustomerKeyError
from sealift.keys import CustomerKey
from sealift.metadata import FileFacts
from sealift.model import ByteRange, Location, Part, PartDone
from sealift.wire.bucket import BucketClient
from sealift.wire.identity import Identity
from sealift.wire.operations import Bucket, Stored
from sealift.wire.sigv4 import Credentials

pytestmark = pytest.mark.anyio

HEADER = "x-amz-server-side-encryption"
DATA = b"content" * 100
FACTS = FileFacts(None, crc64(DATA), "marker")
KMS_KEY = ServerSide(KMS, "key-1")


@dataclass(frozen=True, slots=True)
class Versioned:
    version_id: str

    def shape(self, plan: Plan) -> None:
        plan.reshape.append(lambda reply: reply.but(x_amz_version_id=self.version_id))


@dataclass(frozen=True, slots=True)
class KmsKey:
    """The reply tells of another key of KMS."""

    key_id: str

    def shape(self, plan: Plan) -> None:
        name = f"{HEADER}-aws-kms-key-id"
        plan.reshape.append(lambda reply: reply.but(**{name: self.key_id}))


@dataclass(frozen=True, slots=True)
class ListNothing:
    """The reply is a document of another kind."""

    def shape(self, plan: Plan) -> None:
        plan.reshape.append(lambda reply: Reply(200, {}, b"<ListBucketResult/>"))


@asynccontextmanager
async def open_client(
    server: FaultServer,
    certificate: Certificate,
    encryption: ServerSide | None = None,
    *,
    tag_key_id: bool = False,
) -> AsyncIterator[BucketClient]:
    async with open_pool(server, certificate) as pool:
        bucket = Bucket(f"localhost:{server.port}", "/bucket/", "eu-west-1", "bucket")
        identity = Identity(Credentials("AK", "SK", "TOKEN"))
        plain = BucketClient(pool, bucket, identity, None, tag_key_id=tag_key_id)
        yield plain.under(None, encryption)


async def put(client: BucketClient, name: str, carried: dict[str, str] | None = None) -> Stored:
    digest = Digest(DATA, with_md5=True)
    return await client.put_object(
        name, memoryview(DATA), len(DATA), digest, None, FACTS, None, carried
    )


async def upload(client: BucketClient, name: str) -> bool:
    """Upload in one part; whether the reply told of the encryption."""
    start = await client.create_multipart_upload(name, None, FACTS, whole_crc=False)
    digest = Digest(DATA, with_md5=True)
    part = await client.upload_part(
        name, start.upload_id, 1, memoryview(DATA), len(DATA), digest, None
    )
    parts = [PartDone(1, len(DATA), part.etag, None)]
    return (await client.complete_multipart_upload(name, start.upload_id, parts, None)).echoed


@pytest.mark.parametrize("encryption", [ServerSide(S3), ServerSide(KMS), KMS_KEY])
async def test_only_what_begins_an_object_asks_for_it(
    server: FaultServer, certificate: Certificate, encryption: ServerSide
) -> None:
    async with open_client(server, certificate, encryption) as client:
        await put(client, "put")
        assert not await upload(client, "upload")  # HEAD is to tell
        location = Location("bucket", "put")
        await client.copy_object("copy", client, location)
        start = await client.create_multipart_upload("parts", None, FACTS, whole_crc=False)
        etag = (await client.head_object("put")).etag
        part = Part(1, ByteRange(0, 9))
        await client.copy_part("parts", start.upload_id, part, client, location, etag)
        room = memoryview(bytearray(len(DATA)))
        await client.get_object("put", room, None, None, None)
        heads = [await client.head_object(name) for name in ("put", "upload", "copy")]
        assert [(head.encryption, head.sealed) for head in heads] == [(encryption, True)] * 3
    asking = {"PutObject", "CreateMultipartUpload", "CopyObject"}
    for request in server.requests:
        assert_signed(request)
        sent = {name: value for name, value in request.headers.items() if HEADER in name}
        assert sent == (encryption.headers() if request.operation in asking else {})


@pytest.mark.parametrize("asked", [ServerSide(S3), KMS_KEY])
async def test_an_object_stored_otherwise_is_no_success(
    server: FaultServer, certificate: Certificate, asked: ServerSide
) -> None:
    server.script(Match(operation="PutObject"), (NoEcho(), Versioned("v7")))
    server.script(Match(operation="CopyObject"), NoEcho())
    server.store("there", DATA)
    async with open_client(server, certificate, asked) as client:
        with pytest.raises(NotSealedError, match="UNENCRYPTED") as caught:
            await put(client, "a")
        assert (caught.value.stored, caught.value.version_id) == ("UNENCRYPTED", "v7")
        with pytest.raises(NotSealedError, match="UNENCRYPTED"):
            await client.copy_object("b", client, Location("bucket", "there"))


async def test_an_upload_without_the_encryption_is_aborted(
    server: FaultServer, certificate: Certificate
) -> None:
    server.script(Match(operation="CreateMultipartUpload"), NoEcho())
    async with open_client(server, certificate, KMS_KEY) as client:
        with pytest.raises(NotSealedError, match="nothing was sent"):
            await client.create_multipart_upload("a", None, FACTS, whole_crc=True)
    assert not server.uploads


async def test_another_key_of_kms_is_not_the_one_asked_for(
    server: FaultServer, certificate: Certificate
) -> None:
    server.script(Match(operation="PutObject"), KmsKey("key-2"))
    async with open_client(server, certificate, KMS_KEY) as client:
        with pytest.raises(NotSealedError, match="stored under aws:kms:key-2"):
            await put(client, "a")


async def test_head_tells_kinds_of_objects_apart(
    server: FaultServer, certificate: Certificate
) -> None:
    async with open_client(server, certificate) as plain:
        await put(plain.under(None, ServerSide(S3)), "s3")
        await put(plain.under(None, KMS_KEY), "kms")
        await put(plain, "plain")
        await put(plain.under(CUSTOMER_KEY), "sealed")
        heads = {name: await plain.head_object(name) for name in ("s3", "kms", "plain")}
        heads["sealed"] = await plain.under(CUSTOMER_KEY).head_object("sealed")
        kept = await plain.under(None, KMS_KEY).head_object("plain")
    assert {name: (head.key_md5, head.encryption) for name, head in heads.items()} == {
        "s3": (None, ServerSide(S3)),
        "kms": (None, KMS_KEY),
        "plain": (None, None),
        "sealed": (CUSTOMER_KEY.md5, None),
    }
    assert not kept.sealed


async def test_a_client_under_another_key(server: FaultServer, certificate: Certificate) -> None:
    """It uses the same connections, and what it seals the first one cannot read."""
    async with open_client(server, certificate, KMS_KEY) as client:
        other = client.under(CUSTOMER_KEY)
        assert (client.key_id, other.key_id) == (None, CUSTOMER_KEY.key_id)
        await put(client, "a")
        await put(other, "b")
        with pytest.raises(WrongCustomerKeyError, match="give the customer key"):
            await client.head_object("b")
        with pytest.raises(ValueError, match="by itself"):
            client.under(CUSTOMER_KEY, KMS_KEY)
    assert len({request.connection_id for request in server.requests}) == 1
    assert server.seen("PutObject")[1].headers.items() >= dict(CUSTOMER_KEY.headers()).items()
    assert HEADER not in server.seen("PutObject")[1].headers


@pytest.mark.parametrize(
    ("key", "encryption", "words"),
    [(None, KMS_KEY, "kms:GenerateDataKey"), (CUSTOMER_KEY, None, "s3:PutObjectTagging")],
)
async def test_a_refusal_names_the_rights_that_it_takes(
    server: FaultServer,
    certificate: Certificate,
    key: CustomerKey | None,
    encryption: ServerSide | None,
    words: str,
) -> None:
    server.script(Match(method="PUT"), Status(403, "AccessDenied"))
    server.script(Match(method="POST"), Status(403, "AccessDenied"))
    async with open_client(server, certificate, tag_key_id=True) as plain:
        client = plain.under(key, encryption)
        with pytest.raises(ReplyError) as refused:
            await put(client, "a")
        assert re.search(words, refused.value.hint)
        with pytest.raises(ReplyError) as refused:
            await upload(client, "a")
        assert re.search(words, refused.value.hint)


# Tags


async def test_tags_go_with_what_begins_an_object(
    server: FaultServer, certificate: Certificate
) -> None:
    tags = {"sealift-key-id": CUSTOMER_KEY.key_id}
    async with open_client(server, certificate, tag_key_id=True) as plain:
        client = plain.under(CUSTOMER_KEY)
        assert (client.tags, plain.tags) == (tags, {})
        await put(client, "put")
        await upload(client, "upload")
        await put(client, "else", {"x-amz-tagging": "c=d"})
        await client.copy_object("kept", client, Location("bucket", "else"))
        await client.copy_object("copy", client, Location("bucket", "put"), None, {"e": "f"})
        names = ("put", "upload", "else", "kept", "copy")
        found = [await plain.get_object_tagging(name) for name in names]
    assert found == [tags, tags, {"c": "d"}, {"c": "d"}, {"e": "f"}]
    for request in server.requests:
        assert_signed(request)
        if request.operation.endswith("Tagging"):
            assert not any("customer" in name for name in request.headers)


async def test_tags_are_replaced(server: FaultServer, certificate: Certificate) -> None:
    server.store("a", DATA, customer_key=KEY, headers={"x-amz-tagging": "old=1"})
    async with open_client(server, certificate) as client:
        assert await client.get_object_tagging("a") == {"old": "1"}
        await client.put_object_tagging("a", {"new": "<2>", "": ""})
        assert await client.get_object_tagging("a") == {"new": "<2>", "": ""}
        with pytest.raises(ReplyError, match="NoSuchKey"):
            await client.get_object_tagging("b")
        with pytest.raises(ReplyError, match="at most 10 tags"):
            await client.put_object_tagging("a", {str(n): "" for n in range(11)})
    for request in server.requests:
        assert_signed(request)


async def test_ceph_loses_tags_of_multipart_uploads(certificate: Certificate) -> None:
    with FaultServer(certificate, dialect="ceph") as server:
        async with open_client(server, certificate, tag_key_id=True) as plain:
            await upload(plain.under(CUSTOMER_KEY), "x")
            assert await plain.get_object_tagging("x") == {}


@pytest.mark.parametrize(
    ("status", "code", "hint"),
    [
        (403, "AccessDenied", "s3:GetObjectTagging"),
        (501, "NotImplemented", "keeps no tags"),
        (405, "MethodNotAllowed", "keeps no tags"),
    ],
)
async def test_tags_that_cannot_be_had(
    server: FaultServer, certificate: Certificate, status: int, code: str, hint: str
) -> None:
    server.script(Match(operation="GetObjectTagging"), Status(status, code))
    async with open_client(server, certificate) as client:
        with pytest.raises(ReplyError, match=hint):
            await client.get_object_tagging("a")


@pytest.mark.parametrize("fault", [Garbage(), ListNothing()], ids=str)
async def test_a_reply_that_is_no_list_of_tags(
    server: FaultServer, certificate: Certificate, fault: Fault
) -> None:
    server.store("a", DATA)
    server.script(Match(operation="GetObjectTagging"), fault)
    async with open_client(server, certificate) as client:
        with pytest.raises(ProtocolError):
            await client.get_object_tagging("a")

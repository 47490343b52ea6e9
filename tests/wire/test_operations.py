"""The four requests as sent, and the replies that are not believed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import pytest
from tests.faults import (
    Chunked,
    Dialect,
    Fault,
    FaultServer,
    FlipRequest,
    IgnoreRange,
    Match,
    NoEcho,
    NoETag,
    Redirect,
    ReplaceObject,
    Status,
    WrongEcho,
    WrongRange,
)
from tests.faults.plan import Plan
from tests.kit import (
    CUSTOMER_KEY,
    KEY,
    OTHER_KEY,
    Certificate,
    Count,
    assert_signed,
    open_count,
    open_pool,
)

from sealift.checksums import Digest, crc64, encode
from sealift.errors import (
    Cause,
    IntegrityError,
    NotSealedError,
    ObjectChangedError,
    ObjectError,
    ProtocolError,
    ReplyError,
    SettingsError,
    UnsafeNameError,
    WrongCustomerKeyError,
)
from sealift.keys import CustomerKey
from sealift.metadata import FileFacts
from sealift.model import ByteRange
from sealift.wire import pages
from sealift.wire.identity import Identity
from sealift.wire.operations import Bucket
from sealift.wire.pages import ListingClient
from sealift.wire.sigv4 import Credentials

pytestmark = pytest.mark.anyio

DATA = bytes(range(256)) * 40
CRC = crc64(DATA)
FACTS = FileFacts(1_700_000_000_123_456_789, CRC)
SEAL = "x-amz-server-side-encryption-customer-"
SPAN = ByteRange(100, 1100)
EMPTY_PAGE = b"<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>"


@dataclass
class Lane:
    """A client of one bucket, and what it counted."""

    objects: ListingClient
    count: Count
    server: FaultServer

    async def put(self, name: str = "y", *, with_md5: bool = False) -> Any:
        digest = Digest(DATA, with_md5=with_md5)
        return await self.objects.put_object(
            name, memoryview(DATA), len(DATA), digest, "text/plain", FACTS, self.count
        )

    async def part(self, upload_id: str, number: int = 1) -> Any:
        digest = Digest(DATA, with_md5=False)
        return await self.objects.upload_part(
            "y", upload_id, number, memoryview(DATA), len(DATA), digest, self.count
        )

    async def get(self, span: ByteRange | None = None, etag: str | None = None) -> Any:
        self.room = memoryview(bytearray(len(DATA) if span is None else span.size))
        return await self.objects.get_object("x", self.room, span, etag, self.count)

    async def list_page(self) -> Any:
        return await self.objects.list_page("")

    def upload(self) -> str:
        """The id of an upload that exists on the server."""
        from tests.faults import Upload, key_md5_of

        self.server.uploads["u/1 +"] = Upload("bucket", "y", {}, key_md5_of(KEY), 0.0)
        return "u/1 +"


@asynccontextmanager
async def open_lane(
    server: FaultServer,
    certificate: Certificate,
    *,
    key: CustomerKey | None = CUSTOMER_KEY,
    token: str | None = "TOKEN",
    bucket: Bucket | None = None,
) -> AsyncIterator[Lane]:
    async with open_pool(server, certificate) as pool:
        reached = bucket or Bucket(f"localhost:{server.port}", "/bucket/", "eu-west-1", "bucket")
        identity = Identity(Credentials("AK", "SK", token))
        yield Lane(ListingClient(pool, reached, identity, key), Count(), server)
        if key is CUSTOMER_KEY:
            assert open_count(pool) <= 1


@pytest.fixture
def sealed(server: FaultServer) -> FaultServer:
    """A server that holds `x` under the customer key."""
    server.store(
        "x",
        DATA,
        customer_key=KEY,
        headers=FACTS.metadata()
        and {f"x-amz-meta-{name}": value for name, value in FACTS.metadata().items()},
    )
    return server


# Requests as sent


@pytest.mark.parametrize("name", ["plain", "with space/ü+~%:=?#&", "a//b/../c", "/lead", "日本/é"])
async def test_a_put_as_sent(sealed: FaultServer, certificate: Certificate, name: str) -> None:
    async with open_lane(sealed, certificate) as lane:
        stored = await lane.put(name, with_md5=True)
        assert stored.checked
        assert lane.count.moved == len(DATA)
    (request,) = sealed.seen("PutObject")
    assert_signed(request)
    assert (request.bucket, request.name, request.body) == ("bucket", name, DATA)
    headers = request.headers
    assert headers["content-type"] == "text/plain"
    assert headers["content-md5"] == Digest(DATA, with_md5=True).content_md5
    assert headers["x-amz-checksum-crc64nvme"] == encode(CRC)
    assert headers["x-amz-meta-mtime"] == "1700000000.123456789"
    assert headers["x-amz-security-token"] == "TOKEN"
    assert [headers[SEAL + part] for part in ("algorithm", "key", "key-md5")] == [
        value for _, value in CUSTOMER_KEY.headers()
    ]
    assert sealed.objects["bucket", name].customer_key_md5 == CUSTOMER_KEY.md5


async def test_a_part_as_sent(sealed: FaultServer, certificate: Certificate) -> None:
    async with open_lane(sealed, certificate, token=None) as lane:
        stored = await lane.part(lane.upload(), 7)
        assert stored.etag.strip('"') == sealed.uploads["u/1 +"].parts[7].etag
    (request,) = sealed.seen("UploadPart")
    assert_signed(request)
    assert request.target == "/bucket/y?partNumber=7&uploadId=u%2F1%20%2B"
    assert "x-amz-security-token" not in request.headers
    assert len([name for name in request.headers if name.startswith(SEAL)]) == 3


async def test_signs_in_the_token_are_no_format(
    sealed: FaultServer, certificate: Certificate
) -> None:
    async with open_lane(sealed, certificate, token="%s%(host)s%%{}") as lane:
        await lane.put()
        await lane.get()
    for request in sealed.requests:
        assert request.headers["x-amz-security-token"] == "%s%(host)s%%{}"
        assert_signed(request)


@pytest.mark.parametrize("sign", ["\n", "\r", "\0"])
@pytest.mark.parametrize("place", ["access key", "token"])
def test_credentials_that_no_header_holds_are_refused(sign: str, place: str) -> None:
    identity = Identity(Credentials("AK", "SK"))
    key, token = ("AK" + sign, None) if place == "access key" else ("AK", f"T{sign}x: y")
    with pytest.raises(SettingsError, match="line break or a NUL"):
        identity.renew(Credentials(key, "SK", token))
    assert identity.credentials.access_key == "AK"


async def test_gets_as_sent(sealed: FaultServer, certificate: Certificate) -> None:
    async with open_lane(sealed, certificate) as lane:
        whole = await lane.get()
        assert lane.room == DATA
        assert (whole.size, whole.total, whole.facts) == (len(DATA), len(DATA), FACTS)
        etag = whole.etag
        ranged = await lane.get(SPAN, etag)
        assert lane.room == DATA[SPAN.start : SPAN.end]
        assert (ranged.size, ranged.total, ranged.etag) == (SPAN.size, len(DATA), etag)
    first, second = sealed.seen("GetObject")
    assert_signed(first)
    assert_signed(second)
    assert first.headers["x-amz-checksum-mode"] == "ENABLED"
    assert (second.headers["range"], second.headers["if-match"]) == ("bytes=100-1099", etag)
    assert "if-match" not in first.headers
    for request in (first, second):
        assert request.headers[SEAL + "key-md5"] == CUSTOMER_KEY.md5


async def test_a_virtual_hosted_bucket(sealed: FaultServer, certificate: Certificate) -> None:
    """The bucket is in the Host header alone, so this server answers for a bucket named `x`."""
    sealed.script(Match(method="PUT"), Status(200, headers={"etag": '"e"'}, body=b""))
    bucket = Bucket("bucket.s3.example", "/", "eu-west-1", "bucket")
    async with open_lane(sealed, certificate, key=None, bucket=bucket) as lane:
        await lane.put("a/b")
    (request,) = sealed.requests
    assert (request.target, request.headers["host"]) == ("/a/b", "bucket.s3.example")
    assert_signed(request)


async def test_without_a_customer_key(server: FaultServer, certificate: Certificate) -> None:
    server.store("x", DATA)
    async with open_lane(server, certificate, key=None) as lane:
        await lane.put()
        await lane.get()
    assert not [name for sent in server.requests for name in sent.headers if name.startswith(SEAL)]
    assert server.objects["bucket", "y"].customer_key_md5 is None


async def test_the_server_that_checks_nothing_says_so(certificate: Certificate) -> None:
    with FaultServer(certificate, dialect="ceph") as server:
        async with open_lane(server, certificate) as lane:
            assert not (await lane.put()).checked


# Replies that are not believed


@pytest.mark.parametrize("fault", [NoEcho(), WrongEcho()], ids=str)
@pytest.mark.parametrize("operation", ["PutObject", "UploadPart", "GetObject", "a range"])
async def test_a_success_needs_the_echo(
    sealed: FaultServer, certificate: Certificate, operation: str, fault: Fault
) -> None:
    sealed.script(Match(where=lambda _: True), fault)
    async with open_lane(sealed, certificate) as lane:
        calls = {
            "PutObject": lane.put,
            "UploadPart": lambda: lane.part(lane.upload()),
            "GetObject": lane.get,
            "a range": lambda: lane.get(SPAN),
        }
        with pytest.raises(NotSealedError) as caught:
            await calls[operation]()
        assert caught.value.cause is Cause.PERMANENT
        assert lane.count.moved == 0
    assert len(sealed.requests) == 1


@dataclass
class Versioned:
    """The reply names the version that was stored."""

    version_id: str

    def shape(self, plan: Plan) -> None:
        plan.reshape.append(lambda reply: reply.but(x_amz_version_id=self.version_id))


async def test_what_was_stored_unsealed_is_named(
    sealed: FaultServer, certificate: Certificate
) -> None:
    sealed.script(Match(method="PUT"), (NoEcho(), Versioned("v7")))
    async with open_lane(sealed, certificate) as lane:
        with pytest.raises(NotSealedError, match="UNENCRYPTED") as caught:
            await lane.put()
    assert caught.value.version_id == "v7"


@pytest.mark.parametrize(
    ("fault", "kind", "text"),
    [
        (WrongRange(), IntegrityError, "another range"),
        (NoETag(), IntegrityError, "no ETag"),
        (ReplaceObject(b"other" * 1000), ObjectChangedError, "replaced"),
        # More than there is room for, and it says nothing of a range.
        (IgnoreRange(), ObjectChangedError, "longer"),
        (Status(206, headers={"etag": '"e"'}, body=b"x" * 1000), NotSealedError, "sealed"),
    ],
    ids=str,
)
async def test_a_range_is_exactly_what_was_asked_for(
    sealed: FaultServer, certificate: Certificate, fault: Fault, kind: type, text: str
) -> None:
    etag = f'"{sealed.objects["bucket", "x"].etag}"'
    sealed.script(Match(operation="GetObject"), fault)
    async with open_lane(sealed, certificate) as lane:
        with pytest.raises(kind, match=text):
            await lane.get(SPAN, etag)
        assert lane.count.moved == 0


async def test_200_to_a_range_that_fits(sealed: FaultServer, certificate: Certificate) -> None:
    sealed.script(Match(operation="GetObject"), IgnoreRange())
    async with open_lane(sealed, certificate) as lane:
        with pytest.raises(IntegrityError, match="200 to a range"):
            await lane.get(ByteRange(0, len(DATA)))
        assert lane.count.moved == 0


async def test_another_etag_is_shown(sealed: FaultServer, certificate: Certificate) -> None:
    """A server that ignores If-Match: the caller compares."""
    sealed.script(Match(operation="GetObject"), ReplaceObject(bytes(len(DATA))))
    async with open_lane(sealed, certificate) as lane:
        received = await lane.get(SPAN)
        assert received.etag == f'"{sealed.objects["bucket", "x"].etag}"'


async def test_a_longer_object_than_planned(sealed: FaultServer, certificate: Certificate) -> None:
    sealed.store("x", DATA + b"!", customer_key=KEY)
    sealed.script(Match(operation="GetObject", after=1), Chunked())
    async with open_lane(sealed, certificate) as lane:
        for _ in range(2):
            with pytest.raises(ObjectChangedError, match="longer than planned"):
                await lane.get()
            assert lane.count.moved == 0


async def test_a_put_reply_without_etag(sealed: FaultServer, certificate: Certificate) -> None:
    sealed.script(Match(method="PUT", times=2), NoETag())
    async with open_lane(sealed, certificate) as lane:
        with pytest.raises(IntegrityError, match="no ETag"):
            await lane.put()
        with pytest.raises(IntegrityError, match="no ETag"):
            await lane.part(lane.upload())
        assert lane.count.moved == 0


@dataclass
class OtherCrc:
    """The server has stored other bytes, and says so in its checksum."""

    def shape(self, plan: Plan) -> None:
        plan.reshape.append(lambda reply: reply.but(x_amz_checksum_crc64nvme=encode(CRC ^ 1)))


async def test_another_checksum_in_the_reply(sealed: FaultServer, certificate: Certificate) -> None:
    sealed.script(Match(method="PUT"), OtherCrc())
    async with open_lane(sealed, certificate) as lane:
        with pytest.raises(IntegrityError, match="other bytes"):
            await lane.put()


@pytest.mark.parametrize("dialect", ["aws", "ceph"])
async def test_a_byte_flipped_on_the_way_up(certificate: Certificate, dialect: Dialect) -> None:
    with FaultServer(certificate, dialect=dialect) as server:
        server.script(Match(method="PUT"), FlipRequest())
        async with open_lane(server, certificate) as lane:
            with pytest.raises(ReplyError) as caught:
                await lane.put(with_md5=True)
            assert (caught.value.code, caught.value.cause) == ("BadDigest", Cause.BAD_DIGEST)


@pytest.mark.parametrize("dialect", ["aws", "ceph"])
@pytest.mark.parametrize("key", [CustomerKey(OTHER_KEY), None], ids=["other", "none"])
async def test_a_wrong_customer_key(
    certificate: Certificate, dialect: Dialect, key: CustomerKey | None
) -> None:
    with FaultServer(certificate, dialect=dialect) as server:
        server.store("x", DATA, customer_key=KEY)
        async with open_lane(server, certificate, key=key) as lane:
            with pytest.raises(WrongCustomerKeyError) as caught:
                await lane.get()
            assert caught.value.cause is Cause.PERMANENT
            assert "key" in caught.value.hint


# Listings


async def test_listings_as_sent(sealed: FaultServer, certificate: Certificate) -> None:
    for name in ("p/ +~/a", "p/ +~/b/c", "p/ +~/z"):
        sealed.store(name, DATA, customer_key=KEY)
    async with open_lane(sealed, certificate) as lane:
        first = await lane.objects.list_page("p/ +~/", None, "/", 2)
        second = await lane.objects.list_page("p/ +~/", first.next_token, "/", 2)
    (entry,) = first.objects
    stored = sealed.objects["bucket", "p/ +~/a"]
    assert (entry.name, entry.size, entry.etag) == ("p/ +~/a", len(DATA), f'"{stored.etag}"')
    assert entry.modified == int(stored.modified)
    assert first.prefixes == ["p/ +~/b/"]
    assert ([entry.name for entry in second.objects], second[1:]) == (["p/ +~/z"], ([], None))
    token = quote(first.next_token or "", safe="")
    asked = "delimiter=%2F&encoding-type=url&list-type=2&max-keys=2&prefix=p%2F%20%2B~%2F"
    assert [request.target for request in sealed.requests] == [
        f"/bucket?{asked}",
        f"/bucket?continuation-token={token}&{asked}",
    ]
    for request in sealed.requests:
        assert_signed(request)
        assert not [name for name in request.headers if name.startswith(SEAL)]


async def test_a_listing_of_a_virtual_hosted_bucket(
    server: FaultServer, certificate: Certificate
) -> None:
    server.script(Match(method="GET"), Status(200, body=EMPTY_PAGE))
    bucket = Bucket("bucket.s3.example", "/", "eu-west-1", "bucket")
    async with open_lane(server, certificate, bucket=bucket) as lane:
        assert await lane.list_page() == ([], [], None)
    (request,) = server.requests
    asked = "encoding-type=url&list-type=2&max-keys=1000&prefix="
    assert (request.target, request.headers["host"]) == (f"/?{asked}", "bucket.s3.example")
    assert_signed(request)


@pytest.mark.parametrize("dialect", ["aws", "ceph"])
@pytest.mark.parametrize("limit", [1, 3, 1000])
async def test_names_are_listed_as_they_are(
    certificate: Certificate, dialect: Dialect, limit: int
) -> None:
    names = sorted(["a b", "a+b", "a%2Fb", "a/b", "&<>'\"*", "\x1b[2J", "\r\n", "\ufffe", "ü/日本"])
    with FaultServer(certificate, dialect=dialect) as server:
        for name in names:
            server.store(name, b"x", customer_key=KEY)
        found, token = [], None
        async with open_lane(server, certificate) as lane:
            while True:
                page = await lane.objects.list_page("", token, "", limit)
                found += [entry.name for entry in page.objects]
                token = page.next_token
                if token is None:
                    break
    assert found == names


@pytest.mark.parametrize(
    ("fault", "kind", "cause", "text"),
    [
        (
            Status(403, "AccessDenied"),
            ReplyError,
            Cause.PERMANENT,
            "ListObjectsV2 403 AccessDenied",
        ),
        (Status(404, "NoSuchBucket"), ReplyError, Cause.PERMANENT, "NoSuchBucket"),
        (Status(503, "SlowDown"), ReplyError, Cause.THROTTLED, "SlowDown"),
        (Status(200, body=b""), ProtocolError, Cause.GARBLED, "no XML"),
        (Status(200, body=b"<html></html>"), ProtocolError, Cause.GARBLED, "no ListBucketResult"),
        (Status(200, body=EMPTY_PAGE[:-3]), ProtocolError, Cause.GARBLED, "no XML"),
        (
            Status(200, body=EMPTY_PAGE.replace(b"false", b"true")),
            IntegrityError,
            Cause.BAD_DIGEST,
            "no next page",
        ),
    ],
    ids=str,
)
async def test_listings_that_fail(
    server: FaultServer,
    certificate: Certificate,
    fault: Fault,
    kind: type[ObjectError],
    cause: Cause,
    text: str,
) -> None:
    server.script(Match(operation="ListObjectsV2"), fault)
    async with open_lane(server, certificate) as lane:
        with pytest.raises(kind, match=text) as caught:
            await lane.list_page()
    assert caught.value.cause is cause
    assert len(server.requests) == 1


@pytest.mark.parametrize("fault", [(), Chunked()], ids=["length", "chunked"])
async def test_a_listing_that_does_not_end(
    server: FaultServer,
    certificate: Certificate,
    monkeypatch: pytest.MonkeyPatch,
    fault: Any,
) -> None:
    monkeypatch.setattr(pages, "MAX_PAGE_SIZE", len(EMPTY_PAGE))
    endless = Status(200, body=EMPTY_PAGE + b" ")
    server.script(Match(), Status(200, body=EMPTY_PAGE))
    server.script(Match(after=1), (endless, fault) if fault else endless)
    async with open_lane(server, certificate) as lane:
        await lane.list_page()
        with pytest.raises(ProtocolError, match="more than") as caught:
            await lane.list_page()
    assert caught.value.cause is Cause.PERMANENT


async def test_a_prefix_that_no_request_can_hold(
    server: FaultServer, certificate: Certificate
) -> None:
    async with open_lane(server, certificate) as lane:
        with pytest.raises(UnsafeNameError, match="not UTF-8"):
            await lane.objects.list_page("caf\udce9")
    assert server.requests == []


# Redirects


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_not_followed(
    sealed: FaultServer, certificate: Certificate, status: int
) -> None:
    with FaultServer(certificate) as other, FaultServer(None, tls=False) as plain:
        other.store("x", DATA, customer_key=KEY)
        targets = [f"{there.endpoint_url}/bucket/x" for there in (other, plain)]
        for target in targets:
            sealed.script(Match(times=3), Redirect(status, target))
            async with open_lane(sealed, certificate) as lane:
                for call in (lane.get, lane.put, lane.list_page):
                    with pytest.raises(ObjectError) as caught:
                        await call()
                    assert caught.value.cause is Cause.PERMANENT
                    assert target in caught.value.hint
                assert lane.count.moved == 0
        assert (other.connections, plain.connections) == (0, 0)

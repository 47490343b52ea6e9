"""The fault server is what other tests believe, so it is tested itself.

boto3 shows that it is enough of an S3; raw TLS sockets show that each fault does what it says.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import http.client
import os
import socket
import ssl
import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
import trustme
from botocore.config import Config
from botocore.exceptions import ClientError
from tests.faults import (
    ApplyThenReset,
    Chunked,
    CloseBeforeReply,
    Complete200Empty,
    Complete200Error,
    ConnectionClose,
    ConnectProxy,
    Delay,
    Dialect,
    EarlyReply,
    Fault,
    FaultServer,
    Flip,
    FlipRequest,
    Garbage,
    Http10,
    IgnoreRange,
    Informational,
    KeepAliveClose,
    Match,
    NoEcho,
    NoETag,
    Redirect,
    ReplaceObject,
    ResetReply,
    ResetRequest,
    SlowReply,
    Stall,
    Status,
    Truncate,
    WrongEcho,
    WrongRange,
    crc64nvme,
    key_md5_of,
)

MIB = 1024 * 1024
KEY = bytes(range(32))
OTHER_KEY = bytes(range(1, 33))
BODY = bytes(range(256)) * 8
GET = Match(operation="GetObject")
PUT = Match(operation="PutObject")


@dataclass(frozen=True)
class Certificate:
    cert_file: Path
    key_file: Path
    ca_file: Path


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    directory = tmp_path_factory.mktemp("certificate")
    files = Certificate(directory / "cert", directory / "key", directory / "ca")
    authority = trustme.CA()
    leaf = authority.issue_cert("localhost", "127.0.0.1", "::1")
    leaf.private_key_pem.write_to_path(files.key_file)
    files.cert_file.write_bytes(b"".join(blob.bytes() for blob in leaf.cert_chain_pems))
    authority.cert_pem.write_to_path(files.ca_file)
    return files


@pytest.fixture
def server(certificate: Certificate) -> Iterator[FaultServer]:
    with FaultServer(certificate) as running:
        running.store("x", BODY)
        yield running


@pytest.fixture
def plain() -> Iterator[FaultServer]:
    with FaultServer(None, tls=False) as running:
        running.store("x", BODY)
        yield running


def sse(key: bytes = KEY) -> dict[str, str]:
    return {
        "SSECustomerAlgorithm": "AES256",
        "SSECustomerKey": base64.b64encode(key).decode(),
        "SSECustomerKeyMD5": key_md5_of(key),
    }


def sse_headers(key: bytes = KEY) -> dict[str, str]:
    prefix = "x-amz-server-side-encryption-customer-"
    return {
        prefix + "algorithm": "AES256",
        prefix + "key": base64.b64encode(key).decode(),
        prefix + "key-MD5": key_md5_of(key),
    }


def s3_client(server: FaultServer, certificate: Certificate, **config: Any) -> Any:
    return boto3.client(
        "s3",
        endpoint_url=server.endpoint_url,
        region_name="us-east-1",
        aws_access_key_id="AK",
        aws_secret_access_key="SK",
        aws_session_token="TOKEN",
        verify=str(certificate.ca_file),
        config=Config(
            retries={"max_attempts": 0},
            s3={"addressing_style": "path"},
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            **config,
        ),
    )


@pytest.fixture
def client(server: FaultServer, certificate: Certificate) -> Iterator[Any]:
    made = s3_client(server, certificate)
    yield made
    made.close()


class Raw:
    """A connection and nothing else, over TLS when there is a certificate.

    Over TLS `recv` answers b"" to a clean close only. It cannot tell a reset from a missing
    close_notify (Python 3.11 makes SSLEOFError of both), so resets are looked at without TLS.
    """

    def __init__(self, port: int, certificate: Certificate | None) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=5)
        if certificate is not None:
            context = ssl.create_default_context(cafile=str(certificate.ca_file))
            self.socket = context.wrap_socket(
                self.socket, server_hostname="localhost", suppress_ragged_eofs=False
            )

    def __enter__(self) -> Raw:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(
        self,
        method: str = "GET",
        target: str = "/bucket/x",
        body: bytes = b"",
        headers: dict[str, str] | None = None,
        length: int | None = None,
    ) -> Raw:
        told = {"Host": "localhost", "Content-Length": str(length or len(body)), **(headers or {})}
        lines = [f"{method} {target} HTTP/1.1", *(f"{n}: {v}" for n, v in told.items()), "", ""]
        self.socket.sendall("\r\n".join(lines).encode() + body)
        return self

    def reply(self, method: str = "GET") -> tuple[http.client.HTTPResponse, bytes]:
        answer = http.client.HTTPResponse(self.socket, method=method)
        answer.begin()
        return answer, answer.read()

    def all(self) -> bytes:
        """Everything until the clean end of the connection."""
        read = b""
        while chunk := self.socket.recv(65536):
            read += chunk
        return read

    def until(self, *errors: type[OSError]) -> bytes:
        """Everything until receiving fails in one of these ways."""
        read = b""
        try:
            while chunk := self.socket.recv(65536):
                read += chunk
        except errors:
            return read
        raise AssertionError(f"a clean end, not {errors}")


@pytest.fixture
def raw(server: FaultServer, certificate: Certificate) -> Iterator[Raw]:
    with Raw(server.port, certificate) as connection:
        yield connection


def code(error: pytest.ExceptionInfo[ClientError]) -> tuple[int, str]:
    answer: Any = error.value.response
    return answer["ResponseMetadata"]["HTTPStatusCode"], answer["Error"]["Code"]


# -- an S3


def test_objects(client: Any, server: FaultServer) -> None:
    name = "a b/+%ü?#&"
    put = client.put_object(
        Bucket="bucket", Key=name, Body=b"hello", Metadata={"m": "1"}, ContentType="text/x"
    )
    assert put["ETag"] == f'"{hashlib.md5(b"hello").hexdigest()}"'
    got = client.get_object(Bucket="bucket", Key=name)
    assert got["Body"].read() == b"hello"
    assert (got["Metadata"], got["ContentType"]) == ({"m": "1"}, "text/x")
    part = client.get_object(Bucket="bucket", Key=name, Range="bytes=1-2", IfMatch=put["ETag"])
    assert (part["Body"].read(), part["ContentRange"]) == (b"el", "bytes 1-2/5")
    last = client.get_object(Bucket="bucket", Key=name, Range="bytes=-2")
    assert last["Body"].read() == b"lo"
    assert client.head_object(Bucket="bucket", Key=name)["ContentLength"] == 5
    client.delete_object(Bucket="bucket", Key=name)
    assert ("bucket", name) not in server.objects
    assert [request.name for request in server.requests] == [name] * 6


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"Bucket": "none", "Key": "x"}, (404, "NoSuchBucket")),
        ({"Key": "none"}, (404, "NoSuchKey")),
        ({"IfMatch": '"other"'}, (412, "PreconditionFailed")),
        ({"Range": f"bytes={len(BODY)}-"}, (416, "InvalidRange")),
        ({"PartNumber": 2}, (501, "NotImplemented")),
        (sse(), (400, "InvalidRequest")),
    ],
)
def test_refused_reads(client: Any, arguments: Any, expected: tuple[int, str]) -> None:
    with pytest.raises(ClientError) as error:
        client.get_object(**{"Bucket": "bucket", "Key": "x", **arguments})
    assert code(error) == expected


def test_bare_if_match(client: Any, server: FaultServer) -> None:
    etag = server.objects["bucket", "x"].etag
    assert client.get_object(Bucket="bucket", Key="x", IfMatch=etag)["Body"].read() == BODY


def test_conditional_writes(client: Any) -> None:
    for condition in ({"IfNoneMatch": "*"}, {"IfMatch": "other"}):
        with pytest.raises(ClientError) as error:
            client.put_object(Bucket="bucket", Key="x", Body=b"", **condition)
        assert code(error) == (412, "PreconditionFailed")


@pytest.mark.parametrize(
    ("dialect", "wrong", "none"),
    [
        ("aws", (403, "AccessDenied"), (400, "InvalidRequest")),
        ("ceph", (400, "InvalidArgument"), (400, "InvalidArgument")),
    ],
)
def test_customer_keys(
    certificate: Certificate, dialect: Dialect, wrong: tuple[int, str], none: tuple[int, str]
) -> None:
    with FaultServer(certificate, dialect=dialect) as server:
        client = s3_client(server, certificate)
        put = client.put_object(Bucket="bucket", Key="x", Body=BODY, **sse())
        assert put["SSECustomerKeyMD5"] == key_md5_of(KEY)
        got = client.get_object(Bucket="bucket", Key="x", **sse())
        assert (got["Body"].read(), got["SSECustomerAlgorithm"]) == (BODY, "AES256")
        assert (put["ETag"].strip('"') == hashlib.md5(BODY).hexdigest()) is (dialect == "ceph")
        for key, expected in ((sse(OTHER_KEY), wrong), ({}, none)):
            with pytest.raises(ClientError) as error:
                client.get_object(Bucket="bucket", Key="x", **key)
            assert code(error) == expected
            with pytest.raises(ClientError) as error:
                client.head_object(Bucket="bucket", Key="x", **key)
            assert code(error) == (expected[0], str(expected[0]))  # no body, so no code
        client.close()


@pytest.mark.parametrize("dialect", ["aws", "ceph"])
def test_checksums(certificate: Certificate, dialect: Dialect) -> None:
    right, aws = crc64nvme(BODY), dialect == "aws"
    with FaultServer(certificate, dialect=dialect) as server:
        client = s3_client(server, certificate)
        put = client.put_object(Bucket="bucket", Key="x", Body=BODY, ChecksumCRC64NVME=right)
        assert put.get("ChecksumCRC64NVME") == (right if aws else None)
        wrong = {"Bucket": "bucket", "Key": "y", "Body": b"other"}
        if aws:
            with pytest.raises(ClientError) as error:
                client.put_object(**wrong, ChecksumCRC64NVME=right)
            assert code(error) == (400, "BadDigest")
        else:
            client.put_object(**wrong, ChecksumCRC64NVME=right)
        for md5, refusal in ((key_md5_of(BODY), "BadDigest"), ("?", "InvalidDigest")):
            with pytest.raises(ClientError) as error:
                client.put_object(**wrong, ContentMD5=md5)
            assert code(error) == (400, refusal)
        whole = {"Bucket": "bucket", "Key": "x", "ChecksumMode": "ENABLED"}
        assert client.head_object(**whole).get("ChecksumCRC64NVME") == (right if aws else None)
        ranged = client.get_object(**whole, Range="bytes=0-9")
        assert "ChecksumCRC64NVME" not in ranged
        ranged["Body"].read()
        client.close()


def create(client: Any, **extra: Any) -> dict[str, str]:
    made = client.create_multipart_upload(Bucket="bucket", Key="big", **extra)
    return {"Bucket": "bucket", "Key": "big", "UploadId": made["UploadId"]}


def upload_parts(client: Any, place: dict[str, str], bodies: list[bytes], **extra: Any) -> Any:
    parts = []
    for number, body in enumerate(bodies, 1):
        done = client.upload_part(**place, PartNumber=number, Body=body, **extra)
        parts.append({"PartNumber": number, "ETag": done["ETag"]})
    return {"Parts": parts}


@pytest.mark.parametrize("dialect", ["aws", "ceph"])
def test_multipart_round_trip(certificate: Certificate, dialect: Dialect) -> None:
    bodies = [os.urandom(5 * MIB), os.urandom(5 * MIB + 3), b"end"]
    whole = b"".join(bodies)
    with FaultServer(certificate, dialect=dialect) as server:
        client = s3_client(server, certificate)
        place = create(client, Metadata={"m": "1"}, ChecksumAlgorithm="CRC64NVME", **sse())
        listed = upload_parts(client, place, bodies, **sse())
        assert client.list_multipart_uploads(Bucket="bucket")["Uploads"][0]["Key"] == "big"
        page = client.list_parts(**place, MaxParts=2)
        assert (page["IsTruncated"], page["NextPartNumberMarker"]) == (True, 2)
        assert [part["Size"] for part in page["Parts"]] == [5 * MIB, 5 * MIB + 3]
        final = {**place, "MultipartUpload": listed, "ChecksumType": "FULL_OBJECT", **sse()}
        if dialect == "aws":
            with pytest.raises(ClientError) as error:
                client.complete_multipart_upload(**final, ChecksumCRC64NVME=crc64nvme(b""))
            assert code(error) == (400, "BadDigest")
        done = client.complete_multipart_upload(**final, ChecksumCRC64NVME=crc64nvme(whole))
        assert done["ETag"].endswith('-3"')
        got = client.get_object(Bucket="bucket", Key="big", **sse())
        assert got["Body"].read() == whole
        assert (got["Metadata"], got["ETag"]) == ({"m": "1"}, done["ETag"])
        assert not server.uploads
        if dialect == "aws":  # the second Complete: gone, or the same success
            with pytest.raises(ClientError) as error:
                client.complete_multipart_upload(**final)
            assert code(error) == (404, "NoSuchUpload")
        else:
            assert client.complete_multipart_upload(**final)["ETag"] == done["ETag"]
            with pytest.raises(ClientError) as error:
                client.complete_multipart_upload(**{**final, "UploadId": "none"})
            assert code(error) == (500, "InternalError")
        client.close()


def test_multipart_refusals(client: Any, server: FaultServer) -> None:
    place = create(client, **sse())
    parts = upload_parts(client, place, [b"a", b"b"], **sse())["Parts"]
    for number, key, expected in (
        (1, sse(OTHER_KEY), (400, "InvalidRequest")),
        (1, {}, (400, "InvalidRequest")),
        (10_001, sse(), (400, "InvalidArgument")),
    ):
        with pytest.raises(ClientError) as error:
            client.upload_part(**place, PartNumber=number, Body=b"", **key)
        assert code(error) == expected
    for listed, expected in (
        (parts, (400, "EntityTooSmall")),
        (parts[::-1], (400, "InvalidPartOrder")),
        ([], (400, "MalformedXML")),
        ([{"PartNumber": 1, "ETag": "other"}], (400, "InvalidPart")),
    ):
        with pytest.raises(ClientError) as error:
            client.complete_multipart_upload(**place, MultipartUpload={"Parts": listed}, **sse())
        assert code(error) == expected
    client.abort_multipart_upload(**place)
    assert not server.uploads
    with pytest.raises(ClientError) as error:
        client.abort_multipart_upload(**place)
    assert code(error) == (404, "NoSuchUpload")


@pytest.mark.parametrize("dialect", ["aws", "ceph"])
def test_listing(certificate: Certificate, dialect: Dialect) -> None:
    names = sorted(["a b", "a+b", "a/1", "a/2", "b/ü", "b'*&<", "c\x1b", *map(str, range(20))])
    with FaultServer(certificate, dialect=dialect) as server:
        for name in names:
            server.store(name, b"1")
        client = s3_client(server, certificate)
        pages = client.get_paginator("list_objects_v2").paginate(
            Bucket="bucket", PaginationConfig={"PageSize": 4}
        )
        assert [entry["Key"] for page in pages for entry in page["Contents"]] == names
        rolled = client.get_paginator("list_objects_v2").paginate(
            Bucket="bucket", Delimiter="/", StartAfter="a", PaginationConfig={"PageSize": 1}
        )
        rows = [
            row.get("Key") or row["Prefix"]
            for page in rolled
            for row in page.get("Contents", []) + page.get("CommonPrefixes", [])
        ]
        assert rows == ["a b", "a+b", "a/", "b'*&<", "b/", "c\x1b"]
        inside = client.list_objects_v2(Bucket="bucket", Prefix="a/")
        assert [entry["Key"] for entry in inside["Contents"]] == ["a/1", "a/2"]
        assert client.list_objects_v2(Bucket="bucket", MaxKeys=0)["IsTruncated"] is False
        client.delete_objects(Bucket="bucket", Delete={"Objects": [{"Key": "a b"}]})
        assert ("bucket", "a b") not in server.objects
        client.create_bucket(Bucket="new")
        client.head_bucket(Bucket="new")
        client.close()


def test_clock_and_expiry(client: Any, server: FaultServer) -> None:
    server.clock_offset = 1200.0
    with pytest.raises(ClientError) as error:
        client.get_object(Bucket="bucket", Key="x")
    assert code(error) == (403, "RequestTimeTooSkewed")
    server.clock_offset = 0.0
    for token in ("TOKEN", "AK"):
        server.expired_tokens.add(token)
        with pytest.raises(ClientError) as error:
            client.get_object(Bucket="bucket", Key="x")
        assert code(error) == (400, "ExpiredToken")
        server.expired_tokens.clear()
    assert client.get_object(Bucket="bucket", Key="x")["Body"].read() == BODY


def test_copies_are_not_mistaken_for_puts(client: Any, server: FaultServer) -> None:
    client.copy_object(Bucket="bucket", Key="y", CopySource="bucket/x")
    assert server.objects["bucket", "y"].body == BODY
    assert not server.seen("PutObject")


def test_large_body_is_quick(server: FaultServer, certificate: Certificate) -> None:
    body = bytes(100 * MIB)
    started = time.monotonic()
    with Raw(server.port, certificate) as raw:
        assert raw.send("PUT", "/bucket/large", body).reply("PUT")[0].status == 200
        assert raw.send("GET", "/bucket/large").reply()[1] == body
    assert time.monotonic() - started < 60


def test_plain_http_and_ipv6(certificate: Certificate) -> None:
    with FaultServer(None, tls=False) as server:
        assert server.endpoint_url == f"http://localhost:{server.port}"
        connection = http.client.HTTPConnection("127.0.0.1", server.port)
        connection.request("PUT", "/bucket/x", b"1", sse_headers())
        assert connection.getresponse().status == 400
        connection.close()
        assert server.connections == 1
    with FaultServer(certificate, host="::1") as server:
        context = ssl.create_default_context(cafile=str(certificate.ca_file))
        secure = http.client.HTTPSConnection("::1", server.port, context=context)
        secure.request("HEAD", "/bucket")
        assert secure.getresponse().status == 200
        secure.close()


def test_untrusted_certificate_never_connects(server: FaultServer) -> None:
    with pytest.raises(ssl.SSLCertVerificationError):
        ssl.create_default_context().wrap_socket(
            socket.create_connection(("127.0.0.1", server.port)), server_hostname="localhost"
        )
    assert server.connections == 0


# -- scripts


def test_script_after_times_and_order(server: FaultServer, raw: Raw) -> None:
    first = server.script(Match(name="x", after=1, times=2), Status(503, "SlowDown"), Status(500))
    server.script(Match(method="GET", times=None), Status(429))
    statuses = [raw.send().reply()[0].status for _ in range(7)]
    assert statuses == [429, 503, 500, 503, 500, 429, 429]
    assert (first.used, first.total) == (4, 4)


def test_script_by_part_and_predicate(server: FaultServer, raw: Raw) -> None:
    server.script(Match(operation="UploadPart", part=2), Status(503))
    server.script(Match(where=lambda asked: "range" in asked.headers), Status(500))
    target = "/bucket/x?uploadId=none&partNumber="
    statuses = [raw.send("PUT", target + part).reply()[0].status for part in ("1", "2", "2")]
    assert statuses == [404, 503, 404]
    assert raw.send(headers={"Range": "bytes=0-0"}).reply()[0].status == 500


def test_faults_combine(server: FaultServer, raw: Raw) -> None:
    server.script(GET, (Informational(), Chunked(), Truncate(5)))
    sent = raw.send().all()
    assert sent.startswith(b"HTTP/1.1 100 Continue")
    assert sent.endswith(b"5\r\n\x00\x01\x02\x03\x04\r\n")


# -- faults that leave a whole reply


def meet(server: FaultServer, raw: Raw, fault: Fault, **headers: str) -> tuple[Any, bytes]:
    server.script(GET, fault)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return raw.send(headers=named).reply()


def test_status(server: FaultServer, raw: Raw) -> None:
    fault = Status(503, "SlowDown", "Reduce", {"X-Extra": "1"}, retry_after=7)
    answer, body = meet(server, raw, fault)
    assert (answer.status, answer.headers["Retry-After"]) == (503, "7")
    assert answer.headers["x-extra"] == "1"
    assert answer.headers["x-amz-request-id"]
    assert b"<Code>SlowDown</Code><Message>Reduce</Message>" in body
    assert meet(server, raw, Status(418, body=b"tea"))[1] == b"tea"


def test_status_of_head_has_no_body(server: FaultServer, raw: Raw) -> None:
    server.script(Match(method="HEAD"), Status(403, "AccessDenied"))
    answer, _ = raw.send("HEAD").reply("HEAD")
    assert (answer.status, answer.headers["Content-Length"]) == (403, "0")
    assert raw.send().reply()[1] == BODY  # nothing was left over on the connection


def test_status_does_nothing(server: FaultServer, raw: Raw) -> None:
    server.script(PUT, Status(500, "InternalError"))
    assert raw.send("PUT", body=b"new").reply()[0].status == 500
    assert server.objects["bucket", "x"].body == BODY


def test_redirect(server: FaultServer, raw: Raw) -> None:
    answer, _ = meet(server, raw, Redirect(307, "http://elsewhere/"))
    assert (answer.status, answer.headers["Location"]) == (307, "http://elsewhere/")


def test_flip(server: FaultServer, raw: Raw) -> None:
    _, body = meet(server, raw, Flip(3))
    assert [at for at, byte in enumerate(body) if byte != BODY[at]] == [3]


def test_flip_request(server: FaultServer, raw: Raw) -> None:
    server.script(PUT, FlipRequest(1), FlipRequest(1))
    raw.send("PUT", "/bucket/y", b"abc").reply()
    assert server.objects["bucket", "y"].body == b"a\x9dc"
    md5 = base64.b64encode(hashlib.md5(b"abc").digest()).decode()
    answer, body = raw.send("PUT", "/bucket/z", b"abc", {"Content-MD5": md5}).reply()
    assert (answer.status, b"BadDigest" in body) == (400, True)
    assert server.requests[-1].body == b"abc"  # what came in, not what was made of it


def test_ranges(server: FaultServer, raw: Raw) -> None:
    answer, body = meet(server, raw, WrongRange(), Range="bytes=2-3")
    assert (answer.status, body) == (206, BODY[2:4])
    assert answer.headers["Content-Range"] == f"bytes 3-4/{len(BODY)}"
    answer, body = meet(server, raw, IgnoreRange(), Range="bytes=2-3")
    assert (answer.status, body) == (200, BODY)


def test_echo_and_etag(server: FaultServer, raw: Raw) -> None:
    header, key = "x-amz-server-side-encryption-customer-key-MD5", sse_headers()
    server.script(PUT, NoEcho(), WrongEcho(), NoETag())
    first, _ = raw.send("PUT", "/bucket/y", b"1", key).reply()
    assert header not in first.headers
    second, _ = raw.send("PUT", "/bucket/y", b"1", key).reply()
    assert second.headers[header] not in (None, key_md5_of(KEY))
    third, _ = raw.send("PUT", "/bucket/y", b"1", key).reply()
    assert (third.headers["ETag"], third.headers[header]) == (None, key_md5_of(KEY))
    assert (
        b"\r\n" + header.encode() + b": "
        in raw.send("PUT", "/bucket/y", b"1", {**key, "Connection": "close"}).all()
    )


def test_replace_object(server: FaultServer, raw: Raw) -> None:
    old = server.objects["bucket", "x"].etag
    server.script(GET, ReplaceObject(b"new"))
    assert raw.send(headers={"If-Match": f'"{old}"'}).reply()[0].status == 412
    assert raw.send().reply()[1] == b"new"


def test_rekey_object(server: FaultServer, raw: Raw) -> None:
    old = server.store("y", BODY, customer_key=KEY)
    server.script(GET, ReplaceObject(customer_key_md5=key_md5_of(OTHER_KEY)))
    assert raw.send("GET", "/bucket/y", headers=sse_headers()).reply()[0].status == 403
    answer, body = raw.send("GET", "/bucket/y", headers=sse_headers(OTHER_KEY)).reply()
    assert (answer.headers["ETag"], body) == (f'"{old.etag}"', BODY)


def test_chunked(server: FaultServer, raw: Raw) -> None:
    answer, body = meet(server, raw, Chunked())
    assert (answer.headers["Transfer-Encoding"], body) == ("chunked", BODY)
    assert answer.headers["Content-Length"] is None
    assert raw.send().reply()[1] == BODY


def test_http10(server: FaultServer, raw: Raw) -> None:
    server.script(GET, Http10())
    head, _, body = raw.send().all().partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.0 200")
    assert (b"content-length" in head.lower(), body) == (False, BODY)


def test_connection_close(server: FaultServer, raw: Raw) -> None:
    server.script(GET, ConnectionClose())
    sent = raw.send().all()
    assert b"\r\nconnection: close\r\n" in sent
    assert sent.endswith(BODY)


def test_keep_alive_close(server: FaultServer, raw: Raw) -> None:
    server.script(GET, KeepAliveClose(0.1))
    answer, body = raw.send().reply()
    assert (answer.headers["Connection"], body) == (None, BODY)
    assert raw.socket.recv(1) == b""


def test_informational(server: FaultServer, raw: Raw) -> None:
    server.script(GET, (Informational(), ConnectionClose()))
    sent = raw.send().all()
    starts = [line for line in sent.split(b"\r\n") if line.startswith(b"HTTP/1.1 ")]
    assert starts == [b"HTTP/1.1 100 Continue", b"HTTP/1.1 103 Early Hints", b"HTTP/1.1 200 OK"]


def test_expect_continue(raw: Raw) -> None:
    raw.send("PUT", "/bucket/y", headers={"Expect": "100-continue"}, length=3)
    assert raw.socket.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
    raw.socket.sendall(b"abc")
    assert raw.reply("PUT")[0].status == 200


# -- Complete


@pytest.fixture
def completing(client: Any) -> dict[str, Any]:
    place = create(client)
    return {**place, "MultipartUpload": upload_parts(client, place, [b"only"])}


@pytest.mark.parametrize("applied", [False, True])
def test_complete_200_error(
    client: Any, server: FaultServer, completing: dict[str, Any], applied: bool
) -> None:
    complete = Match(operation="CompleteMultipartUpload")
    server.script(complete, Complete200Error("SlowDown", applied=applied))
    with pytest.raises(ClientError) as error:
        client.complete_multipart_upload(**completing)
    assert code(error)[1] == "SlowDown"
    assert (("bucket", "big") in server.objects) is applied


def test_complete_200_empty(raw: Raw, server: FaultServer, completing: dict[str, Any]) -> None:
    server.script(Match(operation="CompleteMultipartUpload"), Complete200Empty())
    target = f"/bucket/big?uploadId={completing['UploadId']}"
    answer, body = raw.send("POST", target, b"<x/>").reply()
    assert (answer.status, body, len(server.uploads)) == (200, b"", 1)


# -- broken connections


def test_reset_request(plain: FaultServer) -> None:
    plain.script(PUT, ResetRequest(1000))
    with Raw(plain.port, None) as raw:
        raw.send("PUT", "/bucket/y", bytes(2000), length=100_000).until(ConnectionResetError)
    assert ("bucket", "y") not in plain.objects
    assert (plain.requests[0].body_length, len(plain.requests[0].body)) == (100_000, 1000)


def test_reset_reply(plain: FaultServer) -> None:
    plain.script(GET, ResetReply(100))
    with Raw(plain.port, None) as raw:
        sent = raw.send().until(ConnectionResetError)
    assert sent.partition(b"\r\n\r\n")[2] == BODY[:100]


def test_reset_under_tls_is_no_clean_end(server: FaultServer, raw: Raw) -> None:
    server.script(GET, ResetReply(100))
    # Python 3.11 hides the RST behind SSLEOFError, 3.13 shows it.
    sent = raw.send().until(ssl.SSLEOFError, ConnectionResetError)
    assert sent.partition(b"\r\n\r\n")[2] == BODY[:100]


def test_truncate(server: FaultServer, raw: Raw) -> None:
    server.script(GET, Truncate(100))
    head, _, body = raw.send().all().partition(b"\r\n\r\n")
    assert f"content-length: {len(BODY)}".encode() in head
    assert body == BODY[:100]


def test_close_before_reply(server: FaultServer, raw: Raw) -> None:
    server.script(PUT, CloseBeforeReply())
    assert raw.send("PUT", "/bucket/y", b"1").all() == b""
    assert ("bucket", "y") not in server.objects
    assert server.requests[0].body == b"1"


def test_apply_then_reset(plain: FaultServer) -> None:
    plain.script(PUT, ApplyThenReset())
    with Raw(plain.port, None) as raw:
        assert raw.send("PUT", "/bucket/y", b"1").until(ConnectionResetError) == b""
    assert plain.objects["bucket", "y"].body == b"1"


def test_garbage(server: FaultServer, raw: Raw) -> None:
    server.script(GET, Garbage(b"\x00garbage"))
    assert raw.send().all() == b"\x00garbage"


def test_early_reply(server: FaultServer, raw: Raw) -> None:
    server.script(PUT, EarlyReply(403, "AccessDenied"))
    raw.send("PUT", "/bucket/y", length=100 * MIB)
    answer, body = raw.reply("PUT")
    assert (answer.status, b"AccessDenied" in body) == (403, True)
    with pytest.raises(OSError, match=r"reset|EOF|[Bb]roken"):
        raw.socket.sendall(bytes(100 * MIB))
    assert server.requests[0].body == b""


# -- slow ones


def test_stalled_request_stops_reading(server: FaultServer, raw: Raw) -> None:
    server.script(PUT, Stall("request", after=1000))
    raw.socket.settimeout(0.3)
    with pytest.raises(TimeoutError):
        raw.send("PUT", "/bucket/y", bytes(16 * MIB))


def test_stall_goes_on(server: FaultServer, raw: Raw) -> None:
    server.script(PUT, Stall("request", after=1, seconds=0.2))
    server.script(GET, Stall("before_head", seconds=0.2), Stall("reply", after=9, seconds=0.2))
    started = time.monotonic()
    assert raw.send("PUT", body=BODY).reply()[0].status == 200
    assert [raw.send().reply()[1] for _ in range(2)] == [BODY, BODY]
    assert time.monotonic() - started >= 0.6


def test_stalls(server: FaultServer, certificate: Certificate) -> None:
    server.script(GET, Stall("before_head"), Stall("reply", after=9))
    for visible in (b"", BODY[:9]):
        with Raw(server.port, certificate) as raw:
            raw.socket.settimeout(0.2)
            sent = raw.send().until(TimeoutError)
            assert sent.partition(b"\r\n\r\n")[2] == visible
    assert len(server.requests) == 2


def test_delay_and_slow_reply(server: FaultServer, raw: Raw) -> None:
    server.script(GET, Delay(0.2), SlowReply(len(BODY) / 0.3))
    for least in (0.2, 0.25):
        started = time.monotonic()
        assert raw.send().reply()[1] == BODY
        assert least <= time.monotonic() - started < 1


# -- mistakes


def test_bad_heads_are_refused(server: FaultServer, certificate: Certificate) -> None:
    for head in (
        b"GET /bucket/x HTTP/1.1\r\n\r\n",
        b"GET /bucket/x HTTP/1.0\r\nHost: a\r\n\r\n",
        b"GET /bucket/x HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
        b"PUT /bucket/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"GET /bucket/x HTTP/1.1\r\nHost : a\r\n\r\n",
    ):
        with Raw(server.port, certificate) as raw:
            raw.socket.sendall(head)
            assert raw.all().startswith(b"HTTP/1.1 400 ")


CHUNKS = {
    "Transfer-Encoding": "chunked",
    "Content-Encoding": "aws-chunked",
    "X-Amz-Content-Sha256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
    "X-Amz-Trailer": "x-amz-checksum-crc32",
}


def in_chunks(*pieces: bytes) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)


def sent_in_chunks(body: bytes, checksum: str) -> bytes:
    """As botocore sends it: chunks of AWS, the checksum behind them, in chunks of HTTP."""
    trailer = b"0\r\nx-amz-checksum-crc32:" + checksum.encode() + b"\r\n\r\n"
    inner = in_chunks(body[:100], body[100:]) + trailer
    return in_chunks(inner[:7], inner[7:]) + b"0\r\n\r\n"


def put_in_chunks(server: FaultServer, certificate: Certificate, checksum: str) -> int:
    lines = ["PUT /bucket/y HTTP/1.1", "Host: a", *(f"{n}: {v}" for n, v in CHUNKS.items())]
    head = "\r\n".join([*lines, "", ""]).encode()
    with Raw(server.port, certificate) as raw:
        raw.socket.sendall(head + sent_in_chunks(BODY, checksum))
        return raw.reply("PUT")[0].status


def test_bodies_in_chunks_are_taken_and_checked_when_asked_for(certificate: Certificate) -> None:
    crc32 = base64.b64encode(zlib.crc32(BODY).to_bytes(4, "big")).decode()
    with FaultServer(certificate, chunks=True) as server:
        assert put_in_chunks(server, certificate, "AAAAAA==") == 400
        assert ("bucket", "y") not in server.objects
        assert put_in_chunks(server, certificate, crc32) == 200
        assert server.objects["bucket", "y"].body == server.seen("PutObject")[1].body == BODY
        with Raw(server.port, certificate) as raw:
            asked = {"x-amz-checksum-mode": "ENABLED"}
            told = raw.send(target="/bucket/y", headers=asked).reply()[0].headers
    assert (told["x-amz-checksum-crc32"], told["x-amz-checksum-crc64nvme"]) == (crc32, None)


def test_a_body_in_chunks_breaks_where_it_is_told_to(certificate: Certificate) -> None:
    with FaultServer(certificate, chunks=True) as server:
        server.script(PUT, ResetRequest(50))
        with pytest.raises(OSError, match=r".+"):
            put_in_chunks(server, certificate, "")
        assert len(server.seen("PutObject")[0].body) == 50
        assert not server.objects


def test_a_fault_that_cannot_be_met_fails_the_test(certificate: Certificate) -> None:
    def meet_it() -> None:
        with FaultServer(certificate) as server:
            server.store("x", b"")
            server.script(GET, Flip(0))
            with Raw(server.port, certificate) as raw, contextlib.suppress(ssl.SSLEOFError):
                raw.send().all()

    with pytest.raises(ExceptionGroup):
        meet_it()


# -- the proxy


def through(proxy: ConnectProxy, server: FaultServer, certificate: Certificate, **head: str) -> Any:
    context = ssl.create_default_context(cafile=str(certificate.ca_file))
    connection = http.client.HTTPSConnection("127.0.0.1", proxy.port, context=context)
    connection.set_tunnel("localhost", server.port, head)
    try:
        connection.request("GET", "/bucket/x")
        return connection.getresponse().read()
    finally:
        connection.close()


def test_proxy(server: FaultServer, certificate: Certificate) -> None:
    with ConnectProxy() as proxy:
        assert through(proxy, server, certificate) == BODY
        assert proxy.connects == [f"localhost:{server.port}"]
        client = s3_client(server, certificate, proxies={"https": proxy.url})
        assert client.get_object(Bucket="bucket", Key="x")["Body"].read() == BODY
        client.close()
        assert len(proxy.connects) == 2


def test_proxy_that_asks_for_credentials(server: FaultServer, certificate: Certificate) -> None:
    given = {"Proxy-Authorization": "Basic " + base64.b64encode(b"user:pass").decode()}
    with ConnectProxy(credentials=("user", "pass")) as proxy:
        with pytest.raises(OSError, match="407"):
            through(proxy, server, certificate)
        assert through(proxy, server, certificate, **given) == BODY


def test_proxy_that_refuses(server: FaultServer, certificate: Certificate) -> None:
    with ConnectProxy(refuse=True) as proxy, pytest.raises(OSError, match="403"):
        through(proxy, server, certificate)
    assert server.connections == 0

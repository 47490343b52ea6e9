"""What the parts of a request cost in this process: `python -m benchmarks.micro`.

Microseconds for one object each, the least of several repeats: what disturbs a run only adds.
botocore's lines are what the control plane would pay for the same work, without any network.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import time
import timeit
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import botocore.session
from botocore.awsrequest import AWSResponse
from botocore.config import Config
from botocore.parsers import create_parser
from rich.console import Console
from rich.table import Table

from sealift import checksums
from sealift.keys import CustomerKey
from sealift.model import KiB
from sealift.wire import http1, listing, sigv4

_REPEATS = 7
_TARGET_TIME = 0.1
_PAGE_SIZE = 1000
_BODY = bytes(16 * KiB)
_CREDENTIALS = ("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
_KEY = bytes(range(32))
_NAME = "photos/2025/album-07/f{:09}.bin"

_HEAD = (
    b"HTTP/1.1 200 OK\r\nDate: Tue, 24 Nov 2026 10:00:00 GMT\r\nServer: AmazonS3\r\n"
    b"Content-Type: binary/octet-stream\r\nContent-Length: 16384\r\nConnection: keep-alive\r\n"
    b"Accept-Ranges: bytes\r\nLast-Modified: Tue, 24 Nov 2026 09:00:00 GMT\r\n"
    b'ETag: "0123456789abcdef0123456789abcdef"\r\nx-amz-request-id: 7A1B2C3D4E5F6A7B\r\n'
    b"x-amz-id-2: " + b"i" * 76 + b"\r\nx-amz-version-id: " + b"v" * 32 + b"\r\n"
    b"x-amz-server-side-encryption-customer-algorithm: AES256\r\n"
    b"x-amz-server-side-encryption-customer-key-MD5: 4gRn5uaGoM0cp0zEo2zsCA==\r\n"
    b"x-amz-checksum-crc64nvme: AAAAAAAAAAA=\r\n\r\n"
)


@dataclass(frozen=True, slots=True)
class Case:
    """`work` does the work of `count` objects."""

    name: str
    work: Callable[[], object]
    count: int = 1


def cost(case: Case) -> float:
    """Seconds of one object."""
    timer = timeit.Timer(case.work)
    number = 1
    while timer.timeit(number) < _TARGET_TIME / _REPEATS:
        number *= 2
    return min(timer.repeat(_REPEATS, number)) / number / case.count


def cases() -> Iterator[Case]:
    yield from _request_cases()
    yield Case("head of a reply: parse, framing, keep-alive", _read_head)
    page = _list_page()
    assert len(listing.parse_page(page).objects) == _PAGE_SIZE
    yield Case("LIST, one object of a page", lambda: listing.parse_page(page), _PAGE_SIZE)
    yield Case("CRC64NVME of 16 KiB", lambda: checksums.crc64(_BODY))
    yield Case(
        "MD5 of 16 KiB, where a server checks nothing else",
        lambda: hashlib.md5(_BODY, usedforsecurity=False).digest(),
    )
    yield from _botocore_cases()


def _request_cases() -> Iterator[Case]:
    signer = sigv4.Signer(sigv4.Credentials(*_CREDENTIALS), "us-east-1")
    sealed = CustomerKey(_KEY).headers()
    date = sigv4.amz_date(time.time())
    fixed = [
        ("host", "bucket.s3.us-east-1.amazonaws.com"),
        ("x-amz-content-sha256", sigv4.UNSIGNED_PAYLOAD),
        ("x-amz-date", date),
        ("x-amz-checksum-crc64nvme", "AAAAAAAAAAA="),
        *sealed,
    ]
    headers = sorted(fixed)
    path = "/" + sigv4.uri_path(_NAME.format(7))

    def sign() -> str:
        return signer.authorization("PUT", path, "", headers, date, sigv4.UNSIGNED_PAYLOAD)

    authorization = sign()
    whole = [*headers, ("content-length", "16384"), ("authorization", authorization)]

    def whole_request() -> bytes:
        target = "/" + sigv4.uri_path(_NAME.format(7))
        signed = signer.authorization("PUT", target, "", headers, date, sigv4.UNSIGNED_PAYLOAD)
        fields = [*headers, ("content-length", "16384"), ("authorization", signed)]
        return http1.request_head("PUT", target, fields)

    yield Case("SigV4: sign", sign)
    yield Case("request head: format", lambda: http1.request_head("PUT", path, whole))
    yield Case("request: path, sign and format", whole_request)


def _read_head() -> bool:
    parsed = http1.parse_head(_HEAD, len(_HEAD))
    assert parsed is not None
    head, _ = parsed
    return http1.keeps_alive(head, http1.body_framing("GET", head))


# botocore


def _botocore_cases() -> Iterator[Case]:
    session = botocore.session.Session()
    client = session.create_client(
        "s3",
        region_name="us-east-1",
        aws_access_key_id=_CREDENTIALS[0],
        aws_secret_access_key=_CREDENTIALS[1],
        config=Config(
            request_checksum_calculation="when_required", s3={"addressing_style": "path"}
        ),
    )
    sealed = {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": _KEY}
    client.meta.events.register("before-send.s3", _Instead())

    def put() -> None:
        client.put_object(Bucket="bucket", Key=_NAME.format(7), Body=_BODY, **sealed)

    yield Case("botocore put_object, whole call without network", put)
    operation = client.meta.service_model.operation_model("ListObjectsV2")
    parser = create_parser(client.meta.service_model.protocol)
    reply = {"status_code": 200, "headers": {}, "body": _list_page()}

    def parse() -> Any:
        return parser.parse(reply, operation.output_shape)

    assert len(parse()["Contents"]) == _PAGE_SIZE
    yield Case("botocore LIST, one object of a page", parse, _PAGE_SIZE)


class _Instead:
    """Answers in the server's place."""

    def __call__(self, request: Any, **_: Any) -> AWSResponse:
        return AWSResponse(request.url, 200, {"ETag": '"e"'}, _Empty())


class _Empty:
    def stream(self) -> Iterator[bytes]:
        yield b""


def _list_page() -> bytes:
    entries = "".join(
        f"<Contents><Key>{_NAME.format(number)}</Key>"
        "<LastModified>2026-11-24T09:00:00.000Z</LastModified>"
        "<ETag>&quot;0123456789abcdef0123456789abcdef&quot;</ETag><Size>16384</Size>"
        "<StorageClass>STANDARD</StorageClass></Contents>"
        for number in range(_PAGE_SIZE)
    )
    return (
        '<?xml version="1.0" encoding="UTF-8"?>'
        '<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>bucket</Name>'
        f"<EncodingType>url</EncodingType><KeyCount>{_PAGE_SIZE}</KeyCount><IsTruncated>false</IsTruncated>{entries}"
        "</ListBucketResult>"
    ).encode()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.micro", description=__doc__)
    parser.add_argument("--json", action="store_true", help="one object on stdout")
    options = parser.parse_args()
    costs = {case.name: cost(case) * 1e6 for case in cases()}
    if options.json:
        print(json.dumps(costs, indent=1))
        return
    table = Table(title="cost of one object", title_justify="left")
    table.add_column("")
    table.add_column("us", justify="right")
    for name, microseconds in costs.items():
        table.add_row(name, f"{microseconds:.2f}")
    Console(highlight=False).print(table)


if __name__ == "__main__":
    main()

"""What the tests of the wire and of the engine share: certificates, raw servers, counters."""

from __future__ import annotations

import asyncio
import base64
import functools
import json
import socket
import ssl
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote, quote_plus

import trustme
import uvloop
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as BotoCredentials
from tests.faults import FaultServer, Request
from tests.faults.plan import Plan
from tests.faults.threads import LoopThread

from sealift.keys import CustomerKey
from sealift.tls import client_context
from sealift.wire.address import Server
from sealift.wire.http1 import request_head
from sealift.wire.pool import Pool


class UvLoop(uvloop.Loop):
    """uvloop's, but for an error of its own that fails no exchange, and that tests would fail by.

    A connection that is given up just after its handshake may be written to once more by its TLS
    (uvloop 0.23, seen once in six runs of a test on a machine under load).
    """

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        if "the handler is closed" not in str(context.get("exception")):
            super().call_exception_handler(context)


BACKENDS = [
    ("asyncio", {"use_uvloop": False}),
    ("asyncio", {"loop_factory": UvLoop}),
]
KEY = bytes(range(32))
OTHER_KEY = bytes(range(1, 33))
CUSTOMER_KEY = CustomerKey(KEY)
# Bytes whose base64 form holds + and /, so that quoting changes it.
SECRET = bytes((i * 37 + 251) % 256 for i in range(32))

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass(frozen=True)
class Certificate:
    """PEM files; the certificate is for localhost, 127.0.0.1 and ::1 unless told otherwise."""

    cert_file: Path
    key_file: Path
    ca_file: Path

    @classmethod
    def make(cls, directory: Path, *names: str) -> Certificate:
        files = cls(directory / "cert", directory / "key", directory / "ca")
        authority = trustme.CA()
        leaf = authority.issue_cert(*(names or ("localhost", "127.0.0.1", "::1")))
        leaf.private_key_pem.write_to_path(files.key_file)
        files.cert_file.write_bytes(b"".join(blob.bytes() for blob in leaf.cert_chain_pems))
        authority.cert_pem.write_to_path(files.ca_file)
        return files


class Count:
    """A byte counter as a job has one."""

    def __init__(self) -> None:
        self.moved = 0


class RawServer(LoopThread):
    """A TLS server that does with each connection what `serve` says, to the byte."""

    def __init__(self, certificate: Certificate, serve: Serve) -> None:
        super().__init__()
        self.port = 0
        self.connections = 0
        self._certificate = certificate
        self._serve = serve

    @property
    def endpoint_url(self) -> str:
        return f"https://localhost:{self.port}"

    async def _open(self) -> asyncio.Server:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self._certificate.cert_file, self._certificate.key_file)
        server = await asyncio.start_server(
            self._accept, "127.0.0.1", 0, ssl=context, ssl_shutdown_timeout=1.0
        )
        self.port = server.sockets[0].getsockname()[1]
        return server

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._spawn(self._carry(reader, writer))

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._serve(reader, writer)
        except (OSError, EOFError):
            pass  # the client gave up, as it may
        finally:
            writer.transport.abort()


class SlowReader:
    """Takes one request with a body of `size` bytes in sips, through small kernel buffers."""

    SIP = 8192
    PAUSE = 0.02

    def __init__(self, certificate: Certificate, size: int) -> None:
        self._size = size
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate.cert_file, certificate.key_file)
        self._listener = socket.socket()
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2 * self.SIP)
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen()
        self.endpoint_url = f"https://localhost:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.join(5)
        self._listener.close()

    def _serve(self) -> None:
        channel, _ = self._listener.accept()
        with channel, self._context.wrap_socket(channel, server_side=True) as secured:
            received = b""
            while b"\r\n\r\n" not in received:
                received += secured.recv(self.SIP)
            left = self._size - len(received.partition(b"\r\n\r\n")[2])
            while left > 0 and (sip := secured.recv(self.SIP)):
                left -= len(sip)
                time.sleep(self.PAUSE)
            secured.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")


async def until(true: Callable[[], object]) -> None:
    """Wait for what another thread brings about."""
    while not true():  # noqa: ASYNC110 - it sets no event
        await asyncio.sleep(0.005)


@asynccontextmanager
async def open_pool(
    server: FaultServer | RawServer | SlowReader, certificate: Certificate, **options: Any
) -> AsyncIterator[Pool]:
    """A pool of connections to `server`, closed at the end."""
    pool = Pool(
        Server.from_url(server.endpoint_url), client_context(str(certificate.ca_file)), **options
    )
    try:
        yield pool
    finally:
        pool.close()
        await asyncio.sleep(0.02)  # aborted transports close their sockets in the loop


def request(method: str, name: str, size: int | None = None, **headers: str) -> bytes:
    """A request head for the object `name`, unsigned: the fault server does not ask."""
    fields = [
        ("host", "localhost"),
        *((key.replace("_", "-"), value) for key, value in headers.items()),
    ]
    if size is not None:
        fields.append(("content-length", str(size)))
    return request_head(method, f"/bucket/{name}", fields)


def open_count(pool: Pool) -> int:
    """How many connections of the pool are in use or kept: the books, seen from outside."""
    return len(pool._busy) + sum(connection.is_open for connection in pool._idle)


def assert_signed(request: Request, region: str = "eu-west-1") -> None:
    """Compare the signature with botocore's of the same request."""
    sent = request.headers
    names = sent["authorization"].split("SignedHeaders=")[1].split(",")[0].split(";")
    signer = S3SigV4Auth(BotoCredentials("AK", "SK"), "s3", region)
    copy = AWSRequest(
        request.method,
        f"https://{sent['host']}{request.target}",
        headers={name: sent[name] for name in names},
    )
    copy.context.update(timestamp=sent["x-amz-date"], payload_signing_enabled=False)
    to_sign = signer.string_to_sign(copy, signer.canonical_request(copy))
    assert sent["authorization"].endswith(f"Signature={signer.signature(to_sign, copy)}")
    assert {"host", "x-amz-date", "x-amz-content-sha256"} <= set(names)
    assert {name for name in sent if name.startswith("x-amz-")} <= set(names)


@dataclass
class Do:
    """Whatever a test wants to happen when such a request comes in; the exchange is as usual."""

    act: Callable[[], object]

    def shape(self, plan: Plan) -> None:
        self.act()


def forms(raw: bytes) -> dict[str, bytes]:
    """How a key may be written."""
    text = base64.b64encode(raw).decode()
    found = {
        "raw": raw,
        "base64": text,
        "urlsafe": base64.urlsafe_b64encode(raw).decode(),
        "quoted": quote(text, safe=""),
        "quoted, slash kept": quote(text),
        "form": quote_plus(text),
        "hex": raw.hex(),
        "HEX": raw.hex().upper(),
        "repr": repr(raw)[2:-1],
        "list": str(list(raw))[1:-1],
        "latin-1": raw.decode("latin-1"),
        "JSON": json.dumps(raw.decode("latin-1"))[1:-1],
    }
    # Amid other bytes, base64 begins with the rest of a group of three.
    for shift in (1, 2):
        found[f"base64 + {shift}"] = base64.b64encode(bytes(shift) + raw).decode()[shift + 1 : -4]
    for shift in (0, 1, 2):
        twice = base64.b64encode(bytes(shift) + text.encode()).decode()
        found[f"base64 twice + {shift}"] = twice[shift + (shift > 0) : -4]
    return {
        name: form if isinstance(form, bytes) else form.encode() for name, form in found.items()
    }


@functools.cache
def fragments(raw: bytes) -> tuple[tuple[str, bytes], ...]:
    """Every piece of a key that is worth eight of its bytes, in each form."""
    found = {}
    for name, form in forms(raw).items():
        if "base64" in name or name in ("urlsafe", "form") or "quoted" in name:
            size = 15 if "twice" in name else 11
            pieces = [form[start : start + size] for start in range(len(form) - size + 1)]
        else:
            pieces = [forms(raw[start : start + 8])[name] for start in range(len(raw) - 7)]
        found |= dict.fromkeys(pieces, name)
    return tuple((name, piece) for piece, name in found.items())


def assert_secret(shown: str | bytes, key: bytes = SECRET) -> None:
    """No eight bytes of a key, in any form, are in what was shown, nor a profile's secret key."""
    data = shown.encode("utf-8", "surrogateescape") if isinstance(shown, str) else shown
    data = data.replace(bytes(64), b"")  # the bulk of large files: it holds nothing to find
    leaked = {name for name, piece in fragments(key) if piece in data}
    assert not leaked, f"the customer key was shown: {leaked}"
    assert b"SECRET-KEY-OF-THE-PROFILE" not in data

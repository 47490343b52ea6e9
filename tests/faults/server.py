"""`FaultServer`: an S3 that misbehaves as told. See the package docstring for how to use it."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Protocol

from .customer import Dialect, key_md5_of
from .messages import Request
from .plan import Fault, Match, Plan, Script
from .s3 import S3
from .stored import Stored, Upload
from .threads import LoopThread
from .wire import Connection

# Bounded, so that a client notices at once when the server stops reading: loopback buffers
# would otherwise swallow several MiB of a stalled upload.
_RECEIVE_BUFFER_SIZE = 256 * 1024
_READER_LIMIT = 256 * 1024  # also the largest head
_TLS_CLOSE_SECONDS = 1.0  # how long a clean close waits for the peer's close_notify


class Certificate(Protocol):
    """What `sealift.embedded.make_certificate` returns."""

    @property
    def cert_file(self) -> Path: ...
    @property
    def key_file(self) -> Path: ...
    @property
    def ca_file(self) -> Path: ...


class FaultServer(LoopThread):
    """An in-memory S3 on loopback, in its own thread, for the time of a `with` block."""

    def __init__(
        self,
        certificate: Certificate | None,
        *,
        host: str = "127.0.0.1",
        tls: bool = True,
        dialect: Dialect = "aws",
        buckets: Iterable[str] = ("bucket",),
        chunks: bool = False,
    ) -> None:
        super().__init__()
        if tls and certificate is None:
            raise ValueError("TLS needs a certificate")
        self.s3 = S3(dialect=dialect, secure=tls, buckets=buckets)
        self.requests: list[Request] = []
        """Every request, in the order in which their bodies were read (or stopped being so)."""
        self.connections = 0
        """Connections accepted so far; under TLS those whose handshake succeeded."""
        self.port = 0
        self.chunks = chunks
        """Whether bodies in chunks are taken, as the SDKs of others send them."""
        self._host = host
        self._certificate = certificate if tls else None
        self._scripts: list[Script] = []

    @property
    def endpoint_url(self) -> str:
        """What a client is to be configured with."""
        scheme = "http" if self._certificate is None else "https"
        host = "localhost" if self._host == "127.0.0.1" else self._host
        return f"{scheme}://{f'[{host}]' if ':' in host else host}:{self.port}"

    @property
    def objects(self) -> dict[tuple[str, str], Stored]:
        """(bucket, name) -> what is stored."""
        return self.s3.objects

    @property
    def uploads(self) -> dict[str, Upload]:
        """Upload id -> multipart upload in progress."""
        return self.s3.uploads

    @property
    def expired_tokens(self) -> set[str]:
        """Session tokens and access keys that are answered by 400 ExpiredToken."""
        return self.s3.expired_tokens

    @property
    def clock_offset(self) -> float:
        """Seconds by which the server's clock is wrong."""
        return self.s3.clock_offset

    @clock_offset.setter
    def clock_offset(self, seconds: float) -> None:
        self.s3.clock_offset = seconds

    def script(self, match: Match, *faults: Fault | tuple[Fault, ...]) -> Script:
        """Let requests that match meet these faults, one each (a tuple: all at once).

        Of several scripts the first that has a fault left for a request gets it.
        """
        if not faults:
            raise ValueError("a script needs a fault")
        script = Script(match, faults)
        self._scripts.append(script)
        return script

    def store(
        self,
        name: str,
        body: bytes,
        *,
        bucket: str = "bucket",
        customer_key: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Stored:
        """Put an object there without a client."""
        key_md5 = None if customer_key is None else key_md5_of(customer_key)
        return self.s3.store(bucket, name, body, headers, key_md5)

    def seen(self, operation: str) -> list[Request]:
        """The requests of one operation."""
        return [request for request in self.requests if request.operation == operation]

    # -- what connections ask of their server

    def plan_for(self, request: Request) -> Plan:
        """How this request is to go."""
        plan = Plan()
        taken = (script.take(request) for script in self._scripts)
        for fault in next((faults for faults in taken if faults), ()):
            fault.shape(plan)
        return plan

    def record(self, request: Request) -> None:
        """Remember a request whose body was read as far as it will be."""
        self.requests.append(request)

    async def _open(self) -> asyncio.Server:
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER_SIZE)
        listener.bind((self._host, 0))
        self.port = listener.getsockname()[1]
        context = None if self._certificate is None else _context(self._certificate)
        return await asyncio.start_server(
            self._accept,
            sock=listener,
            ssl=context,
            ssl_shutdown_timeout=None if context is None else _TLS_CLOSE_SECONDS,
            limit=_READER_LIMIT,
            backlog=1024,
        )

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._spawn(Connection(self, self.connections, reader, writer).run())


def _context(certificate: Certificate) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(certificate.cert_file, certificate.key_file)
    context.set_alpn_protocols(["http/1.1"])
    return context

"""What the fault server and the relay have in common: a listener over TLS, and scripts of faults.

Who is behind it, an S3 in memory or a real one, is up to `serve` and `dress`.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from pathlib import Path
from typing import Protocol

from .messages import Reply, Request
from .plan import Fault, Match, Plan, Script
from .scripts import ReplaceObject
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


class Front(LoopThread):
    """Accepts connections on loopback, in its own thread, for the time of a `with` block."""

    def __init__(
        self,
        certificate: Certificate | None,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        tls: bool = True,
    ) -> None:
        super().__init__()
        if tls and certificate is None:
            raise ValueError("TLS needs a certificate")
        self.requests: list[Request] = []
        """Every request, in the order in which their bodies were read (or stopped being so)."""
        self.connections = 0
        """Connections accepted so far; under TLS those whose handshake succeeded."""
        self.port = port
        self.chunks = False
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

    def script(self, match: Match, *faults: Fault | tuple[Fault, ...]) -> Script:
        """Let requests that match meet these faults, one each (a tuple: all at once).

        Of several scripts the first that has a fault left for a request gets it.
        """
        if not faults:
            raise ValueError("a script needs a fault")
        script = Script(match, faults)
        self._scripts.append(script)
        return script

    def seen(self, operation: str) -> list[Request]:
        """The requests of one operation."""
        return [request for request in self.requests if request.operation == operation]

    # -- what connections ask of their server

    def faults_for(self, request: Request) -> tuple[Fault, ...]:
        """What this request is to meet."""
        taken = (script.take(request) for script in self._scripts)
        return next((faults for faults in taken if faults), ())

    def plan_for(self, request: Request) -> Plan:
        """How this request is to go."""
        plan = Plan()
        for fault in self.faults_for(request):
            fault.shape(plan)
        return plan

    def record(self, request: Request) -> None:
        """Remember a request whose body was read as far as it will be."""
        self.requests.append(request)

    def replace_object(self, request: Request, by: ReplaceObject) -> None:
        """Let another writer be quicker than `request`."""
        raise NotImplementedError

    async def serve(self, request: Request) -> Reply:
        """Do what is asked and answer it."""
        raise NotImplementedError

    def dress(self, request: Request, reply: Reply) -> Reply:
        """Add to a planned reply what every reply has."""
        raise NotImplementedError

    async def _open(self) -> asyncio.Server:
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        # Named so that asyncio sets TCP_NODELAY: else each body waits 40 ms for the head's ACK.
        listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER_SIZE)
        listener.bind((self._host, self.port))
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

"""Which connection carries a request: idle ones first, the last used first.

The pool has no upper bound of its own: each worker has one request in flight and the listing has
one, so there are never more connections than that. A connection that sat idle for `IDLE_LIFETIME`
is not used again. A request whose kept connection turns out to be dead before the first byte of a
reply is sent once more on a new connection, which costs no attempt.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import ssl
import time
from collections import deque
from collections.abc import Callable

from sealift.errors import Cause, LocalFileError, NetworkError
from sealift.wire.address import Lookup, Proxy, Server
from sealift.wire.bandwidth import Bandwidth
from sealift.wire.connection import Body, Connection, Counter, Deadlines
from sealift.wire.http1 import parse_head, request_head
from sealift.wire.receiving import Reply

# S3 closes idle connections after some 5 s (comment in aws-c-s3), others after a minute.
IDLE_LIFETIME = 4.0
CHECK_INTERVAL = 1.0


class Pool:
    """Connections to one server."""

    def __init__(
        self,
        server: Server,
        context: ssl.SSLContext,
        *,
        proxy: Proxy | None = None,
        deadlines: Deadlines = Deadlines(),  # noqa: B008 - frozen
        bandwidth: Bandwidth | None = None,
        clock: Callable[[], float] = time.monotonic,
        connection: Callable[[Bandwidth | None], Connection] = Connection,
    ) -> None:
        self._server = server
        self._context = context
        self._proxy = proxy
        self._deadlines = deadlines
        self._bandwidth = bandwidth
        self._clock = clock
        self._make_connection = connection
        first_hop = proxy or server
        self._lookup = Lookup(first_hop.host, first_hop.port)
        self._idle: deque[Connection] = deque()
        self._busy: set[Connection] = set()
        self._watch: asyncio.TimerHandle | None = None
        self.connect_count = 0
        self.request_count = 0
        # Seconds that the first answer took, on a connection that stood.
        self.answer_time: float | None = None

    async def exchange(
        self,
        method: str,
        head: memoryview,
        body: Body | None = None,
        room: memoryview | None = None,
        counter: Counter | None = None,
        *,
        again: bool = True,
    ) -> Reply:
        """Send a request and read its reply; see `Connection.exchange`. Raises NetworkError.

        With `again` False a request is not sent once more on a new connection.
        """
        stale = False
        while True:
            kept = None if stale else self._take_idle()
            connection = kept or await self._connect()
            self._busy.add(connection)
            if self._watch is None:
                self._watch = asyncio.get_running_loop().call_later(CHECK_INTERVAL, self._check)
            began = self._clock()
            self.request_count += 1
            try:
                reply = await connection.exchange(method, head, body, room, counter)
                if self.answer_time is None:
                    self.answer_time = self._clock() - began
                return reply
            except NetworkError as error:
                if kept is None or error.cause is not Cause.STALE or not again:
                    self._lookup.forget()
                    raise
                stale = True
            finally:
                self._busy.discard(connection)
                if connection.is_open:
                    connection.idle_since = self._clock()
                    self._idle.append(connection)

    async def greet(self) -> ssl.SSLObject:
        """Open a connection, which is kept for a request; what TLS says of the server."""
        connection = await self._connect()
        connection.idle_since = self._clock()
        self._idle.append(connection)
        return connection.ssl_object

    def close(self) -> None:
        """Drop all connections, those in use too."""
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
        for connection in (*self._idle, *self._busy):
            connection.close()
        self._idle.clear()

    def _take_idle(self) -> Connection | None:
        """The idle connection used last, if it is fresh enough; older ones are closed."""
        oldest = self._clock() - IDLE_LIFETIME
        while self._idle:
            connection = self._idle.pop()
            if connection.is_open and connection.idle_since > oldest:
                return connection
            connection.close()
        return None

    def _check(self) -> None:
        now = self._clock()
        for connection in tuple(self._busy):
            connection.check(now, self._deadlines)
        while self._idle and self._idle[0].idle_since < now - IDLE_LIFETIME:
            self._idle.popleft().close()
        again = self._busy or self._idle
        loop = asyncio.get_running_loop()
        self._watch = loop.call_later(CHECK_INTERVAL, self._check) if again else None

    async def _connect(self) -> Connection:
        """A new connection: each address of the server in turn, within the connect deadline.

        Each may take half of the time that is left, as in curl: S3 has eight addresses, and an
        eighth of the deadline would be too short for TLS on a far or busy line.
        """
        failure: NetworkError | None = None
        addresses = await self._lookup.addresses()
        loop = asyncio.get_running_loop()
        end = loop.time() + self._deadlines.connect
        for left, address in reversed(list(enumerate(reversed(addresses)))):
            span = end - loop.time()
            try:
                async with asyncio.timeout(span / 2 if left else span):
                    return await self._connect_to(address)
            except ssl.SSLCertVerificationError as reason:
                raise _untrusted(self._server, reason) from None
            except OSError as reason:  # TimeoutError and ssl.SSLError are among them
                if reason.errno in (errno.EMFILE, errno.ENFILE):  # more attempts free none
                    raise LocalFileError("connect to", self._server.netloc, reason) from None
                text = "no answer in time" if isinstance(reason, TimeoutError) else reason.strerror
                failure = NetworkError(
                    f"cannot connect to {self._server.netloc}: {text or type(reason).__name__}",
                    cause=Cause.CONNECT,
                    hint="check the endpoint and the network",
                )
        self._lookup.forget()
        assert failure is not None
        raise failure

    async def _connect_to(self, address: str) -> Connection:
        loop = asyncio.get_running_loop()
        connection = self._make_connection(self._bandwidth)
        self.connect_count += 1
        if self._proxy is None:
            await loop.create_connection(
                lambda: connection,
                address,
                self._server.port,
                ssl=self._context,
                server_hostname=self._server.host,
            )
            return connection
        transport = await _tunnel(address, self._proxy, self._server)
        try:
            secured = await loop.start_tls(
                transport, connection, self._context, server_hostname=self._server.host
            )
        except BaseException:
            transport.abort()
            raise
        assert secured is not None
        connection.attach(secured)
        return connection


def _untrusted(server: Server, reason: ssl.SSLCertVerificationError) -> NetworkError:
    return NetworkError(
        f"the certificate of {server.netloc} is not trusted: {reason.verify_message}",
        cause=Cause.PERMANENT,
        hint="give the right --ca-bundle or correct the endpoint; nothing was sent",
    )


class _ConnectReply(asyncio.Protocol):
    """Reads the reply to CONNECT."""

    def __init__(self) -> None:
        self.status: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._bytes = bytearray()

    def data_received(self, data: bytes) -> None:
        self._bytes += data
        with contextlib.suppress(asyncio.InvalidStateError):
            try:
                parsed = parse_head(self._bytes, len(self._bytes))
            except NetworkError as error:
                self.status.set_exception(error)
            else:
                if parsed is not None:
                    self.status.set_result(parsed[0].status)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        if not self.status.done():
            self.status.set_exception(ConnectionResetError(0, "the proxy closed the connection"))
            self.status.exception()  # who was cancelled meanwhile does not ask


async def _tunnel(address: str, proxy: Proxy, server: Server) -> asyncio.Transport:
    """A plain connection through `proxy` to `server` (RFC 9110 section 9.3.6)."""
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.create_connection(_ConnectReply, address, proxy.port)
    literal = f"[{server.host}]" if ":" in server.host else server.host
    target = f"{literal}:{server.port}"
    headers = [("host", target)]
    if proxy.authorization is not None:
        headers.append(("proxy-authorization", proxy.authorization))
    try:
        transport.write(request_head("CONNECT", target, headers))
        status = await protocol.status
    except BaseException:
        transport.abort()
        raise
    if not 200 <= status < 300:
        transport.abort()
        raise NetworkError(
            f"the proxy {proxy.host}:{proxy.port} refused the connection with {status}",
            cause=Cause.PERMANENT if status < 500 else Cause.CONNECT,
            hint="check HTTPS_PROXY and its user and password" if status == 407 else "",
        )
    return transport

"""One HTTP/1.1 connection: a request goes out, the reply's body lands in the caller's buffer.

A connection carries one exchange at a time. It is idle, busy (a `Receiver` reads the reply), or
closed for good: by an error, the end of the stream, `Connection: close`, bytes nobody asked for, or
cancellation. What it cannot keep in step it does not keep.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol, cast

from sealift.errors import Cause, NetworkError, ProtocolError
from sealift.wire.bandwidth import Bandwidth
from sealift.wire.receiving import Receiver, Reply, State

# One write to the transport; TLS encrypts it at once, so it bounds how long the loop is held.
SLICE_SIZE = 256 * 1024
# Up to here a body is copied behind its head: one call into TLS costs more than the copy.
JOINED_SIZE = 64 * 1024
# Writing pauses above this many unsent bytes: enough to keep a socket busy between two wake-ups.
WRITE_BUFFER_SIZE = 512 * 1024
# One TLS record holds 16 KiB, so a head is read together with little of the body behind it.
SCRATCH_SIZE = 16 * 1024

# The bytes of a request: in memory, or made anew for each attempt.
Body = memoryview | Callable[[], AsyncIterator[memoryview]]


class Counter(Protocol):
    """Where the bytes moved are counted: those of the request if it has a body, else the reply's.

    A failed attempt takes its bytes back.
    """

    moved: int


@dataclass(frozen=True, slots=True)
class Deadlines:
    """Spans in seconds: to connect (TLS included), and without any byte moving either way."""

    connect: float = 10.0
    progress: float = 30.0


_NO_ROOM = memoryview(bytearray(0))


class Connection(asyncio.BufferedProtocol):
    """A connection to one server; made by the pool, which also calls `check` once a second."""

    def __init__(self, bandwidth: Bandwidth | None = None) -> None:
        # per connection
        self._transport: asyncio.Transport | None = None
        self._loop: asyncio.AbstractEventLoop
        self._bandwidth = bandwidth
        self._scratch = bytearray(SCRATCH_SIZE)
        self._open = False
        self._paused = False
        self._exchange_count = 0
        self.idle_since = 0.0
        # per exchange
        self._receiver: Receiver | None = None
        self._sent = False
        self._failure: NetworkError | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._counter: Counter | None = None
        self._counted_reply: Counter | None = None
        self._counted = 0
        # per second
        self._active = False
        self._hold_count = 0
        self._unpaid_count = 0
        self._mark = (0, 0)
        self._progress_at = 0.0

    # Called by the transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are Transports in all but their base class.
        self.attach(cast("asyncio.Transport", transport))

    def attach(self, transport: asyncio.Transport) -> None:
        """Take the transport; called by hand after `start_tls` through a proxy."""
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        transport.set_write_buffer_limits(high=WRITE_BUFFER_SIZE)
        self._open = True

    @property
    def ssl_object(self) -> ssl.SSLObject:
        """The state of TLS, with the peer's certificate."""
        assert self._transport is not None
        found: ssl.SSLObject = self._transport.get_extra_info("ssl_object")
        return found

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self._active = True
        self._wake()

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002
        receiver = self._receiver
        return memoryview(self._scratch) if receiver is None else receiver.buffer()

    def buffer_updated(self, nbytes: int) -> None:
        receiver = self._receiver
        if receiver is None:  # nobody asked: the stream is out of step (RFC 9112 section 9.2)
            self.close()
            return
        self._active = True
        try:
            landed = receiver.updated(nbytes)
        except ProtocolError as error:
            self._fail(error)
            return
        if self._counted_reply is not None:
            self._counted_reply.moved += landed
            self._counted += landed
        if self._bandwidth is not None:
            self._pay(self._bandwidth.debit(landed))
        if receiver.ended:
            self._end(receiver)

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        receiver = self._receiver
        if receiver is None:
            self._open = False
        elif receiver.closed(cleanly=exc is None):
            self._end(receiver)
        else:
            reason = f": {exc}" if exc else ""
            stale = not receiver.heard and self._exchange_count > 1
            self._fail(
                NetworkError(
                    f"the server closed the connection{reason}",
                    cause=Cause.STALE if stale else Cause.RESET,
                )
            )

    # Called by the pool

    @property
    def is_open(self) -> bool:
        return self._open

    def check(self, now: float, deadlines: Deadlines) -> None:
        """Give up when no byte moved for the progress deadline; called about once a second."""
        if self._receiver is None or self._transport is None:
            return
        if self._active or self._hold_count or self._unpaid_count:
            self._active = False
            self._progress_at = now
            return
        # Bytes of the request may be under way in buffers below the transport's.
        mark = (self._transport.get_write_buffer_size(), _acknowledged(self._transport))
        if mark != self._mark:
            self._mark = mark
            self._progress_at = now
        elif now - self._progress_at > deadlines.progress:
            self._fail(
                NetworkError(f"no byte moved for {deadlines.progress:g} s", cause=Cause.STALLED)
            )

    def close(self) -> None:
        """Drop the connection at once; an exchange under way fails."""
        self._fail(NetworkError("the connection was closed"))

    async def exchange(
        self,
        method: str,
        head: memoryview,
        body: Body | None,
        room: memoryview | None,
        counter: Counter | None,
    ) -> Reply:
        """Send a request and read its reply; a success body of at most `len(room)` goes to `room`.

        Raises NetworkError. The connection is closed unless the reply was read to its end and the
        peer keeps it; `is_open` tells.
        """
        if not self._open:  # it ended between its handshake and now
            raise NetworkError("the server closed the connection")
        assert self._receiver is None
        receiver = Receiver(method, _NO_ROOM if room is None else room, self._scratch)
        self._receiver = receiver
        self._exchange_count += 1
        self._sent = False
        self._failure = None
        self._counter = counter
        self._counted_reply = counter if body is None else None
        self._counted = 0
        self._active = True
        try:
            self._sent = self._send_joined(head, body) or await self._send(head, body)
            while not self._is_over():
                await self._wait()
            return self._outcome(receiver)
        except BaseException:
            self._take_back()
            self.close()
            raise
        finally:
            self._counter = self._counted_reply = None

    # Sending

    def _send_joined(self, head: memoryview, body: Body | None) -> bool:
        """Write a small request at once; False when it is none."""
        transport = self._transport
        assert transport is not None
        if body is None:
            transport.write(head)
            return True
        if isinstance(body, memoryview) and len(body) <= JOINED_SIZE and self._bandwidth is None:
            transport.write(memoryview(b"".join((head, body))))
            self._count(len(body))
            return True
        return False

    async def _send(self, head: memoryview, body: Body | None) -> bool:
        """Write the request; False when the reply came first and the rest is not wanted."""
        transport = self._transport
        assert transport is not None
        transport.write(head)
        if isinstance(body, memoryview):
            return await self._send_slices(body)
        if body is not None:
            async for view in body():
                if not await self._send_slices(view):
                    return False
        return True

    async def _send_slices(self, view: memoryview) -> bool:
        for offset in range(0, len(view), SLICE_SIZE):
            piece = view[offset : offset + SLICE_SIZE]
            if self._bandwidth is not None:
                with self._held():
                    await self._bandwidth.take(len(piece))
            transport = self._transport
            if transport is None or not self._is_awaited():
                return False
            transport.write(piece)
            self._count(len(piece))
            while self._paused and self._is_awaited():
                await self._wait()
        return True

    def _is_over(self) -> bool:
        """Whether the reply was read, or the exchange has failed."""
        return self._receiver is None

    def _is_awaited(self) -> bool:
        """Whether the head of the reply has not come yet."""
        return self._receiver is not None and self._receiver.state is State.HEAD

    async def _wait(self) -> None:
        waiter = self._waiter = self._loop.create_future()
        try:
            await waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    # Ending

    def _end(self, receiver: Receiver) -> None:
        """The reply was read: keep the connection if both sides are in step."""
        self._receiver = None
        transport = self._transport
        if not (
            self._sent
            and receiver.keeps_alive
            and transport is not None
            and not transport.get_write_buffer_size()
        ):
            self._drop()
        self._wake()

    def _fail(self, error: NetworkError) -> None:
        if self._receiver is not None:
            self._receiver = None
            self._failure = error
        self._drop()
        self._wake()

    def _drop(self) -> None:
        self._open = False
        if self._transport is not None:
            self._transport.abort()

    def _outcome(self, receiver: Receiver) -> Reply:
        if self._failure is not None:
            raise receiver.cut_short(self._failure)
        reply = receiver.reply()
        if reply.error_body is not None or reply.too_long:
            self._take_back()
        elif not self._sent:
            raise ProtocolError("the server answered with a success before it had the request")
        reply.counted = self._counted
        return reply

    # Counting and paying for bytes

    def _count(self, nbytes: int) -> None:
        if self._counter is not None:
            self._counter.moved += nbytes
            self._counted += nbytes

    def _take_back(self) -> None:
        if self._counter is not None:
            self._counter.moved -= self._counted
            self._counted = 0

    def _pay(self, delay: float) -> None:
        """Read no further for so many seconds."""
        if delay > 0 and self._transport is not None:
            self._transport.pause_reading()
            self._unpaid_count += 1
            self._loop.call_later(delay, self._resume_reading)

    def _resume_reading(self) -> None:
        self._unpaid_count -= 1
        self._active = True
        if self._unpaid_count or self._transport is None or self._transport.is_closing():
            return
        self._transport.resume_reading()

    @contextmanager
    def _held(self) -> Iterator[None]:
        """Standing still is our own will meanwhile."""
        self._hold_count += 1
        try:
            yield
        finally:
            self._hold_count -= 1
            self._active = True


def _acknowledged(transport: asyncio.Transport) -> int:
    """How many bytes the peer has confirmed: tcpi_bytes_acked of tcp(7); 0 where none tells."""
    channel = transport.get_extra_info("socket")
    if channel is None or sys.platform != "linux":
        return 0
    try:
        facts = channel.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 128)
    except OSError:
        return 0
    return int.from_bytes(facts[120:128], sys.byteorder)

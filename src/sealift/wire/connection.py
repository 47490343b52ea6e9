"""One HTTP/1.1 connection: a request goes out, the reply's body lands in the caller's buffer.

A connection carries one exchange at a time and moves through these phases:

    IDLE -> HEAD -> BODY -> IDLE    the reply was read to its end and the peer keeps the connection
    any -> CLOSED                   error, end of connection, `Connection: close`, cancellation

While the reply's head is awaited bytes go to a scratch buffer. Once it is parsed and announces a
success, `get_buffer` hands out the rest of the caller's buffer, so TLS decrypts each byte to where
it belongs. Bodies of error replies are small and collected, up to a limit.
"""

from __future__ import annotations

import asyncio
import enum
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Protocol, cast

from sealift.errors import Cause, NetworkError, ProtocolError
from sealift.wire.bandwidth import Bandwidth
from sealift.wire.http1 import (
    MAX_HEAD_SIZE,
    BodyKind,
    ChunkedDecoder,
    Framing,
    Head,
    body_framing,
    keeps_alive,
    parse_head,
)

# One write to the transport; TLS encrypts it at once, so it bounds how long the loop is held.
SLICE_SIZE = 256 * 1024
# Writing pauses above this many unsent bytes: enough to keep a socket busy between two wake-ups.
WRITE_BUFFER_SIZE = 512 * 1024
# One TLS record holds 16 KiB, so a head is read together with little of the body behind it.
SCRATCH_SIZE = 16 * 1024
# Error replies of S3 are below 1 KiB; a longer one is cut and the connection given up.
MAX_ERROR_BODY_SIZE = 64 * 1024

# The bytes of a request: in memory, or made anew for each attempt.
Body = memoryview | Callable[[], AsyncIterator[memoryview]]


class Counter(Protocol):
    """Where the bytes moved are counted; a failed attempt takes its bytes back."""

    moved: int


@dataclass(slots=True)
class Reply:
    """A reply read to its end.

    `size` is the count of body bytes that landed in the caller's buffer. `error_body` holds what
    was collected instead when the status is not 2xx, or is None. `too_long` says that a success
    announced more bytes than the caller has room for; nothing was read of it.
    """

    head: Head
    size: int
    error_body: bytes | None
    too_long: int | None = None


@dataclass(frozen=True, slots=True)
class Deadlines:
    """Spans in seconds: to connect (TLS included), and without any byte moving either way."""

    connect: float = 10.0
    progress: float = 30.0


class _Phase(enum.Enum):
    IDLE = enum.auto()
    HEAD = enum.auto()
    BODY = enum.auto()
    CLOSED = enum.auto()


_NO_ROOM = memoryview(bytearray(0))


class Connection(asyncio.BufferedProtocol):
    """A connection to one server; made by the pool, which also calls `check` once a second."""

    def __init__(self, bandwidth: Bandwidth | None = None) -> None:
        # per connection
        self._transport: asyncio.Transport | None = None
        self._bandwidth = bandwidth
        self._scratch = bytearray(SCRATCH_SIZE)
        self._paused = False
        self._exchange_count = 0
        self.idle_since = 0.0
        # per exchange
        self._phase = _Phase.CLOSED
        self._method = ""
        self._head: Head | None = None
        self._framing = Framing(BodyKind.NONE)
        self._decoder: ChunkedDecoder | None = None
        self._filled = 0
        self._searched = 0
        self._room = _NO_ROOM
        self._received = 0
        self._left = 0
        self._direct = False
        self._sent = False
        self._error_body: bytearray | None = None
        self._too_long: int | None = None
        self._failure: NetworkError | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._counter: Counter | None = None
        self._counted = 0
        # per second
        self._active = False
        self._unsent = 0
        self._progress_at = 0.0

    # Called by the transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are Transports in all but their base class.
        self.attach(cast("asyncio.Transport", transport))

    def attach(self, transport: asyncio.Transport) -> None:
        """Take the transport; called by hand after `start_tls` through a proxy."""
        self._transport = transport
        transport.set_write_buffer_limits(high=WRITE_BUFFER_SIZE)
        self._phase = _Phase.IDLE

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self._active = True
        self._wake()

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002
        if self._phase is _Phase.HEAD:
            return memoryview(self._scratch)[self._filled :]
        if self._direct:
            return self._room[self._received : self._received + self._left]
        return memoryview(self._scratch)

    def buffer_updated(self, nbytes: int) -> None:
        self._active = True
        try:
            if self._direct:
                self._received += nbytes
                self._left -= nbytes
                self._arrived(nbytes)
                if not self._left:
                    self._end(excess=0)
            elif self._phase is _Phase.HEAD:
                self._filled += nbytes
                self._read_head()
            elif self._phase is _Phase.BODY:
                self._take(memoryview(self._scratch)[:nbytes])
            else:  # nobody asked: the stream is out of step (RFC 9112 section 9.2)
                self.close()
        except ProtocolError as error:
            self._fail(error)

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        was = self._phase
        self._phase = _Phase.CLOSED
        self._direct = False
        self._transport = None
        if was is _Phase.BODY and self._framing.kind is BodyKind.UNTIL_CLOSE and exc is None:
            self._wake()
        elif was in (_Phase.HEAD, _Phase.BODY):
            reason = f": {exc}" if exc else ""
            stale = was is _Phase.HEAD and not self._filled and self._exchange_count > 1
            self._failure = self._failure or NetworkError(
                f"the server closed the connection{reason}",
                cause=Cause.STALE if stale else Cause.RESET,
            )
            self._wake()

    # Called by the pool

    @property
    def is_open(self) -> bool:
        return self._phase is not _Phase.CLOSED

    def check(self, now: float, deadlines: Deadlines) -> None:
        """Give up when no byte moved for the progress deadline; called about once a second."""
        if self._phase is _Phase.IDLE or self._transport is None:
            return
        unsent = self._transport.get_write_buffer_size()
        if self._active or unsent != self._unsent:
            self._active = False
            self._unsent = unsent
            self._progress_at = now
        elif now - self._progress_at > deadlines.progress:
            self._fail(
                NetworkError(f"no byte moved for {deadlines.progress:g} s", cause=Cause.STALLED)
            )

    def close(self) -> None:
        """Drop the connection at once."""
        self._phase = _Phase.CLOSED
        self._direct = False
        if self._transport is not None:
            self._transport.abort()

    async def exchange(
        self,
        method: str,
        head: bytes,
        body: Body | None,
        room: memoryview | None,
        counter: Counter | None,
    ) -> Reply:
        """Send a request and read its reply; a success body of at most `len(room)` goes to `room`.

        Raises NetworkError. The connection is closed unless the reply was read to its end and the
        peer keeps it; `is_open` tells.
        """
        self._begin(method, room, counter)
        try:
            self._sent = await self._send(head, body)
            while self._phase in (_Phase.HEAD, _Phase.BODY):
                await self._wait()
            return self._reply()
        except BaseException:
            self._take_back()
            self.close()
            raise
        finally:
            self._room = _NO_ROOM
            self._counter = None

    # Sending

    def _begin(self, method: str, room: memoryview | None, counter: Counter | None) -> None:
        assert self._phase is _Phase.IDLE
        self._phase = _Phase.HEAD
        self._exchange_count += 1
        self._method = method
        self._head = None
        self._decoder = None
        self._direct = self._sent = False
        self._filled = self._searched = self._received = self._left = self._counted = 0
        self._room = _NO_ROOM if room is None else room
        self._error_body = self._too_long = self._failure = None
        self._counter = counter
        self._active = True

    async def _send(self, head: bytes, body: Body | None) -> bool:
        """Write the request; False when the reply came first and the rest is not wanted."""
        transport = self._transport
        assert transport is not None
        if isinstance(body, memoryview) and len(body) <= SLICE_SIZE and self._bandwidth is None:
            transport.writelines((head, body))
            self._count(len(body))
            return True
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
                await self._bandwidth.take(len(piece))
            if self._transport is None or not self._is_awaited():
                return False
            self._transport.write(piece)
            self._count(len(piece))
            while self._paused and self._is_awaited():
                await self._wait()
        return True

    def _is_awaited(self) -> bool:
        """Whether nothing of the reply has come yet."""
        return self._phase is _Phase.HEAD

    async def _wait(self) -> None:
        waiter = self._waiter = asyncio.get_running_loop().create_future()
        try:
            await waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    # Receiving

    def _read_head(self) -> None:
        while True:
            parsed = parse_head(self._scratch, self._filled, self._searched)
            if parsed is None:
                self._searched = self._filled
                if self._filled == len(self._scratch):
                    # A new buffer: the transport still holds a view of the old one.
                    self._scratch = self._scratch + bytes(MAX_HEAD_SIZE)
                return
            head, body_start = parsed
            if head.status >= 200:
                break
            if head.status == 101:
                raise ProtocolError("the server switched protocols unasked")
            # An interim reply (RFC 9110 section 15.2): the final one follows.
            rest = self._scratch[body_start : self._filled]
            self._scratch[: len(rest)] = rest
            self._filled, self._searched = len(rest), 0
        self._head = head
        self._begin_body(head, body_framing(self._method, head))
        if self._phase is _Phase.BODY:
            self._take(memoryview(self._scratch)[body_start : self._filled])
            self._direct = self._phase is _Phase.BODY and self._lands_directly()

    def _begin_body(self, head: Head, framing: Framing) -> None:
        self._framing = framing
        self._left = framing.length
        self._phase = _Phase.BODY
        if not 200 <= head.status < 300:
            self._error_body = bytearray()
        elif framing.length > len(self._room):
            self._cut(too_long=framing.length)
        if framing.kind is BodyKind.CHUNKED:
            self._decoder = ChunkedDecoder()

    def _lands_directly(self) -> bool:
        return self._framing.kind is BodyKind.LENGTH and self._error_body is None

    def _take(self, data: memoryview) -> None:
        """Body bytes that arrived in the scratch buffer."""
        kind = self._framing.kind
        if kind is BodyKind.UNTIL_CLOSE:
            self._store(data)
        elif self._decoder is not None:
            pieces, consumed = self._decoder.feed(data)
            for piece in pieces:
                self._store(piece)
            if self._decoder.finished:
                self._end(excess=len(data) - consumed)
        else:
            ours = data[: self._left]
            self._left -= len(ours)
            self._store(ours)
            if not self._left:
                self._end(excess=len(data) - len(ours))

    def _store(self, data: memoryview) -> None:
        if self._error_body is not None:
            self._error_body += data
            if len(self._error_body) > MAX_ERROR_BODY_SIZE:
                del self._error_body[MAX_ERROR_BODY_SIZE:]
                self._cut()
            return
        end = self._received + len(data)
        if end > len(self._room):
            self._cut(too_long=end)
            return
        self._room[self._received : end] = data
        self._received = end
        self._arrived(len(data))

    def _arrived(self, nbytes: int) -> None:
        self._count(nbytes)
        if self._bandwidth is not None and self._transport is not None:
            delay = self._bandwidth.debit(nbytes)
            if delay > 0:
                self._transport.pause_reading()
                asyncio.get_running_loop().call_later(delay, self._resume_reading)

    def _resume_reading(self) -> None:
        self._active = True
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    # Ending

    def _end(self, excess: int) -> None:
        """The reply is complete: keep the connection if both sides are in step."""
        if self._phase is not _Phase.BODY:
            return
        assert self._head is not None
        assert self._transport is not None
        self._direct = False
        in_step = self._sent and not excess and not self._transport.get_write_buffer_size()
        if in_step and keeps_alive(self._head, self._framing):
            self._phase = _Phase.IDLE
        else:
            self.close()
        self._wake()

    def _cut(self, too_long: int | None = None) -> None:
        """Enough of the reply was seen; the rest is not read, so the connection cannot be kept."""
        self._too_long = too_long
        self.close()
        self._wake()

    def _fail(self, error: NetworkError) -> None:
        self._failure = self._failure or error
        self.close()
        self._wake()

    def _reply(self) -> Reply:
        if self._failure is not None:
            raise self._failure
        assert self._head is not None
        error_body = None if self._error_body is None else bytes(self._error_body)
        if error_body is not None or self._too_long is not None:
            self._take_back()
        return Reply(self._head, self._received, error_body, self._too_long)

    # Counting

    def _count(self, nbytes: int) -> None:
        if self._counter is not None:
            self._counter.moved += nbytes
            self._counted += nbytes

    def _take_back(self) -> None:
        if self._counter is not None:
            self._counter.moved -= self._counted
            self._counted = 0

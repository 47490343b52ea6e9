"""One exchange: where the reply lands, how it may end, and what is left of the connection."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress

import anyio
import pytest
from tests.faults import (
    ApplyThenReset,
    Chunked,
    CloseBeforeReply,
    ConnectionClose,
    EarlyReply,
    Fault,
    FaultServer,
    Garbage,
    Http10,
    Informational,
    Match,
    ResetReply,
    ResetRequest,
    Stall,
    Status,
    Truncate,
)
from tests.faults.messages import Reply
from tests.faults.plan import Plan
from tests.kit import (
    Certificate,
    Count,
    RawServer,
    SlowReader,
    open_count,
    open_pool,
    request,
    until,
)

from sealift.errors import Cause, NetworkError, ProtocolError
from sealift.wire.bandwidth import Bandwidth
from sealift.wire.connection import SLICE_SIZE, Deadlines
from sealift.wire.http1 import MAX_HEAD_SIZE
from sealift.wire.receiving import MAX_ERROR_BODY_SIZE

from .conftest import BODY

pytestmark = pytest.mark.anyio

GET = Match(operation="GetObject")
PUT = Match(operation="PutObject")
LARGE = memoryview(bytearray(b"\xa5" * (8 * 1024 * 1024)))
STALLED = Deadlines(progress=0.3)


def room_of(size: int) -> memoryview:
    return memoryview(bytearray(size))


# How a reply may come


@pytest.mark.parametrize(
    ("fault", "kept"),
    [
        (None, True),
        (Chunked(), True),
        (Informational(), True),
        (ConnectionClose(), False),
        (Http10(), False),
    ],
    ids=["length", "chunked", "interim replies", "connection: close", "until close"],
)
async def test_the_body_lands_in_the_callers_buffer(
    server: FaultServer, certificate: Certificate, fault: Fault | None, kept: bool
) -> None:
    if fault is not None:
        server.script(GET, fault)
    room, count = room_of(len(BODY)), Count()
    async with open_pool(server, certificate) as pool:
        reply = await pool.exchange("GET", request("GET", "x"), None, room, count)
        assert (reply.head.status, reply.size, reply.error_body) == (200, len(BODY), None)
        assert room == BODY
        assert count.moved == reply.counted == len(BODY)
        assert open_count(pool) == kept
        again = await pool.exchange("GET", request("GET", "x"), None, room)
        assert again.size == len(BODY)
    assert server.connections == (1 if kept else 2)


async def test_a_large_request_arrives_whole(server: FaultServer, certificate: Certificate) -> None:
    count = Count()
    async with open_pool(server, certificate) as pool:
        reply = await pool.exchange("PUT", request("PUT", "y", len(LARGE)), LARGE, None, count)
        assert reply.head.status == 200
        assert count.moved == len(LARGE)
        assert open_count(pool) == 1
    assert server.objects["bucket", "y"].body == LARGE


async def test_a_streamed_request_is_made_anew_for_each_use(
    server: FaultServer, certificate: Certificate
) -> None:
    async def chunks() -> AsyncIterator[memoryview]:
        for start in range(0, len(LARGE), 3_000_000):
            yield LARGE[start : start + 3_000_000]

    async with open_pool(server, certificate) as pool:
        for name in ("y", "z"):
            await pool.exchange("PUT", request("PUT", name, len(LARGE)), chunks, None, Count())
    assert server.objects["bucket", "y"].body == server.objects["bucket", "z"].body == LARGE


async def test_a_body_of_a_put_reply_is_not_counted(
    server: FaultServer, certificate: Certificate
) -> None:
    server.script(PUT, Status(200, body=b"x" * 100))
    count = Count()
    async with open_pool(server, certificate) as pool:
        body = memoryview(b"12345")
        reply = await pool.exchange("PUT", request("PUT", "y", 5), body, room_of(1024), count)
    assert (reply.size, count.moved) == (100, 5)


def replying(*pieces: bytes, pause: float = 0.0) -> Callable[..., Awaitable[None]]:
    """Answers every request by these pieces, each in a write of its own."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.readuntil(b"\r\n\r\n"):
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(pause)

    return serve


async def test_a_head_may_come_byte_by_byte(certificate: Certificate) -> None:
    whole = b'HTTP/1.1 200 OK\r\nContent-Length: 5\r\nETag: "e"\r\n\r\nhello'
    pieces = [bytes([byte]) for byte in whole]
    room = room_of(5)
    with RawServer(certificate, replying(*pieces, pause=0.001)) as raw:
        async with open_pool(raw, certificate) as pool:
            for _ in range(2):
                room[:] = bytes(5)
                reply = await pool.exchange("GET", request("GET", "x"), None, room)
                assert reply.head.get(b"etag") == '"e"'
                assert room == b"hello"
        assert raw.connections == 1


async def test_a_head_longer_than_the_scratch_buffer_is_read(certificate: Certificate) -> None:
    filler = b"".join(b"x-filler-%d: %s\r\n" % (i, b"v" * 1000) for i in range(40))
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n" + filler + b"\r\n"
    with RawServer(certificate, replying(head + b"hello")) as raw:
        async with open_pool(raw, certificate) as pool:
            for _ in range(2):
                room = room_of(5)
                reply = await pool.exchange("GET", request("GET", "x"), None, room)
                assert len(reply.head.headers) == 41
                assert room == b"hello"
        assert raw.connections == 1


# Replies that are refused


@pytest.mark.parametrize(
    "data",
    [
        b"\x00\x01 this is not HTTP\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nx: " + b"y" * (2 * MAX_HEAD_SIZE),
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
    ],
    ids=["no HTTP", "huge head", "two lengths", "bad chunk", "switching protocols"],
)
async def test_what_is_not_http_is_garbled(
    server: FaultServer, certificate: Certificate, data: bytes
) -> None:
    server.script(GET, Garbage(data))
    count = Count()
    async with open_pool(server, certificate) as pool:
        with pytest.raises(ProtocolError) as caught:
            await pool.exchange("GET", request("GET", "x"), None, room_of(len(BODY)), count)
        assert caught.value.cause is Cause.GARBLED
        assert (open_count(pool), count.moved) == (0, 0)


@pytest.mark.parametrize("fault", [None, Chunked(), Http10()], ids=["length", "chunked", "close"])
async def test_a_reply_longer_than_the_room_is_not_taken(
    server: FaultServer, certificate: Certificate, fault: Fault | None
) -> None:
    if fault is not None:
        server.script(GET, fault)
    backing = bytearray(len(BODY))
    room, count = memoryview(backing)[: len(BODY) - 1], Count()
    async with open_pool(server, certificate) as pool:
        reply = await pool.exchange("GET", request("GET", "x"), None, room, count)
        assert reply.too_long
        assert (count.moved, reply.counted, open_count(pool)) == (0, 0, 0)
    assert backing[-1] == 0


async def test_bytes_behind_a_reply_end_the_connection(certificate: Certificate) -> None:
    reply_bytes = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhelloHTTP/1.1 200 OK\r\n"
    room = room_of(5)
    with RawServer(certificate, replying(reply_bytes)) as raw:
        async with open_pool(raw, certificate) as pool:
            reply = await pool.exchange("GET", request("GET", "x"), None, room)
            assert (reply.size, bytes(room)) == (5, b"hello")
            assert open_count(pool) == 0


async def test_bytes_that_nobody_asked_for_end_the_connection(certificate: Certificate) -> None:
    pieces = (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", b"HTTP/1.1 200 OK\r\n")
    with RawServer(certificate, replying(*pieces, pause=0.05)) as raw:
        async with open_pool(raw, certificate) as pool:
            await pool.exchange("GET", request("GET", "x"), None, room_of(5))
            assert open_count(pool) == 1
            await until(lambda: not open_count(pool))
            reply = await pool.exchange("GET", request("GET", "x"), None, room_of(5))
            assert reply.size == 5
        assert raw.connections == 2


# Error replies


async def test_an_error_reply_is_collected_and_the_connection_kept(
    server: FaultServer, certificate: Certificate
) -> None:
    server.script(GET, Status(503, "SlowDown"))
    count = Count()
    async with open_pool(server, certificate) as pool:
        reply = await pool.exchange("GET", request("GET", "x"), None, room_of(len(BODY)), count)
        assert reply.head.status == 503
        assert b"<Code>SlowDown</Code>" in (reply.error_body or b"")
        assert (count.moved, reply.size, open_count(pool)) == (0, 0, 1)


async def test_an_endless_error_reply_is_cut(server: FaultServer, certificate: Certificate) -> None:
    server.script(GET, Status(500, body=b"e" * (4 * MAX_ERROR_BODY_SIZE)))
    async with open_pool(server, certificate) as pool:
        reply = await pool.exchange("GET", request("GET", "x"), None, room_of(10))
        assert (reply.head.status, reply.error_body) == (500, b"e" * MAX_ERROR_BODY_SIZE)
        assert open_count(pool) == 0


async def test_an_error_before_the_request_was_sent_is_read(
    server: FaultServer, certificate: Certificate
) -> None:
    server.script(PUT, EarlyReply(403, "AccessDenied"))
    count = Count()
    async with open_pool(server, certificate) as pool:
        reply = await pool.exchange("PUT", request("PUT", "y", len(LARGE)), LARGE, None, count)
        assert reply.head.status == 403
        assert (count.moved, open_count(pool)) == (0, 0)
        after = await pool.exchange("GET", request("GET", "x"), None, room_of(len(BODY)))
        assert after.head.status == 200
    assert server.connections == 2


async def test_the_head_of_an_error_is_enough(certificate: Certificate) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 1000\r\n\r\n<Error>")
        await writer.drain()
        await asyncio.sleep(0.05)

    with RawServer(certificate, serve) as raw:
        async with open_pool(raw, certificate) as pool:
            reply = await pool.exchange("PUT", request("PUT", "y", len(LARGE)), LARGE)
            assert (reply.head.status, reply.error_body) == (403, b"<Error>")


async def test_a_success_before_the_request_was_sent_is_no_success(
    server: FaultServer, certificate: Certificate
) -> None:
    server.script(PUT, EarlyReply(200, ""))
    count = Count()
    async with open_pool(server, certificate) as pool:
        head = request("PUT", "y", len(LARGE))
        with pytest.raises(ProtocolError, match="before it had the request"):
            await pool.exchange("PUT", head, LARGE, room_of(1024), count)
        assert (count.moved, open_count(pool)) == (0, 0)


# Connections that break


@pytest.mark.parametrize(
    ("method", "fault"),
    [
        ("GET", Truncate(1000)),
        ("GET", Truncate(0)),
        ("GET", ResetReply(1000)),
        ("GET", (Chunked(), Truncate(1000))),
        ("GET", (Http10(), ResetReply(1000))),
        ("GET", CloseBeforeReply()),
        ("PUT", ResetRequest(0)),
        ("PUT", ResetRequest(3_000_000)),
        ("PUT", ApplyThenReset()),
        ("PUT", CloseBeforeReply()),
    ],
    ids=str,
)
async def test_a_broken_connection_takes_its_bytes_back(
    server: FaultServer, certificate: Certificate, method: str, fault: Fault | tuple[Fault, ...]
) -> None:
    server.script(Match(method=method), fault)
    count = Count()
    count.moved = 7
    body, room = (LARGE, None) if method == "PUT" else (None, room_of(len(BODY)))
    head = request(method, "x" if method == "GET" else "y", len(body) if body else None)
    async with open_pool(server, certificate) as pool:
        with pytest.raises(NetworkError) as caught:
            await pool.exchange(method, head, body, room, count)
        assert caught.value.cause is Cause.RESET
        assert (count.moved, open_count(pool)) == (7, 0)
        reply = await pool.exchange(method, head, body, room, count)
        assert reply.head.status == 200
        assert count.moved == 7 + (len(body) if body else len(BODY))
    assert server.connections == 2


# Stalls


@pytest.mark.parametrize(
    ("method", "fault"),
    [
        ("GET", Stall("before_head")),
        ("GET", Stall("reply", after=1000)),
        ("PUT", Stall("request", after=100_000)),
        ("PUT", Stall("before_head")),
    ],
    ids=str,
)
@pytest.mark.usefixtures("quick_watch")
async def test_a_stall_ends_by_the_progress_deadline(
    server: FaultServer, certificate: Certificate, method: str, fault: Fault
) -> None:
    server.script(Match(method=method), fault)
    count = Count()
    body, room = (LARGE, None) if method == "PUT" else (None, room_of(len(BODY)))
    head = request(method, "x" if method == "GET" else "y", len(body) if body else None)
    async with open_pool(server, certificate, deadlines=STALLED) as pool:
        with pytest.raises(NetworkError) as caught:
            await pool.exchange(method, head, body, room, count)
        assert caught.value.cause is Cause.STALLED
        assert (count.moved, open_count(pool)) == (0, 0)


@pytest.mark.usefixtures("quick_watch")
async def test_a_slow_reader_is_no_stall(certificate: Certificate) -> None:
    """Bytes that only leave the kernel's buffers count: a slow uplink shows nothing else."""
    size = 500_000
    with SlowReader(certificate, size) as slow:
        async with open_pool(slow, certificate, deadlines=Deadlines(progress=0.5)) as pool:
            reply = await pool.exchange("PUT", request("PUT", "y", size), LARGE[:size])
            assert reply.head.status == 200


# Bandwidth


@pytest.mark.usefixtures("quick_watch")
@pytest.mark.parametrize("method", ["GET", "PUT"])
async def test_a_limit_on_bandwidth_holds_and_is_no_stall(
    server: FaultServer, certificate: Certificate, method: str
) -> None:
    size, rate = 1024 * 1024, 2 * 1024 * 1024
    server.store("y", bytes(LARGE[:size]))
    body, room = (LARGE[:size], None) if method == "PUT" else (None, room_of(size))
    head = request(method, "y", size if method == "PUT" else None)
    loop = asyncio.get_running_loop()
    began = loop.time()
    limits = {"bandwidth": Bandwidth(rate), "deadlines": Deadlines(progress=0.15)}
    async with open_pool(server, certificate, **limits) as pool:
        reply = await pool.exchange(method, head, body, room)
        await pool.exchange(method, head, body, room)
        assert reply.head.status == 200
    assert 0.4 < loop.time() - began < 5


class BusyMeanwhile:
    """Other connections have used up the bandwidth when the reply goes out."""

    def __init__(self, bandwidth: Bandwidth) -> None:
        self._bandwidth = bandwidth

    def shape(self, plan: Plan) -> None:
        plan.reshape.append(self._debit)

    def _debit(self, reply: Reply) -> Reply:
        self._bandwidth.debit(1_000_000)
        return reply


async def test_a_reply_that_must_be_paid_for_is_not_the_last_one_read(
    server: FaultServer, certificate: Certificate
) -> None:
    """The next request of the connection is held back by the limit when reading may go on."""
    bandwidth = Bandwidth(2 * 1024 * 1024)
    server.script(PUT, BusyMeanwhile(bandwidth))
    head = request("PUT", "y", 500_000)
    async with open_pool(server, certificate, bandwidth=bandwidth) as pool:
        for _ in range(2):
            with anyio.fail_after(5):
                await pool.exchange("PUT", head, LARGE[:500_000])
        assert pool.connect_count == 1


# Cancelling


@pytest.mark.parametrize(
    ("method", "fault"),
    [
        ("GET", Stall("before_head")),
        ("GET", Stall("reply", after=1000)),
        ("GET", (Chunked(), Stall("reply", after=1000))),
        ("PUT", Stall("request", after=SLICE_SIZE)),
        ("PUT", Stall("before_head")),
    ],
    ids=str,
)
async def test_a_cancelled_exchange_leaves_nothing(
    server: FaultServer,
    certificate: Certificate,
    method: str,
    fault: Fault | tuple[Fault, ...],
) -> None:
    script = server.script(Match(method=method), fault)
    count = Count()
    body, room = (LARGE, None) if method == "PUT" else (None, room_of(len(BODY)))
    head = request(method, "x" if method == "GET" else "y", len(body) if body else None)
    async with open_pool(server, certificate) as pool:
        task = asyncio.create_task(pool.exchange(method, head, body, room, count))
        await until(lambda: script.used)
        await asyncio.sleep(0.05)
        assert open_count(pool) == 1
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        assert task.cancelled()
        assert (count.moved, open_count(pool)) == (0, 0)
        reply = await pool.exchange(method, head, body, room, count)
        assert reply.head.status == 200


async def test_closing_the_pool_ends_an_exchange(
    server: FaultServer, certificate: Certificate
) -> None:
    script = server.script(GET, Stall("before_head"))
    async with open_pool(server, certificate) as pool:
        task = asyncio.create_task(pool.exchange("GET", request("GET", "x"), None, room_of(10)))
        await until(lambda: script.used)
        pool.close()
        with pytest.raises(NetworkError, match="closed"):
            await task

"""HTTP/1.1 of the fault server: reads requests, carries out a `Plan`, writes replies.

The parser is strict (no Host, no CRLF, two lengths: refused), because the client under test
writes its own heads and has no other reader this side of a real S3.
"""

from __future__ import annotations

import asyncio
import contextlib
import http
import math
import socket
import struct
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from typing import Protocol

from .chunks import Source, Unchunked, body_length, unwrapped
from .messages import Reply, Request, error_root, split_target, xml_reply
from .plan import Break, End, Framing, Plan
from .scripts import ReplaceObject

_CHUNK_SIZE = 256 * 1024
_TICK = 0.02  # seconds between the writes of a slow reply
_SETTLE = 0.05  # what was sent should reach a peer on loopback before the connection breaks
_NO_LINGER = struct.pack("ii", 1, 0)  # close() then sends RST
# Servers write these so; a client that compares header names by case must fail here.
_CAPITALS = {
    "etag": "ETag",
    "x-amz-server-side-encryption-customer-key-md5": (
        "x-amz-server-side-encryption-customer-key-MD5"
    ),
}
_NO_BODY = frozenset({204, 304})


class HangUp(Exception):  # noqa: N818  # nothing failed: the plan says so
    """Leave the exchange and end the connection in this way."""

    def __init__(self, end: End) -> None:
        self.end = end


class Desk(Protocol):
    """What a connection needs of its server."""

    errors: list[Exception]
    chunks: bool

    def plan_for(self, request: Request) -> Plan: ...
    def record(self, request: Request) -> None: ...
    def replace_object(self, request: Request, by: ReplaceObject) -> None: ...
    async def serve(self, request: Request) -> Reply: ...
    def dress(self, request: Request, reply: Reply) -> Reply: ...


class Connection:
    """One accepted connection, from its first request to its end."""

    def __init__(
        self,
        desk: Desk,
        connection_id: int,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self._desk = desk
        self._id = connection_id
        self._reader = reader
        self._writer = writer
        # drain() then means: handed over. Not high=0: asyncio's TLS transport of 3.11 compares by
        # >= and would pause an empty buffer for ever.
        writer.transport.set_write_buffer_limits(high=1, low=0)

    async def run(self) -> None:
        """Serve until either side ends it; mistakes of the fake go to `desk.errors`."""
        end = End.CLOSE
        try:
            while await self._exchange():
                pass
        except HangUp as hang_up:
            end = hang_up.end
        except (OSError, EOFError):
            end = End.DROP
        except Exception as error:
            end = End.DROP
            self._desk.errors.append(error)
        except asyncio.CancelledError:
            end = End.DROP
            raise
        finally:
            await self._end(end)

    async def _end(self, end: End) -> None:
        transport = self._writer.transport
        if end is End.CLOSE:
            self._writer.close()
            try:
                await self._writer.wait_closed()
            except OSError:
                pass  # the peer was quicker, or never sent its close_notify
            finally:
                transport.abort()  # matters only when the server is stopped meanwhile
            return
        if end is End.RESET:
            await asyncio.sleep(_SETTLE)
            channel: socket.socket | None = transport.get_extra_info("socket")
            if channel is None:  # the peer was quicker
                return
            with contextlib.suppress(OSError):
                channel.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
        transport.abort()

    async def _exchange(self) -> bool:
        """One request and its reply; False when the connection is at its end."""
        request = await self._read_head()
        if request is None:
            return False
        plan = self._desk.plan_for(request)
        if plan.early is not None:
            await self._reply_early(request, plan.early)
        if request.headers.get("expect", "").lower() == "100-continue":
            await self._send(b"HTTP/1.1 100 Continue\r\n\r\n")
        request = await self._read_body(request, plan.request_break)
        self._desk.record(request)
        reply = await self._answer(request, plan)
        if plan.reply_wait is not None:
            await _meet(plan.reply_wait)
        await self._send(plan.prelude)
        if plan.garbage is not None:
            await self._send(plan.garbage)
            raise HangUp(End.CLOSE)
        asked_to_close = request.headers.get("connection", "").lower() == "close"
        closing = plan.close or plan.framing is Framing.HTTP10 or asked_to_close
        await self._send_reply(request, reply.but(connection="close") if closing else reply, plan)
        if plan.idle_close is not None:
            await asyncio.sleep(plan.idle_close)
        return not closing and plan.idle_close is None

    async def _answer(self, request: Request, plan: Plan) -> Reply:
        desk = self._desk
        if plan.replace is not None:
            desk.replace_object(request, plan.replace)
        for alter in plan.alter:
            request = alter(request)
        acted = await desk.serve(request) if plan.act else None
        planned = plan.answer and desk.dress(request, plan.answer)
        reply = planned or acted or desk.dress(request, Reply(500))
        for reshape in plan.reshape:
            reply = reshape(reply)
        return reply

    # -- reading

    async def _read_head(self) -> Request | None:
        try:
            head = await self._reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError as error:
            if error.partial:
                raise
            return None
        except asyncio.LimitOverrunError:
            await self._refuse(431, "RequestHeaderSectionTooLarge", "")
        try:
            return parse_head(head, self._id, chunks=self._desk.chunks)
        except ValueError as error:
            await self._refuse(400, "BadRequest", str(error))
        return None

    async def _refuse(self, status: int, code: str, message: str) -> None:
        reply = xml_reply(status, error_root(code, message)).but(connection="close")
        await self._send(head_bytes(reply, {"content-length": str(len(reply.body))}))
        await self._send(reply.body)
        raise HangUp(End.CLOSE)

    async def _read_body(self, request: Request, stop: Break | None) -> Request:
        """The request with its body; it is recorded here when the body stays incomplete."""
        chunks: list[bytes] = []
        length = body_length(request)
        source = self._reader if math.isfinite(length) else Unchunked(self._reader)
        stops_at = length if stop is None else min(stop.after, length)
        try:
            await self._read_into(chunks, source, stops_at)
            if stop is not None:
                if stop.end is not None:
                    raise HangUp(stop.end)
                await asyncio.sleep(stop.wait)
                if self._is_alone():  # nobody waits for a request that was held up any more
                    raise EOFError
            if stops_at < length:
                await self._read_into(chunks, source, length - stops_at)
        except (HangUp, OSError, EOFError, asyncio.CancelledError):
            self._desk.record(replace(request, body=b"".join(chunks)))
            raise
        return unwrapped(replace(request, body=b"".join(chunks)))

    def _is_alone(self) -> bool:
        """Whether the peer has gone."""
        reader = self._reader
        is_closing = self._writer.transport.is_closing()
        return reader.at_eof() or reader.exception() is not None or is_closing

    async def _read_into(self, chunks: list[bytes], source: Source, size: float) -> None:
        while size:
            chunk = await source.read(int(min(size, _CHUNK_SIZE)))
            if not chunk:
                if math.isinf(size):
                    return
                raise EOFError
            chunks.append(chunk)
            size -= len(chunk)

    # -- writing

    async def _send(self, data: bytes | memoryview) -> None:
        if data:
            self._writer.write(data)
            await self._writer.drain()

    async def _reply_early(self, request: Request, early: Reply) -> None:
        self._desk.record(request)
        reply = self._desk.dress(request, early)
        await self._send(head_bytes(reply, {"content-length": str(len(reply.body))}))
        await self._send(reply.body)
        await asyncio.sleep(_SETTLE)  # the unread body turns the close into a RST
        raise HangUp(End.DROP)

    async def _send_reply(self, request: Request, reply: Reply, plan: Plan) -> None:
        has_body = request.method != "HEAD" and reply.status not in _NO_BODY
        headers: dict[str, str | None] = {}
        if plan.framing is not Framing.LENGTH:
            headers["content-length"] = None
            if plan.framing is Framing.CHUNKED and has_body:
                headers["transfer-encoding"] = "chunked"
        elif reply.status not in _NO_BODY:
            told = reply.headers.get("content-length")
            headers["content-length"] = told or str(len(reply.body))
        version = "HTTP/1.0" if plan.framing is Framing.HTTP10 else "HTTP/1.1"
        await self._send(head_bytes(reply, headers, version))
        body = memoryview(reply.body) if has_body else memoryview(b"")
        stops_at = len(body) if plan.reply_break is None else plan.reply_break.after
        chunked = plan.framing is Framing.CHUNKED and has_body
        await self._send_body(body[:stops_at], chunked, plan.bytes_per_second)
        if plan.reply_break is not None:
            await _meet(plan.reply_break)
        await self._send_body(body[stops_at:], chunked, plan.bytes_per_second)
        if chunked:
            await self._send(b"0\r\n\r\n")

    async def _send_body(self, body: memoryview, chunked: bool, rate: float) -> None:
        async for piece in _paced(body, rate):
            if chunked:
                self._writer.write(b"%x\r\n" % len(piece))
                self._writer.write(piece)
                await self._send(b"\r\n")
            else:
                await self._send(piece)


async def _meet(stop: Break) -> None:
    await asyncio.sleep(stop.wait)
    if stop.end is not None:
        raise HangUp(stop.end)


async def _paced(body: memoryview, rate: float) -> AsyncIterator[memoryview]:
    """The body in pieces, in no more than `rate` bytes a second."""
    size = _CHUNK_SIZE if math.isinf(rate) else max(1, int(rate * _TICK))
    for start in range(0, len(body), size):
        piece = body[start : start + size]
        yield piece
        if not math.isinf(rate):
            await asyncio.sleep(len(piece) / rate)


def head_bytes(reply: Reply, headers: Mapping[str, str | None], version: str = "HTTP/1.1") -> bytes:
    """Status line and headers; `headers` win over those of the reply, None drops one."""
    merged = {**reply.headers, **headers}
    try:
        phrase = http.HTTPStatus(reply.status).phrase
    except ValueError:
        phrase = "Unknown"
    lines = [f"{version} {reply.status} {phrase}"]
    lines += [
        f"{_CAPITALS.get(name, name)}: {value}"
        for name, value in merged.items()
        if value is not None
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def parse_head(head: bytes, connection_id: int, *, chunks: bool = False) -> Request:
    """The request of a complete head; ValueError says what is wrong with it."""
    start, *lines = head[:-4].decode("latin-1").split("\r\n")
    method, target, version = start.split(" ")
    if version != "HTTP/1.1" or not target.startswith("/"):
        raise ValueError(f"start line {start!r}")
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not name or name != name.strip() or "\n" in line:
            raise ValueError(f"header line {line!r}")
        if name.lower() in headers:
            raise ValueError(f"header {name!r} twice")
        headers[name.lower()] = value.strip()
    if "host" not in headers or ("transfer-encoding" in headers and not chunks):
        raise ValueError("a Host and no Transfer-Encoding are required")
    bucket, name, query = split_target(target)
    length = int(headers.get("content-length", "0"))
    return Request(
        method=method,
        bucket=bucket,
        name=name,
        query=query,
        headers=headers,
        body_length=length,
        connection_id=connection_id,
        target=target,
        at=time.monotonic(),
    )

"""The real server behind the relay: a request goes there as it came, its reply comes back whole.

Target and headers are passed on untouched, Host above all, so that the signature stays valid. It
is a client of its own, so that no mistake of the one under test can hide here.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import time
from pathlib import Path
from urllib.parse import urlsplit

from .messages import Reply, Request

_LIMIT = 256 * 1024  # also the largest head
# Seconds after which an idle connection is not used again: both servers keep one for a minute.
_IDLE_TIME = 5.0
# What concerns one hop only; the relay has answered Expect itself.
_HOP = frozenset({"connection", "keep-alive", "transfer-encoding", "expect"})
_NO_BODY = frozenset({204, 304})


class Upstream:
    """A server over TLS, and the idle connections to it."""

    def __init__(self, endpoint_url: str, ca_file: Path) -> None:
        parts = urlsplit(endpoint_url)
        self._host = parts.hostname or ""
        self._port = parts.port or 443
        self._context = ssl.create_default_context(cafile=ca_file)
        self._context.set_alpn_protocols(["http/1.1"])
        self._idle: list[_Link] = []

    async def exchange(self, request: Request) -> Reply:
        """Pass a request on; OSError or EOFError when the server ends the connection."""
        reused = self._take_idle()
        if reused is not None:
            with contextlib.suppress(OSError, EOFError):
                return await self._exchange(reused, request)
            if reused.began_reply:
                raise ConnectionResetError
        return await self._exchange(await self._connect(), request)

    async def send_partly(self, request: Request) -> None:
        """Pass on the head and what there is of the body, then break the connection."""
        link = await self._connect()
        try:
            await link.send(request)
        finally:
            link.abort()

    def close(self) -> None:
        for link in self._idle:
            link.abort()
        self._idle.clear()

    def _take_idle(self) -> _Link | None:
        while self._idle:
            link = self._idle.pop()
            if time.monotonic() - link.idle_since < _IDLE_TIME:
                return link
            link.abort()
        return None

    async def _connect(self) -> _Link:
        reader, writer = await asyncio.open_connection(
            self._host, self._port, ssl=self._context, limit=_LIMIT
        )
        return _Link(reader, writer)

    async def _exchange(self, link: _Link, request: Request) -> Reply:
        is_kept = False
        try:
            await link.send(request)
            reply, is_kept = await link.receive(request)
        finally:
            if not is_kept:
                link.abort()
        link.idle_since = time.monotonic()
        self._idle.append(link)
        return reply


class _Link:
    """One connection to the server."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self.idle_since = 0.0
        self.began_reply = False

    def abort(self) -> None:
        self._writer.transport.abort()

    async def send(self, request: Request) -> None:
        self.began_reply = False
        lines = [f"{request.method} {request.target} HTTP/1.1"]
        lines += [f"{name}: {value}" for name, value in request.headers.items() if name not in _HOP]
        self._writer.write(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"))
        self._writer.write(request.body)
        await self._writer.drain()

    async def receive(self, request: Request) -> tuple[Reply, bool]:
        """The reply, and whether the connection can be used again."""
        status, headers = await self._head()
        while status < 200:
            status, headers = await self._head()
        is_kept = headers.get("connection", "").lower() != "close"
        is_chunked = headers.get("transfer-encoding", "").lower() == "chunked"
        kept = {name: value for name, value in headers.items() if name not in _HOP}
        if request.method == "HEAD" or status in _NO_BODY:
            body = b""
        elif is_chunked:
            body = await self._chunks()
        elif "content-length" in headers:
            body = await self._reader.readexactly(int(headers["content-length"]))
        else:
            body, is_kept = await self._reader.read(-1), False
        return Reply(status, kept, body), is_kept

    async def _head(self) -> tuple[int, dict[str, str]]:
        head = await self._reader.readuntil(b"\r\n\r\n")
        self.began_reply = True
        start, *lines = head[:-4].decode("latin-1").split("\r\n")
        fields = (line.partition(":") for line in lines)
        return int(start.split(" ")[1]), {
            name.strip().lower(): value.strip() for name, _, value in fields
        }

    async def _chunks(self) -> bytes:
        chunks = []
        while size := int((await self._reader.readuntil(b"\r\n")).split(b";")[0], 16):
            chunks.append(await self._reader.readexactly(size))
            await self._reader.readexactly(2)
        while await self._reader.readuntil(b"\r\n") != b"\r\n":
            pass  # trailers
        return b"".join(chunks)

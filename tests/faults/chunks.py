"""Bodies as the SDKs of others send them: in chunks, and their checksum behind the last one.

sealift sends neither, so a server takes them only when it is told to (`FaultServer(chunks=True)`).
https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming-trailers.html
"""

from __future__ import annotations

import asyncio
import math
from dataclasses import replace
from typing import Protocol

from .messages import Request

_ENCODING = "aws-chunked"


class Source(Protocol):
    """Where the bytes of a body come from; nothing means that there are no more."""

    async def read(self, size: int) -> bytes: ...


class Unchunked:
    """The bytes of a body with Transfer-Encoding: chunked."""

    def __init__(self, reader: asyncio.StreamReader) -> None:
        self._reader = reader
        self._left = 0
        self._ended = False

    async def read(self, size: int) -> bytes:
        if self._ended:
            return b""
        if not self._left:
            self._left = _size(await self._line())
            if not self._left:
                while await self._line():
                    pass
                self._ended = True
                return b""
        data = await self._reader.read(min(size, self._left))
        if not data:
            raise EOFError
        self._left -= len(data)
        if not self._left:
            await self._line()
        return data

    async def _line(self) -> bytes:
        return (await self._reader.readuntil(b"\r\n"))[:-2]


def body_length(request: Request) -> float:
    """How many bytes a body has; infinity when only its end tells."""
    chunked = "transfer-encoding" in request.headers
    return math.inf if chunked else request.body_length


def unwrapped(request: Request) -> Request:
    """The request without the chunks inside its body, and what came behind them as headers."""
    codings = [word.strip() for word in request.headers.get("content-encoding", "").split(",")]
    if _ENCODING not in codings:
        return request
    body, rest = bytearray(), request.body
    while True:
        line, _, rest = rest.partition(b"\r\n")
        size = _size(line)
        if not size:
            break
        body += rest[:size]
        rest = rest[size + 2 :]
    headers = {**request.headers, "x-amz-content-sha256": "UNSIGNED-PAYLOAD"}
    codings.remove(_ENCODING)
    headers["content-encoding"] = ", ".join(codings)
    for line in filter(None, rest.split(b"\r\n")):
        name, _, value = line.decode().partition(":")
        headers[name.strip().lower()] = value.strip()
    kept = {name: value for name, value in headers.items() if value}
    return replace(request, headers=kept, body=bytes(body), body_length=len(body))


def _size(line: bytes) -> int:
    """The size that a chunk begins with; what follows a semicolon is a signature."""
    return int(line.partition(b";")[0], 16)

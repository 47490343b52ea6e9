"""A minimal HTTP CONNECT proxy in a thread: says who went through it, and tunnels bytes."""

from __future__ import annotations

import asyncio
import base64
import contextlib

from .threads import LoopThread

_CHUNK_SIZE = 256 * 1024


class ConnectProxy(LoopThread):
    """`with ConnectProxy() as proxy:`, then send clients to `proxy.url`."""

    def __init__(self, *, credentials: tuple[str, str] | None = None, refuse: bool = False) -> None:
        super().__init__()
        self.connects: list[str] = []
        """host:port of every CONNECT, also of refused ones."""
        self.heads: list[bytes] = []
        """The heads as they came: nothing of S3 and no customer key belongs there."""
        self.port = 0
        self._credentials = credentials
        self._refuse = refuse

    @property
    def url(self) -> str:
        """Without credentials: tests decide whether to give them."""
        return f"http://127.0.0.1:{self.port}"

    async def _open(self) -> asyncio.Server:
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        return server

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._spawn(self._serve(reader, writer))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            status = self._admit(head)
            if status != "200 Connection established":
                writer.write(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n".encode())
                await writer.drain()
                return
            host, _, port = self.connects[-1].rpartition(":")
            await _tunnel(reader, writer, host.strip("[]"), int(port))
        except (OSError, EOFError):
            pass  # either side is gone; the other learns it by the close below
        except Exception as error:
            self.errors.append(error)
        finally:
            await _close(writer)

    def _admit(self, head: bytes) -> str:
        self.heads.append(head)
        start, *lines = head.decode("latin-1").split("\r\n")
        method, target, _ = start.split(" ")
        if method != "CONNECT":
            return "405 Method Not Allowed"
        self.connects.append(target)
        if self._refuse:
            return "403 Forbidden"
        if self._credentials is None:
            return "200 Connection established"
        wanted = base64.b64encode(":".join(self._credentials).encode()).decode()
        given = {
            value.strip()
            for name, _, value in (line.partition(":") for line in lines)
            if name.lower() == "proxy-authorization"
        }
        if f"Basic {wanted}" in given:
            return "200 Connection established"
        return '407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm="proxy"'


async def _tunnel(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str, port: int
) -> None:
    try:
        far_reader, far_writer = await asyncio.open_connection(host, port)
    except OSError:
        writer.write(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        return
    try:
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        async with asyncio.TaskGroup() as group:
            group.create_task(_pump(reader, far_writer))
            group.create_task(_pump(far_reader, writer))
    except* (OSError, EOFError):
        pass  # a reset on one side ends both
    finally:
        await _close(far_writer)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while chunk := await reader.read(_CHUNK_SIZE):
        writer.write(chunk)
        await writer.drain()
    writer.write_eof()


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()

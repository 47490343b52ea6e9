"""A name server (RFC 1035) that knows one answer at a time, of which it may be slow or wrong."""

from __future__ import annotations

import asyncio
import enum
import socket
import struct
from typing import cast

from .threads import LoopThread

# Where a resolver asks; nobody else of 127.0.0.0/8 listens there.
HOST = "127.0.0.153"
PORT = 53
_A = 1


class Refusal(enum.IntEnum):
    """Answers that are no addresses, by the code that says so (RFC 1035 section 4.1.1)."""

    SERVFAIL = 2
    NXDOMAIN = 3
    SILENCE = 99  # no answer at all


class NameServer(LoopThread):
    """Answers every question for an address by `answer`; those in `first` are used up before.

    With `refuses_ipv6` False a refusal is for the question about IPv4 alone, and there is no IPv6
    address.
    """

    def __init__(self, *answer: str) -> None:
        super().__init__()
        self.answer: tuple[str, ...] | Refusal = answer
        self.first: list[Refusal] = []
        self.refuses_ipv6 = True
        self.asked: list[str] = []
        """The name in each question for an IPv4 address; one for IPv6 comes after each."""
        self._current: tuple[str, ...] | Refusal = answer

    async def _open(self) -> asyncio.BaseTransport:
        loop = asyncio.get_running_loop()
        address = (HOST, PORT)
        transport, _ = await loop.create_datagram_endpoint(
            lambda: _Protocol(self), local_addr=address, family=socket.AF_INET
        )
        return transport

    def reply(self, query: bytes) -> bytes | None:
        """The reply to one query."""
        labels, position = [], 12
        while size := query[position]:
            labels.append(query[position + 1 : position + 1 + size].decode())
            position += 1 + size
        question = query[12 : position + 5]
        is_ipv4 = struct.unpack("!H", query[position + 1 : position + 3])[0] == _A
        if is_ipv4:
            self.asked.append(".".join(labels))
            self._current = self.first.pop(0) if self.first else self.answer
        answer = self._current if is_ipv4 or self.refuses_ipv6 else ()
        if answer is Refusal.SILENCE:
            return None
        code = answer if isinstance(answer, Refusal) else 0
        addresses = () if isinstance(answer, Refusal) or not is_ipv4 else answer
        head = query[:2] + struct.pack("!5H", 0x8180 | code, 1, len(addresses), 0, 0)
        records = [
            b"\xc0\x0c" + struct.pack("!HHIH", _A, 1, 0, 4) + socket.inet_aton(address)
            for address in addresses
        ]
        return head + question + b"".join(records)


class _Protocol(asyncio.DatagramProtocol):
    def __init__(self, server: NameServer) -> None:
        self._server = server

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, address: tuple[str, int]) -> None:
        reply = self._server.reply(data)
        if reply is not None:
            self._transport.sendto(reply, address)

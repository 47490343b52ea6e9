"""Connections that measure: what they note, and that nobody else has them."""

from __future__ import annotations

import time

import anyio
import pytest
from tests.faults import Delay, FaultServer, KeepAliveClose, Match, SlowReply
from tests.kit import Certificate, Count, open_pool, request

from sealift.options import Options
from sealift.session import Session
from sealift.wire.connection import Connection
from sealift.wire.timed import TimedConnection, Timing

from .conftest import BODY

pytestmark = pytest.mark.anyio

GET = Match(operation="GetObject")
PUT = Match(operation="PutObject")


async def get(pool: object, timing: object) -> None:
    room = memoryview(bytearray(len(BODY)))
    await pool.exchange("GET", request("GET", "x"), None, room, timing)  # type: ignore[attr-defined]
    assert room == BODY


async def test_the_first_byte_comes_before_the_last(
    server: FaultServer, certificate: Certificate
) -> None:
    server.script(GET, SlowReply(len(BODY) * 4))
    async with open_pool(server, certificate, connection=TimedConnection) as pool:
        began, timing = time.monotonic(), Timing()
        await get(pool, timing)
    ended = time.monotonic()
    assert began <= timing.began_at <= timing.heard_at < ended - 0.1
    assert timing.moved == len(BODY)


async def test_a_slow_answer_is_seen(server: FaultServer, certificate: Certificate) -> None:
    server.script(PUT, Delay(0.2))
    async with open_pool(server, certificate, connection=TimedConnection) as pool:
        timing = Timing()
        head = request("PUT", "y", 4, x_amz_content_sha256="UNSIGNED-PAYLOAD")
        await pool.exchange("PUT", head, memoryview(b"four"), None, timing)
    assert timing.heard_at - timing.began_at >= 0.2


async def test_a_second_connection_begins_anew(
    server: FaultServer, certificate: Certificate
) -> None:
    """What a kept connection that turned out dead has noted does not count."""
    server.script(GET, KeepAliveClose(0.02))
    async with open_pool(server, certificate, connection=TimedConnection) as pool:
        await get(pool, Timing())
        await anyio.sleep(0.05)
        began, timing = time.monotonic(), Timing()
        await get(pool, timing)
        assert pool.connect_count == 2
    assert began <= timing.began_at <= timing.heard_at


async def test_other_counters_are_only_counted(
    server: FaultServer, certificate: Certificate
) -> None:
    async with open_pool(server, certificate, connection=TimedConnection) as pool:
        count = Count()
        await get(pool, count)
        await get(pool, None)
    assert vars(count) == {"moved": len(BODY)}


def test_who_does_not_measure_has_plain_connections() -> None:
    from sealift.events import Silent

    assert Session(Options(None), Silent())._make_connection is Connection

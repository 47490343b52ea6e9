"""Which connection carries a request, how one is made, and what a dead one costs."""

from __future__ import annotations

import asyncio
import os
import resource
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.faults import (
    CloseBeforeReply,
    ConnectProxy,
    FaultServer,
    KeepAliveClose,
    Match,
    ResetRequest,
)
from tests.kit import Certificate, Count, RawServer, open_count, open_pool, request, until

from sealift.errors import Cause, LocalFileError, NetworkError
from sealift.tls import client_context
from sealift.wire import pool as pool_module
from sealift.wire.address import Proxy, Server, find_proxy
from sealift.wire.connection import Connection, Deadlines
from sealift.wire.pool import Pool

from .conftest import BODY

pytestmark = pytest.mark.anyio

GET = Match(operation="GetObject")


async def get(pool: Pool, count: Count | None = None) -> int:
    room = memoryview(bytearray(len(BODY)))
    reply = await pool.exchange("GET", request("GET", "x"), None, room, count)
    assert room == BODY
    return reply.size


# Keeping


async def test_requests_in_turn_share_a_connection(
    server: FaultServer, certificate: Certificate
) -> None:
    async with open_pool(server, certificate) as pool:
        for _ in range(5):
            assert await get(pool) == len(BODY)
        assert pool.connect_count == server.connections == 1


async def test_requests_at_once_do_not(server: FaultServer, certificate: Certificate) -> None:
    async with open_pool(server, certificate) as pool:
        sizes = await asyncio.gather(*(get(pool) for _ in range(4)))
        assert sizes == [len(BODY)] * 4
        assert open_count(pool) == server.connections == 4


async def test_a_connection_that_sat_idle_is_not_used(
    server: FaultServer, certificate: Certificate
) -> None:
    now = 100.0
    async with open_pool(server, certificate, clock=lambda: now) as pool:
        await get(pool)
        now += pool_module.IDLE_LIFETIME - 0.1
        await get(pool)
        assert server.connections == 1
        now += pool_module.IDLE_LIFETIME + 0.1
        await get(pool)
        assert server.connections == 2


@pytest.mark.usefixtures("quick_watch")
async def test_idle_connections_are_closed_in_time(
    server: FaultServer, certificate: Certificate
) -> None:
    now = 100.0
    async with open_pool(server, certificate, clock=lambda: now) as pool:
        await get(pool)
        assert open_count(pool) == 1
        now += pool_module.IDLE_LIFETIME + 0.1
        await until(lambda: not open_count(pool))


# Stale connections


async def test_a_stale_connection_costs_no_attempt(
    server: FaultServer, certificate: Certificate
) -> None:
    count = Count()
    async with open_pool(server, certificate) as pool:
        await get(pool, count)
        stale = server.script(GET, CloseBeforeReply())
        await get(pool, count)
        assert stale.used == 1
        assert count.moved == 2 * len(BODY)
    assert server.connections == 2


async def test_a_large_request_on_a_stale_connection_is_sent_anew(
    server: FaultServer, certificate: Certificate
) -> None:
    body, count = memoryview(bytearray(4_000_000)), Count()
    async with open_pool(server, certificate) as pool:
        await get(pool)
        server.script(Match(operation="PutObject"), ResetRequest(1_000_000))
        reply = await pool.exchange("PUT", request("PUT", "y", len(body)), body, None, count)
        assert reply.head.status == 200
        assert count.moved == len(body)
    assert server.objects["bucket", "y"].size == len(body)


async def test_a_second_dead_connection_is_a_failure(
    server: FaultServer, certificate: Certificate
) -> None:
    count = Count()
    async with open_pool(server, certificate) as pool:
        await get(pool)
        server.script(GET, CloseBeforeReply(), CloseBeforeReply())
        with pytest.raises(NetworkError) as caught:
            await get(pool, count)
        assert caught.value.cause is Cause.RESET
        assert (count.moved, open_count(pool)) == (0, 0)
    assert len(server.seen("GetObject")) == 3


async def test_a_connection_that_ends_with_its_handshake_is_a_failure(
    server: FaultServer, certificate: Certificate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As by bytes of the server in the flight that ends the handshake."""

    async def connect(pool: Pool) -> Connection:
        connection = await real_connect(pool)
        connection.buffer_updated(1)
        return connection

    real_connect = Pool._connect
    count = Count()
    async with open_pool(server, certificate) as pool:
        monkeypatch.setattr(Pool, "_connect", connect)
        with pytest.raises(NetworkError) as caught:
            await get(pool, count)
        assert caught.value.cause is Cause.RESET
        assert (count.moved, open_count(pool)) == (0, 0)


async def test_a_close_while_idle_is_noticed(server: FaultServer, certificate: Certificate) -> None:
    server.script(GET, KeepAliveClose(0.05))
    async with open_pool(server, certificate) as pool:
        await get(pool)
        assert open_count(pool) == 1
        await until(lambda: not open_count(pool))
        await get(pool)
    assert len(server.seen("GetObject")) == 2


# Certificates


@pytest.fixture
def stranger(tmp_path: Path) -> Certificate:
    return Certificate.make(tmp_path)


async def test_case_29_a_stranger_is_not_spoken_to(
    server: FaultServer, stranger: Certificate
) -> None:
    async with open_pool(server, stranger) as pool:
        with pytest.raises(NetworkError, match="not trusted") as caught:
            await get(pool)
        assert caught.value.cause is Cause.PERMANENT
        assert pool.connect_count == 1
    assert server.requests == []


async def test_case_29_another_name_is_not_spoken_to(tmp_path: Path) -> None:
    files = Certificate.make(tmp_path, "elsewhere.example")
    with FaultServer(files) as server:
        async with open_pool(server, files) as pool:
            with pytest.raises(NetworkError, match="localhost") as caught:
                await get(pool)
            assert caught.value.cause is Cause.PERMANENT
            assert pool.connect_count == 1
        assert server.requests == []


# Addresses


async def test_ipv6(certificate: Certificate) -> None:
    with FaultServer(certificate, host="::1") as server:
        server.store("x", BODY)
        async with open_pool(server, certificate) as pool:
            assert await get(pool) == len(BODY)
        assert server.connections == 1


async def test_case_39_a_dead_address_is_passed_over(
    server: FaultServer, certificate: Certificate
) -> None:
    async with open_pool(server, certificate) as pool:
        # What the name stands for: nobody listens on 127.0.0.9, and the order turns.
        pool._lookup._addresses = ["127.0.0.1", "127.0.0.9"]
        pool._lookup._expires = float("inf")
        assert (await pool._lookup.addresses())[0] == "127.0.0.9"
        pool._lookup._turn = 0
        assert await get(pool) == len(BODY)
        assert pool.connect_count == 2


async def test_case_39_an_address_that_never_answers_leaves_the_next_time_enough(
    server: FaultServer, certificate: Certificate
) -> None:
    with socket.create_server(("127.0.0.9", server.port)):  # accepts, and never speaks TLS
        async with open_pool(server, certificate, deadlines=Deadlines(connect=2.0)) as pool:
            pool._lookup._addresses = ["127.0.0.1", "127.0.0.9"]
            pool._lookup._expires = float("inf")
            assert await get(pool) == len(BODY)
            assert pool.connect_count == 2


async def test_many_addresses_leave_the_first_time_enough(
    server: FaultServer, certificate: Certificate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Eight of them, and a handshake that takes longer than an eighth of the deadline."""
    connect = Pool._connect_to

    async def connect_late(pool: Pool, address: str) -> Connection:
        await asyncio.sleep(0.3)
        return await connect(pool, address)

    monkeypatch.setattr(Pool, "_connect_to", connect_late)
    async with open_pool(server, certificate, deadlines=Deadlines(connect=1.6)) as pool:
        pool._lookup._addresses = ["127.0.0.1"] * 8
        pool._lookup._expires = float("inf")
        assert await get(pool) == len(BODY)
        assert pool.connect_count == 1


async def test_no_address_answers(certificate: Certificate) -> None:
    pool = Pool(Server("127.0.0.1", 1, "127.0.0.1:1"), client_context(str(certificate.ca_file)))
    with pytest.raises(NetworkError, match="cannot connect") as caught:
        await get(pool)
    assert caught.value.cause is Cause.CONNECT


async def test_no_descriptor_left(server: FaultServer, certificate: Certificate) -> None:
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    async with open_pool(server, certificate) as pool:
        await pool._lookup.addresses()
        lowest = os.dup(0)
        os.close(lowest)
        resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, limits[1]))
        try:
            with pytest.raises(LocalFileError, match=r"cannot connect to .*ulimit -n") as caught:
                await get(pool)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        assert caught.value.cause is Cause.PERMANENT
        await get(pool)


async def test_no_answer_in_time(certificate: Certificate) -> None:
    """A server that accepts and never speaks TLS."""

    async def deaf(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    listener = await asyncio.start_server(deaf, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    pool = Pool(
        Server("127.0.0.1", port, f"127.0.0.1:{port}"),
        client_context(str(certificate.ca_file)),
        deadlines=Deadlines(connect=0.2),
    )
    with pytest.raises(NetworkError, match="no answer in time") as caught:
        await get(pool)
    assert caught.value.cause is Cause.CONNECT
    listener.close()
    await asyncio.sleep(0.05)


# Proxies


@pytest.fixture
def proxy() -> Iterator[ConnectProxy]:
    with ConnectProxy(credentials=("user", "pass word")) as running:
        yield running


async def test_a_proxy_tunnels(
    server: FaultServer,
    certificate: Certificate,
    proxy: ConnectProxy,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    url = f"http://user:pass%20word@127.0.0.1:{proxy.port}"
    monkeypatch.setenv("HTTPS_PROXY", url)
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    found = find_proxy(Server.from_url(server.endpoint_url))
    async with open_pool(server, certificate, proxy=found) as pool:
        assert await get(pool) == len(BODY)
        assert await get(pool) == len(BODY)
    assert proxy.connects == [f"localhost:{server.port}"]
    assert b"x-amz" not in b"".join(proxy.heads)


async def test_a_proxy_wants_a_password(
    server: FaultServer, certificate: Certificate, proxy: ConnectProxy
) -> None:
    async with open_pool(server, certificate, proxy=Proxy("127.0.0.1", proxy.port)) as pool:
        with pytest.raises(NetworkError, match="407") as caught:
            await get(pool)
    assert caught.value.cause is Cause.PERMANENT
    assert "password" in caught.value.hint
    assert server.connections == 0


async def test_a_proxy_refuses(server: FaultServer, certificate: Certificate) -> None:
    with ConnectProxy(refuse=True) as refusing:
        async with open_pool(server, certificate, proxy=Proxy("127.0.0.1", refusing.port)) as pool:
            with pytest.raises(NetworkError, match="refused the connection with 403") as caught:
                await get(pool)
    assert caught.value.cause is Cause.PERMANENT


async def test_a_proxy_that_cannot_reach_the_server(certificate: Certificate) -> None:
    with ConnectProxy() as running:
        proxy = Proxy("127.0.0.1", running.port)
        context = client_context(str(certificate.ca_file))
        pool = Pool(Server("127.0.0.1", 1, "127.0.0.1:1"), context, proxy=proxy)
        with pytest.raises(NetworkError, match="502") as caught:
            await get(pool)
        await asyncio.sleep(0.02)
    assert caught.value.cause is Cause.CONNECT


async def test_case_29_certificates_are_checked_through_a_proxy(
    server: FaultServer, stranger: Certificate
) -> None:
    with ConnectProxy() as running:
        async with open_pool(server, stranger, proxy=Proxy("127.0.0.1", running.port)) as pool:
            with pytest.raises(NetworkError, match="not trusted") as caught:
                await get(pool)
        assert len(running.connects) == 1
    assert caught.value.cause is Cause.PERMANENT
    assert server.requests == []


async def test_a_proxy_that_speaks_no_http(certificate: Certificate, server: FaultServer) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"SSH-2.0-x\r\n")
        await reader.read()
        writer.close()

    listener = await asyncio.start_server(serve, "127.0.0.1", 0)
    proxy = Proxy("127.0.0.1", listener.sockets[0].getsockname()[1])
    async with open_pool(server, certificate, proxy=proxy) as pool:
        with pytest.raises(NetworkError) as caught:
            await get(pool)
    assert caught.value.cause is Cause.GARBLED
    listener.close()
    await asyncio.sleep(0.05)


async def test_a_cancelled_connect_leaves_nothing(certificate: Certificate) -> None:
    async def deaf(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    with RawServer(certificate, deaf) as raw, ConnectProxy() as running:
        proxy = Proxy("127.0.0.1", running.port)
        for chosen in (None, proxy):
            async with open_pool(raw, certificate, proxy=chosen) as pool:
                task = asyncio.create_task(get(pool))
                await until(lambda pool=pool: pool.connect_count)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
                assert open_count(pool) == 0

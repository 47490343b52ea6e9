"""Where a connection may go: URLs, proxies of the environment, name lookups."""

from __future__ import annotations

import asyncio
import errno
import socket
from typing import Any

import pytest
from tests.faults import FaultServer

from sealift.errors import Cause, NetworkError, ObjectError, SettingsError
from sealift.wire.address import Lookup, Proxy, Server, find_proxy


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://s3.example", Server("s3.example", 443, "s3.example")),
        ("https://s3.example:443/", Server("s3.example", 443, "s3.example")),
        ("https://S3.example:9000", Server("s3.example", 9000, "s3.example:9000")),
        ("https://[::1]:9000", Server("::1", 9000, "[::1]:9000")),
        ("https://[2001:db8::1]", Server("2001:db8::1", 443, "[2001:db8::1]")),
    ],
)
def test_a_server_is_read_from_its_url(url: str, expected: Server) -> None:
    assert Server.from_url(url) == expected


@pytest.mark.parametrize("url", ["http://localhost:9000", "s3.example", "ftp://x", ""])
def test_anything_but_https_is_refused(url: str) -> None:
    with pytest.raises(SettingsError, match="not https"):
        Server.from_url(url)


@pytest.mark.parametrize("url", ["https://", "https://:9000", "https://x:99999", "https://[::1"])
def test_an_endpoint_that_is_no_url_is_refused(url: str) -> None:
    with pytest.raises(SettingsError, match="endpoint"):
        Server.from_url(url)


def test_case_27_plain_http_is_refused_before_a_socket_opens() -> None:
    with FaultServer(None, tls=False) as server:
        with pytest.raises(SettingsError, match="plain HTTP"):
            Server.from_url(server.endpoint_url)
        assert server.connections == 0


# Proxies


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)


SERVER = Server("s3.example", 443, "s3.example")


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://proxy:3128", Proxy("proxy", 3128)),
        ("proxy:3128", Proxy("proxy", 3128)),
        ("http://proxy", Proxy("proxy", 80)),
        ("http://u:p%40ss@proxy:1", Proxy("proxy", 1, "Basic dTpwQHNz")),
        ("http://u@proxy:1", Proxy("proxy", 1, "Basic dTo=")),
    ],
)
def test_the_environment_names_a_proxy(
    monkeypatch: pytest.MonkeyPatch, url: str, expected: Proxy
) -> None:
    assert find_proxy(SERVER) is None
    monkeypatch.setenv("HTTPS_PROXY", url)
    assert find_proxy(SERVER) == expected
    assert "Basic" not in repr(find_proxy(SERVER))


@pytest.mark.parametrize(
    ("exempt", "bypassed"),
    [("s3.example", True), (".example", True), ("*", True), ("other.example", False), ("", False)],
)
def test_no_proxy_exempts(monkeypatch: pytest.MonkeyPatch, exempt: str, bypassed: bool) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy:3128")
    monkeypatch.setenv("NO_PROXY", exempt)
    assert (find_proxy(SERVER) is None) == bypassed


@pytest.mark.parametrize("url", ["https://proxy:1", "socks5://proxy:1", "http://u:secret@p:99999"])
def test_other_proxies_are_refused(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("HTTPS_PROXY", url)
    with pytest.raises(SettingsError, match="HTTPS_PROXY") as caught:
        find_proxy(SERVER)
    assert "secret" not in str(caught.value)


# Lookups


def fake_resolver(monkeypatch: pytest.MonkeyPatch, *answers: Any) -> list[str]:
    """Let getaddrinfo give these answers in turn; returns the names asked for."""
    asked: list[str] = []
    left = iter(answers)

    async def getaddrinfo(host: str, port: int, **_: Any) -> Any:
        asked.append(host)
        answer = next(left)
        if isinstance(answer, Exception):
            raise answer
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in answer]

    loop = asyncio.get_running_loop()
    monkeypatch.setattr(loop, "getaddrinfo", getaddrinfo, raising=False)
    return asked


def test_addresses_are_handed_out_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        asked = fake_resolver(monkeypatch, ["a", "b", "a", "c"], ["d"])
        lookup = Lookup("s3.example", 443)
        firsts = set()
        for _ in range(3):
            found = await lookup.addresses()
            assert sorted(found) == ["a", "b", "c"]
            firsts.add(found[0])
        assert firsts == {"a", "b", "c"}
        assert asked == ["s3.example"]
        lookup.forget()
        assert await lookup.addresses() == ["d"]

    asyncio.run(main())


@pytest.mark.parametrize(
    ("reason", "cause"),
    [
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), Cause.PERMANENT),
        (socket.gaierror(socket.EAI_AGAIN, "Temporary failure"), Cause.NAME_LOOKUP),
        (socket.gaierror(socket.EAI_NODATA, "No address"), Cause.NAME_LOOKUP),
        (UnicodeError("label too long"), Cause.PERMANENT),
        (OSError(errno.EMFILE, "Too many open files"), Cause.PERMANENT),  # as uvloop raises it
    ],
)
def test_case_39_a_lookup_that_fails(
    monkeypatch: pytest.MonkeyPatch, reason: Exception, cause: Cause
) -> None:
    async def main() -> None:
        fake_resolver(monkeypatch, reason)
        with pytest.raises(ObjectError, match=r"s3\.example") as caught:
            await Lookup("s3.example", 443).addresses()
        assert caught.value.cause is cause

    asyncio.run(main())


@pytest.mark.parametrize("host", ["a..example", "x" * 70 + ".example"])
def test_case_39_a_name_that_no_host_can_have_fails_at_once(host: str) -> None:
    with pytest.raises(NetworkError) as caught:
        asyncio.run(Lookup(host, 443).addresses())
    assert caught.value.cause is Cause.PERMANENT

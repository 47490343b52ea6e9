"""Where a connection goes: the server, its addresses, and the proxy in between.

Proxy settings are those of the environment (`HTTPS_PROXY`, `NO_PROXY`), as curl and boto read them.
"""

from __future__ import annotations

import asyncio
import base64
import os
import socket
import sys
import time
from dataclasses import dataclass, field
from urllib.parse import SplitResult, unquote, urlsplit

from sealift.errors import Cause, LocalFileError, NetworkError, SettingsError

# S3 answers with short-lived addresses and asks clients to spread over them.
LOOKUP_LIFETIME = 30.0
# Of each partition that has S3 at hosts of its own: https://docs.aws.amazon.com/general/latest/gr/s3.html
AWS_DOMAINS = (".amazonaws.com", ".amazonaws.com.cn")


@dataclass(frozen=True, slots=True)
class Proxy:
    """An HTTP proxy that tunnels by CONNECT (RFC 9110 section 9.3.6)."""

    host: str
    port: int
    authorization: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Server:
    """An S3 server, always over TLS. `netloc` is what the Host header says."""

    host: str
    port: int
    netloc: str

    @classmethod
    def from_url(cls, url: str) -> Server:
        """Read an endpoint URL; anything but https is refused here, before a socket opens."""
        parts, port = _split(url, "--endpoint-url")
        if parts.scheme != "https":
            raise SettingsError(
                f"the endpoint {url} is not https, and a customer key must never cross plain HTTP",
                hint="use an https:// endpoint",
            )
        if not parts.hostname:
            raise SettingsError(f"the endpoint {url} names no host", hint="check --endpoint-url")
        host = parts.hostname
        literal = f"[{host}]" if ":" in host else host
        port = port or 443
        return cls(host, port, literal if port == 443 else f"{literal}:{port}")


def is_of_aws(host: str) -> bool:
    """Whether a host is one of AWS's own."""
    return host.lower().endswith(AWS_DOMAINS)


def find_proxy(server: Server) -> Proxy | None:
    """The proxy that the environment names for `server`, or None."""
    if sys.platform != "darwin" and not any(name.lower().endswith("_proxy") for name in os.environ):
        return None
    import urllib.request

    if urllib.request.proxy_bypass(server.host):
        return None
    url = urllib.request.getproxies().get("https")
    if not url:
        return None
    parts, port = _split(url if "://" in url else f"http://{url}", "HTTPS_PROXY")
    if parts.scheme != "http" or not parts.hostname:
        raise SettingsError(
            "HTTPS_PROXY is not an http:// URL", hint="set HTTPS_PROXY=http://HOST:PORT"
        )
    authorization = None
    if parts.username is not None:
        login = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        authorization = "Basic " + base64.b64encode(login.encode()).decode()
    return Proxy(parts.hostname, port or 80, authorization)


def _split(url: str, setting: str) -> tuple[SplitResult, int | None]:
    """The parts of a URL and its port. What cannot be read may hold a password: it is not shown."""
    try:
        parts = urlsplit(url)
        return parts, parts.port
    except ValueError:
        raise SettingsError(f"{setting} is no URL", hint=f"check {setting}") from None


def is_passing(reason: socket.gaierror) -> bool:
    """Whether a name cannot be found for the moment, rather than is not known.

    glibc says that a name has no address also where the lookup of IPv4 ones failed, and there are
    none of IPv6.
    """
    return reason.errno in (socket.EAI_AGAIN, getattr(socket, "EAI_NODATA", None))


class Lookup:
    """Resolves one host name; hands its addresses out in turn, and forgets them after a while."""

    def __init__(self, host: str, port: int) -> None:
        self._host = host
        self._port = port
        self._addresses: list[str] = []
        self._expires = 0.0
        self._turn = 0

    async def addresses(self) -> list[str]:
        """All addresses, each call starting with the next one."""
        if time.monotonic() >= self._expires:
            await self._resolve()
        self._turn += 1
        first = self._turn % len(self._addresses)
        return self._addresses[first:] + self._addresses[:first]

    def forget(self) -> None:
        """Resolve anew before the next connection: the last one went bad."""
        self._expires = 0.0

    async def _resolve(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            found = await loop.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
        except socket.gaierror as reason:
            passing = is_passing(reason)
            raise NetworkError(
                f"cannot find the host {self._host}: {reason.strerror}",
                cause=Cause.NAME_LOOKUP if passing else Cause.PERMANENT,
                hint="" if passing else "check the endpoint",
            ) from None
        except OSError as reason:
            raise LocalFileError("look up", self._host, reason) from None
        except UnicodeError:  # the IDNA codec: a label that is empty or too long
            raise NetworkError(
                f"{self._host} is no host name", cause=Cause.PERMANENT, hint="check the endpoint"
            ) from None
        self._addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
        self._expires = time.monotonic() + LOOKUP_LIFETIME

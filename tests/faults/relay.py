"""`Relay`: a TLS reverse proxy before a real S3 server that misbehaves as told.

    with Relay(certificate, server) as relay:
        relay.script(Match(operation="CompleteMultipartUpload"), ApplyThenReset())
        relay.storm = Storm(seed, 0.02, stall=2.0)  # or by chance
        ...                                   # point any client at relay.endpoint_url
        assert relay.injected == {"ApplyThenReset": 1, "flip up": 3}

Requests and replies pass whole: a request that a fault breaks off in its body reaches the server
broken off as well, anything else reaches it complete or not at all.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from dataclasses import replace
from email.utils import formatdate
from pathlib import Path
from typing import Protocol

from .front import Certificate, Front
from .messages import Reply, Request
from .plan import Fault
from .storm import Storm
from .upstream import Upstream


class Server(Protocol):
    """What `sealift.embedded.S3Server` has."""

    @property
    def endpoint_url(self) -> str: ...
    @property
    def ca_file(self) -> Path: ...


class Relay(Front):
    """In front of `server`; `storm` decides on the requests that no script matches."""

    def __init__(
        self, certificate: Certificate, server: Server, *, storm: Storm | None = None
    ) -> None:
        super().__init__(certificate)
        self.storm = storm
        self.injected: Counter[str] = Counter()
        """How many requests have met each kind of fault: its class, or the storm's name for it."""
        self.request_count = 0
        self.passed: Counter[str] = Counter()
        """How many requests of each operation the server has answered."""
        self._upstream = Upstream(server.endpoint_url, server.ca_file)

    @property
    def endpoint_url(self) -> str:
        """By number: Ceph takes the name localhost for that of a bucket."""
        return f"https://127.0.0.1:{self.port}"

    def faults_for(self, request: Request) -> tuple[Fault, ...]:
        self.request_count += 1
        faults = super().faults_for(request)
        self.injected.update(type(fault).__name__ for fault in faults)
        if faults or self.storm is None:
            return faults
        met = self.storm.draw(request)
        if met is None:
            return ()
        self.injected[met.kind] += 1
        return (met.fault,)

    def record(self, request: Request) -> None:
        """Remember the request without its body, which may be large."""
        super().record(replace(request, body=b""))
        if 0 < len(request.body) < request.body_length:
            self._spawn(self._break_off(request))

    async def serve(self, request: Request) -> Reply:
        reply = await self._upstream.exchange(request)
        self.passed[request.operation] += 1
        return reply

    def dress(self, request: Request, reply: Reply) -> Reply:
        date = {"date": formatdate(time.time(), usegmt=True)}
        body = b"" if request.method == "HEAD" else reply.body
        return Reply(reply.status, {**date, **reply.headers}, body)

    async def _break_off(self, request: Request) -> None:
        with contextlib.suppress(OSError):  # the server was quicker
            await self._upstream.send_partly(request)

    async def _main(self) -> None:
        try:
            await super()._main()
        finally:
            self._upstream.close()
            await asyncio.sleep(0)

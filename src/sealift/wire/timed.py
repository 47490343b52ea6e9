"""Connections that note when each exchange began and when its first byte came, for measuring.

Only who measures makes them; plain connections have nothing of this.
"""

from __future__ import annotations

import time

from sealift.wire.bandwidth import Bandwidth
from sealift.wire.connection import Body, Connection, Counter
from sealift.wire.receiving import Reply


class Timing:
    """A counter of one request: bytes `moved`; when the attempt began and was first answered.

    Both in seconds on the monotonic clock, 0 before; connecting is over when it begins.
    """

    __slots__ = ("began_at", "heard_at", "moved")

    def __init__(self) -> None:
        self.moved = 0
        self.began_at = 0.0
        self.heard_at = 0.0


class TimedConnection(Connection):
    """A connection that fills in the `Timing` of each exchange that is counted by one."""

    def __init__(self, bandwidth: Bandwidth | None = None) -> None:
        super().__init__(bandwidth)
        self._timing: Timing | None = None

    def buffer_updated(self, nbytes: int) -> None:
        timing = self._timing
        if timing is not None:
            timing.heard_at = time.monotonic()
            self._timing = None
        super().buffer_updated(nbytes)

    async def exchange(
        self,
        method: str,
        head: memoryview,
        body: Body | None,
        room: memoryview | None,
        counter: Counter | None,
    ) -> Reply:
        """As any connection does; see `Connection.exchange`."""
        if isinstance(counter, Timing):
            counter.began_at = time.monotonic()
            counter.heard_at = 0.0
            self._timing = counter
        return await super().exchange(method, head, body, room, counter)

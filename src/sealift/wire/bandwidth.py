"""A limit on bytes per second, shared by all connections of a run (`--max-bandwidth`)."""

from __future__ import annotations

import asyncio
import time


class Bandwidth:
    """A token bucket that may go into debt: bytes are let through, then paid for by waiting.

    `rate` is in bytes per second; at most a quarter of a second's worth is saved up.
    """

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._credit = 0.0
        self._paid_at = time.monotonic()

    def debit(self, nbytes: int) -> float:
        """Count `nbytes` that moved; returns the seconds to wait before more may move."""
        now = time.monotonic()
        earned = (now - self._paid_at) * self._rate
        self._credit = min(self._credit + earned, self._rate / 4) - nbytes
        self._paid_at = now
        return max(0.0, -self._credit / self._rate)

    async def take(self, nbytes: int) -> None:
        """Wait until `nbytes` may be sent."""
        delay = self.debit(nbytes)
        if delay > 0:
            await asyncio.sleep(delay)

"""The reporter of a run's session: what is tried again, and what that means for the pace."""

from __future__ import annotations

import time

from sealift.errors import Cause
from sealift.events import Event, Retried
from sealift.pace import Pace


class Watch:
    """Counts retries, and slows the pace of the cell under way."""

    def __init__(self) -> None:
        self.retry_count = 0
        self.throttle_count = 0
        self.pace: Pace | None = None

    def emit(self, event: Event) -> None:
        """Take an event of the session."""
        if not isinstance(event, Retried):
            return
        self.retry_count += 1
        if event.error.cause is Cause.THROTTLED:
            self.throttle_count += 1
            if self.pace is not None:
                self.pace.throttled(time.monotonic())

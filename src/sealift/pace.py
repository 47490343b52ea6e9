"""How many requests may be in flight: grown while it pays, halved when the server asks. Pure.

S3 answers after 20-60 ms, a server on this machine in less than one; the right number of requests
in flight differs a hundredfold and cannot be known before. So it is measured, step by step:

| in the last step                         | then                                              |
|------------------------------------------|---------------------------------------------------|
| the allowed requests were not all in use | nothing is learned                                |
| the rate grew by a tenth or more         | grow: double, after the first plateau a quarter   |
| it grew nearly as the limit did          | grow fourfold: only the answers' delay counts     |
| it grew by more than the limit did       | grow: the step before was no fair measure         |
| it did not                               | plateau: take the last growth back, rest, go on   |
| 503 or 429                               | halve at once, rest                               |

A step is long enough to be measured: 0.15 s, and two requests a worker. It begins when those who
were added last have had the time to connect; the first one after two requests a worker, for a slow
start would make all that follows look like a gain.
"""

from __future__ import annotations

SETTLE_TIME = 0.1
STEP_TIME = 0.15
STEP_ROUNDS = 2
START = 16
MAX_START = 128
# Small objects a second.
COMMON_RATE = 4_000
MIN_GAIN = 1.1
STEEP_GAIN = 1.6
# By how much more than the limit did a rate grows that was measured well.
FAIR_GAIN = 1.1
# Seconds without growth after a plateau, and after the server asked to slow down.
PLATEAU_REST = 5.0
THROTTLE_REST = 3.0


def start_for(answer_time: float) -> int:
    """How many requests to begin with when the server's first answer took so many seconds.

    So many that COMMON_RATE is reached if all answers take as long (Little's law).
    """
    return max(START, min(round(answer_time * COMMON_RATE), MAX_START))


class Pace:
    """`limit` is the allowed number of requests in flight, between 1 and `ceiling`.

    `now` is in seconds on any monotonic clock.
    """

    def __init__(self, ceiling: int, now: float, *, start: int = START) -> None:
        self.limit = min(start, ceiling)
        self._ceiling = ceiling
        self._factor = 2.0
        self._smaller = self.limit
        self._rate: float | None = None
        self._count = 0
        self._left_to_warm = STEP_ROUNDS * self.limit
        self._since = now + SETTLE_TIME
        self._rest_until = now
        self._throttled_at = now - THROTTLE_REST

    def done(self, now: float, *, saturated: bool) -> None:
        """A request is done; `saturated` says that work waits although all allowed ones run."""
        if self._left_to_warm:
            self._left_to_warm -= 1
            self._since = max(self._since, now)
            return
        if now < self._since:
            return
        self._count += 1
        span = now - self._since
        if span < STEP_TIME or self._count < STEP_ROUNDS * self.limit:
            return
        before, rate = self._rate, self._count / span
        self._count, self._since = 0, now
        self._rate = rate if saturated and now >= self._rest_until else None
        if self._rate is None:
            return
        if before is None or rate > before * MIN_GAIN:
            fair = self.limit / self._smaller * FAIR_GAIN
            is_steep = before is not None and before * STEEP_GAIN < rate < before * fair
            self._grow(self._factor**2 if is_steep else self._factor)
            self._since = now + SETTLE_TIME
        else:
            self.limit = self._smaller
            self._rest(now + PLATEAU_REST)

    def throttled(self, now: float) -> None:
        """The server asked to slow down; many such replies at once count as one."""
        if now - self._throttled_at < THROTTLE_REST / 2:
            return
        self._throttled_at = now
        self.limit = max(1, self.limit // 2)
        self._rest(now + THROTTLE_REST)

    def is_throttled(self, now: float) -> bool:
        """Whether the server has asked to slow down just now."""
        return now - self._throttled_at < THROTTLE_REST

    def _grow(self, factor: float) -> None:
        self._smaller = self.limit
        self.limit = min(self._ceiling, max(self.limit + 1, int(self.limit * factor)))

    def _rest(self, until: float) -> None:
        self._factor = 1.25
        self._smaller = self.limit
        self._rest_until = until
        self._rate = None

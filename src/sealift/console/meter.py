"""Throughput and time left, from samples of what has been moved. Pure: the caller has the clock.

Both are averages that forget at the pace of their own time constant. Throughput remembers a few
seconds. The time left remembers longer the further away the end is: an estimate of hours must not
follow a dip of seconds.
"""

from __future__ import annotations

import math

NOW_SECONDS = 3.0
OBJECTS_SECONDS = 10.0
ETA_MEMORY = (5.0, 300.0)
ETA_SHARE = 1 / 8  # memory as a share of the time left
ETA_AFTER = 3.0  # an estimate from less is a guess
STALL_AFTER = 10.0
SAMPLE_EVERY = 0.25
PEAK_SECONDS = 1.0


class _Average:
    """An exponential average over time, without the bias towards 0 at the start."""

    def __init__(self) -> None:
        self._sum = 0.0
        self._weight = 0.0

    def add(self, amount: float, elapsed: float, memory: float) -> None:
        decay = math.exp(-elapsed / memory)
        self._sum = self._sum * decay + (amount / elapsed) * (1 - decay)
        self._weight = self._weight * decay + (1 - decay)

    @property
    def value(self) -> float:
        return self._sum / self._weight if self._weight else 0.0


class Peak:
    """The highest throughput of any second so far."""

    def __init__(self, now: float) -> None:
        self._since = now
        self._moved = 0
        self.rate = 0.0

    def is_due(self, now: float) -> bool:
        """Whether the next sample counts."""
        return now - self._since >= PEAK_SECONDS

    def sample(self, now: float, moved: int) -> None:
        """`moved` bytes so far."""
        self.rate = max(self.rate, (moved - self._moved) / (now - self._since))
        self._since, self._moved = now, moved


class Meter:
    """Fed with `sample`, from any number of times a second."""

    def __init__(self, now: float, moved: int = 0) -> None:
        self._began = self._sampled = self._progressed = now
        self._moved = moved
        self._done = 0
        self._now = _Average()
        self._objects = _Average()
        self._long = _Average()
        self._eta: float | None = None

    @property
    def rate(self) -> float:
        """Bytes a second, over the last seconds."""
        return self._now.value

    @property
    def object_rate(self) -> float:
        """Objects a second."""
        return self._objects.value

    def elapsed(self, now: float) -> float:
        """Seconds since the meter was made."""
        return now - self._began

    def idle(self, now: float) -> float:
        """For how many seconds nothing has moved."""
        return now - self._progressed

    def stalled(self, now: float) -> float:
        """The same, but 0 while that is too short to mention."""
        return self.idle(now) if self.idle(now) >= STALL_AFTER else 0.0

    def sample(self, now: float, moved: int, done: int) -> None:
        """`moved` bytes and `done` objects so far; fewer than before (a failure) counts as none."""
        elapsed = now - self._sampled
        if elapsed < SAMPLE_EVERY:
            return
        grown = max(moved - self._moved, 0)
        finished = max(done - self._done, 0)
        if grown or finished:
            self._progressed = now
        self._now.add(grown, elapsed, NOW_SECONDS)
        self._objects.add(finished, elapsed, OBJECTS_SECONDS)
        low, high = ETA_MEMORY
        self._long.add(grown, elapsed, min(max((self._eta or 0.0) * ETA_SHARE, low), high))
        self._sampled, self._moved, self._done = now, moved, done

    def eta(self, now: float, left_size: int, left_count: int) -> float | None:
        """Seconds left, in steps that grow with the distance; None while nobody can tell."""
        seconds = None
        if left_size > 0:
            seconds = left_size / self._long.value if self._long.value > 0 else None
        elif left_count > 0 and self.object_rate > 0:  # empty objects have no bytes to go by
            seconds = left_count / self.object_rate
        self._eta = seconds
        if seconds is None or now - self._began < ETA_AFTER or seconds > 99 * 86400:
            return None
        return _rounded(seconds)


def _rounded(seconds: float) -> float:
    step = 1 if seconds < 120 else 10 if seconds < 1200 else 60
    return math.ceil(seconds / step) * step

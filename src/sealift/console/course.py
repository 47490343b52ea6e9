"""How a run went over time, in bounded memory. Pure: the caller has the clock."""

from __future__ import annotations

from typing import NamedTuple

from sealift.events import Tally

MAX_SAMPLES = 600
SECOND = 1.0


class Sample(NamedTuple):
    """The run `seconds` after its begin: sums since then, but for `active`, the objects in flight.

    `moved` in bytes, those of unfinished objects included.
    """

    seconds: float
    moved: int
    done: int
    failed: int
    retries: int
    active: int


class Course:
    """Samples about a second apart; of long runs every second one is dropped, again and again."""

    def __init__(self, now: float) -> None:
        self._began = now
        self._step = SECOND
        self._last = Sample(0.0, 0, 0, 0, 0, 0)
        self.samples = [self._last]
        self.peak = 0.0
        """The most bytes of any second; 0 of a run shorter than that."""

    def is_due(self, now: float) -> bool:
        """Whether a second has gone by since the last sample."""
        return now - self._began - self._last.seconds >= SECOND

    def add(self, now: float, tally: Tally) -> None:
        """Where the run stands now."""
        sample = Sample(
            now - self._began,
            tally.moved_size,
            tally.done_count + tally.removed_count,
            tally.failed_count,
            tally.retry_count,
            len(tally.active),
        )
        elapsed = sample.seconds - self._last.seconds
        if elapsed >= SECOND:
            self.peak = max(self.peak, (sample.moved - self._last.moved) / elapsed)
        self._last = sample
        if sample.seconds - self.samples[-1].seconds >= self._step:
            self.samples.append(sample)
        if len(self.samples) > MAX_SAMPLES:
            del self.samples[1::2]
            self._step *= 2

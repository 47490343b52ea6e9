"""Requests as they were timed, and what they come to. Pure.

A request that is in flight when the measured span begins or ends counts with the share of its time
that lies within: else slow requests would be cut off, or the wait for the last ones would count.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence

# Where the distribution of times is told.
QUANTILES = (
    0.0, 0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.999, 1.0,
)  # fmt: skip

Quantiles = tuple[tuple[float, float], ...]


class Samples:
    """Times in seconds on one clock, sizes in bytes; one entry a request that succeeded."""

    def __init__(self) -> None:
        self.began = array("d")
        self.heard = array("d")
        self.ended = array("d")
        self.sizes = array("d")

    def add(self, began: float, heard: float, ended: float, size: float) -> None:
        """Note a request: when it began, its reply began, it ended; and the bytes that it moved."""
        self.began.append(began)
        self.heard.append(heard)
        self.ended.append(ended)
        self.sizes.append(size)

    def moved(self, start: float, end: float) -> float:
        """Bytes that were moved from `start` to `end`."""
        return sum(
            size * share(began, ended, start, end)
            for began, ended, size in zip(self.began, self.ended, self.sizes, strict=True)
        )

    def count(self, start: float, end: float) -> int:
        """How many requests ended from `start` to `end`."""
        return sum(start < ended <= end for ended in self.ended)

    def request_times(self, start: float, end: float) -> list[float]:
        """Seconds of each request that was in flight between `start` and `end`."""
        return [
            ended - began
            for began, ended in zip(self.began, self.ended, strict=True)
            if began < end and ended > start
        ]

    def first_byte_times(self, start: float, end: float) -> list[float]:
        """Seconds to the first byte of the reply to each of those requests."""
        return [
            heard - began
            for began, heard, ended in zip(self.began, self.heard, self.ended, strict=True)
            if began < end and ended > start
        ]

    def rates(self, start: float, end: float, count: int) -> list[float]:
        """Bytes a second in `count` equal steps from `start` to `end`."""
        step = (end - start) / count
        moved = [0.0] * count
        for began, ended, size in zip(self.began, self.ended, self.sizes, strict=True):
            first = max(int((began - start) / step), 0)
            last = min(int((ended - start) / step), count - 1)
            for index in range(first, last + 1):
                low = start + index * step
                moved[index] += size * share(began, ended, low, low + step)
        return [size / step for size in moved]


def share(began: float, ended: float, start: float, end: float) -> float:
    """How much of a request's time, from 0 to 1, lies from `start` to `end`."""
    if ended <= began:
        return 1.0 if start <= began < end else 0.0
    return max(min(ended, end) - max(began, start), 0.0) / (ended - began)


def quantiles(values: Iterable[float]) -> Quantiles:
    """(q, value) for each of QUANTILES, interpolated; empty when there are no values."""
    ordered = sorted(values)
    return tuple((q, _at(ordered, q)) for q in QUANTILES) if ordered else ()


def quantile(found: Quantiles, q: float) -> float | None:
    """The value at one of QUANTILES; None when nothing was measured."""
    return next((value for at, value in found if at == q), None)


def spread(rates: Sequence[float]) -> float:
    """The standard error of the mean of `rates`, as a share of it: what chance alone makes."""
    if len(rates) < 2 or not any(rates):
        return 0.0
    mean = sum(rates) / len(rates)
    variance = sum((rate - mean) ** 2 for rate in rates) / (len(rates) - 1)
    return float((variance / len(rates)) ** 0.5 / mean)


def _at(ordered: Sequence[float], q: float) -> float:
    place = q * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def step_count(seconds: float) -> int:
    """Steps of a tenth of a second at least, twenty at most."""
    return max(1, min(20, int(seconds / 0.1)))

"""What the measured cells say: where more requests bring no more, and the settings to use. Pure.

A curve is the throughput of objects of one size and part size, one way, by requests in flight.

| of                 | is recommended                                                             |
|--------------------|----------------------------------------------------------------------------|
| each curve         | its knee: the fewest requests that come near the best                      |
| part size          | the default if, on each curve of objects in parts, it comes near the best  |
|                    | part size; else the smallest of those whose worst curve is best            |
| requests in flight | none, if what is found by measuring loses on no curve much more than the   |
|                    | best fixed number does on its worst; else the fewest whose worst is best   |

One setting serves all sizes and both ways, so what counts is the curve on which it does worst.
Near is within 5 %, or within what chance makes of two cells of the curve: of many equal cells the
best is one with luck, and to come near it would take more requests than are of use. Cells in which
requests failed for good count for nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, NamedTuple

from sealift.bench.cells import Way, short_size
from sealift.bench.results import Result
from sealift.bench.samples import spread
from sealift.model import DEFAULT_PART_SIZE

# What counts as equal on a quiet machine: two runs of one cell differ by as much.
TOLERANCE = 0.05
# Where more than that has to count as equal, a knee is a guess.
MOST_TOLERANCE = 0.25


class Curve(NamedTuple):
    """Whose throughput it is."""

    way: Way
    size: int
    part_size: int | None


class Knee(NamedTuple):
    """The fewest requests in flight that come near the best, and the bytes a second of both.

    `adaptive` is what was reached without a fixed number, None where that was not measured.
    `tolerance` is the share of the best that counted as near.
    """

    concurrency: int
    rate: float
    best: float
    adaptive: float | None
    tolerance: float


@dataclass(frozen=True, slots=True)
class Advice:
    """`concurrency` None: leave -j out. `part_size` None: as it is by default.

    `losses` tells for each fixed number, and None for none, the share of the best that it gives on
    its worst curve. `knees` has all curves.
    """

    concurrency: int | None
    part_size: int | None
    losses: Mapping[int | None, float]
    knees: Mapping[Curve, Knee]

    @property
    def tolerance(self) -> float:
        """The share of the best that had to count as equal, on the curve that varied most."""
        return max(found.tolerance for found in self.knees.values())

    @property
    def is_guess(self) -> bool:
        """Whether the throughput varied so much that other settings may do as well or better."""
        return self.tolerance > MOST_TOLERANCE


def advise(results: Sequence[Result]) -> Advice | None:
    """What to recommend; None when nothing was moved."""
    curves = _curves(result for result in results if not result.failed_count)
    rates = {
        curve: {cell.cell.concurrency: cell.rate for cell in cells}
        for curve, cells in curves.items()
    }
    knees = {
        curve: found
        for curve, cells in curves.items()
        if (found := knee(rates[curve], tolerance_of(cells)))
    }
    if not knees:
        return None
    part_size = _part_size(knees)
    used = [curve for curve in knees if curve.part_size in (None, part_size or _default_of(knees))]
    losses = _worst(rates[curve] for curve in used)
    tolerance = max(knees[curve].tolerance for curve in used)
    return Advice(_concurrency(losses, tolerance), part_size, losses, knees)


def _curves(results: Iterable[Result]) -> dict[Curve, list[Result]]:
    curves: dict[Curve, list[Result]] = {}
    for result in results:
        cell = result.cell
        curves.setdefault(Curve(cell.way, cell.size, cell.part_size), []).append(result)
    return curves


def tolerance_of(cells: Iterable[Result]) -> float:
    """The share of throughput by which two of these cells differ by chance, TOLERANCE at least.

    Twice the standard error of the difference, from how far the throughput varied within a cell:
    the median, for cells of few requests in flight vary less and some are hit by other work.
    """
    return max(TOLERANCE, 2 * 2**0.5 * median(spread(cell.rates) for cell in cells))


def knee(rates: Mapping[int | None, float], tolerance: float = TOLERANCE) -> Knee | None:
    """Where a curve flattens; None when nothing was moved by a fixed number."""
    fixed = sorted((number, rate) for number, rate in rates.items() if number is not None)
    best = max((rate for _, rate in fixed), default=0.0)
    for number, rate in fixed:
        if rate and rate >= best * (1 - tolerance):
            return Knee(number, rate, best, rates.get(None), tolerance)
    return None


def _part_size(knees: Mapping[Curve, Knee]) -> int | None:
    """The part size to give, None for the default."""
    best: dict[tuple[Way, int], dict[int, float]] = {}
    for curve, found in knees.items():
        if curve.part_size is not None:
            sizes = best.setdefault((curve.way, curve.size), {})
            sizes[curve.part_size] = max(found.best, found.adaptive or 0.0)
    shares: dict[int, float] = {}
    for sizes in best.values():
        most = max(sizes.values())
        for part_size, rate in sizes.items():
            shares[part_size] = min(shares.get(part_size, 1.0), rate / most)
    if not shares or len(shares) == 1:
        return None
    tolerance = max(found.tolerance for curve, found in knees.items() if curve.part_size)
    top = max(shares.values())
    good = [size for size, share in sorted(shares.items()) if share >= top - tolerance]
    return None if DEFAULT_PART_SIZE in good else good[0]


def _default_of(knees: Mapping[Curve, Knee]) -> int:
    """The part size whose curves stand for the default: itself, or the nearest measured."""
    sizes = {curve.part_size for curve in knees if curve.part_size is not None}
    return min(sizes, key=lambda size: abs(size - DEFAULT_PART_SIZE), default=DEFAULT_PART_SIZE)


def _worst(curves: Iterable[Mapping[int | None, float]]) -> dict[int | None, float]:
    """For each number, the share of the best on the curve where it does worst."""
    shares: dict[int | None, float] = {}
    for rates in curves:
        best = max(rates.values())
        for number, rate in rates.items():
            shares[number] = min(shares.get(number, 1.0), rate / best)
    return shares


def _concurrency(worst: Mapping[int | None, float], tolerance: float) -> int | None:
    fixed = sorted((number, share) for number, share in worst.items() if number is not None)
    best = max(share for _, share in fixed)
    if worst.get(None, 0.0) >= best - tolerance:
        return None
    return next(number for number, share in fixed if share >= best - tolerance)


def words(advice: Advice) -> str:
    """The recommended settings as one writes them on the command line; empty: none are needed."""
    found = []
    if advice.concurrency is not None:
        found.append(f"-j {advice.concurrency}")
    if advice.part_size is not None:
        found.append(f"--part-size {short_size(advice.part_size)}")
    return " ".join(found)


def record(advice: Advice) -> dict[str, Any]:
    """The JSON line: the settings, each knee, and what each number gives on its worst curve.

    `concurrency` null: leave -j out; `part_size` null: as it is by default. `tolerance` is the
    share of throughput that counted as equal; `is_guess` true: too much to rely on the advice.
    """
    return {
        "event": "advice",
        "concurrency": advice.concurrency,
        "part_size": advice.part_size,
        "tolerance": round(advice.tolerance, 4),
        "is_guess": advice.is_guess,
        "worst_shares": [
            {"concurrency": number, "share": round(share, 4)}
            for number, share in advice.losses.items()
        ],
        "knees": [
            {
                "way": curve.way.value,
                "size": curve.size,
                "part_size": curve.part_size,
                "concurrency": found.concurrency,
                "bytes_per_second": round(found.rate, 1),
                "best_bytes_per_second": round(found.best, 1),
                "adaptive_bytes_per_second": found.adaptive and round(found.adaptive, 1),
                "tolerance": round(found.tolerance, 4),
            }
            for curve, found in advice.knees.items()
        ],
    }

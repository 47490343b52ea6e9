"""What the measured cells say: where more requests bring no more, and the settings to use. Pure.

A curve is the throughput of objects of one size and part size, one way, by requests in flight.

| of                 | is recommended                                                             |
|--------------------|----------------------------------------------------------------------------|
| each curve         | its knee: the fewest requests that come within 5 % of the best             |
| part size          | the default if, on each curve of objects in parts, it comes within 5 % of  |
|                    | the best part size; else the smallest of those whose worst curve is best   |
| requests in flight | none, if what is found by measuring loses on no curve 5 % more than the    |
|                    | best fixed number does on its worst; else the fewest whose worst is best   |

One setting serves all sizes and both ways, so what counts is the curve on which it does worst.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from sealift.bench.cells import Way, short_size
from sealift.bench.results import Result
from sealift.model import DEFAULT_PART_SIZE

# What counts as equal: two runs of one cell differ by as much.
TOLERANCE = 0.05


class Curve(NamedTuple):
    """Whose throughput it is."""

    way: Way
    size: int
    part_size: int | None


class Knee(NamedTuple):
    """The fewest requests in flight that come near the best, and the bytes a second of both.

    `adaptive` is what was reached without a fixed number, None where that was not measured.
    """

    concurrency: int
    rate: float
    best: float
    adaptive: float | None


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


def advise(results: Sequence[Result]) -> Advice | None:
    """What to recommend; None when nothing was moved."""
    curves = curves_of(results)
    knees = {curve: found for curve, rates in curves.items() if (found := knee(rates))}
    if not knees:
        return None
    part_size = _part_size(knees)
    used = {
        curve: rates
        for curve, rates in curves.items()
        if curve in knees and curve.part_size in (None, part_size or _default_of(knees))
    }
    losses = _worst(used)
    return Advice(_concurrency(losses), part_size, losses, knees)


def curves_of(results: Iterable[Result]) -> dict[Curve, dict[int | None, float]]:
    """Bytes a second by requests in flight, None: found by measuring."""
    curves: dict[Curve, dict[int | None, float]] = {}
    for result in results:
        cell = result.cell
        curve = Curve(cell.way, cell.size, cell.part_size)
        curves.setdefault(curve, {})[cell.concurrency] = result.rate
    return curves


def knee(rates: Mapping[int | None, float]) -> Knee | None:
    """Where a curve flattens; None when nothing was moved by a fixed number."""
    fixed = sorted((number, rate) for number, rate in rates.items() if number is not None)
    best = max((rate for _, rate in fixed), default=0.0)
    for number, rate in fixed:
        if rate and rate >= best * (1 - TOLERANCE):
            return Knee(number, rate, best, rates.get(None))
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
    top = max(shares.values())
    good = [size for size, share in sorted(shares.items()) if share >= top - TOLERANCE]
    return None if DEFAULT_PART_SIZE in good else good[0]


def _default_of(knees: Mapping[Curve, Knee]) -> int:
    """The part size whose curves stand for the default: itself, or the nearest measured."""
    sizes = {curve.part_size for curve in knees if curve.part_size is not None}
    return min(sizes, key=lambda size: abs(size - DEFAULT_PART_SIZE), default=DEFAULT_PART_SIZE)


def _worst(curves: Mapping[Curve, Mapping[int | None, float]]) -> dict[int | None, float]:
    """For each number, the share of the best on the curve where it does worst."""
    shares: dict[int | None, float] = {}
    for rates in curves.values():
        best = max(rates.values())
        for number, rate in rates.items():
            shares[number] = min(shares.get(number, 1.0), rate / best)
    return shares


def _concurrency(worst: Mapping[int | None, float]) -> int | None:
    fixed = sorted((number, share) for number, share in worst.items() if number is not None)
    best = max(share for _, share in fixed)
    if worst.get(None, 0.0) >= best - TOLERANCE:
        return None
    return next(number for number, share in fixed if share >= best - TOLERANCE)


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

    `concurrency` null: leave -j out; `part_size` null: as it is by default.
    """
    return {
        "event": "advice",
        "concurrency": advice.concurrency,
        "part_size": advice.part_size,
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
            }
            for curve, found in advice.knees.items()
        ],
    }

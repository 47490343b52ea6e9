"""What differs from an earlier run, cell by cell. Pure.

Two runs of one cell never agree. How much of a change is chance is estimated from how far each
run's throughput varied within its span; a change counts when it exceeds that, and `LEAST`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sealift.bench.cells import Cell
from sealift.bench.results import Result, Run, Setting
from sealift.bench.samples import quantile, spread

# Runs minutes apart differ by as much on an idle machine, whatever each of them looked like.
LEAST = 0.1
NOTE = (
    "A change counts as one when it is more than a tenth, and more than twice what the throughput "
    "varied within both runs; ~ marks the others. Other work on this machine, the server or the "
    "line between them looks like a change: measure twice before you believe one."
)


@dataclass(frozen=True, slots=True)
class Change:
    """How a cell that both runs have has changed; shares, 0.1: a tenth more than before.

    `noise` is what chance may make of the throughput; `request` and `first_byte` are those of the
    medians, None where one of them is unknown.
    """

    cell: Cell
    before: float
    after: float
    noise: float
    request: float | None
    first_byte: float | None

    @property
    def rate(self) -> float:
        """The change of bytes a second."""
        return self.after / self.before - 1 if self.before else 0.0

    @property
    def counts(self) -> bool:
        """Whether it is more than chance."""
        return abs(self.rate) > self.noise


def changes(old: Run, results: Sequence[Result]) -> list[Change]:
    """The cells that both runs have, in the order of `results`."""
    before = {result.cell: result for result in old.results}
    return [
        Change(
            cell=result.cell,
            before=earlier.rate,
            after=result.rate,
            noise=max(LEAST, 2 * (spread(earlier.rates) ** 2 + spread(result.rates) ** 2) ** 0.5),
            request=_median_change(earlier.request, result.request),
            first_byte=_median_change(earlier.first_byte, result.first_byte),
        )
        for result in results
        if (earlier := before.get(result.cell)) is not None and earlier.rate
    ]


def differences(old: Setting, new: Setting) -> list[str]:
    """What else differs between two runs, as `python: 3.11.7, before 3.12.1`."""
    names = ("sealift", "endpoint", "python", "system", "cpu_count", "memory", "seconds")
    return [
        f"{name.replace('_', ' ')}: {getattr(new, name)}, before {getattr(old, name)}"
        for name in names
        if getattr(new, name) != getattr(old, name)
    ]


def _median_change(
    before: Sequence[tuple[float, float]], after: Sequence[tuple[float, float]]
) -> float | None:
    one, other = quantile(tuple(before), 0.5), quantile(tuple(after), 0.5)
    return other / one - 1 if one and other else None

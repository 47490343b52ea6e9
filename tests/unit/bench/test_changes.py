"""What counts as a change between two runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from sealift.bench.changes import LEAST, changes, differences
from sealift.bench.results import Result, Run, Setting
from sealift.bench.samples import quantiles
from sealift.bench.words import change_cells, change_line

Make = Callable[..., Result]


@pytest.mark.parametrize(
    ("after", "varied", "counts"),
    [
        (1.05e6, 0.0, False),  # less than two runs differ by anyway
        (1.2e6, 0.0, True),
        (0.8e6, 0.0, True),
        (1.2e6, 0.5, False),  # it varied by more within the runs
        (3.0e6, 0.5, True),
    ],
)
def test_a_change_is_more_than_chance(
    result: Make, setting: Setting, after: float, varied: float, counts: bool
) -> None:
    def of(rate: float) -> Result:
        return result(rate=rate, rates=(rate * (1 - varied), rate * (1 + varied)) * 2)

    (change,) = changes(Run(setting, (of(1e6),)), [of(after)])
    assert change.rate == pytest.approx(after / 1e6 - 1)
    assert change.noise >= LEAST
    assert change.counts is counts
    assert change_line(change).startswith(" " if counts else "~")
    assert change_cells(change)[3].startswith("~") is not counts


def test_medians_and_cells_of_both_runs_only(result: Make, setting: Setting) -> None:
    old = Run(setting, (result(request=quantiles([0.1]), first_byte=()), result(concurrency=64)))
    found = changes(old, [result(request=quantiles([0.15])), result(concurrency=16)])
    assert len(found) == 1
    assert found[0].request == pytest.approx(0.5)
    assert found[0].first_byte is None
    assert "request p50 +50 %" in change_line(found[0])
    assert "first byte" not in change_line(found[0])


def test_a_cell_in_which_nothing_had_moved_is_left_out(result: Make, setting: Setting) -> None:
    assert changes(Run(setting, (result(rate=0.0),)), [result()]) == []


def test_what_else_differs(setting: Setting) -> None:
    assert differences(setting, replace(setting, date="later", key_id="other")) == []
    assert differences(setting, replace(setting, cpu_count=8)) == ["cpu count: 8, before 2"]

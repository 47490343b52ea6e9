"""The knee of a curve, and the settings that all curves together ask for."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping

import pytest

from sealift.bench.advice import (
    MOST_TOLERANCE,
    TOLERANCE,
    Curve,
    Knee,
    advise,
    knee,
    record,
    tolerance_of,
    words,
)
from sealift.bench.cells import Way
from sealift.bench.results import Result
from sealift.bench.words import advice_lines
from sealift.model import MiB

Make = Callable[..., Result]


@pytest.mark.parametrize(
    ("rates", "found"),
    [
        ({1: 10, 4: 40, 16: 100, 64: 104, 128: 90}, 16),  # flat from here on
        ({1: 10, 4: 40, 16: 90, 64: 100}, 64),  # 90 is not within 5 %
        ({1: 10, 4: 40, 16: 95, 64: 100}, 16),  # 95 is
        ({1: 100, 4: 100, 16: 100}, 1),  # one is enough
        ({1: 100, 4: 80, 16: 60}, 1),  # more is worse
        ({16: 100, 1: 10, 4: 99}, 4),  # in any order
        ({64: 5}, 64),
        ({1: 0, 4: 7}, 4),
    ],
)
def test_the_knee_is_the_fewest_that_come_near_the_best(
    rates: Mapping[int | None, float], found: int
) -> None:
    got = knee(rates)
    assert got is not None
    assert got.concurrency == found
    assert got == Knee(found, rates[found], max(rates.values()), None, TOLERANCE)


@pytest.mark.parametrize("rates", [{}, {1: 0.0, 4: 0.0}, {None: 100.0}])
def test_no_knee_where_nothing_moved(rates: Mapping[int | None, float]) -> None:
    assert knee(rates) is None


def test_what_is_found_by_measuring_does_not_move_the_knee() -> None:
    assert knee({1: 50, 4: 100, None: 400}) == Knee(4, 100, 100, 400, TOLERANCE)


def curves(make: Make, table: Mapping[Curve, Mapping[int | None, float]]) -> list[Result]:
    return [
        make(*curve, concurrency=number, rate=rate * 1e6, rates=(rate * 1e6,) * 4)
        for curve, rates in table.items()
        for number, rate in rates.items()
    ]


SMALL_UP = Curve(Way.UP, 16384, None)
SMALL_DOWN = Curve(Way.DOWN, 16384, None)
BIG = {size: Curve(Way.UP, 256 * MiB, size * MiB) for size in (8, 16, 32)}


@pytest.mark.parametrize(
    ("table", "concurrency", "part_size", "flags"),
    [
        # Adaptive is as good as the best fixed number: nothing is to be given.
        ({SMALL_UP: {4: 50, 64: 100, None: 97}}, None, None, ""),
        ({SMALL_UP: {4: 50, 64: 100, None: 90}}, 64, None, "-j 64"),
        # The fewest whose worst curve is best: 16 is too few for one, 128 too many for the other.
        (
            {SMALL_UP: {16: 60, 64: 98, 128: 100}, SMALL_DOWN: {16: 100, 64: 97, 128: 70}},
            64, None, "-j 64",
        ),
        # Adaptive wins where no fixed number does for all.
        (
            {SMALL_UP: {1: 100, 64: 50, None: 90}, SMALL_DOWN: {1: 20, 64: 100, None: 90}},
            None, None, "",
        ),
        # The default part size is kept when it comes near.
        ({BIG[8]: {4: 97, None: 96}, BIG[16]: {4: 100, None: 99}}, None, None, ""),
        ({BIG[8]: {4: 80, None: 80}, BIG[16]: {4: 100, None: 99}}, None, 16 * MiB,
         "--part-size 16MiB"),
        ({BIG[8]: {4: 50}, BIG[16]: {4: 98}, BIG[32]: {4: 100}}, 4, 16 * MiB,
         "-j 4 --part-size 16MiB"),
        # Curves of part sizes that are not used do not count for -j.
        ({BIG[8]: {4: 100, 64: 10, None: 20}, BIG[16]: {4: 20, 64: 50, None: 20}}, 4, None, "-j 4"),
    ],
)  # fmt: skip
def test_one_setting_for_all(
    result: Make,
    table: Mapping[Curve, Mapping[int | None, float]],
    concurrency: int | None,
    part_size: int | None,
    flags: str,
) -> None:
    advice = advise(curves(result, table))
    assert advice is not None
    assert (advice.concurrency, advice.part_size) == (concurrency, part_size)
    assert words(advice) == flags
    lines = advice_lines(advice)
    assert lines[0] == f"recommended: {flags or 'no flags; the defaults do best'}"
    assert len(lines) == 2 + len(table)
    told = record(advice)
    assert (told["event"], told["concurrency"], told["part_size"]) == (
        "advice", concurrency, part_size,
    )  # fmt: skip
    assert len(told["knees"]) == len(table)


def test_nothing_moved(result: Make) -> None:
    assert advise([]) is None
    assert advise([result(rate=0.0)]) is None
    assert "nothing" in advice_lines(None)[0]


def noisy(make: Make, rng: random.Random, noise: float) -> list[Result]:
    """A curve that is flat from 16 on; each of its cells is off by `noise` (standard error)."""
    cells = []
    for number in (1, 2, 4, 8, 16, 32, 64, 128, 256):
        rate = 1e8 * min(number, 16) / 16
        steps = [rate * (1 + rng.gauss(0, noise * 20**0.5)) for _ in range(20)]
        cells.append(make(concurrency=number, rate=sum(steps) / 20, rates=tuple(steps)))
    return cells


@pytest.mark.parametrize("noise", [0.01, 0.03, 0.05, 0.08])
def test_chance_does_not_ask_for_more_requests(result: Make, noise: float) -> None:
    rng = random.Random(7)
    found = [advise(noisy(result, rng, noise)) for _ in range(200)]
    right = sum(each is not None and each.concurrency == 16 for each in found)
    assert right >= 185  # with 5 % for all of them: 84 at a noise of 0.08


def test_more_noise_than_that_makes_it_a_guess(result: Make) -> None:
    advice = advise(noisy(result, random.Random(7), 0.15))
    assert advice is not None
    assert advice.is_guess
    assert advice.tolerance > MOST_TOLERANCE
    assert any("guess" in line for line in advice_lines(advice))
    assert record(advice)["is_guess"] is True


def test_a_steady_curve_is_told_apart_by_5_percent(result: Make) -> None:
    steady = [result(concurrency=n, rate=1e6 * n, rates=(1e6 * n,) * 20) for n in (1, 2)]
    assert tolerance_of(steady) == TOLERANCE
    advice = advise(steady)
    assert advice is not None
    assert not advice.is_guess
    assert not any("counts as equal" in line for line in advice_lines(advice))


def test_what_had_failures_is_not_recommended(result: Make) -> None:
    good = result(concurrency=16, rate=1e6)
    bad = result(concurrency=256, rate=9e6, failed_count=1, error="SlowDown")
    advice = advise([good, bad])
    assert advice is not None
    assert advice.concurrency == 16
    assert advise([bad]) is None

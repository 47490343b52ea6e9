from __future__ import annotations

import pytest

from sealift.console.meter import Meter, Peak


def run(meter: Meter, start: float, seconds: int, moved: int, per_second: int) -> tuple[float, int]:
    for _ in range(seconds * 4):
        start += 0.25
        moved += per_second // 4
        meter.sample(start, moved, 0)
    return start, moved


def test_a_steady_rate_is_exact_at_once() -> None:
    meter = Meter(0.0)
    run(meter, 0.0, 1, 0, 4000)
    assert meter.rate == pytest.approx(4000)


def test_what_was_there_before_is_no_throughput() -> None:
    meter = Meter(0.0, moved=10**9)
    meter.sample(1.0, 10**9 + 500, 0)
    assert meter.rate == pytest.approx(500)


def test_no_eta_from_too_little() -> None:
    meter = Meter(0.0)
    now, _ = run(meter, 0.0, 2, 0, 4000)
    assert meter.eta(now, 40_000, 1) is None
    now, _ = run(meter, now, 2, 8000, 4000)
    assert meter.eta(now, 40_000, 1) == 10


def test_eta_of_hours_does_not_follow_a_dip_of_seconds() -> None:
    meter = Meter(0.0)
    left = 4000 * 7200
    now, moved = 0.0, 0
    for _ in range(600):
        now, moved = run(meter, now, 1, moved, 4000)
        before = meter.eta(now, left - moved, 1)
    for _ in range(5):
        now, moved = run(meter, now, 1, moved, 400)
        after = meter.eta(now, left - moved, 1)
    assert before is not None
    assert after is not None
    assert meter.rate < 1500
    assert abs(after - before) < 0.05 * before


def test_empty_objects_are_counted() -> None:
    meter = Meter(0.0)
    for second in range(1, 11):
        meter.sample(float(second), 0, second * 10)
    assert meter.object_rate == pytest.approx(10)
    assert meter.eta(10.0, 0, 100) == 10
    assert meter.eta(10.0, 0, 0) is None


def test_a_failure_takes_nothing_back() -> None:
    meter = Meter(0.0)
    meter.sample(1.0, 1000, 1)
    meter.sample(2.0, 200, 1)
    assert meter.rate >= 0
    meter.sample(3.0, 1200, 1)
    assert meter.rate > 0


def test_stalled() -> None:
    meter = Meter(0.0)
    meter.sample(1.0, 1000, 0)
    meter.sample(8.0, 1000, 0)
    assert meter.stalled(8.0) == 0
    assert meter.stalled(13.0) == 12
    meter.sample(14.0, 1001, 0)
    assert meter.stalled(14.0) == 0


def test_the_peak_is_that_of_the_best_second() -> None:
    peak, moved = Peak(100.0), 0
    for tenth, speed in enumerate([10] * 20 + [50] * 12 + [5] * 30 + [-40] * 10, start=1):
        moved += speed  # a failure takes back what it had moved
        now = 100.0 + tenth / 10
        if peak.is_due(now):
            peak.sample(now, moved)
    assert 450 <= peak.rate <= 500
    short = Peak(0.0)
    assert not short.is_due(0.9)
    assert short.rate == 0

"""The pace finds the number of requests that a simulated server can use, and obeys 503."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealift.pace import PLATEAU_REST, START, STEP_TIME, THROTTLE_REST, Pace, start_for


class Run:
    """A server that answers after `delay` seconds, at most `capacity` requests a second."""

    def __init__(self, pace: Pace, *, delay: float, capacity: float = float("inf")) -> None:
        self.pace = pace
        self.delay = delay
        self.capacity = capacity
        self.now = 0.0
        self.highest = pace.limit

    def go(self, seconds: float, *, saturated: bool = True) -> None:
        end = self.now + seconds
        while self.now < end:
            self.now += max(1 / self.capacity, self.delay / self.pace.limit)
            self.pace.done(self.now, saturated=saturated)
            self.highest = max(self.highest, self.pace.limit)


def test_doubles_while_the_delay_is_the_limit() -> None:
    run = Run(Pace(256, 0.0), delay=0.03)
    run.go(2.0)
    assert run.highest == 256
    assert run.pace.limit == 256


def test_stays_low_when_more_brings_nothing() -> None:
    run = Run(Pace(256, 0.0), delay=0.0005, capacity=4000)
    run.go(PLATEAU_REST * 4)
    assert run.highest <= 32
    assert run.pace.limit <= 20


@pytest.mark.parametrize(("slow_count", "slow_rate"), [(20, 100), (60, 300), (120, 400)])
def test_a_slow_start_is_no_reason_to_grow(slow_count: int, slow_rate: float) -> None:
    """Connections are made, and the first objects wait for what the server's answers tell."""
    run = Run(Pace(256, 0.0), delay=0.0005, capacity=slow_rate)
    run.go(slow_count / slow_rate)
    run.capacity = 3000
    run.go(2.0)
    assert run.highest <= 64  # was 128
    assert run.pace.limit <= 32


def test_stops_near_what_the_server_can_use() -> None:
    run = Run(Pace(256, 0.0), delay=0.03, capacity=2000)
    run.go(3.0)
    assert 60 <= run.pace.limit <= 128


def test_learns_nothing_while_the_work_is_the_limit() -> None:
    run = Run(Pace(256, 0.0), delay=0.03)
    run.go(5.0, saturated=False)
    assert run.highest == 16


def test_halves_once_for_a_burst_of_503_and_recovers() -> None:
    run = Run(Pace(256, 0.0), delay=0.03)
    run.go(2.0)
    for _ in range(100):
        run.pace.throttled(run.now)
    assert run.pace.limit == 128
    run.go(THROTTLE_REST)
    assert run.pace.limit == 128
    run.go(4.0)
    assert run.pace.limit > 128


def test_a_storm_of_503_goes_down_to_one() -> None:
    pace = Pace(256, 0.0, start=256)
    for second in range(60):
        pace.throttled(float(second))
    assert pace.limit == 1


def test_a_throttle_soon_after_a_plateau_counts() -> None:
    run = Run(Pace(256, 0.0), delay=0.0005, capacity=4000)
    run.go(2.0)
    before = run.pace.limit
    run.pace.throttled(run.now)
    assert run.pace.limit == before // 2


def test_a_fixed_number_stays() -> None:
    run = Run(Pace(40, 0.0, start=40), delay=0.03)
    run.go(20.0)
    assert run.pace.limit == run.highest == 40


@pytest.mark.parametrize("ceiling", [1, 2, 15, 1000])
@given(data=st.data())
def test_stays_within_its_bounds(ceiling: int, data: st.DataObject) -> None:
    pace = Pace(ceiling, 0.0)
    now = 0.0
    for span in data.draw(st.lists(st.floats(0, 2 * STEP_TIME), max_size=200)):
        now += span
        if data.draw(st.integers(0, 9)) == 0:
            pace.throttled(now)
        pace.done(now, saturated=data.draw(st.booleans()))
        assert 1 <= pace.limit <= ceiling


@pytest.mark.parametrize(
    ("answer_time", "start"), [(0.0, START), (0.001, START), (0.03, 120), (0.06, 128), (9.0, 128)]
)
def test_begins_with_what_the_first_answer_asks_for(answer_time: float, start: int) -> None:
    assert start_for(answer_time) == start

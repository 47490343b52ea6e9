"""What timed requests come to."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealift.bench.samples import (
    QUANTILES,
    Samples,
    quantile,
    quantiles,
    share,
    spread,
    step_count,
)


@pytest.mark.parametrize(
    ("began", "ended", "expected"),
    [
        (10.0, 12.0, 1.0),
        (8.0, 12.0, 0.5),
        (18.0, 22.0, 0.5),
        (0.0, 40.0, 0.25),
        (0.0, 10.0, 0.0),
        (20.0, 30.0, 0.0),
        (15.0, 15.0, 1.0),  # the clock stood still
        (5.0, 5.0, 0.0),
    ],
)
def test_a_request_counts_with_its_time_in_the_span(
    began: float, ended: float, expected: float
) -> None:
    assert share(began, ended, 10.0, 20.0) == expected


TIMES = st.floats(0, 30, allow_nan=False)


@given(st.lists(st.tuples(TIMES, TIMES, st.integers(1, 10**9)), max_size=20))
def test_steps_add_up_to_the_whole(requests: list[tuple[float, float, int]]) -> None:
    samples = Samples()
    for began, lasted, size in requests:
        samples.add(began, began, began + lasted, size)
    rates = samples.rates(10.0, 20.0, 5)
    assert sum(rates) * 2 == pytest.approx(samples.moved(10.0, 20.0), rel=1e-6, abs=1e-3)


def test_requests_are_those_in_flight_in_the_span() -> None:
    samples = Samples()
    for began, heard, ended in ((0, 1, 2), (9, 10, 11), (12, 13, 15), (19, 20, 22), (21, 22, 23)):
        samples.add(began, heard, ended, 1)
    assert samples.request_times(10, 20) == [2, 3, 3]
    assert samples.first_byte_times(10, 20) == [1, 1, 1]
    assert samples.count(10, 20) == 2


def test_quantiles() -> None:
    found = quantiles([4.0, 0.0, 3.0, 1.0, 2.0])
    assert [q for q, _ in found] == list(QUANTILES)
    assert (quantile(found, 0.0), quantile(found, 0.5), quantile(found, 1.0)) == (0.0, 2.0, 4.0)
    assert quantile(found, 0.95) == pytest.approx(3.8)
    assert quantiles([]) == ()
    assert quantile((), 0.5) is None
    assert set(quantiles([7.0])) == {(q, 7.0) for q in QUANTILES}


def test_what_chance_makes_of_a_rate() -> None:
    assert spread([5.0, 5.0, 5.0]) == 0
    assert spread([]) == spread([1.0]) == spread([0.0, 0.0]) == 0
    few, many = spread([4.0, 6.0] * 2), spread([4.0, 6.0] * 8)
    assert 0 < many < few < 0.2


@pytest.mark.parametrize(("seconds", "count"), [(0.01, 1), (0.5, 5), (2, 20), (60, 20)])
def test_steps_of_a_span(seconds: float, count: int) -> None:
    assert step_count(seconds) == count

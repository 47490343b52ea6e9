from __future__ import annotations

from itertools import pairwise

from sealift.console.course import MAX_SAMPLES, Course
from sealift.events import Tally


def run(speeds: list[int]) -> Course:
    """A run that is looked at ten times a second; speeds in bytes a tenth."""
    course, tally = Course(100.0), Tally()
    for tenth, speed in enumerate(speeds, start=1):
        tally.done_size += speed
        now = 100.0 + tenth / 10
        if course.is_due(now):
            course.add(now, tally)
    return course


def test_the_peak_is_that_of_the_best_second() -> None:
    # A failure takes back what it had moved.
    course = run([10] * 20 + [50] * 12 + [5] * 30 + [-40] * 10)
    assert 450 <= course.peak <= 500
    assert run([10] * 9).peak == 0


def test_there_are_about_as_many_samples_as_seconds() -> None:
    samples = run([10] * 100).samples
    assert 9 <= len(samples) <= 11
    assert samples[5].moved == round(samples[5].seconds * 100)


def test_long_runs_take_no_more_memory_and_keep_their_shape() -> None:
    samples = run([10] * 50_000 + [20] * 50_000).samples
    assert MAX_SAMPLES / 4 < len(samples) <= MAX_SAMPLES
    assert samples[0].seconds == 0
    steps = [after.seconds - before.seconds for before, after in pairwise(samples)]
    assert max(steps) < 2.5 * min(steps)
    rates = [
        (after.moved - before.moved) / (after.seconds - before.seconds)
        for before, after in pairwise(samples)
    ]
    assert round(rates[10]) == 100
    assert round(rates[-10]) == 200

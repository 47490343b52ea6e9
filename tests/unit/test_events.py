"""The tally adds up what happened, and nothing grows with the number of objects."""

from __future__ import annotations

from sealift.errors import ObjectError
from sealift.events import (
    Event,
    Failed,
    Fanout,
    Finished,
    Noted,
    PlanComplete,
    Planned,
    Retried,
    Silent,
    Skipped,
    Started,
    Tally,
)
from sealift.model import Direction, Job, Location


def job(size: int = 10) -> Job:
    return Job(Direction.UP, Location("b", "n"), "p", size)


def test_adds_up_a_run() -> None:
    tally = Tally()
    one, two, three = job(10), job(20), job(30)
    events: list[Event] = [
        Planned(2, 30),
        Started(one),
        Started(two),
        Planned(1, 30),
        PlanComplete(),
        Started(three),
        Finished(one, True),
        Retried("n", 1, 0.5, ObjectError("x")),
        Failed("n", ObjectError("x"), two),
        Failed("unplanned", ObjectError("x")),
        Skipped("l", "symbolic link"),
        Skipped("m", "symbolic link"),
        Skipped("n", "other"),
        Noted("t"),
    ]
    for event in events:
        tally.emit(event)
    three.moved = 7
    two.moved = 99  # it has failed: no longer counted
    assert (tally.planned_count, tally.planned_size, tally.plan_complete) == (3, 60, True)
    assert (tally.done_count, tally.done_size, tally.checked_count) == (1, 10, 1)
    assert (tally.failed_count, tally.retry_count) == (2, 1)
    assert tally.skipped == {"symbolic link": 2, "other": 1}
    assert list(tally.active.values()) == [three]
    assert tally.moved_size == 17
    tally.emit(Finished(three, False))
    assert (tally.done_count, tally.checked_count, tally.moved_size) == (2, 1, 40)
    assert not tally.active


def test_two_jobs_of_one_name_are_two() -> None:
    tally = Tally()
    for _ in range(2):
        tally.emit(Started(job()))
    first, second = job(), job()
    tally.emit(Started(first))
    tally.emit(Started(second))
    tally.emit(Finished(first, True))
    assert second in tally.active.values()


def test_keeps_a_bounded_number_of_failures() -> None:
    tally = Tally()
    for number in range(Tally.MAX_FAILURES_KEPT + 5):
        tally.emit(Failed(str(number), ObjectError("x")))
    assert tally.failed_count == Tally.MAX_FAILURES_KEPT + 5
    assert len(tally.failures) == Tally.MAX_FAILURES_KEPT
    assert tally.failures[0].name == "0"


def test_fanout_tells_all_and_silent_none() -> None:
    one, other = Tally(), Tally()
    Fanout([one, Silent(), other]).emit(Planned(1, 2))
    assert one.planned_size == other.planned_size == 2

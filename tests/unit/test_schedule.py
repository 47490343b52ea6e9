"""Pieces before jobs, every job once, and nothing in flight when it is over."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import anyio
import anyio.lowlevel
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sealift.model import Direction, Job, Location
from sealift.pace import Pace
from sealift.schedule import BATCH_COUNT, BATCH_SIZE, Schedule, first_error

pytestmark = pytest.mark.anyio


def make_jobs(*names: str) -> list[Job]:
    return [Job(Direction.UP, Location("b", name), name, 1) for name in names]


def make_schedule(concurrency: int) -> Schedule:
    return Schedule(concurrency, Pace(concurrency, 0.0, start=concurrency))


async def pages(*jobs: list[Job]) -> AsyncIterator[list[Job]]:
    for page in jobs:
        yield page


def each(run_job: Callable[[Job], Awaitable[None]]) -> Callable[[list[Job]], Awaitable[None]]:
    async def run_batch(jobs: list[Job]) -> None:
        for job in jobs:
            await run_job(job)

    return run_batch


async def settle() -> None:
    for _ in range(10):
        await anyio.lowlevel.checkpoint()


@pytest.mark.parametrize("concurrency", [1, 2, 64])
async def test_runs_all_jobs_once(concurrency: int) -> None:
    done: list[str] = []
    running = most = 0

    async def run_job(job: Job) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await anyio.lowlevel.checkpoint()
        running -= 1
        done.append(job.path)

    names = [str(number) for number in range(500)]
    plan = pages(make_jobs(*names[:200]), [], make_jobs(*names[200:]))
    with anyio.fail_after(10):
        await make_schedule(concurrency).run(plan, each(run_job))
    assert sorted(done) == sorted(names)
    assert most == concurrency
    if concurrency == 1:
        assert done == names


@pytest.mark.parametrize("plan", [[], [[]], [[], []]])
async def test_an_empty_plan_ends(plan: list[list[Job]]) -> None:
    async def run_job(job: Job) -> None:
        raise AssertionError

    with anyio.fail_after(5):
        await make_schedule(3).run(pages(*plan), each(run_job))


async def test_a_slow_plan_is_waited_for() -> None:
    done: list[str] = []

    async def slow() -> AsyncIterator[list[Job]]:
        for name in "abc":
            await anyio.sleep(0.01)
            yield make_jobs(name)

    async def run_job(job: Job) -> None:
        done.append(job.path)

    with anyio.fail_after(5):
        await make_schedule(4).run(slow(), each(run_job))
    assert done == ["a", "b", "c"]


async def test_the_plan_is_not_made_far_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sealift.schedule.PLANNED_AHEAD", 10)
    planned = done = 0

    async def plan() -> AsyncIterator[list[Job]]:
        nonlocal planned
        for _ in range(200):
            planned += 1
            yield make_jobs("x")

    async def run_job(job: Job) -> None:
        nonlocal done
        await anyio.lowlevel.checkpoint()
        done += 1
        assert planned - done <= 10 + 2 + 4

    with anyio.fail_after(5):
        await make_schedule(4).run(plan(), each(run_job))
    assert done == 200


async def test_pieces_go_before_jobs_and_the_oldest_object_first() -> None:
    """Two workers: while one object has untaken pieces, no job begins."""
    order: list[str] = []
    schedule = make_schedule(2)

    async def run_job(job: Job) -> None:
        order.append(job.path)
        if job.path in "AB":

            async def run_piece(number: int) -> None:
                order.append(f"{job.path}{number}")
                await anyio.lowlevel.checkpoint()

            await schedule.spread(iter(range(4)), run_piece)

    with anyio.fail_after(5):
        await schedule.run(pages(make_jobs("A", "B", "c", "d")), each(run_job))
    assert sorted(order) == sorted(
        ["A", "B", "c", "d", *(f"{x}{n}" for x in "AB" for n in range(4))]
    )
    assert order.index("A3") < order.index("B3")
    assert max(order.index("A3"), order.index("B3")) < order.index("c") < order.index("d")


async def test_idle_workers_take_pieces() -> None:
    schedule = make_schedule(4)
    running = most = 0

    async def run_piece(number: int) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await anyio.lowlevel.checkpoint()
        running -= 1

    async def run_job(job: Job) -> None:
        await schedule.spread(iter(range(40)), run_piece)
        assert running == 0

    with anyio.fail_after(5):
        await schedule.run(pages(make_jobs("A")), each(run_job))
    assert most == 4


@pytest.mark.parametrize("concurrency", [1, 3])
async def test_an_error_stops_further_pieces_and_waits_for_those_in_flight(
    concurrency: int,
) -> None:
    schedule = make_schedule(concurrency)
    begun: list[int] = []
    ended: list[int] = []
    caught: list[Exception] = []

    async def run_piece(number: int) -> None:
        begun.append(number)
        if number == 3:
            raise ValueError("third")
        await anyio.sleep(0.02)
        ended.append(number)

    async def run_job(job: Job) -> None:
        if job.path != "A":
            return
        try:
            await schedule.spread(iter(range(100)), run_piece)
        except ValueError as error:
            caught.append(error)
            assert sorted(ended) == [number for number in sorted(begun) if number != 3]

    with anyio.fail_after(5):
        await schedule.run(pages(make_jobs("A", "b", "c")), each(run_job))
    assert [str(error) for error in caught] == ["third"]
    assert len(begun) <= 4 + concurrency


async def test_the_first_of_several_errors_is_raised() -> None:
    schedule = make_schedule(3)

    async def run_piece(number: int) -> None:
        await anyio.sleep(0.01 * (3 - number))
        raise ValueError(str(number))

    async def run_job(job: Job) -> None:
        with pytest.raises(ValueError, match="2"):
            await schedule.spread(iter(range(3)), run_piece)

    with anyio.fail_after(5):
        await schedule.run(pages(make_jobs("A")), each(run_job))


async def test_no_pieces_at_all() -> None:
    schedule = make_schedule(2)

    async def run_piece(number: int) -> None:
        raise AssertionError

    async def run_job(job: Job) -> None:
        await schedule.spread(iter(()), run_piece)

    with anyio.fail_after(5):
        await schedule.run(pages(make_jobs("A", "B")), each(run_job))


async def test_cancellation_waits_for_pieces_in_flight() -> None:
    """Whoever opened the spread closes its file next: nobody may be writing to it."""
    schedule = make_schedule(3)
    cleaning: set[int] = set()
    closed = False

    async def run_piece(number: int) -> None:
        try:
            await anyio.sleep_forever()
        finally:
            cleaning.add(number)
            with anyio.CancelScope(shield=True):
                await anyio.sleep(0.01 * (3 - number))
            assert not closed
            cleaning.discard(number)

    async def run_job(job: Job) -> None:
        nonlocal closed
        try:
            await schedule.spread(iter(range(100)), run_piece)
        finally:
            assert not cleaning
            closed = True

    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:
            group.start_soon(schedule.run, pages(make_jobs("A")), each(run_job))
            await settle()
            group.cancel_scope.cancel()
    assert closed


async def test_an_error_of_the_plan_is_raised_when_the_planned_jobs_are_done() -> None:
    done: list[str] = []

    async def plan() -> AsyncIterator[list[Job]]:
        yield make_jobs("a", "b", "c", "d")
        await settle()
        raise ValueError("the plan")

    async def run_job(job: Job) -> None:
        await anyio.sleep(0.01)
        done.append(job.path)

    with anyio.fail_after(5), pytest.raises(ValueError, match="the plan"):
        await make_schedule(2).run(plan(), each(run_job))
    assert sorted(done) == ["a", "b", "c", "d"]


async def test_an_error_of_a_job_that_it_did_not_handle_is_raised() -> None:
    async def run_job(job: Job) -> None:
        raise ValueError(job.path)

    with anyio.fail_after(5), pytest.raises(ValueError, match="a"):
        await make_schedule(2).run(pages(make_jobs("a")), each(run_job))


async def test_an_error_of_the_pieces_themselves_ends_the_run() -> None:
    schedule = make_schedule(1)

    def pieces() -> Iterator[int]:
        yield 0
        raise ValueError("the pieces")

    async def run_piece(number: int) -> None:
        await anyio.lowlevel.checkpoint()

    async def run_job(job: Job) -> None:
        await schedule.spread(pieces(), run_piece)

    with anyio.fail_after(5), pytest.raises(ValueError, match="the pieces"):
        await schedule.run(pages(make_jobs("a")), each(run_job))


def test_first_error_looks_into_groups() -> None:
    inner = ValueError("x")
    group = BaseExceptionGroup("outer", [ExceptionGroup("inner", [inner, KeyError()])])
    assert first_error(group) is inner


@given(
    st.integers(1, 8),
    st.lists(
        st.tuples(
            st.integers(0, 3),  # steps before the pieces
            st.none() | st.lists(st.integers(0, 3), max_size=8),  # steps of each piece
            st.none() | st.integers(0, 8),  # which piece fails
        ),
        max_size=15,
    ),
    st.integers(1, 5),
)
@settings(max_examples=100)
def test_any_mix_ends_with_every_piece_run_once(
    concurrency: int,
    shapes: list[tuple[int, list[int] | None, int | None]],
    page_size: int,
) -> None:
    schedule = make_schedule(concurrency)
    jobs = make_jobs(*(str(number) for number in range(len(shapes))))
    run: list[tuple[str, int]] = []
    outcomes: dict[str, bool] = {}
    running = 0

    async def wait(steps: int) -> None:
        for _ in range(steps):
            await anyio.lowlevel.checkpoint()

    async def run_job(job: Job) -> None:
        before, pieces, fails = shapes[int(job.path)]
        assert job.path not in outcomes
        await wait(before)
        open_pieces = 0

        async def run_piece(piece: tuple[int, int]) -> None:
            nonlocal running, open_pieces
            number, steps = piece
            running += 1
            open_pieces += 1
            assert running <= concurrency
            try:
                run.append((job.path, number))
                await wait(steps)
                if number == fails:
                    raise ValueError
            finally:
                running -= 1
                open_pieces -= 1

        try:
            if pieces is not None:
                await schedule.spread(iter(list(enumerate(pieces))), run_piece)
        except ValueError:
            outcomes[job.path] = False
        else:
            outcomes[job.path] = True
        assert open_pieces == 0

    async def main() -> None:
        batches = [jobs[start : start + page_size] for start in range(0, len(jobs), page_size)]
        with anyio.fail_after(10):
            await schedule.run(pages(*batches), each(run_job))

    anyio.run(main)
    assert len(run) == len(set(run))
    assert len(outcomes) == len(jobs)
    for job, (_, pieces, fails) in zip(jobs, shapes, strict=True):
        count = len(pieces or ())
        failed = fails is not None and fails < count
        assert outcomes[job.path] is not failed
        if not failed:
            assert sum(path == job.path for path, _ in run) == count
    assert not schedule._spreads


async def test_small_jobs_share_a_batch_but_no_worker_goes_without() -> None:
    taken: list[list[str]] = []

    async def run_batch(jobs: list[Job]) -> None:
        taken.append([job.path for job in jobs])
        await anyio.lowlevel.checkpoint()

    jobs = make_jobs(*[str(number) for number in range(1000)])
    for number in (500, 501):
        jobs[number].size = BATCH_SIZE + 1
    with anyio.fail_after(10):
        await make_schedule(4).run(pages(jobs), run_batch)
    assert sorted(name for batch in taken for name in batch) == sorted(job.path for job in jobs)
    assert len(taken[0]) == BATCH_COUNT
    assert ["500"] in taken
    assert ["501"] in taken
    assert [len(batch) for batch in taken[-4:]] == [1] * 4, "the end is shared out"


async def test_only_as_many_workers_as_the_pace_allows() -> None:
    pace = Pace(64, 0.0, start=3)
    running = most = 0

    async def run_job(job: Job) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        if job.path == "50":
            pace.limit = 10
        await anyio.lowlevel.checkpoint()
        running -= 1
        mosts.append(most)
        schedule.note_done()

    schedule = Schedule(64, pace, clock=lambda: 0.0)
    mosts: list[int] = []
    jobs = make_jobs(*[str(number) for number in range(200)])
    with anyio.fail_after(10):
        await schedule.run(pages(jobs), each(run_job))
    assert max(mosts[:48]) == 3
    assert most == 10
    assert len(mosts) == 200

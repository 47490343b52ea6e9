"""File work runs in threads, and nobody takes its buffers away while it runs."""

from __future__ import annotations

import asyncio
import threading
import time

import anyio
import pytest

from sealift.files import disk as module
from sealift.files.disk import BRIEF_SPAN, THREAD_COUNT, Disk

pytestmark = pytest.mark.anyio


@pytest.fixture
def disk():
    disk = Disk()
    yield disk
    disk.close()


class Slow:
    """Work in a thread that ends when it is told to."""

    def __init__(self) -> None:
        self.began = threading.Event()
        self.release = threading.Event()
        self.ended = False

    def work(self) -> str:
        self.began.set()
        self.release.wait(5)
        time.sleep(0.05)
        self.ended = True
        return "done"

    async def wait_begun(self) -> None:
        assert await asyncio.to_thread(self.began.wait, 5)


async def test_runs_in_another_thread(disk: Disk) -> None:
    ident = await disk.run(threading.get_ident)
    assert ident != threading.get_ident()
    assert await disk.run(divmod, 7, 2) == (3, 1)


async def test_errors_come_back(disk: Disk) -> None:
    with pytest.raises(ValueError, match="invalid literal"):
        await disk.run(int, "x")


async def test_the_loop_is_free_meanwhile(disk: Disk) -> None:
    slow = Slow()
    async with anyio.create_task_group() as group:
        group.start_soon(disk.run, slow.work)
        await slow.wait_begun()
        assert not slow.ended
        slow.release.set()
    assert slow.ended


async def test_several_at_once(disk: Disk) -> None:
    barrier = threading.Barrier(THREAD_COUNT)
    async with anyio.create_task_group() as group:
        for _ in range(THREAD_COUNT):
            group.start_soon(disk.run, barrier.wait, 5.0)
    assert not barrier.broken


async def test_a_cancelled_scope_waits_for_work_that_began(disk: Disk) -> None:
    slow = Slow()
    ended_before_exit = None
    async with anyio.create_task_group() as group:

        async def user() -> None:
            nonlocal ended_before_exit
            try:
                await disk.run(slow.work)
            finally:
                ended_before_exit = slow.ended

        group.start_soon(user)
        await slow.wait_begun()
        group.cancel_scope.cancel()
        with anyio.CancelScope(shield=True):
            await anyio.sleep(0.02)
        assert ended_before_exit is None
        slow.release.set()
    assert ended_before_exit is True


async def test_a_deadline_waits_for_work_that_began(disk: Disk) -> None:
    slow = Slow()

    async def pass_the_deadline(scope: anyio.CancelScope) -> None:
        await slow.wait_begun()
        scope.deadline = anyio.current_time()
        await anyio.sleep(0.02)
        slow.release.set()

    async with anyio.create_task_group() as group:
        with anyio.CancelScope() as scope:
            group.start_soon(pass_the_deadline, scope)
            await disk.run(slow.work)
    assert scope.cancelled_caught
    assert slow.ended


async def test_a_cancelled_task_waits_for_work_that_began(disk: Disk) -> None:
    slow = Slow()
    task = asyncio.create_task(disk.run(slow.work))
    await slow.wait_begun()
    task.cancel()
    await anyio.sleep(0.02)
    assert not task.done()
    slow.release.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert slow.ended


async def test_work_that_fails_after_cancellation_says_nothing(disk: Disk) -> None:
    slow = Slow()

    def work() -> None:
        slow.work()
        raise ValueError

    async with anyio.create_task_group() as group:
        group.start_soon(disk.run, work)
        await slow.wait_begun()
        slow.release.set()
        group.cancel_scope.cancel()
    assert slow.ended


async def test_work_that_did_not_begin_is_dropped_at_once(disk: Disk) -> None:
    blocking = [Slow() for _ in range(THREAD_COUNT)]
    ran = []
    async with anyio.create_task_group() as group:
        for slow in blocking:
            group.start_soon(disk.run, slow.work)
        for slow in blocking:
            await slow.wait_begun()
        with anyio.move_on_after(0.01) as scope:
            await disk.run(ran.append, 1)
        assert scope.cancelled_caught
        for slow in blocking:
            slow.release.set()
    assert ran == []


def test_close_waits_for_work_that_began() -> None:
    disk = Disk()
    slow = Slow()

    async def main() -> None:
        task = asyncio.ensure_future(disk.run(slow.work))
        await slow.wait_begun()
        slow.release.set()
        await asyncio.to_thread(disk.close)
        assert slow.ended
        assert await task == "done"

    asyncio.run(main())


class SlowFor:
    """A call that takes `span` seconds, and remembers the threads that it ran in."""

    def __init__(self, span: float) -> None:
        self.span = span
        self.threads: list[int] = []

    def __call__(self, number: int) -> int:
        self.threads.append(threading.get_ident())
        time.sleep(self.span)
        return number


async def test_brief_calls_run_on_the_loop(disk: Disk) -> None:
    call = SlowFor(0.0)
    assert [await disk.run_brief(call, number) for number in range(50)] == list(range(50))
    assert set(call.threads) == {threading.get_ident()}


async def test_calls_that_prove_slow_go_to_the_threads_for_a_while(
    disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FIRST_PAUSE", 0.3)
    slow, brief = SlowFor(4 * BRIEF_SPAN), SlowFor(0.0)
    here = threading.get_ident()
    for number in range(5):
        assert await disk.run_brief(slow, number) == number
        await disk.run_brief(brief, number)
    assert slow.threads[0] == here, "nobody knows yet"
    assert slow.threads[1] == here, "a single one does not count"
    assert here not in slow.threads[2:]
    assert set(brief.threads) == {here}, "each kind is judged by itself"
    await anyio.sleep(0.3)
    slow.span = 0.0
    await disk.run_brief(slow, 0)
    assert slow.threads[-1] == here, "it is tried again"


async def test_errors_of_brief_calls_are_raised_and_measured(disk: Disk) -> None:
    def fail() -> None:
        raise OSError(5, "Input/output error")

    for _ in range(3):
        with pytest.raises(OSError, match="Input/output"):
            await disk.run_brief(fail)

"""Workers between two attempts leave their places, but not while the server is throttled."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import anyio
import anyio.lowlevel
import pytest
from tests.kit import until

from sealift.model import Direction, Job, Location
from sealift.pace import THROTTLE_REST, Pace
from sealift.schedule import BATCH_SIZE, Schedule

pytestmark = pytest.mark.anyio

FOR_EVER = 3600.0
JOBS = [Job(Direction.UP, Location("b", name), name, BATCH_SIZE) for name in "01abcdefgh"]


class Run:
    """Ten jobs, two at once, on at most four workers; the first two wait for another attempt."""

    def __init__(self) -> None:
        self.now = 0.0
        self.pace = Pace(2, self.now, start=2)
        self.schedule = Schedule(4, self.pace, clock=lambda: self.now)
        self.pausing: list[str] = []
        self.done: list[str] = []
        self.before_pause: Callable[[], object] = lambda: None

    async def _batch(self, jobs: list[Job]) -> None:
        for job in jobs:
            if job.path in "01":
                self.before_pause()
                self.pausing.append(job.path)
                with anyio.CancelScope() as scope:
                    self._scope = scope
                    await self.schedule.pause(FOR_EVER)
            self.done.append(job.path)
            self.schedule.note_done()

    def wake_last(self) -> None:
        """Let the one that paused last go on."""
        self._scope.cancel()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async def plan() -> AsyncIterator[list[Job]]:
            yield JOBS

        async with anyio.create_task_group() as group:
            group.start_soon(self.schedule.run, plan(), self._batch)
            yield
            group.cancel_scope.cancel()


async def test_others_go_on_while_two_wait() -> None:
    run = Run()
    async with run.running():
        await until(lambda: len(run.done) == 8)
        assert (run.pausing, run.done) == (["0", "1"], list("abcdefgh"))


async def test_nothing_is_begun_while_the_server_asks_to_slow_down() -> None:
    run = Run()
    run.before_pause = lambda: run.pausing and run.pace.throttled(run.now)
    async with run.running():
        await until(lambda: len(run.pausing) == 2)
        for _ in range(20):
            await anyio.lowlevel.checkpoint()
        assert run.done == []
        assert run.pace.limit == 1
        run.now = THROTTLE_REST + 1
        run.wake_last()  # its attempt succeeds, and the other one still waits
        await until(lambda: len(run.done) == 9)
        assert run.done == ["1", *"abcdefgh"]

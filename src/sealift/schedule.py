"""What runs next: workers as the pace allows, the oldest object's pieces first, then new jobs.

A worker takes a batch and runs it: one job, or several small ones, which share one buffer, one call
to the disk and one turn of this machinery. A job of many pieces (parts, ranges) opens a
*spread*: idle workers take pieces of it, oldest spread first, so that objects end in the order they
began, few temporary files are open, and no task is made per piece. The worker that opened the
spread takes its share.

A worker that waits between two attempts leaves its place to another, but not while the server asks
to slow down: then the waits are what slows. Afterwards they must not hold up the rest, which is why
they count no more.

Knows nothing of S3: it calls `run_batch` and what `spread` is given.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any, TypeVar

import anyio
import anyio.lowlevel

from sealift.model import Job, KiB
from sealift.pace import Pace

T = TypeVar("T")

# Jobs planned ahead of the workers, so that totals are known early; some 10 MiB of memory.
PLANNED_AHEAD = 20_000
# A batch holds so many jobs and bytes at most.
BATCH_COUNT = 16
BATCH_SIZE = 256 * KiB


class _Spread:
    """The pieces of one object: some untaken, some in flight. `ended` when there are neither."""

    def __init__(self, pieces: Iterator[Any], run_piece: Callable[[Any], Awaitable[None]]) -> None:
        self._pieces = pieces
        self._run_piece = run_piece
        self._in_flight = 0
        self._exhausted = False
        self.ended = anyio.Event()
        self.error: Exception | None = None

    def next_piece(self) -> Awaitable[None] | None:
        """The next piece as something to await, or None when no more are begun."""
        if self._exhausted:
            return None
        piece = next(self._pieces, None)
        if piece is None:
            self.stop()
            return None
        self._in_flight += 1
        return self._run(piece)

    def stop(self) -> None:
        """Begin no further piece."""
        self._exhausted = True
        if not self._in_flight:
            self.ended.set()

    async def _run(self, piece: Any) -> None:
        try:
            await self._run_piece(piece)
        except Exception as error:  # noqa: BLE001 - raised again by spread()
            self.error = self.error or error
            self._exhausted = True
        finally:
            self._in_flight -= 1
            if self._exhausted and not self._in_flight:
                self.ended.set()


class Schedule:
    """Runs jobs on at most `ceiling` workers, of which `pace.limit` may be busy.

    `has_done` says whether a request that moved bytes has ended well.
    """

    def __init__(
        self, ceiling: int, pace: Pace, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.ceiling = ceiling
        self.has_done = False
        self._pace = pace
        self._clock = clock
        self._busy = 0
        self._pausing = 0
        self._jobs: deque[Job] = deque()
        self._spreads: deque[_Spread] = deque()
        self._idle: deque[anyio.Event] = deque()
        self._room = anyio.Event()
        self._planned = False
        self._running = 0

    async def run(
        self, plan: AsyncIterator[list[Job]], run_batch: Callable[[list[Job]], Awaitable[None]]
    ) -> None:
        """Run all jobs of `plan`; `run_batch` handles failures and calls `note_done` as it goes.

        When the plan fails, the jobs planned so far are run to their end, then its error is raised.
        """
        failure: Exception | None = None
        try:
            async with anyio.create_task_group() as group:
                for _ in range(self.ceiling):
                    group.start_soon(self._work, run_batch)
                try:
                    await self._feed(plan)
                except Exception as error:  # noqa: BLE001 - raised again below
                    failure = error
                self._planned = True
                self._wake(self.ceiling)
        except BaseExceptionGroup as group_error:
            raise first_error(group_error) from None
        if failure is not None:
            raise failure

    async def _feed(self, plan: AsyncIterator[list[Job]]) -> None:
        async for jobs in plan:
            self._jobs.extend(jobs)
            self._wake(min(len(jobs), self._free()))
            await anyio.lowlevel.checkpoint()  # a plan may be made without a wait
            while len(self._jobs) > PLANNED_AHEAD:
                self._room = anyio.Event()
                await self._room.wait()

    async def spread(self, pieces: Iterator[T], run_piece: Callable[[T], Awaitable[None]]) -> None:
        """Run `run_piece` for each piece, on this worker and all idle ones.

        After an error no further piece is begun; those in flight end, then it is raised.
        """
        spread = _Spread(pieces, run_piece)
        self._spreads.append(spread)
        self._wake(self._free())
        try:
            while (work := spread.next_piece()) is not None:
                await work
                self.note_done()
            await spread.ended.wait()
            if spread.error is not None:
                raise spread.error
        finally:
            spread.stop()
            self._spreads.remove(spread)
            # Other workers may still use what the caller is about to close.
            with anyio.CancelScope(shield=True):
                await spread.ended.wait()

    def note_done(self) -> None:
        """Let the pace learn from a request that ended, and let more workers run if it grew."""
        self.has_done = True
        waiting = bool(self._jobs or self._spreads)
        self._pace.done(self._clock(), saturated=waiting and self._free() <= 0)
        if waiting and self._idle:
            self._wake(self._free())

    async def pause(self, seconds: float) -> None:
        """Wait between two attempts of what a worker runs."""
        self._pausing += 1
        try:
            if self._idle and (self._jobs or self._spreads):
                self._wake(self._free())
            await anyio.sleep(seconds)
        finally:
            self._pausing -= 1

    def _free(self) -> int:
        """How many more workers may begin."""
        busy = self._busy
        if self._pausing and not self._pace.is_throttled(self._clock()):
            busy -= self._pausing
        return self._pace.limit - busy

    async def _work(self, run_batch: Callable[[list[Job]], Awaitable[None]]) -> None:
        while True:
            work = self._next_work(run_batch) if self._free() > 0 else None
            if work is not None:
                self._busy += 1
                try:
                    await work
                finally:
                    self._busy -= 1
            elif self._planned and not self._running and not self._jobs:
                self._wake(self.ceiling)
                return
            else:
                event = anyio.Event()
                self._idle.append(event)
                await event.wait()

    def _next_work(
        self, run_batch: Callable[[list[Job]], Awaitable[None]]
    ) -> Awaitable[None] | None:
        piece = self._next_piece()
        if piece is not None:
            return self._run_piece(piece)
        if not self._jobs:
            return None
        batch = self._take_batch()
        if len(self._jobs) <= PLANNED_AHEAD // 2:
            self._room.set()
        return self._run_batch(batch, run_batch)

    def _take_batch(self) -> list[Job]:
        """The next job, with small ones behind it as long as all workers get their share."""
        jobs = self._jobs
        batch = [jobs.popleft()]
        room = BATCH_SIZE - batch[0].size
        for _ in range(min(BATCH_COUNT, len(jobs) // (2 * self._pace.limit)) - 1):
            room -= jobs[0].size
            if room < 0:
                break
            batch.append(jobs.popleft())
        return batch

    async def _run_batch(
        self, batch: list[Job], run_batch: Callable[[list[Job]], Awaitable[None]]
    ) -> None:
        self._running += 1
        try:
            await run_batch(batch)
        finally:
            self._running -= 1

    async def _run_piece(self, piece: Awaitable[None]) -> None:
        await piece
        self.note_done()

    def _next_piece(self) -> Awaitable[None] | None:
        for spread in self._spreads:
            work = spread.next_piece()
            if work is not None:
                return work
        return None

    def _wake(self, count: int) -> None:
        for _ in range(min(max(count, 0), len(self._idle))):
            self._idle.popleft().set()


def first_error(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The first real error of a task group that failed."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error

"""A request that takes longer than nearly all others of its kind is sent once more.

One slow server of many, or one bad connection, would else hold up a whole object. The copy that
ends first counts; the other one is cancelled, and over when its caller goes on. At most one request
in a hundred is sent again ("The Tail at Scale", https://research.google/pubs/the-tail-at-scale/).
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio

from sealift.wire.connection import Counter

T = TypeVar("T")

# Requests per hedge. So many must have been made before the first, too: less tells nothing.
SHARE = 100
# The last so many requests say what is slow: more than all but one in a hundred took.
WINDOW = 256
# Seconds below which no request is slow.
LEAST_WAIT = 1.0


class _Tally:
    """Counts what a hedge moves, so that nothing is counted twice."""

    def __init__(self) -> None:
        self.moved = 0


class _Share:
    """Counts in `whole`, and remembers how much."""

    def __init__(self, whole: Counter) -> None:
        self._whole = whole
        self._moved = 0

    @property
    def moved(self) -> int:
        return self._moved

    @moved.setter
    def moved(self, value: int) -> None:
        self._whole.moved += value - self._moved
        self._moved = value


class Hedge:
    """Of one kind of request in one run."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._spans: deque[float] = deque(maxlen=WINDOW)
        self._credit = 0

    async def run(
        self,
        counter: Counter,
        send: Callable[[Counter], Awaitable[T]],
        again: Callable[[Counter], Awaitable[T] | None],
    ) -> T:
        """Await `send`; when it is slow, `again` too, unless that is None. The first result counts.

        An error counts only when both have failed, and then it is the first one's.
        """
        began = self._clock()
        wait = self._wait()
        if wait is None:
            result = await send(counter)
        else:
            result = await self._race(counter, send, again, wait)
        self._spans.append(self._clock() - began)
        self._credit += 1
        return result

    def _wait(self) -> float | None:
        """Seconds after which a request is slow; None while none may be sent again."""
        if self._credit < SHARE:
            return None
        spans = sorted(self._spans)
        return max(spans[len(spans) * 99 // 100], LEAST_WAIT)

    async def _race(
        self,
        counter: Counter,
        send: Callable[[Counter], Awaitable[T]],
        again: Callable[[Counter], Awaitable[T] | None],
        wait: float,
    ) -> T:
        share, tally = _Share(counter), _Tally()
        tasks = [asyncio.ensure_future(send(share))]
        try:
            await asyncio.wait(tasks, timeout=wait)
            second = None
            if not tasks[0].done() and self._credit >= SHARE:  # others have waited meanwhile
                second = again(tally)
            if second is not None:
                self._credit -= SHARE
                tasks.append(asyncio.ensure_future(second))
            pending = set(tasks)
            while pending and not any(map(_has_result, tasks)):
                _, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            with anyio.CancelScope(shield=True):
                await asyncio.wait(tasks)
        if not _has_result(tasks[0]) and _has_result(tasks[-1]):
            share.moved = 0
            counter.moved += tally.moved
            return tasks[-1].result()
        return tasks[0].result()


def _has_result(task: asyncio.Future[T]) -> bool:
    return task.done() and not task.cancelled() and task.exception() is None

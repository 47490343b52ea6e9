"""Runs blocking file work: in threads, and on the event loop as long as that proves to be brief.

Threads of its own instead of an executor: under load hops to a thread and back go in batches here.
A thread goes on with further calls while there are more than its idle fellows can take, and all
results that are ready go back by one wake-up of the loop.

Small files are little but system calls, and each of these hands the interpreter's lock from one
thread to another: half of the time of 5,000 downloads of 16 KiB went there. So `run_brief` makes a
call on the loop itself, measures it, and goes to the threads for a while when such calls take long:
a cold cache, a slow disk, a share on the network.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Any, TypeVar, TypeVarTuple

import anyio

Ts = TypeVarTuple("Ts")
T = TypeVar("T")

# Enough to keep a disk's queue filled; more threads only contend for the interpreter.
THREAD_COUNT = 8
BATCH_SIZE = 16
# Seconds: what the loop can spare for one call, and how long the threads do them after that.
BRIEF_SPAN = 0.005
FIRST_PAUSE = 1.0
LONGEST_PAUSE = 60.0


class _Work:
    """One call. Whoever takes the token decides: a thread to run it, or its caller to give it up.

    `waiter` is set by a caller that was cancelled while a thread ran it.
    """

    __slots__ = ("args", "call", "future", "is_over", "result", "token", "waiter")

    def __init__(
        self, future: asyncio.Future[Any], call: Callable[..., Any], args: tuple[Any, ...]
    ) -> None:
        self.future = future
        self.call = call
        self.args = args
        self.token = [None]
        self.result: tuple[Any, BaseException | None] = (None, None)
        self.is_over = False
        self.waiter: asyncio.Future[None] | None = None

    def take(self) -> bool:
        """Take the token; False when it was taken before. Atomic: a list's pop is."""
        try:
            self.token.pop()
        except IndexError:
            return False
        return True


class _Habit:
    """How long calls of a kind take on the loop: seconds, the latest counting for a fifth."""

    __slots__ = ("pause", "resume_at", "span")

    def __init__(self) -> None:
        self.span = 0.0
        self.pause = FIRST_PAUSE
        self.resume_at = 0.0

    def note(self, span: float, now: float) -> None:
        """A call took `span`: pause when they are no longer brief, longer each time.

        A single one, however long, does not count for that much.
        """
        self.span += (min(span, 4 * BRIEF_SPAN) - self.span) / 5
        if self.span > BRIEF_SPAN:
            self.span = 0.0
            self.resume_at = now + self.pause
            self.pause = min(2 * self.pause, LONGEST_PAUSE)


class Disk:
    """A few threads for file work, used from one event loop."""

    def __init__(self) -> None:
        self._queue: SimpleQueue[_Work | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._idle: set[int] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._over: deque[_Work] = deque()
        self._delivery_is_due = False
        self._habits: dict[Callable[..., Any], _Habit] = {}

    async def run_brief(self, call: Callable[[*Ts], T], *args: *Ts) -> T:
        """`call(*args)`: at once while calls of this kind are brief, else as `run` does."""
        habit = self._habits.get(call)
        if habit is None:
            habit = self._habits[call] = _Habit()
        began = time.monotonic()
        if began < habit.resume_at:
            return await self.run(call, *args)
        try:
            return call(*args)
        finally:
            now = time.monotonic()
            habit.note(now - began, now)

    async def run(self, call: Callable[[*Ts], T], *args: *Ts) -> T:
        """Await `call(*args)` in a thread.

        When cancelled it still waits for a call that began: the thread is using the caller's
        buffers and descriptors. Shielded, because a cancelled scope cancels every further wait too.
        """
        if self._loop is None:
            self._start()
        assert self._loop is not None
        work = _Work(self._loop.create_future(), call, args)
        self._queue.put(work)
        try:
            return await work.future  # type: ignore[no-any-return]
        except asyncio.CancelledError:
            if not work.take() and not work.is_over:
                work.waiter = self._loop.create_future()
                with anyio.CancelScope(shield=True):
                    await work.waiter
            raise

    def close(self) -> None:
        """End the threads once the calls that began are done; the others are given up."""
        while not self._queue.empty():
            work = self._queue.get()
            if work is not None and work.take():
                work.future.cancel()
        for _ in self._threads:
            self._queue.put(None)
        for thread in self._threads:
            thread.join()
        self._threads.clear()
        self._loop = None

    def _start(self) -> None:
        self._loop = asyncio.get_running_loop()
        for number in range(THREAD_COUNT):
            thread = threading.Thread(
                target=self._serve, name=f"sealift-disk-{number}", daemon=True
            )
            self._threads.append(thread)
            thread.start()

    # In the threads

    def _serve(self) -> None:
        ident = threading.get_ident()
        while True:
            self._idle.add(ident)
            work = self._queue.get()
            self._idle.discard(ident)
            spare = BATCH_SIZE
            while work is not None:
                self._perform(work)
                spare -= 1
                if spare <= 0 or self._queue.qsize() <= len(self._idle):
                    break
                try:
                    work = self._queue.get_nowait()
                except Empty:
                    break
            if work is None:
                return

    def _perform(self, work: _Work) -> None:
        if not work.take():
            return
        try:
            work.result = work.call(*work.args), None
        except BaseException as error:  # noqa: BLE001 - raised again where it is awaited
            work.result = None, error
        self._over.append(work)
        if not self._delivery_is_due:
            self._delivery_is_due = True
            assert self._loop is not None
            self._loop.call_soon_threadsafe(self._deliver)

    # On the loop

    def _deliver(self) -> None:
        """Give back the results of all calls that are over."""
        self._delivery_is_due = False
        while self._over:
            work = self._over.popleft()
            work.is_over = True
            if work.waiter is not None:
                if not work.waiter.done():
                    work.waiter.set_result(None)
            elif not work.future.done():
                value, error = work.result
                if error is None:
                    work.future.set_result(value)
                else:
                    work.future.set_exception(error)
            work.result = None, None

"""The memory budget: part buffers are taken from it, and come back to it.

Who wants a buffer waits until the budget has room, first come, first served; so memory does not
grow with the number of connections, files or parts. Large buffers are kept for the next one who
wants that size: filling fresh memory with zeros would cost as much as checking it.
"""

from __future__ import annotations

import contextlib
import mmap
from collections import deque
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import anyio

from sealift.errors import UsageError
from sealift.model import KiB, MiB

# What is in memory beside the buffers: the interpreter, all that is loaded, connections, the plan
# (measured with botocore: 100 MiB with 5,000 small files, 105 to 112 beside full buffers; without
# it some 40 MiB less).
PROCESS_SIZE = 120 * MiB
MIN_BUFFER_BUDGET = 32 * MiB
# Smaller buffers are made and dropped: the allocator is good at those.
KEPT_SIZE = 256 * KiB
HUGE_PAGE_SIZE = 2 * MiB


class Memory:
    """Hands out buffers of together at most `budget` bytes."""

    def __init__(self, budget: int) -> None:
        self._budget = budget
        self._used = 0
        self._kept: dict[int, list[bytearray | mmap.mmap]] = {}
        self._kept_size = 0
        self._waiting: deque[tuple[int, anyio.Event]] = deque()

    @classmethod
    def for_process(cls, limit: int) -> Memory:
        """The budget that leaves the whole process below `limit` bytes."""
        budget = limit - PROCESS_SIZE
        if budget < MIN_BUFFER_BUDGET:
            least = (PROCESS_SIZE + MIN_BUFFER_BUDGET) // MiB
            raise UsageError("--memory is too small to work with", hint=f"give at least {least}MiB")
        return cls(budget)

    @asynccontextmanager
    async def buffer(self, size: int) -> AsyncIterator[memoryview]:
        """A buffer of `size` bytes for the time of the block."""
        room = _rounded(size)
        await self._reserve(room)
        buffer = self._take(room)
        try:
            yield memoryview(buffer)[:size]
        finally:
            self._give_back(room, buffer)

    @contextmanager
    def spare(self, size: int) -> Iterator[memoryview | None]:
        """A buffer for the time of the block if there is one to spare, else None."""
        room = _rounded(size)
        if self._waiting or not self._fits(room):
            yield None
            return
        self._used += room
        buffer = self._take(room)
        try:
            yield memoryview(buffer)[:size]
        finally:
            self._give_back(room, buffer)

    def _take(self, room: int) -> bytearray | mmap.mmap:
        """A buffer whose size is reserved."""
        kept = self._kept.get(room)
        if kept:
            self._kept_size -= room
            return kept.pop()
        self._drop_kept(room)
        return _make(room)

    def _give_back(self, room: int, buffer: bytearray | mmap.mmap) -> None:
        if room >= KEPT_SIZE:
            self._kept.setdefault(room, []).append(buffer)
            self._kept_size += room
        self._release(room)

    async def _reserve(self, room: int) -> None:
        if not self._waiting and self._fits(room):
            self._used += room
            return
        event = anyio.Event()
        entry = (room, event)
        self._waiting.append(entry)
        try:
            await event.wait()
        except BaseException:
            if event.is_set():
                self._release(room)
            else:
                self._waiting.remove(entry)
                self._grant()
            raise

    def _release(self, room: int) -> None:
        self._used -= room
        self._grant()

    def _grant(self) -> None:
        """Let in those at the head of the queue for whom there is room."""
        while self._waiting and self._fits(self._waiting[0][0]):
            granted, event = self._waiting.popleft()
            self._used += granted
            event.set()

    def _fits(self, room: int) -> bool:
        """One buffer always fits, or a part larger than the budget would wait for ever."""
        return self._used + room <= self._budget or self._used == 0

    def _drop_kept(self, room: int) -> None:
        """Make room for a new buffer of another size."""
        for size, buffers in self._kept.items():
            while buffers and self._used + self._kept_size > self._budget and size != room:
                buffers.pop()
                self._kept_size -= size


def _make(size: int) -> bytearray | mmap.mmap:
    """Fresh memory; large buffers from huge pages, which are 4 faults to touch and not 2,048."""
    if size < HUGE_PAGE_SIZE:
        return bytearray(size)
    buffer = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        with contextlib.suppress(OSError):  # a kernel without them
            buffer.madvise(mmap.MADV_HUGEPAGE)
    return buffer


def _rounded(size: int) -> int:
    """`size`, or the next power of two for sizes that are worth keeping."""
    return size if size < KEPT_SIZE else 1 << (size - 1).bit_length()

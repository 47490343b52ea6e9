"""Runs blocking file work in threads, never on the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar, TypeVarTuple

import anyio

Ts = TypeVarTuple("Ts")
T = TypeVar("T")

# Enough to keep a disk's queue filled; more threads only contend for the interpreter.
THREAD_COUNT = 8


class Disk:
    """A few threads for file work.

    A plain executor, because a hop by `anyio.to_thread` costs 50 us of CPU and one by this 20
    (measured with 16 callers), and small files are little else.
    """

    def __init__(self) -> None:
        self._executor = ThreadPoolExecutor(THREAD_COUNT, thread_name_prefix="sealift-disk")

    async def run(self, work: Callable[[*Ts], T], *args: *Ts) -> T:
        """Await `work(*args)` in a thread.

        When cancelled it still waits for work that began: the thread is using the caller's buffers
        and descriptors. Shielded, because a cancelled scope cancels every further wait as well.
        """
        future = self._executor.submit(work, *args)
        try:
            return await asyncio.wrap_future(future)
        except asyncio.CancelledError:
            if not future.cancelled():
                with anyio.CancelScope(shield=True):
                    await asyncio.wait([asyncio.wrap_future(future)])
            raise

    def close(self) -> None:
        """End the threads once their work is done."""
        self._executor.shutdown(wait=True, cancel_futures=True)

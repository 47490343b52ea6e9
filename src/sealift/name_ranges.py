"""Lists ranges of names at once, and hands their pages out in the order of names."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import NamedTuple

from sealift.model import RemoteObject

# Ranges that are listed at once, and the pages of each that may wait for those before them.
RANGES_AT_ONCE = 8
PAGES_AHEAD = 2

Pages = AsyncIterator[list[RemoteObject]]


class NameRange(NamedTuple):
    """The names behind `after`, up to and with `until`; None: to the end."""

    after: str
    until: str | None


def cut_ranges_of_names(after: str, cuts: Sequence[str]) -> list[NameRange]:
    """The names behind `after`, cut at those of `cuts` that lie behind it."""
    ends: list[str | None] = [*sorted({name for name in cuts if name > after}), None]
    ranges = []
    for until in ends:
        ranges.append(NameRange(after, until))
        after = until or ""
    return ranges


class _Listing:
    """One range that is being listed by a task of its own, a few pages ahead of whoever reads."""

    def __init__(self, pages: Pages) -> None:
        self._pages = pages
        self._ready: asyncio.Queue[list[RemoteObject] | Exception | None] = asyncio.Queue(
            PAGES_AHEAD
        )
        self._task = asyncio.ensure_future(self._list())

    async def _list(self) -> None:
        try:
            async for page in self._pages:
                await self._ready.put(page)
        except Exception as error:  # noqa: BLE001 - raised where the pages are read
            await self._ready.put(error)
        else:
            await self._ready.put(None)

    async def read(self) -> Pages:
        """The pages; raises what ended the listing."""
        while (page := await self._ready.get()) is not None:
            if isinstance(page, Exception):
                raise page
            yield page

    def stop(self) -> None:
        """Nobody wants more."""
        self._task.cancel()


async def list_ranges(
    list_range: Callable[[NameRange], Pages], ranges: Sequence[NameRange]
) -> Pages:
    """The pages of all `ranges` in their order, several of them listed at once."""
    left: Iterator[NameRange] = iter(ranges)
    running: deque[_Listing] = deque()
    try:
        while True:
            while len(running) < RANGES_AT_ONCE and (span := next(left, None)) is not None:
                running.append(_Listing(list_range(span)))
            if not running:
                return
            async for page in running[0].read():
                yield page
            running.popleft()
    finally:
        for listing in running:
            listing.stop()

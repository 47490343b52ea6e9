"""Ranges of names, listed at once, come out as one listing."""

from __future__ import annotations

from itertools import pairwise

import anyio
import anyio.lowlevel
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sealift.errors import ObjectError
from sealift.model import RemoteObject
from sealift.name_ranges import (
    PAGES_AHEAD,
    RANGES_AT_ONCE,
    NameRange,
    Pages,
    cut_ranges_of_names,
    list_ranges,
)

NAME = st.text("ab/\u00e9\U0001f6a2", min_size=1, max_size=3)


@given(NAME | st.just(""), st.lists(NAME, max_size=6))
def test_ranges_join_and_cover_everything_behind(after: str, cuts: list[str]) -> None:
    ranges = cut_ranges_of_names(after, cuts)
    assert ranges[0].after == after
    assert ranges[-1].until is None
    assert all(a.until == b.after for a, b in pairwise(ranges))
    assert [span.until for span in ranges[:-1]] == sorted({cut for cut in cuts if cut > after})


class Server:
    """Lists `names` in pages of 3, and counts what is under way."""

    def __init__(self, names: list[str], fails_at: str | None = None) -> None:
        self.names = names
        self.fails_at = fails_at
        self.running = self.most = self.pages = 0

    async def list_range(self, span: NameRange) -> Pages:
        within = [
            name
            for name in self.names
            if name > span.after and (span.until is None or name <= span.until)
        ]
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            for start in range(0, max(len(within), 1), 3):
                await anyio.lowlevel.checkpoint()
                page = within[start : start + 3]
                if self.fails_at in page:
                    raise ObjectError("no more")
                self.pages += 1
                yield [RemoteObject(name, 0, "", 0.0) for name in page]
        finally:
            self.running -= 1


async def listed(server: Server, cuts: list[str], limit: int | None = None) -> list[str]:
    names: list[str] = []
    pages = list_ranges(server.list_range, cut_ranges_of_names("", cuts))
    async for page in pages:
        names += [found.name for found in page]
        if limit is not None and len(names) >= limit:
            break
    await pages.aclose()  # type: ignore[attr-defined]
    await anyio.sleep(0.01)
    assert server.running == 0
    return names


@settings(max_examples=50)
@given(st.sets(NAME, max_size=30), st.lists(NAME, max_size=12))
def test_all_names_come_once_in_order(names: set[str], cuts: list[str]) -> None:
    server = Server(sorted(names))
    assert anyio.run(listed, server, cuts) == sorted(names)


def test_some_ranges_are_listed_at_once_and_not_far_ahead() -> None:
    names = [f"{number:05d}" for number in range(3000)]
    server = Server(names)
    anyio.run(listed, server, names[::100], 1)
    assert server.most == RANGES_AT_ONCE
    assert server.pages <= RANGES_AT_ONCE * (PAGES_AHEAD + 2)


def test_an_error_comes_after_the_pages_before_it() -> None:
    names = [f"{number:03d}" for number in range(60)]
    server = Server(names, fails_at="030")
    with pytest.raises(ObjectError, match="no more"):
        anyio.run(listed, server, names[9::10])

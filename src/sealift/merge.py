"""Brings two sides together by name: sorted batches in, pairs out, a batch of each at a time. Pure.

Both sides are in the order of the UTF-8 bytes of the names, as LIST is; Python compares texts by
code point, which is the same order. Memory holds one batch of each side.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from itertools import islice
from operator import attrgetter, lt
from typing import Generic, Protocol, TypeVar

from sealift.errors import IntegrityError

_NAME = attrgetter("name")


class Named(Protocol):
    """Anything that a side consists of."""

    @property
    def name(self) -> str: ...


L = TypeVar("L", bound=Named)
R = TypeVar("R", bound=Named)
N = TypeVar("N", bound=Named)


class Side(Generic[N]):
    """One side, read batch by batch: `label` names it in errors, names lose `cut` characters."""

    def __init__(self, label: str, batches: AsyncIterator[list[N]], cut: int = 0) -> None:
        self._label = label
        self._batches = batches
        self._cut = cut
        self._last: str | None = None
        self.entries: list[N] = []
        self.names: list[str] = []
        self.position = 0

    async def fill(self) -> bool:
        """Have something to read; False at the end. IntegrityError when the order is broken."""
        while self.position >= len(self.entries):
            batch = await anext(self._batches, None)
            if batch is None:
                return False
            if not batch:
                continue
            cut = self._cut
            self.entries, self.position = batch, 0
            self.names = names = list(map(_NAME, batch))
            if cut:
                self.names = names = [name[cut:] for name in names]
            if (self._last is not None and names[0] <= self._last) or not all(
                map(lt, names, islice(names, 1, None))
            ):
                raise IntegrityError(
                    f"{self._label} is not in the order of names, so it cannot be compared"
                )
            self._last = names[-1]
        return True

    def rest(self) -> Iterator[tuple[str, N]]:
        """What is left of the batch."""
        start, self.position = self.position, len(self.entries)
        return zip(self.names[start:], self.entries[start:], strict=True)


async def merge(
    left: Side[L], right: Side[R]
) -> AsyncIterator[list[tuple[str, L | None, R | None]]]:
    """Names with what stands for them on either side, None where there is nothing."""
    while True:
        more_left, more_right = await left.fill(), await right.fill()
        if more_left and more_right:
            yield _pairs(left, right)
        elif more_left:
            yield [(name, entry, None) for name, entry in left.rest()]
        elif more_right:
            yield [(name, None, entry) for name, entry in right.rest()]
        else:
            return


def _pairs(left: Side[L], right: Side[R]) -> list[tuple[str, L | None, R | None]]:
    """Pair up until one of the two batches is used up."""
    lefts, left_names, i = left.entries, left.names, left.position
    rights, right_names, j = right.entries, right.names, right.position
    count = min(len(lefts) - i, len(rights) - j)
    if left_names[i : i + count] == right_names[j : j + count]:
        left.position, right.position = i + count, j + count
        return list(
            zip(
                left_names[i : i + count],
                lefts[i : i + count],
                rights[j : j + count],
                strict=True,
            )
        )
    pairs: list[tuple[str, L | None, R | None]] = []
    while i < len(lefts) and j < len(rights):
        name, other = left_names[i], right_names[j]
        if name == other:
            pairs.append((name, lefts[i], rights[j]))
            i += 1
            j += 1
        elif name < other:
            pairs.append((name, lefts[i], None))
            i += 1
        else:
            pairs.append((other, None, rights[j]))
            j += 1
    left.position, right.position = i, j
    return pairs

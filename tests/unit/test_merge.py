"""Two sorted sides become pairs, whatever the batches."""

from __future__ import annotations

from collections.abc import AsyncIterator

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealift.errors import IntegrityError
from sealift.merge import Side, merge
from sealift.model import RemoteObject

Cuts = list[int]


async def batches(names: list[str], cuts: Cuts) -> AsyncIterator[list[RemoteObject]]:
    """`names` in batches that end where `cuts` say; some are empty."""
    start = 0
    for cut in [*sorted(cuts), len(names)]:
        yield [RemoteObject(name, 0, "", 0.0) for name in names[start:cut]]
        start = max(start, min(cut, len(names)))


def merged(
    left: list[str], right: list[str], cuts: tuple[Cuts, Cuts] = ([], []), prefix: str = ""
) -> list[tuple[str, str | None, str | None]]:
    async def run() -> list[tuple[str, str | None, str | None]]:
        there = Side("right", batches([prefix + name for name in right], cuts[1]), len(prefix))
        return [
            (name, ours and ours.name, theirs and theirs.name)
            async for pairs in merge(Side("left", batches(left, cuts[0])), there)
            for name, ours, theirs in pairs
        ]

    return anyio.run(run)


def test_names_meet_without_the_prefix() -> None:
    assert merged(["a", "b"], ["b", "c"], prefix="p/") == [
        ("a", "a", None),
        ("b", "b", "p/b"),
        ("c", None, "p/c"),
    ]


NAMES = st.sets(st.text("ab/.\u00e9\U0001f6a2\uffff", max_size=3), max_size=12).map(sorted)
CUTS = st.lists(st.integers(0, 12), max_size=4)


@given(NAMES, NAMES, CUTS, CUTS)
def test_every_name_comes_once_in_order_with_the_sides_that_have_it(
    left: list[str], right: list[str], left_cuts: Cuts, right_cuts: Cuts
) -> None:
    expected = [
        (name, name if name in left else None, name if name in right else None)
        for name in sorted({*left, *right}, key=str.encode)
    ]
    assert merged(left, right, (left_cuts, right_cuts)) == expected


@pytest.mark.parametrize("cuts", [[], [1], [2]])
@pytest.mark.parametrize("names", [["b", "a", "c"], ["a", "c", "b"], ["a", "b", "b"]])
def test_a_side_out_of_order_is_an_error_that_names_it(names: list[str], cuts: Cuts) -> None:
    with pytest.raises(IntegrityError, match="right is not in the order of names"):
        merged(["x"], names, ([], cuts))

"""Which cells a plan has, and what the options make of it."""

from __future__ import annotations

import pytest

from sealift.bench.cells import Plan, Way, is_whole, make_plan, short_size
from sealift.errors import UsageError
from sealift.model import GiB, KiB, MiB


def test_each_group_goes_up_before_it_comes_down() -> None:
    plan = Plan((16 * KiB, 64 * MiB), (1, 4), (8 * MiB, 16 * MiB), 1.0)
    groups = list(plan.groups())
    assert [(group.size, group.part_size) for group in groups] == [
        (16 * KiB, None), (64 * MiB, 8 * MiB), (64 * MiB, 16 * MiB),
    ]  # fmt: skip
    for group in groups:
        assert [(cell.way, cell.concurrency) for cell in group.cells] == [
            (way, number) for way in Way for number in (1, 4, None)
        ]
    assert len(plan.cells()) == 18


@pytest.mark.parametrize(
    ("size", "part_size", "whole"),
    [
        (8 * MiB, 8 * MiB, True),
        (8 * MiB + 1, 8 * MiB, False),
        (16 * MiB, 64 * MiB, True),
        (16 * MiB + 1, 64 * MiB, False),  # more than one request holds in memory
    ],
)
def test_which_objects_go_by_one_request(size: int, part_size: int, whole: bool) -> None:
    assert is_whole(size, part_size) is whole


def test_an_object_that_one_part_size_can_carry_whole_is_measured_both_ways() -> None:
    groups = Plan((12 * MiB,), (1,), (8 * MiB, 16 * MiB), 1.0).groups()
    assert [group.part_size for group in groups] == [None, 8 * MiB]


def test_the_default_plan_takes_about_two_minutes() -> None:
    assert 90 < Plan().span() < 150
    for embedded in (False, True):
        assert make_plan(None, None, None, None, quick=True, embedded=embedded).span() < 60
    assert make_plan(None, None, None, None, embedded=True).span() < 60


def test_lists_are_read_once_each_and_in_order() -> None:
    plan = make_plan("8MiB,16KiB,8M", "64,auto,1", "16MiB", 5, quick=True)
    assert plan == Plan((16 * KiB, 8 * MiB), (1, 64), (16 * MiB,), 5)


@pytest.mark.parametrize(
    ("sizes", "concurrencies", "part_sizes", "seconds", "named"),
    [
        ("0", None, None, None, "--sizes"),
        ("many", None, None, None, "many"),
        (None, "0,4", None, None, "--concurrencies"),
        (None, "1025", None, None, "--concurrencies"),
        (None, "auto", None, None, "--concurrencies"),
        (None, None, "1MiB", None, "--part-sizes"),
        (None, None, None, 0, "--seconds"),
        (None, None, None, 1e9, "--seconds"),
        (None, None, None, float("nan"), "--seconds"),
    ],
)
def test_what_cannot_be_measured(
    sizes: str | None,
    concurrencies: str | None,
    part_sizes: str | None,
    seconds: float | None,
    named: str,
) -> None:
    with pytest.raises(UsageError, match=named) as caught:
        make_plan(sizes, concurrencies, part_sizes, seconds)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("size", "text"),
    [(GiB, "1GiB"), (256 * MiB, "256MiB"), (16 * KiB, "16KiB"), (1000, "1000"), (1, "1")],
)
def test_sizes_are_written_as_they_are_read(size: int, text: str) -> None:
    assert short_size(size) == text

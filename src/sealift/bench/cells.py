"""What is measured: each cell is one way, object size, part size and number of requests. Pure."""

from __future__ import annotations

import enum
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sealift.errors import UsageError
from sealift.model import (
    MAX_OBJECT_SIZE,
    MAX_PART_SIZE,
    MIN_PART_SIZE,
    GiB,
    KiB,
    MiB,
    parse_size,
)
from sealift.options import MAX_CONCURRENCY
from sealift.upload import MAX_BUFFERED_PART_SIZE

ADAPTIVE = "auto"
SIZES = (16 * KiB, 8 * MiB, 256 * MiB)
CONCURRENCIES = (1, 4, 16, 64, 128)
PART_SIZES = (8 * MiB, 16 * MiB)
SECONDS = 2.0
QUICK_SIZES = (16 * KiB, 8 * MiB, 64 * MiB)
QUICK_CONCURRENCIES = (4, 16, 64)
QUICK_PART_SIZES = (8 * MiB,)
QUICK_SECONDS = 0.6
# MiniStack is a server in Python on the same processors: large objects take it minutes.
EMBEDDED_SIZES = (16 * KiB, MiB, 16 * MiB)
EMBEDDED_CONCURRENCIES = (1, 4, 16, 64)
EMBEDDED_PART_SIZES = (8 * MiB,)
EMBEDDED_SECONDS = 1.0
LONGEST = 600.0
# Connections are made, and the server's caches filled, before anything counts. What is found by
# measuring needs its steps (see `pace`).
WARM_UP = 0.3
ADAPTIVE_WARM_UP = 1.5


class Way(enum.StrEnum):
    UP = "up"
    DOWN = "down"


@dataclass(frozen=True, slots=True)
class Cell:
    """Objects of `size` bytes move `way` with so many requests in flight.

    `part_size` None: each goes by one request. `concurrency` None: found by measuring, as `cp` does
    without -j.
    """

    way: Way
    size: int
    part_size: int | None
    concurrency: int | None


@dataclass(frozen=True, slots=True)
class Group:
    """Cells that share the objects they move: those that go up are what comes down."""

    size: int
    part_size: int | None
    cells: tuple[Cell, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """All cells; `seconds` is how long each of them is measured."""

    sizes: tuple[int, ...] = SIZES
    concurrencies: tuple[int, ...] = CONCURRENCIES
    part_sizes: tuple[int, ...] = PART_SIZES
    seconds: float = SECONDS

    def groups(self) -> Iterator[Group]:
        """The cells in the order in which they are measured."""
        for size in self.sizes:
            for part_size in self._part_sizes(size):
                yield Group(
                    size,
                    part_size,
                    tuple(
                        Cell(way, size, part_size, concurrency)
                        for way in Way
                        for concurrency in (*self.concurrencies, None)
                    ),
                )

    def cells(self) -> list[Cell]:
        """All cells in that order."""
        return [cell for group in self.groups() for cell in group.cells]

    def span(self) -> float:
        """Seconds that measuring takes, without what is between the cells."""
        return sum(self.warm_up(cell) + self.seconds for cell in self.cells())

    def warm_up(self, cell: Cell) -> float:
        """Seconds of a cell before what is measured counts."""
        if cell.concurrency is not None:
            return WARM_UP
        return max(WARM_UP, min(ADAPTIVE_WARM_UP, 3 * self.seconds))

    def _part_sizes(self, size: int) -> list[int | None]:
        """Those that make a difference: an object that one request can carry goes by one."""
        if any(is_whole(size, part_size) for part_size in self.part_sizes):
            single: list[int | None] = [None]
        else:
            single = []
        return single + [each for each in self.part_sizes if not is_whole(size, each)]


def is_whole(size: int, part_size: int) -> bool:
    """Whether an object goes by one request (see `upload` and `download`)."""
    return size <= min(part_size, MAX_BUFFERED_PART_SIZE)


def short_size(size: int) -> str:
    """A size as one writes it in an option: `16KiB`, `8MiB`, `1000000`."""
    for unit, factor in (("GiB", GiB), ("MiB", MiB), ("KiB", KiB)):
        if size % factor == 0:
            return f"{size // factor}{unit}"
    return str(size)


def make_plan(
    sizes: str | None,
    concurrencies: str | None,
    part_sizes: str | None,
    seconds: float | None,
    *,
    quick: bool = False,
    embedded: bool = False,
) -> Plan:
    """The plan that the options ask for, each None as by default. Raises UsageError."""
    default = Plan()
    if embedded:
        default = Plan(
            EMBEDDED_SIZES, EMBEDDED_CONCURRENCIES, EMBEDDED_PART_SIZES, EMBEDDED_SECONDS
        )
    if quick:
        sizes_by_default = EMBEDDED_SIZES if embedded else QUICK_SIZES
        default = Plan(sizes_by_default, QUICK_CONCURRENCIES, QUICK_PART_SIZES, QUICK_SECONDS)
    chosen = default.seconds if seconds is None else seconds
    if not 0 < chosen <= LONGEST:
        raise UsageError(f"--seconds {chosen:g} is out of range", hint=f"give up to {LONGEST:g}")
    return Plan(
        _listed("--sizes", sizes, default.sizes, 1, MAX_OBJECT_SIZE),
        _listed("--concurrencies", concurrencies, default.concurrencies, 1, MAX_CONCURRENCY),
        _listed("--part-sizes", part_sizes, default.part_sizes, MIN_PART_SIZE, MAX_PART_SIZE),
        chosen,
    )


def _listed(
    option: str, text: str | None, default: tuple[int, ...], least: int, most: int
) -> tuple[int, ...]:
    """The different numbers of a list `a,b,c`, the smallest first."""
    if text is None:
        return default
    words: Sequence[str] = [word for word in text.split(",") if word.strip() != ADAPTIVE]
    numbers = sorted({parse_size(word) for word in words})
    if not numbers or numbers[0] < least or numbers[-1] > most:
        raise UsageError(
            f"{option} {text} is out of range", hint=f"give {least} to {most}, as a list: a,b,c"
        )
    return tuple(numbers)

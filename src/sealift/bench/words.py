"""The results of `bench` as people read them. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sealift.bench.advice import TOLERANCE, Advice, Curve, Knee, words
from sealift.bench.cells import ADAPTIVE, Cell, short_size
from sealift.bench.changes import Change
from sealift.bench.results import Result
from sealift.bench.samples import Quantiles, quantile
from sealift.console.text import escape

UNKNOWN = "-"
NOISY = (
    "this is a guess: the throughput varied so much that {} between two numbers may be chance; "
    "measure longer (--seconds), and when nothing else runs"
)


class Column(NamedTuple):
    """A column of the table of cells; of a narrow terminal only those that `matters`."""

    heading: str
    matters: bool


COLUMNS = (
    Column("", True),
    Column("\n-j", True),
    Column("\nMB/s", True),
    Column("\nobj/s", True),
    Column("1st byte\np50 ms", True),
    Column("\np95 ms", False),
    Column("\np99 ms", True),
    Column("request\np50 ms", True),
    Column("\np95 ms", True),
    Column("\np99 ms", True),
    Column("CPU\ns/GiB", True),
    Column("\nretries", True),
    Column("\n503", False),
    Column("\nfailed", False),
    Column("\nobjects", False),
    Column("\nbytes", False),
)


def row(result: Result) -> list[str]:
    """The cells of the table, as COLUMNS has them."""
    cpu = result.cpu_per_gib
    return [
        result.cell.way.value,
        flight(result.cell.concurrency, result.reached),
        number(result.rate / 1e6),
        number(result.object_rate),
        *times(result.first_byte),
        *times(result.request),
        UNKNOWN if cpu is None else number(cpu),
        f"{result.retry_count:,}",
        f"{result.throttle_count:,}",
        f"{result.failed_count:,}",
        f"{result.object_count:,}",
        short(result.size),
    ]


def line(result: Result) -> str:
    """A cell on a line of its own."""
    first, request = times(result.first_byte), times(result.request)
    cells = row(result)
    text = (
        f"{name(result.cell)}: {cells[2]} MB/s, {cells[3]} objects/s, "
        f"first byte {'/'.join(first)} ms, request {'/'.join(request)} ms (p50/p95/p99), "
        f"CPU {cells[10]} s/GiB, {cells[11]} retries, {cells[12]} of them 503, "
        f"{cells[14]} objects, {cells[15]}"
    )
    if result.failed_count:
        text += f", {result.failed_count} failed: {escape(result.error)}"
    return text


def name(cell: Cell) -> str:
    """Which cell it is: `up 256MiB in parts of 8MiB, 16 in flight`."""
    parts = "" if cell.part_size is None else f" in parts of {short_size(cell.part_size)}"
    known = "without -j" if cell.concurrency is None else f"{cell.concurrency} in flight"
    return f"{cell.way.value} {short_size(cell.size)}{parts}, {known}"


def flight(concurrency: int | None, reached: int) -> str:
    """Requests in flight, and what was found where no number was given."""
    return f"{ADAPTIVE} {reached}" if concurrency is None else f"{concurrency}"


def heading(size: int, part_size: int | None) -> str:
    """What a group of cells moves."""
    parts = "one request each" if part_size is None else f"parts of {short_size(part_size)}"
    return f"Objects of {short_size(size)}, {parts}"


def advice_lines(advice: Advice | None) -> list[str]:
    """The recommendation, then what it is made of."""
    if advice is None:
        return ["nothing could be moved: there is nothing to recommend"]
    given = words(advice)
    lines = [f"recommended: {given}" if given else "recommended: no flags; the defaults do best"]
    fixed = advice.concurrency or max(
        (number for number in advice.losses if number is not None), key=advice.losses.__getitem__
    )
    reached = [f"-j {fixed} reaches {share(advice.losses[fixed])} of the best, or more"]
    if None in advice.losses:
        alone = share(advice.losses[None])
        if advice.concurrency is None:
            reached = [
                f"without -j cp reaches {alone} of the best, or more",
                f"the best fixed number, {fixed}, {share(advice.losses[fixed])}",
            ]
        else:
            reached.append(f"without -j {alone}")
    lines.append(f"  {'; '.join(reached)}")
    if advice.is_guess:
        lines.append(f"  {NOISY.format(share(advice.tolerance))}")
    elif advice.tolerance > TOLERANCE:
        lines.append(
            f"  what differs by less than {share(advice.tolerance)} counts as equal: the "
            "throughput varied as much"
        )
    lines += [f"  {knee_line(curve, found)}" for curve, found in advice.knees.items()]
    return lines


def knee_line(curve: Curve, found: Knee) -> str:
    """One curve: `up 16KiB: 16 in flight give 45.1 of at most 46.0 MB/s; without -j 44.0`."""
    parts = "" if curve.part_size is None else f" in parts of {short_size(curve.part_size)}"
    text = (
        f"{curve.way.value} {short_size(curve.size)}{parts}: {found.concurrency} in flight give "
        f"{number(found.rate / 1e6)} of at most {number(found.best / 1e6)} MB/s"
    )
    if found.adaptive is not None:
        text += f"; without -j {number(found.adaptive / 1e6)}"
    return text


def change_cells(change: Change) -> list[str]:
    """One cell that both runs have, in the columns of a table."""
    medians = (change.request, change.first_byte)
    return [
        name(change.cell),
        number(change.before / 1e6),
        number(change.after / 1e6),
        signed(change.rate) if change.counts else f"~ {signed(change.rate)}",
        share(change.noise),
        *(UNKNOWN if each is None else signed(each) for each in medians),
    ]


def change_line(change: Change) -> str:
    """One cell that both runs have."""
    mark = " " if change.counts else "~"
    text = (
        f"{mark} {name(change.cell)}: {number(change.before / 1e6)} -> "
        f"{number(change.after / 1e6)} MB/s ({signed(change.rate)}, noise {share(change.noise)})"
    )
    for label, value in (("request", change.request), ("first byte", change.first_byte)):
        if value is not None:
            text += f", {label} p50 {signed(value)}"
    return text


def times(found: Quantiles) -> list[str]:
    """p50, p95 and p99 in milliseconds."""
    values = [quantile(found, q) for q in (0.5, 0.95, 0.99)]
    return [UNKNOWN if value is None else number(value * 1000) for value in values]


def number(value: float) -> str:
    """Three digits or more: `0.0123`, `1.23`, `12.3`, `123`, `1,234`."""
    if value >= 99.95 or value == 0:
        return f"{value:,.0f}"
    if value >= 9.995:
        return f"{value:.1f}"
    return f"{value:.2f}" if value >= 0.1 else f"{value:.3g}"


def share(value: float) -> str:
    return f"{value * 100:.0f} %"


def signed(value: float) -> str:
    return f"{value * 100:+.0f} %"


def short(size: float) -> str:
    """Bytes, in powers of 1000 as throughput is."""
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= factor:
            return f"{number(size / factor)} {unit}"
    return f"{size:.0f} B"


def narrow(width: int) -> Sequence[bool]:
    """Which of COLUMNS a terminal of so many columns has room for."""
    return [column.matters or width >= 140 for column in COLUMNS]

"""What the runs come to: medians, a table for each cell, and a file for the picture."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.cells import LARGE_FILE_SIZE
from benchmarks.peers import PEERS, SEALIFT, Peer
from benchmarks.rounds import Record
from sealift.model import GiB, MiB


@dataclass(frozen=True, slots=True)
class Row:
    """One peer in one cell, one way: medians over its rounds; `problem` when it has none."""

    peer: str
    wall: float
    wall_min: float
    wall_max: float
    cpu: float
    peak_memory: int
    problem: str | None


@dataclass(frozen=True, slots=True)
class Block:
    """A cell one way; `ratio` is how many times as fast sealift is as `best`, the best peer."""

    cell: str
    way: str
    count: int
    size: int
    rows: Sequence[Row]
    best: str | None
    ratio: float | None

    @property
    def is_large(self) -> bool:
        return self.size >= LARGE_FILE_SIZE

    def rate(self, wall: float) -> float:
        """MiB or objects per second."""
        return (self.count * self.size / MiB if self.is_large else self.count) / wall

    def cpu_cost(self, cpu: float) -> float:
        """CPU seconds per GiB or per 1000 objects."""
        return cpu / (self.count * self.size / GiB if self.is_large else self.count / 1000)


def blocks(records: Sequence[Record]) -> Iterator[Block]:
    for cell, way in dict.fromkeys((record.cell, record.way) for record in records):
        here = [record for record in records if (record.cell, record.way) == (cell, way)]
        rows = [
            _row([record for record in here if record.peer == peer])
            for peer in dict.fromkeys(record.peer for record in here)
        ]
        walls = {row.peer: row.wall for row in rows if row.problem is None}
        ours = walls.get(SEALIFT.name)
        peers = {peer: wall for peer, wall in walls.items() if _peer(peer) and not _is_limit(peer)}
        best = min(peers, key=peers.__getitem__, default=None)
        ratio = peers[best] / ours if best is not None and ours is not None else None
        yield Block(cell, way, here[0].count, here[0].size, rows, best, ratio)


def _peer(name: str) -> Peer | None:
    """The peer of a row, which may be named after a flag as well."""
    return PEERS.get(name.split(maxsplit=1)[0])


def _is_limit(name: str) -> bool:
    peer = _peer(name)
    return peer is not None and peer.is_limit


def _row(records: Sequence[Record]) -> Row:
    """A peer that failed once has no figures: it may have moved less than the others."""
    walls = [record.wall for record in records]
    return Row(
        peer=records[0].peer,
        wall=statistics.median(walls),
        wall_min=min(walls),
        wall_max=max(walls),
        cpu=statistics.median(record.cpu for record in records),
        peak_memory=max(record.peak_memory for record in records),
        problem=next((record.problem for record in records if record.problem), None),
    )


def show(block: Block, console: Console) -> None:
    """Print the table of a block, the fastest first."""
    rate, cost = ("MiB/s", "CPU s/GiB") if block.is_large else ("objects/s", "CPU s/1000")
    table = Table(title=f"{block.cell} {block.way}", title_justify="left")
    table.add_column("")
    best = next((row.wall for row in block.rows if row.peer == block.best), None)
    for column in ("median s", "min-max s", rate, "ratio", cost, "peak MiB"):
        table.add_column(column, justify="right")
    for row in sorted(block.rows, key=lambda row: (row.problem is not None, row.wall)):
        name = _marked(row.peer)
        if row.problem is not None:
            table.add_row(name, "failed", *[""] * 5, style="dim")
            continue
        table.add_row(
            name,
            f"{row.wall:.2f}",
            f"{row.wall_min:.2f}-{row.wall_max:.2f}",
            f"{block.rate(row.wall):,.0f}",
            "" if best is None else f"{best / row.wall:.2f}",
            f"{block.cpu_cost(row.cpu):.{2 if block.is_large else 3}f}",
            f"{row.peak_memory / MiB:,.0f}",
            style="bold" if row.peer == SEALIFT.name else None,
        )
    console.print(table)
    if block.ratio is not None:
        console.print(f"sealift is {block.ratio:.2f} times as fast as the best peer, {block.best}")
    for row in block.rows:
        if row.problem is not None:
            console.print(f"{row.peer} failed: {row.problem}", markup=False)
    console.print()


def _marked(peer: str) -> str:
    found = _peer(peer)
    if found is None:
        return peer
    return f"{peer} (limit)" if found.is_limit else peer if found.sealed else f"{peer} (no SSE-C)"


def show_notes(console: Console, versions: Mapping[str, str]) -> None:
    console.print(
        "Times are of the whole process, ratios how many times as fast as the best peer. CPU is of "
        "the process and its children, memory the peak of the largest of them: the kernel keeps no "
        "peak of a sum. Limits neither sign nor check, and are no peers."
    )
    for name, version in versions.items():
        console.print(f"  {name}: {version}", markup=False, highlight=False)


def write_json(
    path: Path,
    records: Sequence[Record],
    versions: Mapping[str, str],
    circumstances: Mapping[str, object],
) -> None:
    """All runs and what they come to."""
    summary = [
        {
            "cell": block.cell,
            "way": block.way,
            "unit": "MiB/s" if block.is_large else "objects/s",
            "best_peer": block.best,
            "ratio": block.ratio,
            "rates": {
                row.peer: {
                    "median": block.rate(row.wall),
                    "low": block.rate(row.wall_max),
                    "high": block.rate(row.wall_min),
                    "is_limit": _is_limit(row.peer),
                }
                for row in block.rows
                if row.problem is None
            },
        }
        for block in blocks(records)
    ]
    report = {
        "circumstances": circumstances,
        "versions": versions,
        "summary": summary,
        "runs": [record.as_json() for record in records],
    }
    path.write_text(json.dumps(report, indent=1) + "\n")

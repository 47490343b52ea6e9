"""How time and memory grow with the number of files: `python -m benchmarks.growth`.

For each count a server and a catalogue of their own: a first sync, which puts every file, then
syncs that find nothing to do, of which the medians are printed. The sink throws bodies away and
keeps names. Each directory is a thousand hard links of one file: a client reads them as any other
files, and a million of them take no room.
"""

from __future__ import annotations

import argparse
import os
import secrets
import statistics
import sys
import tempfile
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.cells import Cell, Way
from benchmarks.measure import Usage
from benchmarks.peers import SEALIFT, Run
from benchmarks.rounds import check_noop, failure, make_scratch, run_peer, say
from benchmarks.servers import BUCKET, Keeper, serve
from benchmarks.sink import activity
from sealift.errors import SealiftError
from sealift.model import KiB, MiB

COUNTS = "10000,100000,1000000"
_FILE_SIZE = KiB
_PREFIX = "growth/"
# Of a table that goes into a file.
_WIDTH = 110


@dataclass(frozen=True, slots=True)
class Growth:
    """A first sync of `count` files, and those after it."""

    count: int
    first: Usage
    later: Sequence[Usage]


class RunError(Exception):
    """A sync did not do what it should, so that its figures mean nothing."""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.growth", description=__doc__)
    add = parser.add_argument
    add("--counts", type=_counts, default=_counts(COUNTS), help=f"files [{COUNTS}]")
    add("--rounds", type=int, default=3, help="syncs that find nothing to do [3]")
    add("--timeout", type=float, default=3600.0, help="seconds for one sync [3600]")
    add("--directory", type=Path, default=Path("/dev/shm"), help="for the data [/dev/shm]")
    options = parser.parse_args(arguments)
    table = _table()
    try:
        for count in options.counts:
            say(f"{count:,} files")
            with tempfile.TemporaryDirectory(
                prefix="sealift-growth-", dir=options.directory
            ) as directory:
                growth = _grow(count, Path(directory), options.rounds, options.timeout)
            table.add_row(*_row(growth))
    except (SealiftError, RunError) as error:
        say(str(error))
        return 1
    finally:
        Console(highlight=False, width=None if sys.stdout.isatty() else _WIDTH).print(table)
    return 0


def _counts(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


def make_linked_tree(cell: Cell, root: Path) -> None:
    """Make the files of `cell` below `root`, all in a directory as links of its first one."""
    for name in cell.names():
        path = root / name
        if not path.parent.exists():
            path.parent.mkdir(parents=True)
            path.write_bytes(os.urandom(cell.size))
            first = path
        else:
            os.link(first, path)


def _grow(count: int, directory: Path, rounds: int, timeout: float) -> Growth:
    cell = Cell.sync(count, _FILE_SIZE)
    make_linked_tree(cell, directory / "tree")
    customer_key = secrets.token_bytes(32)
    scratch = make_scratch(directory, 0, customer_key)
    (peer, *_) = SEALIFT.for_way(Way.SYNC)
    with serve("sink", directory / "server", delay=0.0, discard=True) as server:
        keeper = Keeper(server, customer_key)
        keeper.make_bucket()
        run = Run(
            cell=cell,
            way=Way.SYNC,
            directory=directory / "tree",
            bucket=BUCKET,
            prefix=_PREFIX,
            server=server,
            scratch=scratch,
            customer_key=b64encode(customer_key).decode(),
            connections=0,
        )
        before = activity(server)
        first = run_peer(peer, run, timeout)
        if problem := failure(first):
            raise RunError(f"the first sync: {problem}")
        if (changes := (activity(server) - before).changes) < count:
            raise RunError(f"the first sync sent {changes} requests for {count} files")
        say(f"first sync: {first.wall:.2f} s")
        keeper.list_first(_PREFIX)
        later = []
        for _ in range(rounds):
            before = activity(server)
            usage = run_peer(peer, run, timeout)
            problem, checked = check_noop(cell, usage, activity(server) - before)
            if problem is not None:
                raise RunError(f"a further sync: {problem}")
            say(f"further sync: {usage.wall:.2f} s, {checked}")
            later.append(usage)
    return Growth(count, first, later)


def _table() -> Table:
    table = Table()
    table.add_column("files", justify="right", no_wrap=True)
    for what in ("first", "no-op"):
        for column in (f"{what} s", "files/s", "CPU s", "MiB"):
            table.add_column(column, justify="right", no_wrap=True)
    return table


def _row(growth: Growth) -> list[str]:
    return [
        f"{growth.count:,}",
        *_cells(growth.count, [growth.first]),
        *_cells(growth.count, growth.later),
    ]


def _cells(count: int, usages: Sequence[Usage]) -> list[str]:
    wall = statistics.median(usage.wall for usage in usages)
    cpu = statistics.median(usage.cpu for usage in usages)
    peak = max(usage.peak_memory for usage in usages)
    return [f"{wall:.2f}", f"{count / wall:,.0f}", f"{cpu:.2f}", f"{peak / MiB:,.0f}"]


if __name__ == "__main__":
    sys.exit(main())

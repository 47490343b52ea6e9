"""Instructions of the client for each object and each MiB: `python -m benchmarks.instructions`.

No clock is read: callgrind counts what the client runs, kernel excluded, while it moves files to
the sink and back. Each figure is the difference of two runs of different size, so that start and
end cancel out. tests/test_hot_path.py compares the figures with those in instructions.json, which
hold for one minor version of Python each; `--record` writes them anew.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import ssl
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.callgrind import Counts, counted, read_dumps, valgrind_missing, valgrind_version
from benchmarks.cells import Cell, Way, check_tree, make_tree
from benchmarks.instructed import Phase
from benchmarks.servers import BUCKET, Keeper, serve
from benchmarks.sink import sink_available
from benchmarks.steps import read_steps
from sealift.embedded import S3Server
from sealift.errors import SettingsError

BASELINE = Path(__file__).with_suffix(".json")
RECORD_COMMAND = "python -m benchmarks.instructions --record"
# A figure may differ from its baseline by so much either way.
ROOM = 0.2
_REPOSITORY = Path(__file__).resolve().parents[1]
_TOP_COUNT = 15
_LEAST_SHARE = 0.005


@dataclass(frozen=True, slots=True)
class Pair:
    """Two runs that differ by `units`, and a first one, not counted."""

    unit: str
    first: Cell
    less: Cell
    more: Cell
    units: int
    concurrency: int

    def name(self, way: Way) -> str:
        return f"{self.unit} {way.value}"


# Each run sends Content-MD5 along until the first reply: with one part, with eight objects here.
PAIRS = (
    Pair(
        unit="MiB",
        first=Cell.parse("1x8MiB"),
        less=Cell.parse("1x6MiB"),
        more=Cell.parse("1x16MiB"),
        units=10,
        concurrency=1,
    ),
    Pair(
        unit="16 KiB object",
        first=Cell.parse("16x16KiB"),
        less=Cell.parse("40x16KiB"),
        more=Cell.parse("140x16KiB"),
        units=100,
        concurrency=8,
    ),
)


@dataclass(frozen=True, slots=True)
class Figure:
    """What one unit costs, by function."""

    name: str
    functions: Mapping[tuple[str, str], float]

    @property
    def total(self) -> float:
        return sum(self.functions.values())


def missing() -> str | None:
    """None when instructions can be counted here, else what is not here."""
    return valgrind_missing() or sink_available()


def count(directory: Path) -> list[Figure]:
    """Instructions, kernel excluded, by shared object and function; takes some 30 s."""
    out_file = directory / "callgrind"
    _run_client(directory, lambda client: counted(client, out_file))
    return _figures(read_dumps(out_file))


def count_steps(directory: Path) -> list[Figure]:
    """Bytecodes, by module and function."""
    out_file = directory / "steps.json"
    _run_client(directory, lambda client: [*client, str(out_file)])
    return _figures(read_steps(out_file))


def _run_client(directory: Path, wrap: Callable[[list[str]], list[str]]) -> None:
    """Move all cells up and down. Raises RuntimeError when not everything came back."""
    if reason := missing():
        raise SettingsError(reason)
    key_file = directory / "customer.key"
    key_file.write_bytes(bytes(range(32)))
    key_file.chmod(0o600)
    with serve("sink", directory / "server", delay=0.0, discard=False) as server:
        keeper = Keeper(server, key_file.read_bytes())
        keeper.make_bucket()
        moves = [
            _Move(directory, pair, cell)
            for pair in PAIRS
            for cell in (pair.first, pair.less, pair.more)
        ]
        phases = [asdict(phase) for move in moves for phase in move.phases(keeper)]
        phase_file = directory / "phases.json"
        phase_file.write_text(json.dumps(phases))
        client = [sys.executable, "-m", "benchmarks.instructed", str(phase_file), str(key_file)]
        ended = subprocess.run(
            wrap(client), env=_environ(server, directory), cwd=_REPOSITORY, check=False
        )
    problems = [problem for move in moves if (problem := move.problem())]
    if ended.returncode or problems:
        raise RuntimeError("; ".join([f"the client ended with {ended.returncode}", *problems]))


def _figures(counts: Mapping[str, Counts]) -> list[Figure]:
    figures = []
    for pair in reversed(PAIRS):
        for way in pair.more.ways:
            difference = Counter(counts[_label(pair, pair.more, way)])
            difference.subtract(counts[_label(pair, pair.less, way)])
            functions = {function: number / pair.units for function, number in difference.items()}
            figures.append(Figure(pair.name(way), functions))
    return figures


class _Move:
    """One cell, up and down again."""

    def __init__(self, directory: Path, pair: Pair, cell: Cell) -> None:
        self._pair = pair
        self._cell = cell
        self._place = cell.name.replace(" ", "")
        self._up, self._down = (directory / way / self._place for way in ("up", "down"))
        self._digests = make_tree(cell, self._up)

    def phases(self, keeper: Keeper) -> Iterator[Phase]:
        """The sink does not join parts, so what comes down large is put there by the keeper."""
        stored = uploaded = f"{self._place}/"
        if self._cell.is_large:
            stored = f"stored-{uploaded}"
            keeper.seed(stored, self._up, self._digests, sealed=True)
        yield self._phase(Way.UP, f"{self._up}/", f"s3://{BUCKET}/{uploaded}")
        yield self._phase(Way.DOWN, f"s3://{BUCKET}/{stored}", f"{self._down}/")

    def _phase(self, way: Way, source: str, destination: str) -> Phase:
        is_counted = self._cell != self._pair.first
        label = _label(self._pair, self._cell, way) if is_counted else None
        return Phase(label, source, destination, self._pair.concurrency)

    def problem(self) -> str | None:
        return check_tree(self._cell, self._down, self._digests)


def _label(pair: Pair, cell: Cell, way: Way) -> str:
    return f"{pair.name(way)}: {cell.name}"


def _environ(server: S3Server, directory: Path) -> dict[str, str]:
    """Nothing of the user's but where modules are."""
    kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
    return kept | {
        "LANG": "C.UTF-8",
        "HOME": str(directory),
        "PYTHONHASHSEED": "0",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_ACCESS_KEY_ID": server.access_key,
        "AWS_SECRET_ACCESS_KEY": server.secret_key,
        "AWS_REGION": server.region,
        "AWS_ENDPOINT_URL": server.endpoint_url,
        "AWS_CA_BUNDLE": str(server.ca_file),
    }


# The baseline


def read_baseline() -> dict[str, Any]:
    """What was recorded, by minor version of Python."""
    try:
        return dict(json.loads(BASELINE.read_text()))
    except FileNotFoundError:
        return {}


def minor_version() -> str:
    return f"{sys.version_info.major}.{sys.version_info.minor}"


def versions() -> dict[str, str]:
    """What else the figures depend on, besides the locked packages."""
    return {
        "python": platform.python_version(),
        "openssl": ssl.OPENSSL_VERSION,
        "libc": " ".join(platform.libc_ver()),
        "valgrind": valgrind_version(),
    }


def record(figures: Sequence[Figure]) -> None:
    entry = {
        "versions": versions(),
        "instructions": {figure.name: round(figure.total) for figure in figures},
    }
    baseline = read_baseline() | {minor_version(): entry}
    BASELINE.write_text(json.dumps(dict(sorted(baseline.items())), indent=2) + "\n")


def complaints(figures: Mapping[str, float], entry: Mapping[str, Any]) -> list[str]:
    """Which figures have left the room around the baseline, above or below.

    Below it as well: a baseline that is too high no longer notices growth.
    """
    recorded = entry["instructions"]
    if figures.keys() != recorded.keys():
        return [f"other figures were recorded; record them: {RECORD_COMMAND}"]
    found = []
    for name, figure in figures.items():
        change = figure / recorded[name] - 1
        if abs(change) <= ROOM:
            continue
        found.append(
            f"one {name}: {figure:,.0f} instructions, {change:+.0%} on {recorded[name]:,}; "
            + ("the hot path has grown" if change > 0 else "growth up to there would go unseen")
        )
    if found:
        if entry["versions"] != versions():
            found.append(f"recorded with {entry['versions']}, now {versions()}")
        found.append(f"if it is meant to be so: {RECORD_COMMAND}")
    return found


# Tables


def _figure_table(figures: Sequence[Figure]) -> Table:
    entry = read_baseline().get(minor_version(), {"instructions": {}})
    table = Table(title="instructions, kernel excluded", title_justify="left")
    for column in ("one", "now", f"recorded ({minor_version()})", "change"):
        table.add_column(column, justify="left" if column == "one" else "right")
    for figure in figures:
        recorded = entry["instructions"].get(figure.name)
        change = f"{figure.total / recorded - 1:+.1%}" if recorded else ""
        table.add_row(
            figure.name, f"{figure.total:,.0f}", f"{recorded:,}" if recorded else "", change
        )
    return table


def _profile_tables(figure: Figure, what: str) -> Iterator[Table]:
    """One table by place (shared object or module), one by function."""
    places: Counter[str] = Counter()
    functions: Counter[str] = Counter()
    for (place, function), number in figure.functions.items():
        places[place] += round(number)
        functions[f"{place}  {function}"] += round(number)
    for counts in (places, functions):
        table = Table(title=f"one {figure.name}: {what}", title_justify="left")
        table.add_column("")
        table.add_column(what, justify="right")
        table.add_column("share", justify="right")
        for name, number in counts.most_common(_TOP_COUNT):
            if number >= _LEAST_SHARE * figure.total:
                table.add_row(name, f"{number:,}", f"{number / figure.total:.1%}")
        yield table


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.instructions", description=__doc__)
    parser.add_argument("--record", action="store_true", help=f"write them to {BASELINE.name}")
    parser.add_argument(
        "--profile", action="store_true", help="show the libraries and functions they are in"
    )
    options = parser.parse_args()
    if reason := missing():
        sys.exit(reason)
    console = Console(highlight=False)
    figures = _in_scratch(count)
    console.print(_figure_table(figures))
    if options.profile:
        for what, counted_figures in (
            ("instructions", figures),
            ("interpreter steps", _in_scratch(count_steps)),
        ):
            for figure in counted_figures:
                console.print(*_profile_tables(figure, what), sep="\n")
    if options.record:
        record(figures)


def _in_scratch(run: Callable[[Path], list[Figure]]) -> list[Figure]:
    with tempfile.TemporaryDirectory(prefix="sealift-instructions-") as directory:
        return run(Path(directory))


if __name__ == "__main__":
    main()

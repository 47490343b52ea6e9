"""Measure sealift against its peers: `python -m benchmarks`.

Starts the server and installs the peers itself; everything it stores is gone at the end, but for
the report: a JSON file and its picture. Run it on a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import os
import platform
import secrets
import shlex
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from benchmarks import report
from benchmarks.cells import DEFAULT_CELLS, Cell
from benchmarks.environments import InstallError, environment, run_tool
from benchmarks.peers import PEERS, SEALIFT, Peer
from benchmarks.rounds import Record, Settings, run_cell, say
from sealift.errors import SealiftError

# In flight in each peer; with a delay it takes more to keep the machine busy.
_CONNECTIONS = 64
_CONNECTIONS_WITH_DELAY = 256
_PICTURE_TIMEOUT = 120.0
# Of tables that go into a file.
_WIDTH = 110


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    if options.delay and options.server != "sink":
        raise SystemExit("only the sink can wait before it answers: leave out --delay")
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    try:
        return _run(options)
    except KeyboardInterrupt:
        say("interrupted")
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    add = parser.add_argument
    add("--server", choices=["sink", "rgw"], default="sink", help="nginx, or Ceph's gateway")
    add("--delay", type=float, default=0.0, help="sink: seconds before each answer, as 0.03")
    add("--cells", type=_cells, default=_cells(",".join(DEFAULT_CELLS)),
        help=f"COUNTxSIZE or sync-COUNT, commas between [{','.join(DEFAULT_CELLS)}]")  # fmt: skip
    add("--peers", type=_names, default=list(PEERS), help=f"of {','.join(PEERS)} [all]")
    add("--rounds", type=int, default=None, help="runs of each [5]")
    add("--quick", action="store_true", help="one round of a tenth of each cell")
    add("--connections", type=int, help="requests in flight in each peer [64; with delay 256]")
    add("--sealift-args", type=shlex.split, default=[], help="flags for sealift [none]")
    add("--timeout", type=float, default=600.0, help="seconds for one run [600]")
    add("--directory", type=Path, default=Path("/dev/shm"), help="for the data [/dev/shm]")
    add("--output", type=Path, default=Path("tmp/benchmarks"), help="for the report")
    return parser


def _cells(text: str) -> list[Cell]:
    return [Cell.parse(part) for part in text.split(",")]


def _names(text: str) -> list[str]:
    names = [name for name in text.split(",") if name and name != SEALIFT.name]
    if strange := [name for name in names if name not in PEERS]:
        raise ValueError(f"no such peer: {strange[0]}")
    return names


def _run(options: argparse.Namespace) -> int:
    peers, versions = _ready([PEERS[name] for name in options.peers])
    cells = [cell.quick() for cell in options.cells] if options.quick else options.cells
    rounds = options.rounds or (1 if options.quick else 5)
    connections = options.connections
    if connections is None:
        connections = _CONNECTIONS_WITH_DELAY if options.delay else _CONNECTIONS
    circumstances = {
        "server": options.server,
        "delay": options.delay,
        "rounds": rounds,
        "connections": connections,
        "sealift_arguments": options.sealift_args,
        "machine": platform.platform(),
        "processors": os.cpu_count(),
        "load_before": os.getloadavg()[0],
        "began": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
    options.output.mkdir(parents=True, exist_ok=True)
    report_file = options.output / f"{time.strftime('%Y%m%d-%H%M%S')}-{options.server}.json"
    console = Console(highlight=False, width=None if sys.stdout.isatty() else _WIDTH)
    customer_key = secrets.token_bytes(32)
    records: list[Record] = []
    failed = False
    with tempfile.TemporaryDirectory(prefix="sealift-bench-", dir=options.directory) as directory:
        settings = Settings(
            server=options.server,
            delay=options.delay,
            rounds=rounds,
            timeout=options.timeout,
            connections=connections,
            directory=Path(directory),
            peers=peers,
            sealift_arguments=options.sealift_args,
        )
        for cell in cells:
            done = len(records)
            try:
                records.extend(run_cell(cell, settings, customer_key))
            except SealiftError as error:
                say(f"{cell.name} is left out: {error}")
                failed = True
            for block in report.blocks(records[done:]):
                report.show(block, console)
            circumstances["load_after"] = os.getloadavg()[0]
            report.write_json(report_file, records, versions, circumstances)
    report.show_notes(console, versions)
    say(f"report: {report_file}")
    if records:
        _draw(report_file)
    return int(failed or any(record.problem for record in records))


def _ready(peers: Sequence[Peer]) -> tuple[list[Peer], dict[str, str]]:
    """The peers that are installed, or can be, and everyone's version."""
    usable, versions = [], {SEALIFT.name: SEALIFT.version()}
    for peer in peers:
        try:
            versions[peer.name] = peer.version()
            usable.append(peer)
        except (InstallError, OSError) as error:
            say(f"{peer.name} is left out: {error}")
    return usable, versions


def _draw(report_file: Path) -> None:
    pictures = [report_file.with_suffix(suffix) for suffix in (".png", ".svg")]
    script = Path(__file__).with_name("picture.py")
    try:
        python = str(environment("matplotlib") / "python")
        command = [python, str(script), str(report_file), *map(str, pictures)]
        run_tool(command, timeout=_PICTURE_TIMEOUT)
    except InstallError as error:
        say(f"there is no picture: {error}")
    else:
        say("pictures: " + ", ".join(map(str, pictures)))


if __name__ == "__main__":
    sys.exit(main())

"""Put sealift and its peers to the same faults: `python -m benchmarks.faults`."""

from __future__ import annotations

import argparse
import logging
import secrets
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.faults import Stored

from benchmarks.environments import InstallError
from benchmarks.faults.clients import CLIENTS, Client
from benchmarks.faults.rows import ROWS, Row
from benchmarks.faults.table import Entry, markdown, write_json
from benchmarks.faults.trial import Outcome, Verdict, open_trial, seeds
from benchmarks.peers import SEALIFT
from benchmarks.rounds import say
from sealift.embedded import Certificate, make_certificate

_TIMEOUT = 75.0


def main(arguments: Sequence[str] | None = None) -> int:
    """0 when sealift passes every row that it is put to; an interrupt lets the row end first."""
    options = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        return _run(options)
    except KeyboardInterrupt:
        say("interrupted")
        return 130


def _run(options: argparse.Namespace) -> int:
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)  # it tells of clients that are gone
    clients, versions = _ready(options.clients)
    rows = [row for row in ROWS if not options.cases or row.case in options.cases]
    with tempfile.TemporaryDirectory(prefix="sealift-faults-") as directory:
        table = Table(clients, Path(directory), options.timeout)
        entries = [entry for row in rows for entry in table.run(row)]
    options.output.mkdir(parents=True, exist_ok=True)
    file = options.output / f"{time.strftime('%Y%m%d-%H%M%S')}-faults.json"
    write_json(file, entries, versions)
    text = markdown(entries, versions, options.timeout)
    file.with_suffix(".md").write_text(text)
    print(text)
    say(f"report: {file} and .md")
    ours = [entry for entry in entries if entry.client == SEALIFT.name]
    is_missing = SEALIFT.name in options.clients and not ours
    return int(is_missing or any(entry.passed is False for entry in ours))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.faults", description=__doc__)
    add = parser.add_argument
    add("--cases", type=_cases, default=[], help="of the table, with commas between [all]")
    add("--clients", type=_clients, default=list(CLIENTS), help=f"of {','.join(CLIENTS)} [all]")
    add("--timeout", type=float, default=_TIMEOUT, help=f"seconds for one run [{_TIMEOUT:.0f}]")
    add("--output", type=Path, default=Path("tmp/benchmarks"), help="for the report")
    return parser


def _cases(text: str) -> list[str]:
    chosen = text.split(",")
    if strange := set(chosen) - {row.case for row in ROWS}:
        raise argparse.ArgumentTypeError(f"no such case: {min(strange)}")
    return chosen


def _clients(text: str) -> list[str]:
    chosen = text.split(",")
    if strange := set(chosen) - set(CLIENTS):
        raise argparse.ArgumentTypeError(f"no such client: {min(strange)}")
    return chosen


def _ready(names: Sequence[str]) -> tuple[list[Client], dict[str, str]]:
    """The clients that are installed, or can be, and their versions."""
    usable, versions = [], {}
    for name in names:
        try:
            versions[name] = CLIENTS[name].peer.version()
            usable.append(CLIENTS[name])
        except (InstallError, OSError) as error:
            say(f"{name} is left out: {error}")
    return usable, versions


class Table:
    """All rows for all clients: those of a row run at once, for most of them only wait."""

    def __init__(self, clients: Sequence[Client], directory: Path, timeout: float) -> None:
        self._clients: list[Client] = []
        self._directory = directory
        self._timeout = timeout
        self._certificate: Certificate = make_certificate(directory / "tls")
        self._customer_key = secrets.token_bytes(32)
        self._seeds: dict[str, dict[str, Stored]] = {}
        for client in clients:
            where = directory / f"seeds-{client.name}"
            where.mkdir()
            try:
                stored = seeds(client, self._certificate, where, self._customer_key)
            except RuntimeError as error:
                say(f"{client.name} is left out: {error}")
                continue
            self._seeds[client.name] = stored
            self._clients.append(client)

    def run(self, row: Row) -> list[Entry]:
        """One entry a client."""
        say(f"{row.case}: {row.title}")
        with ThreadPoolExecutor(len(self._clients)) as pool:
            verdicts = list(pool.map(lambda client: self._try(row, client), self._clients))
        return [
            Entry.of(row, client, verdict)
            for client, verdict in zip(self._clients, verdicts, strict=True)
        ]

    def _try(self, row: Row, client: Client) -> Verdict:
        why_not = row.why_not(client)
        if why_not is not None:
            return Verdict(Outcome.NOT_PUT, note=why_not)
        directory = self._directory / f"{row.case}-{client.name}"
        directory.mkdir()
        try:
            return self._judge(row, client, directory)
        except Exception as error:  # ours, and no reason to lose the other rows
            say(f"{row.case}, {client.name}: {error!r}")
            return Verdict(Outcome.BROKEN)
        finally:
            shutil.rmtree(directory, ignore_errors=True)

    def _judge(self, row: Row, client: Client, directory: Path) -> Verdict:
        with open_trial(
            client,
            self._certificate,
            directory,
            timeout=self._timeout,
            customer_key=self._customer_key,
            stored=self._seeds[client.name],
        ) as trial:
            return row.run(trial)


if __name__ == "__main__":
    sys.exit(main())

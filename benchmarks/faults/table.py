"""What the trials came to: a file for programs and a table for people."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.faults.clients import CLIENTS, Client
from benchmarks.faults.rows import Row
from benchmarks.faults.trial import Outcome, Verdict


@dataclass(frozen=True, slots=True)
class Entry:
    """One client in one row; `passed` is None when it was not put to it."""

    case: str
    title: str
    counted: str
    client: str
    outcome: str
    passed: bool | None
    is_harmless: bool
    status: int | None
    requests: int
    seconds: float
    note: str
    output: str

    @classmethod
    def of(cls, row: Row, client: Client, verdict: Verdict) -> Entry:
        ended = verdict.ended
        put = verdict.outcome is not Outcome.NOT_PUT
        return cls(
            row.case,
            row.title,
            row.counted,
            client.name,
            verdict.outcome.value,
            verdict.outcome in row.passing if put else None,
            verdict.outcome.is_harmless,
            None if ended is None or ended.hung else ended.status,
            verdict.requests,
            0.0 if ended is None else round(ended.seconds, 2),
            verdict.note,
            "" if ended is None else ended.output,
        )

    def cell(self) -> str:
        """In italics when the case is not passed, bold when there is harm as well."""
        if self.passed is None:
            return f"({self.note})"
        mark = "" if self.passed else "_" if self.is_harmless else "**"
        outcome = f"{mark}{self.outcome}{mark}"
        status = "-" if self.status is None else self.status
        note = f"; {self.note}" if self.note else ""
        return f"{outcome} ({status}; {self.requests}; {self.seconds:.1f} s{note})"


def markdown(entries: Sequence[Entry], versions: Mapping[str, str], timeout: float) -> str:
    """A row for each case, a column for each client, and how many cases each has passed."""
    clients = list(dict.fromkeys(entry.client for entry in entries))
    names = (f"{name} {versions[name].split()[-1].strip('()')}" for name in clients)
    legend = (
        f"{time.strftime('%Y-%m-%d', time.gmtime())}: {', '.join(names)}. In brackets: exit code,"
        f" number of requests of the kind named, seconds; a run ends after {timeout:.0f} s. _In"
        " italics_: the case is not passed. **Bold**: and there is harm, such as wrong data,"
        " something left behind, or no end."
    )
    lines = [
        legend,
        "",
        "| case | fault | requests counted | " + " | ".join(map(_heading, clients)) + " |",
        "|---|---|---|" + "---|" * len(clients),
    ]
    for case in dict.fromkeys(entry.case for entry in entries):
        row = [entry for entry in entries if entry.case == case]
        cells = [row[0].case, row[0].title, row[0].counted, *(entry.cell() for entry in row)]
        lines.append("| " + " | ".join(cells) + " |")
    lines.append(
        "| | **passed** | | " + " | ".join(_score(entries, name) for name in clients) + " |"
    )
    return "\n".join(lines) + "\n"


def _heading(client: str) -> str:
    return client if CLIENTS[client].sealed else f"{client} (no SSE-C)"


def _score(entries: Sequence[Entry], client: str) -> str:
    put = [entry.passed for entry in entries if entry.client == client and entry.passed is not None]
    return f"{sum(put)} of {len(put)}"


def write_json(path: Path, entries: Sequence[Entry], versions: Mapping[str, str]) -> None:
    report = {
        "began": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "versions": dict(versions),
        "entries": [asdict(entry) for entry in entries],
    }
    path.write_text(json.dumps(report, indent=1) + "\n")

"""The end of a run in words: what was moved and removed, what was not and why. Pure."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from sealift.console.text import count, escape, frequency, rate, size, span
from sealift.events import Tally

MAX_NAMED = 20


class Status(enum.Enum):
    COMPLETE = "complete"
    FAILED = "failed"
    INTERRUPTED = "interrupted"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended; `message` is the error that stopped it, if it has one for the user."""

    status: Status
    elapsed: float
    heading: str = ""
    key_id: str | None = None
    message: str = ""


def is_empty(tally: Tally) -> bool:
    """Whether the run did not even get to its first object."""
    return not (
        tally.planned_count
        or tally.planned_removal_count
        or tally.done_count
        or tally.removed_count
        or tally.failed_count
        or tally.skipped
        or tally.unchanged_count
        or tally.would
    )


def title(tally: Tally, outcome: Outcome) -> str:
    """`restore s3://b/p to tmp/: complete`."""
    match outcome.status:
        case Status.FAILED:
            ending = f"{count(tally.failed_count, 'object')} failed"
        case Status.STOPPED:
            ending = "stopped by an error"
        case Status.COMPLETE if not (tally.done_count or tally.removed_count or tally.would):
            ending = "nothing to do"
        case _:
            ending = outcome.status.value
    return f"{escape(outcome.heading)}: {ending}" if outcome.heading else ending


def rows(tally: Tally, outcome: Outcome) -> list[tuple[str, str]]:
    """The closing table: label and value."""
    done = tally.done_count
    removes = tally.planned_removal_count or tally.removed_count
    table = [
        (f"would {act}", f"{count(n, 'object')}, {size(total)}")
        for act, (n, total) in tally.would.items()
    ]
    if not table and (tally.planned_count or not removes):
        label = "intact" if tally.verifies else "rekeyed" if tally.rekeys else "moved"
        table.append((label, f"{count(done, 'object')}, {size(tally.done_size)}"))
    if removes:
        table.append(("removed", count(tally.removed_count, "object")))
    if tally.unchanged_count:
        same = f"{count(tally.unchanged_count, 'object')}, {size(tally.unchanged_size)}"
        table.append(("unchanged", same))
    if tally.skipped:
        reasons = sorted(tally.skipped.items(), key=lambda item: (-item[1], item[0]))
        table += [
            ("" if index else "skipped", f"{n:,} {escape(reason)}")
            for index, (reason, n) in enumerate(reasons)
        ]
    table.append(("failed", f"{tally.failed_count:,}"))
    if outcome.status in (Status.INTERRUPTED, Status.STOPPED):
        more = "" if tally.plan_complete else ", and what was not planned yet"
        label = "not done" if removes else "not moved"
        table.append((label, count(tally.left_count, "object") + more))
    took = span(outcome.elapsed)
    ended = done + tally.removed_count
    if ended and outcome.elapsed > 0:
        if done:
            took += f", {rate(tally.done_size / outcome.elapsed)}"
        took += f", {frequency(ended / outcome.elapsed)[:-2]} objects/s"
    table.append(("time", took))
    if tally.retry_count:
        table.append(("retries", f"{tally.retry_count:,}"))
    if done:
        agreed = f"{tally.checked_count:,} of {done:,} against a stored checksum"
        table.append(("verified", agreed))
    if outcome.key_id is not None:
        table.append(("key id", escape(outcome.key_id)))
    return table


def failed_names(tally: Tally) -> list[tuple[str, str]]:
    """Name and error of the first failures, then how many more there are."""
    named = [(escape(f.name), escape(str(f.error))) for f in tally.failures[:MAX_NAMED]]
    if tally.failed_count > len(named):
        named.append((f"and {tally.failed_count - len(named):,} more", ""))
    return named


def lines(tally: Tally, outcome: Outcome) -> list[str]:
    """The summary for a log."""
    named = [f"{name}: {error}" if error else name for name, error in failed_names(tally)]
    table = rows(tally, outcome)
    width = max(10, *(len(label) + 1 for label, _ in table))
    return [
        *(["failed objects:"] if named else []),
        *(f"  {line}" for line in named),
        title(tally, outcome),
        *(f"  {label:<{width}}{value}" for label, value in table),
    ]

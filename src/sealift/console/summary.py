"""The end of a run in words: what was moved and removed, what was not and why. Pure."""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from sealift.console.text import count, escape, frequency, rate, size, span
from sealift.errors import Obstacle
from sealift.events import Tally
from sealift.model import UNSEALED

MAX_NAMED = 20
MAX_KEYS = 10

_OBSTACLES = {
    Obstacle.PLAIN: "under no customer key (plain)",
    Obstacle.MISSING_KEY: "under a customer key that is not at hand",
    Obstacle.UNKNOWN_KEY: "under an unknown customer key: none at hand fits",
    Obstacle.ARCHIVED: "archived: restore them from the archive first",
}


class Status(enum.Enum):
    COMPLETE = "complete"
    FAILED = "failed"
    INTERRUPTED = "interrupted"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended; `message` is the error that stopped it, if it has one for the user.

    `elapsed` in seconds, `peak` in bytes a second, 0 of a run too short for one.
    """

    status: Status
    elapsed: float
    heading: str = ""
    key_id: str | None = None
    message: str = ""
    peak: float = 0.0


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
    table += [("", text) for text in _obstacles(tally)]
    if outcome.status in (Status.INTERRUPTED, Status.STOPPED):
        more = "" if tally.plan_complete else ", and what was not planned yet"
        label = "not done" if removes else "not moved"
        table.append((label, count(tally.left_count, "object") + more))
    took = span(outcome.elapsed)
    ended = done + tally.removed_count
    if ended and outcome.elapsed > 0:
        if done:
            took += f", {rate(tally.done_size / outcome.elapsed)}"
            if outcome.peak > 0:
                took += f" (peak {rate(outcome.peak)})"
        took += f", {frequency(ended / outcome.elapsed)[:-2]} objects/s"
    table.append(("time", took))
    if tally.request_count:
        table.append(("requests", f"{tally.request_count:,}"))
    if tally.retry_count:
        table.append(("retries", f"{tally.retry_count:,}"))
    if done and not (tally.verifies and not tally.checked_count):
        agreed = f"{tally.checked_count:,} of {done:,} against a stored checksum"
        table.append(("verified", agreed))
    table += _keys(tally, outcome)
    return table


def _obstacles(tally: Tally) -> Iterator[str]:
    """How many objects no key at hand has opened, and why."""
    for obstacle, n in tally.obstacles.items():
        text = f"{n:,} {_OBSTACLES[obstacle]}"
        if obstacle is Obstacle.MISSING_KEY:
            named = _counted(tally.missing_keys)
            text += ": " + ", ".join(
                escape(key_id) if len(named) == 1 else f"{escape(key_id)} ({n:,})"
                for key_id, n in named[:MAX_KEYS]
            )
        yield text


def _keys(tally: Tally, outcome: Outcome) -> Iterator[tuple[str, str]]:
    """The key of the run, or how many objects were under each where it had several."""
    counts = dict(tally.key_counts)
    plain = counts.pop(UNSEALED, 0)
    rest = tally.done_count - plain - sum(counts.values())
    if outcome.key_id is not None and (rest or not (counts or plain)):
        counts[outcome.key_id] = counts.get(outcome.key_id, 0) + rest
    if len(counts) == 1 and not plain:
        yield "key id", escape(next(iter(counts)))
    elif counts:
        for index, (key_id, n) in enumerate(_counted(counts)[:MAX_KEYS]):
            yield "" if index else "key ids", f"{escape(key_id)}: {count(n, 'object')}"
        if len(counts) > MAX_KEYS:
            yield "", f"and {len(counts) - MAX_KEYS:,} more"
    if plain:
        yield "plain", f"{count(plain, 'object')}, under no customer key"
    if tally.older_key_count:
        yield "older key", count(tally.older_key_count, "object")


def _counted(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    """The most first."""
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


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

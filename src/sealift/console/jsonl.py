"""JSON Lines on stdout: one object a line, pure ASCII, for programs. Schema: docs/json.md."""

from __future__ import annotations

import json
import sys
from typing import Any, ClassVar

from sealift.console.screen import Console, drop_stdout
from sealift.console.summary import Outcome
from sealift.errors import ObjectError, SealiftError, VerifyError
from sealift.events import (
    Event,
    Failed,
    Finished,
    Noted,
    Removed,
    Reported,
    Retried,
    Skipped,
    Tally,
    Would,
)
from sealift.model import UNSEALED

VERSION = 1

_KEPT = Failed | Finished | Noted | Removed | Reported | Retried | Skipped | Would


class JsonConsole(Console):
    INTERVAL: ClassVar[float] = 0.1

    def _keeps(self, event: Event) -> bool:
        return isinstance(event, _KEPT)

    def _draw(self, events: list[Event]) -> None:
        self._write([found for event in events if (found := record(event))])

    def _close(self, outcome: Outcome) -> None:
        self._write([summary_record(self.tally, outcome)])

    def _write(self, records: list[dict[str, Any]]) -> None:
        if not records:
            return
        try:
            sys.stdout.write("".join(f"{json.dumps(item)}\n" for item in records))
            sys.stdout.flush()
        except OSError:
            drop_stdout()
            raise


def record(event: Event) -> dict[str, Any] | None:
    """The line for `event`, None for events that get none."""
    match event:
        case Finished(job, checked, note):
            done: dict[str, Any] = {
                "event": "done",
                "name": job.path,
                "location": str(job.location),
                "direction": job.direction.value,
                "size": job.size,
                "checked": checked,
            }
            if job.key_id is not None:
                done["key_id"] = job.key_id
            return done | ({"note": note} if note else {})
        case Failed(name, error):
            failed: dict[str, Any] = {
                "event": "failed",
                "name": name,
                "error": error.message,
                "hint": error.hint,
                "cause": _cause(error),
                "type": type(error).__name__,
            }
            if isinstance(error, VerifyError):
                failed["findings"] = list(error.findings)
            return failed | _obstacle(error)
        case Removed(name):
            return {"event": "removed", "name": name}
        case Skipped(name, reason):
            return {"event": "skipped", "name": name, "reason": reason}
        case Would(act, name, to, size):
            return {"event": "would", "act": act, "name": name, "to": to, "size": size}
        case Retried(name, attempt, delay, error):
            return {
                "event": "retried",
                "name": name,
                "attempt": attempt,
                "delay": round(delay, 3),
                "error": error.message,
                "cause": _cause(error),
            }
        case Noted(text):
            return {"event": "noted", "text": text}
        case Reported(report):
            return {"event": "report", **report}
    return None


def summary_record(tally: Tally, outcome: Outcome) -> dict[str, Any]:
    """The last line."""
    return {
        "event": "summary",
        "version": VERSION,
        "status": outcome.status.value,
        "error": outcome.message,
        "heading": outcome.heading,
        "key_id": outcome.key_id,
        "elapsed": round(outcome.elapsed, 3),
        "planned_count": tally.planned_count,
        "planned_size": tally.planned_size,
        "plan_complete": tally.plan_complete,
        "done_count": tally.done_count,
        "done_size": tally.done_size,
        "checked_count": tally.checked_count,
        "failed_count": tally.failed_count,
        "planned_removal_count": tally.planned_removal_count,
        "removed_count": tally.removed_count,
        "skipped": tally.skipped,
        "unchanged_count": tally.unchanged_count,
        "unchanged_size": tally.unchanged_size,
        "request_count": tally.request_count,
        "retry_count": tally.retry_count,
        "peak_rate": round(outcome.peak),
        "keys": {key_id: count for key_id, count in tally.key_counts.items() if key_id},
        "unsealed_count": tally.key_counts.get(UNSEALED, 0),
        "older_key_count": tally.older_key_count,
        "obstacles": {each.name.lower(): count for each, count in tally.obstacles.items()},
        "missing_keys": tally.missing_keys,
    }


def _obstacle(error: SealiftError) -> dict[str, Any]:
    if not isinstance(error, ObjectError) or error.obstacle is None:
        return {}
    return {"obstacle": error.obstacle.name.lower(), "key_id": error.key_id}


def _cause(error: SealiftError) -> str | None:
    return error.cause.name.lower() if isinstance(error, ObjectError) else None

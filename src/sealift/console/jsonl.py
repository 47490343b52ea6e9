r"""JSON Lines on stdout: one object a line, pure ASCII, for programs.

Every line has `event`; `name` is the object's name as the run reports it, unescaped. Bytes of a
file name that are not UTF-8 appear as lone surrogates `\udc80` to `\udcff` (PEP 383). Sizes are in
bytes, times in seconds. Readers must ignore events and fields they do not know.

    {"event": "done", "name": str, "location": "s3://...", "size": int, "checked": bool,
     "direction": "upload" | "download" | "copy" | "verify" | "rekey"}
         + "note": str if there is one
         + "key_id": str if the run has several customer keys; "": under none
    {"event": "removed", "name": str}
    {"event": "failed", "name": str, "error": str, "hint": str, "cause": str | null, "type": str}
                                           + "findings": [str] where an object was verified
        + "obstacle": "plain" | "missing_key" | "unknown_key" | "archived", "key_id": str | null
          if no customer key at hand opens the object
    {"event": "skipped", "name": str, "reason": str}
    {"event": "would", "act": "upload" | "download" | "copy" | "remove" | "rekey", "name": str,
     "to": str, "size": int}
    {"event": "retried", "name": str, "attempt": int, "delay": float, "error": str,
     "cause": str | null}
    {"event": "noted", "text": str}
    {"event": "report", ...}                 the result of a verification, see docs/verify.md
    {"event": "summary", "version": 1, "status": "complete" | "failed" | "interrupted" | "stopped",
     "error": str, "heading": str, "key_id": str | null, "elapsed": float,
     "planned_count": int, "planned_size": int, "plan_complete": bool,
     "done_count": int, "done_size": int, "checked_count": int, "failed_count": int,
     "planned_removal_count": int, "removed_count": int,
     "skipped": {reason: int}, "unchanged_count": int, "unchanged_size": int, "retry_count": int,
     "keys": {key id: int}, "unsealed_count": int, "older_key_count": int,
     "obstacles": {obstacle: int}, "missing_keys": {key id: int}}

`obstacle`: why no customer key at hand opens an object; `key_id` is then that of the missing one,
where its tag or the catalogue tells. `keys`: how many of the objects done are under each key, for
those whose key had to be chosen; `older_key_count`: under another one than new objects get.
`checked`: a checksum of every byte was compared; a copy that the server made itself is not.
`cause`: the name of an `errors.Cause` in lower case (`throttled`, `reset`, `permanent`, ...).
`type`: the class of the error. `attempt` counts from 1, the first. The summary is the last line,
once, also when the run was interrupted; `stopped` means that an error ended it, which is then in
`error`. `version` grows when a field goes or changes its meaning.
"""

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
        return isinstance(
            event, Failed | Finished | Noted | Removed | Reported | Retried | Skipped | Would
        )

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
        "retry_count": tally.retry_count,
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

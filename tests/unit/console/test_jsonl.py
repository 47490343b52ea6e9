from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sealift.console import open_console
from sealift.console.jsonl import record, summary_record
from sealift.console.summary import Outcome, Status
from sealift.errors import (
    Cause,
    CustomerKeyError,
    Interrupted,
    NetworkError,
    ObjectError,
    Obstacle,
    VerifyError,
)
from sealift.events import (
    Failed,
    Finished,
    Noted,
    OlderKey,
    Planned,
    RemovalPlanned,
    Removed,
    Reported,
    Retried,
    Skipped,
    Started,
    Tally,
    Traffic,
    Unchanged,
    Would,
)
from sealift.model import Job


def parsed(capfd: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    out, err = capfd.readouterr()
    assert err == ""
    assert out.isascii()
    return [json.loads(line) for line in out.splitlines()]


def test_every_event(make_job: Callable[..., Job], capfd: pytest.CaptureFixture[str]) -> None:
    job = make_job("caf\udce9\x1b\u202e", 7)
    error = NetworkError("lost", hint="go on", cause=Cause.STALLED)
    with open_console(quiet=True, json=True, progress=True, heading="h", key_id="k") as console:
        console.emit(Planned(2, 14))
        console.emit(Started(job))
        console.emit(Retried("n", 1, 0.12345, error))
        console.emit(Finished(job, checked=True))
        console.emit(Finished(make_job("b", 7), checked=False, note="was there"))
        console.emit(Failed("n", error))
        console.emit(Failed("m", CustomerKeyError("no key")))
        console.emit(Skipped("s", "unchanged"))
        console.emit(Unchanged(3, 30))
        console.emit(Would("upload", "w", "s3://b/w", 5))
        console.emit(RemovalPlanned(2))
        console.emit(Removed("r\x1b"))
        console.emit(Noted("t"))
        console.emit(Traffic(40))
    records = parsed(capfd)
    summary = records.pop()
    assert records == [
        {"event": "retried", "name": "n", "attempt": 1, "delay": 0.123, "error": "lost",
         "cause": "stalled"},
        {"event": "done", "name": "caf\udce9\x1b\u202e", "checked": True, "size": 7,
         "location": "s3://bucket/p/caf\udce9\x1b\u202e", "direction": "download"},
        {"event": "done", "name": "b", "checked": False, "size": 7, "note": "was there",
         "location": "s3://bucket/p/b", "direction": "download"},
        {"event": "failed", "name": "n", "error": "lost", "hint": "go on", "cause": "stalled",
         "type": "NetworkError"},
        {"event": "failed", "name": "m", "error": "no key", "hint": "", "cause": None,
         "type": "CustomerKeyError"},
        {"event": "skipped", "name": "s", "reason": "unchanged"},
        {"event": "would", "act": "upload", "name": "w", "to": "s3://b/w", "size": 5},
        {"event": "removed", "name": "r\x1b"},
        {"event": "noted", "text": "t"},
    ]  # fmt: skip
    assert summary.pop("elapsed") >= 0
    assert summary == {
        "event": "summary", "version": 1, "status": "failed", "error": "", "heading": "h",
        "key_id": "k", "planned_count": 2, "planned_size": 14, "plan_complete": False,
        "done_count": 2, "done_size": 14, "checked_count": 1, "failed_count": 2,
        "planned_removal_count": 2, "removed_count": 1, "unchanged_count": 3, "unchanged_size": 30,
        "skipped": {"unchanged": 1}, "request_count": 40, "retry_count": 1, "peak_rate": 0,
        "keys": {}, "unsealed_count": 0,
        "older_key_count": 0, "obstacles": {}, "missing_keys": {},
    }  # fmt: skip


def documented() -> dict[str, set[str]]:
    """The fields of each event in docs/json.md."""
    text = (Path(__file__).parents[3] / "docs/json.md").read_text()
    sections = re.split(r"^## ", text, flags=re.MULTILINE)[1:]
    return {
        section.split()[0]: set(
            re.findall(r"`(\w+)`", " ".join(re.findall(r"^\| (`[^|]*)\|", section, re.MULTILINE)))
        )
        for section in sections
    }


def test_the_docs_have_every_event_and_field(make_job: Callable[..., Job]) -> None:
    job, keyed = make_job("a", 1), make_job("b", 1)
    keyed.key_id = "k"
    locked = ObjectError("locked")
    locked.obstacle = Obstacle.PLAIN
    events = [
        Finished(job, checked=True, note="n"), Finished(keyed, checked=True), Failed("a", locked),
        Failed("a", VerifyError("b", ("other",))), Removed("a"), Skipped("a", "b"),
        Would("upload", "a", "b", 1), Retried("a", 1, 0.1, NetworkError("x")), Noted("t"),
        Reported({}),
    ]  # fmt: skip
    fields: dict[str, set[str]] = {}
    for event in events:
        made = record(event)
        assert made is not None
        fields.setdefault(made.pop("event"), set()).update(made)
    summary = summary_record(Tally(), Outcome(Status.COMPLETE, 1.0))
    assert fields | {summary.pop("event"): set(summary)} == documented()


def test_summary_when_interrupted(capfd: pytest.CaptureFixture[str]) -> None:
    with (
        pytest.raises(ExceptionGroup),
        open_console(quiet=False, json=True, progress=True),
    ):
        raise ExceptionGroup("tasks", [Interrupted("interrupted by the user")])
    (summary,) = parsed(capfd)
    assert summary["status"] == "interrupted"


def test_summary_when_stopped(capfd: pytest.CaptureFixture[str]) -> None:
    with (
        pytest.raises(CustomerKeyError),
        open_console(quiet=False, json=True, progress=True),
    ):
        raise CustomerKeyError("no key")
    (summary,) = parsed(capfd)
    assert (summary["status"], summary["error"]) == ("stopped", "no key")


def test_a_reader_that_leaves_does_not_end_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as stream:
        monkeypatch.setattr("sys.stdout", stream)
        monkeypatch.setattr("sealift.console.screen.MAX_BEHIND", 10)
        with open_console(quiet=False, json=True, progress=True) as console:
            for _ in range(1000):
                console.emit(Noted("x"))
    assert console.tally.failed_count == 0


def test_keys_and_obstacles(
    make_job: Callable[..., Job], capfd: pytest.CaptureFixture[str]
) -> None:
    ours, plain, error = make_job("a", 1), make_job("b", 1), ObjectError("no")
    ours.key_id, plain.key_id = "aa", ""
    error.obstacle, error.key_id = Obstacle.MISSING_KEY, "cc"
    with open_console(quiet=True, json=True, progress=True, key_id="k") as console:
        console.emit(OlderKey(ours))
        console.emit(Finished(ours, checked=True))
        console.emit(Finished(plain, checked=True))
        console.emit(Failed("n", error))
    done, unsealed, failed, summary = parsed(capfd)
    assert (done["key_id"], unsealed["key_id"]) == ("aa", "")
    assert (failed["obstacle"], failed["key_id"]) == ("missing_key", "cc")
    assert summary["keys"] == {"aa": 1}
    assert (summary["unsealed_count"], summary["older_key_count"]) == (1, 1)
    assert (summary["obstacles"], summary["missing_keys"]) == ({"missing_key": 1}, {"cc": 1})

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pytest

from sealift.console import open_console
from sealift.console.plain import PlainConsole
from sealift.errors import Interrupted, NetworkError, UsageError
from sealift.events import (
    Failed,
    Finished,
    Noted,
    PlanComplete,
    Planned,
    RemovalPlanned,
    Removed,
    Skipped,
    Started,
)
from sealift.model import GiB, Job, MiB


def drawn(console: PlainConsole, stream: io.StringIO) -> list[str]:
    before = stream.tell()
    console._draw(console._take())
    return stream.getvalue()[before:].splitlines()


@pytest.fixture
def stream() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def console(clock: Any, stream: io.StringIO) -> PlainConsole:
    """Opened without its thread."""
    console = PlainConsole(stream=stream, clock=clock)
    console._open()
    return console


def test_progress_while_one_object_moves(
    console: PlainConsole, stream: io.StringIO, clock: Any, make_job: Callable[..., Job]
) -> None:
    job = make_job("big", 20 * GiB)
    console.emit(Planned(1, job.size))
    console.emit(PlanComplete())
    console.emit(Started(job))
    seen = []
    for _ in range(100):
        clock.now += 0.25
        job.moved += 64 * MiB
        seen += drawn(console, stream)
    assert seen == [
        "12.5% 2.5 GiB of 20.0 GiB, 0 of 1 objects, 256.0 MiB/s, ETA 1:10",
        "25.0% 5.0 GiB of 20.0 GiB, 0 of 1 objects, 256.0 MiB/s, ETA 1:00",
    ]
    clock.now += 12
    assert drawn(console, stream) == [
        "31.2% 6.2 GiB of 20.0 GiB, 0 of 1 objects, no progress for 0:12"
    ]


def test_progress_while_the_plan_grows(
    console: PlainConsole, stream: io.StringIO, clock: Any, make_job: Callable[..., Job]
) -> None:
    console.emit(Planned(5000, GiB))
    console.emit(Failed("n", NetworkError("lost")))
    for index in range(1, 11):
        clock.now += 1
        for _ in range(200):
            console.emit(Finished(make_job(size=1024), checked=False))
        console.emit(Skipped(f"{index}", "unchanged"))
        seen = drawn(console, stream)
    (line,) = seen
    assert line == (
        "planning, 2.0 MiB of 1.0 GiB+, 2,000 of 5,000+ objects, 200.0 KiB/s, "
        "ETA 1:28:00+, 1 failed, 10 skipped"
    )


def test_events_at_once(
    console: PlainConsole, stream: io.StringIO, make_job: Callable[..., Job]
) -> None:
    console.emit(Failed("n\x1b", NetworkError("lost\nit", hint="go on")))
    console.emit(Noted("by the way"))
    console.emit(Finished(make_job("b"), checked=False, note="was there"))
    console.emit(Finished(make_job("c"), checked=False))
    console.emit(Skipped("d", "unchanged"))
    console.emit(Skipped("e", "unchanged"))
    assert drawn(console, stream) == [
        r"FAILED n\x1b: lost\x0ait; go on",
        "note by the way",
        "note b: was there",
        "skipped d: unchanged (others like it are only counted)",
    ]


def test_whole_run(make_job: Callable[..., Job], capsys: pytest.CaptureFixture[str]) -> None:
    console = open_console(quiet=False, json=False, progress=True, heading="restore")
    assert isinstance(console, PlainConsole)
    console.emit(Planned(2, 2000))
    console.emit(Finished(make_job(), checked=True))
    with pytest.raises(Interrupted), console:
        raise Interrupted("stop")
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines()[:3] == [
        "restore",
        "restore: interrupted",
        "  moved     1 object, 1000 B",
    ]


def test_an_error_before_the_start_gets_no_summary(capsys: pytest.CaptureFixture[str]) -> None:
    with (
        pytest.raises(UsageError),
        open_console(quiet=False, json=False, progress=True),
    ):
        raise UsageError("no")
    assert capsys.readouterr() == ("", "")


def test_quiet_tells_failures_only(capsys: pytest.CaptureFixture[str]) -> None:
    with open_console(quiet=True, json=False, progress=True, heading="x") as console:
        console.emit(Noted("t"))
        console.emit(Failed("n", NetworkError("lost")))
    assert capsys.readouterr() == ("", f"FAILED n: lost; {NetworkError.advice}\n")


def test_a_closed_terminal_does_not_end_the_run(clock: Any) -> None:
    stream = io.StringIO()
    with PlainConsole(stream=stream, clock=clock) as console:
        stream.close()
        console.emit(Noted("t"))
    assert console.tally.failed_count == 0


def test_progress_of_a_removal(console: PlainConsole, stream: io.StringIO, clock: Any) -> None:
    console.emit(RemovalPlanned(4500))
    console.emit(PlanComplete())
    seen = []
    for _ in range(50):
        clock.now += 0.25
        for number in range(30):
            console.emit(Removed(f"{number}"))
        seen += drawn(console, stream)
    assert seen == ["26.6% 1,200 of 4,500 objects removed, 120/s, ETA 0:28"]

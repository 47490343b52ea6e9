from __future__ import annotations

import io
import threading
from collections.abc import Callable
from typing import Any

import pytest
from rich.cells import cell_len
from rich.console import Console as RichConsole

from sealift.console import open_console
from sealift.console.frame import Frame, pack
from sealift.console.live import LiveConsole
from sealift.console.meter import Meter
from sealift.errors import NetworkError
from sealift.events import (
    Failed,
    Finished,
    Noted,
    PlanComplete,
    Planned,
    RemovalPlanned,
    Removed,
    Retried,
    Started,
)
from sealift.model import GiB, Job, MiB

SIZES = [(80, 24), (200, 50)]


def live(clock: Any, width: int = 80, height: int = 24) -> LiveConsole:
    screen = RichConsole(
        file=io.StringIO(), force_terminal=True, width=width, height=height, no_color=True,
        record=True, _environ={},
    )  # fmt: skip
    return LiveConsole(heading="restore s3://b/ to tmp/", console=screen, clock=clock)


def frame_of(console: LiveConsole, clock: Any, width: int, height: int) -> list[str]:
    lines = console._frame.lines(console._look(), clock.now, width, height)
    return [line.plain for line in lines]


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_case_35_a_frame_of_names_that_a_terminal_would_obey(
    width: int, height: int, clock: Any, make_job: Callable[..., Job]
) -> None:
    console = live(clock)
    console._frame = Frame("restore s3://b/ to tmp/", Meter(clock.now))
    jobs = [make_job(f"dir/\x1b[31m{'x' * 90}-{n}.raw", (n + 1) * GiB) for n in range(8)]
    small = make_job("small", MiB)
    console.emit(Planned(12, 40 * GiB))
    for job in [*jobs, small]:
        console.emit(Started(job))
    console.emit(Retried("n", 1, 0.1, NetworkError("reset")))
    console.emit(Failed("n", NetworkError("lost")))
    for step in range(20):
        clock.now += 0.25
        for job in jobs:
            job.moved += 16 * MiB
        if step == 9:
            assert frame_of(console, clock, width, height)[1].startswith("planning ━")
            console.emit(PlanComplete())
        shown = frame_of(console, clock, width, height)
    assert all(cell_len(line) <= width for line in shown)
    assert shown[0].startswith("restore s3://b/ to tmp/ ")
    assert shown[0].endswith(" 0:05 elapsed")
    assert shown[1].startswith("  6.2% ━")
    assert "  512.0 MiB/s  ETA 1:15" in shown[1]
    assert shown[2] == "2.5 GiB of 40.0 GiB, 0 of 12 objects, 1 failed, 1 retry"
    assert len(shown) == 3 + 6 + 1
    assert [line.split(".raw")[0][-1] for line in shown[3:9]] == list("765432")
    assert all("64.0 MiB/s" in line and r"dir/\x1b[31m" in line for line in shown[3:9])
    assert ("320.0 MiB of 8.0 GiB" in shown[3]) == (width == 200)
    assert shown[9] == "  and 3 more in flight"


def test_small_and_brief_objects_get_no_line(clock: Any, make_job: Callable[..., Job]) -> None:
    console = live(clock)
    console.emit(Started(make_job("small", 8 * MiB - 1)))
    console.emit(Started(make_job("large", 8 * MiB)))
    assert frame_of(console, clock, 80, 24)[-1] == "  2 in flight"
    clock.now += 1.5
    shown = frame_of(console, clock, 80, 24)
    assert shown[-2].startswith("  large ")
    assert shown[-1] == "  and 1 more in flight"


def test_stuck_objects_come_first(clock: Any, make_job: Callable[..., Job]) -> None:
    console = live(clock)
    large, stuck = make_job("large", 9 * GiB), make_job("stuck", GiB)
    console.emit(Started(large))
    console.emit(Started(stuck))
    for _ in range(12):
        frame_of(console, clock, 80, 24)
        clock.now += 1
        large.moved += MiB
    shown = frame_of(console, clock, 80, 24)
    assert shown[-2].startswith("  stuck ")
    assert shown[-2].endswith("idle 0:12")


def test_the_slowest_of_the_last_decides_the_eta(clock: Any, make_job: Callable[..., Job]) -> None:
    console = live(clock)
    fast, slow = make_job("fast", GiB), make_job("slow", GiB)
    console.emit(Planned(2, 2 * GiB))
    console.emit(PlanComplete())
    console.emit(Started(fast))
    console.emit(Started(slow))
    for _ in range(10):
        frame_of(console, clock, 80, 24)
        clock.now += 1
        fast.moved += 50 * MiB
        slow.moved += 10 * MiB
    # together 24 s, but the slow one alone 93 s
    assert "ETA 1:33" in frame_of(console, clock, 80, 24)[1]
    clock.now += 2
    fast.moved += 100 * MiB
    assert "ETA 0:2" in frame_of(console, clock, 80, 24)[1]


def test_a_stall_of_everything_is_said(clock: Any) -> None:
    console = live(clock)
    console.emit(Planned(1, GiB))
    clock.now += 45
    assert "no progress  for 0:45" in frame_of(console, clock, 80, 24)[1]


def test_what_waits_for_the_server_to_end_it_is_not_idle(
    clock: Any, make_job: Callable[..., Job]
) -> None:
    console = live(clock)
    job = make_job("a", GiB)
    console.emit(Planned(1, GiB))
    console.emit(PlanComplete())
    console.emit(Started(job))
    frame_of(console, clock, 80, 24)
    job.moved = GiB
    clock.now += 1
    frame_of(console, clock, 80, 24)
    clock.now += 20
    shown = frame_of(console, clock, 80, 24)
    assert "finishing  for 0:20" in shown[1]
    assert "1.0 GiB of 1.0 GiB (mean 48.8 MiB/s), 0 of 1 objects" in shown[2]
    assert shown[-1].endswith("ending 0:20")


@pytest.mark.parametrize("height", range(1, 12))
@pytest.mark.parametrize("width", [10, 40, 80])
def test_any_screen(width: int, height: int, clock: Any, make_job: Callable[..., Job]) -> None:
    console = live(clock)
    for n in range(9):
        console.emit(Started(make_job(f"large-{n}", GiB)))
    frame_of(console, clock, width, height)
    clock.now += 2
    assert len(frame_of(console, clock, width, height)) <= max(height - 1, 1)


def test_pack() -> None:
    assert pack(["aaa", "bbb", "ccc"], 9) == ["aaa, bbb,", "ccc"]
    assert pack(["aaa"], 1) == ["aaa"]


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_case_35_a_whole_run_on_a_terminal(
    width: int, height: int, clock: Any, make_job: Callable[..., Job]
) -> None:
    console = live(clock, width, height)
    job = make_job("[bold]x[/bold]\x1b]0;title\x07", GiB)
    with console:
        console.emit(Planned(2, 2 * GiB))
        console.emit(Started(job))
        console.emit(Failed(f"{'long ' * 50}name", NetworkError("lost", hint="go on")))
        console.emit(Noted("by the way"))
        console.emit(Finished(job, checked=True, note="was there"))
        clock.now += 8
    shown = console._console.export_text()
    assert f"FAILED {'long ' * 50}name: lost; go on\n" in shown
    assert "note by the way\n" in shown
    assert "note [bold]x[/bold]\\x1b]0;title\\x07: was there\n" in shown
    assert "restore s3://b/ to tmp/: 1 object failed\n" in shown
    assert "1 object, 1.0 GiB" in shown
    assert "8.0 s, 128.0 MiB/s, 0.1 objects/s" in shown
    assert "\x1b]0" not in console._console.file.getvalue()  # type: ignore[attr-defined]


def test_emit_writes_nothing_and_keeps_nothing(clock: Any, make_job: Callable[..., Job]) -> None:
    console = live(clock)
    for _ in range(1000):
        job = make_job()
        console.emit(Started(job))
        console.emit(Finished(job, checked=True))
    assert not console._pending
    console.emit(Failed("n", NetworkError("lost")))
    assert len(console._pending) == 1
    assert console._console.file.getvalue() == ""  # type: ignore[attr-defined]
    assert console.tally.done_count == 1000


def test_the_thread_ends_with_the_run(clock: Any) -> None:
    with live(clock):
        assert any(t.name == "sealift-console" for t in threading.enumerate())
    assert not any(t.name == "sealift-console" for t in threading.enumerate())


def test_chosen_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    assert isinstance(open_console(quiet=False, json=False, progress=True), LiveConsole)
    assert not isinstance(open_console(quiet=False, json=False, progress=False), LiveConsole)
    monkeypatch.setenv("TERM", "dumb")
    assert not isinstance(open_console(quiet=False, json=False, progress=True), LiveConsole)


def test_frame_of_a_removal(clock: Any) -> None:
    console = live(clock)
    console.emit(RemovalPlanned(4500))
    console.emit(PlanComplete())
    for _ in range(40):
        clock.now += 0.25
        for number in range(30):
            console.emit(Removed(f"{number}"))
        shown = frame_of(console, clock, 80, 24)
    assert shown[1].startswith(" 26.6% ━")
    assert "120/s  ETA 0:28" in shown[1]
    assert shown[2:] == ["1,200 of 4,500 objects removed"]

from __future__ import annotations

import io
from collections.abc import Callable

from rich.console import Console as RichConsole

from sealift.console.summary import Outcome, Status, is_empty, lines
from sealift.console.table import table
from sealift.errors import LocalFileError, NetworkError, ObjectError, Obstacle
from sealift.events import (
    Failed,
    Finished,
    OlderKey,
    PlanComplete,
    Planned,
    RemovalPlanned,
    Removed,
    Retried,
    Skipped,
    Tally,
    Traffic,
)
from sealift.model import Job, MiB


def tally_of(make_job: Callable[..., Job], failed: int = 0) -> Tally:
    tally = Tally()
    tally.emit(Planned(10 + failed, 10 * MiB))
    tally.emit(PlanComplete())
    for index in range(4):
        tally.emit(Finished(make_job(f"{index}", MiB), checked=index > 0))
    for index in range(failed):
        tally.emit(Failed(f"bad\x1b{index}", NetworkError("connection lost", hint="try again")))
    for _ in range(3):
        tally.emit(Skipped("x", "unchanged"))
    tally.emit(Skipped("y", "storage class GLACIER"))
    tally.emit(Retried("z", 1, 0.5, NetworkError("reset")))
    return tally


def test_lines(make_job: Callable[..., Job]) -> None:
    tally = tally_of(make_job, failed=22)
    outcome = Outcome(Status.FAILED, 8.0, "sync a to s3://b/", "3f9a")
    assert lines(tally, outcome)[-9:] == [
        "sync a to s3://b/: 22 objects failed",
        "  moved     4 objects, 4.0 MiB",
        "  skipped   3 unchanged",
        "            1 storage class GLACIER",
        "  failed    22",
        "  time      8.0 s, 512.0 KiB/s, 0.5 objects/s",
        "  retries   1",
        "  verified  3 of 4 against a stored checksum",
        "  key id    3f9a",
    ]
    named = lines(tally, outcome)[1:-9]
    assert lines(tally, outcome)[0] == "failed objects:"
    assert named[0] == r"  bad\x1b0: connection lost; try again"
    assert len(named) == 21
    assert named[-1] == "  and 2 more"


def test_interrupted_tells_what_is_left(make_job: Callable[..., Job]) -> None:
    text = lines(tally_of(make_job), Outcome(Status.INTERRUPTED, 61.0))
    assert text[0] == "interrupted"
    assert "  not moved 6 objects" in text
    tally = tally_of(make_job)
    tally.plan_complete = False
    text = lines(tally, Outcome(Status.STOPPED, 61.0, "x"))
    assert text[0] == "x: stopped by an error"
    assert "  not moved 6 objects, and what was not planned yet" in text


def test_nothing_to_do() -> None:
    assert is_empty(Tally())
    assert lines(Tally(), Outcome(Status.COMPLETE, 0.0, "sync"))[0] == "sync: nothing to do"


def test_table_says_the_same_and_no_markup(make_job: Callable[..., Job]) -> None:
    tally = tally_of(make_job)
    tally.emit(Failed("[red]n[/red]", LocalFileError("open", "n", OSError(28, "full"))))
    console = RichConsole(file=io.StringIO(), width=80, force_terminal=True, no_color=True)
    with console.capture() as capture:
        console.print(table(tally, Outcome(Status.FAILED, 8.0, "restore", "3f9a")))
    shown = capture.get()
    for part in ("1 object failed", "4 objects, 4.0 MiB", "3 unchanged", "3f9a", "[red]n[/red]",
                 "free some space"):  # fmt: skip
        assert part in shown


def removal(removed: int) -> Tally:
    tally = Tally()
    tally.emit(RemovalPlanned(5))
    tally.emit(PlanComplete())
    for index in range(removed):
        tally.emit(Removed(f"{index}"))
    return tally


def test_a_removal_moves_nothing() -> None:
    assert lines(removal(5), Outcome(Status.COMPLETE, 2.0, "rm s3://b/p/")) == [
        "rm s3://b/p/: complete",
        "  removed   5 objects",
        "  failed    0",
        "  time      2.0 s, 2.5 objects/s",
    ]


def test_an_interrupted_removal_tells_what_is_left() -> None:
    assert "  not done  3 objects" in lines(removal(2), Outcome(Status.INTERRUPTED, 2.0))
    assert not is_empty(removal(0))


def test_a_run_may_move_and_remove(make_job: Callable[..., Job]) -> None:
    tally = tally_of(make_job)
    tally.emit(RemovalPlanned(2))
    tally.emit(Removed("old"))
    text = lines(tally, Outcome(Status.INTERRUPTED, 1.0))
    assert text[1:3] == ["  moved     4 objects, 4.0 MiB", "  removed   1 object"]
    assert "  not done  7 objects" in text


def test_the_key_of_a_run_that_moved_only_plain_objects_is_not_named(
    make_job: Callable[..., Job],
) -> None:
    tally = Tally()
    job = make_job("x", 1)
    job.key_id = ""
    tally.emit(Finished(job, checked=True))
    text = lines(tally, Outcome(Status.COMPLETE, 1.0, "get", "3f9a"))
    assert text[-1] == "  plain     1 object, under no customer key"
    assert not any("3f9a" in line for line in text)


def test_keys_and_what_none_of_them_opens(make_job: Callable[..., Job]) -> None:
    tally = Tally()
    for key_id, number in {"aa": 1200, "bb": 3, "": 2}.items():
        for _ in range(number):
            job = make_job("x", 1)
            job.key_id = key_id
            if key_id == "bb":
                tally.emit(OlderKey(job))
            tally.emit(Finished(job, checked=True))
    found = [(Obstacle.MISSING_KEY, "cc"), (Obstacle.MISSING_KEY, "c\x1b"), (Obstacle.PLAIN, None)]
    for obstacle, missing in [*found, found[0]]:
        error = ObjectError("no")
        error.obstacle, error.key_id = obstacle, missing
        tally.emit(Failed("y", error))

    assert lines(tally, Outcome(Status.FAILED, 0.0, "h", "aa"))[-11:] == [
        "h: 4 objects failed",
        "  moved     1,205 objects, 1.2 KiB",
        "  failed    4",
        r"            3 under a customer key that is not at hand: cc (2), c\x1b (1)",
        "            1 under no customer key (plain)",
        "  time      0.0 s",
        "  verified  1,205 of 1,205 against a stored checksum",
        "  key ids   aa: 1,200 objects",
        "            bb: 3 objects",
        "  plain     2 objects, under no customer key",
        "  older key 3 objects",
    ]


def test_a_run_under_one_key_names_it_alone(make_job: Callable[..., Job]) -> None:
    tally = Tally()
    tally.emit(Finished(make_job("x", 1), checked=True))
    assert lines(tally, Outcome(Status.COMPLETE, 0.0, "h", "aa"))[-1] == "  key id    aa"
    job = make_job("x", 1)
    job.key_id = "bb"
    tally.emit(Finished(job, checked=True))
    two = lines(tally, Outcome(Status.COMPLETE, 0.0, "h", "aa"))[-2:]
    assert two == ["  key ids   aa: 1 object", "            bb: 1 object"]


def test_many_keys_are_counted(make_job: Callable[..., Job]) -> None:
    tally = Tally()
    for number in range(15):
        job = make_job("x", 1)
        job.key_id = f"{number:02}"
        tally.emit(Finished(job, checked=True))
    shown = lines(tally, Outcome(Status.COMPLETE, 0.0, "h", None))
    assert shown[-1] == "            and 5 more"


def test_peak_and_requests_are_told_where_there_are_any(
    make_job: Callable[..., Job],
) -> None:
    tally = Tally()
    tally.emit(Planned(1, MiB))
    tally.emit(Finished(make_job("a", MiB), checked=True))
    tally.emit(Traffic(1234))
    text = lines(tally, Outcome(Status.COMPLETE, 2.0, peak=2.0 * MiB))
    assert "  time      2.0 s, 512.0 KiB/s (peak 2.0 MiB/s), 0.5 objects/s" in text
    assert "  requests  1,234" in text

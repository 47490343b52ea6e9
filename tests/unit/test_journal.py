"""The journal on real files, in real processes: what is written is there, for one run at a time."""

from __future__ import annotations

import os
import signal
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.programs import needs
from tests.unit.journals import (
    OTHER_SCOPE,
    SCOPE,
    TOKENS,
    State,
    created,
    download,
    fetched,
    part,
    run_record,
    start,
    upload,
)

from sealift.errors import JournalError
from sealift.journal import Journal, Leftovers, live_upload_ids
from sealift.records import (
    DownloadPlanned,
    Ended,
    PartAdded,
    RangeAdded,
    UploadCompleting,
    UploadCreated,
    UploadPlanned,
    UploadState,
)

# What is written is there


def test_every_change_comes_back(state: State) -> None:
    journal = state.open()
    journal.write([UploadPlanned(upload(0)), UploadPlanned(upload(1))], durable=True)
    journal.write([UploadCreated(upload(1).marker, "id-1", True)], durable=True)
    journal.write([PartAdded(upload(1).marker, part(3))], durable=False)
    journal.write([PartAdded(upload(1).marker, part(1))], durable=False)
    taken_over = created(2, parts=(part(1), part(2)))
    journal.write([UploadPlanned(taken_over), UploadCompleting(taken_over.marker)], durable=True)
    journal.write([DownloadPlanned(download(0)), RangeAdded(download(0).temporary, fetched(2))],
                  durable=False)  # fmt: skip
    journal.write([DownloadPlanned(download(1, ranges=(fetched(0),)))], durable=False)
    journal.close(finished=False)
    dead = state.only()
    assert dead.run == run_record()
    assert sorted(dead.uploads) == [
        upload(0),
        created(1, parts=(part(1), part(3))),
        taken_over._replace(state=UploadState.COMPLETING),
    ]
    assert sorted(dead.downloads) == [
        download(0, ranges=(fetched(2),)),
        download(1, ranges=(fetched(0),)),
    ]


def test_what_has_ended_is_gone(state: State) -> None:
    state.leave(
        UploadPlanned(created(0, parts=(part(1),))), UploadPlanned(created(1)),
        DownloadPlanned(download(0, ranges=(fetched(0),))), DownloadPlanned(download(1)),
        Ended(upload(0).marker), Ended(download(1).temporary),
    )  # fmt: skip
    dead = state.only()
    assert (dead.uploads, len(dead.downloads)) == ([created(1)], 1)
    assert dead.downloads[0].ranges == (fetched(0),)
    assert row_count(state) == 5  # of the run, of upload 1 two, of download 0 two


def row_count(state: State) -> int:
    connection = sqlite3.connect(state.file())
    try:
        return int(connection.execute("SELECT count(*) FROM entry").fetchone()[0])
    finally:
        connection.close()


def test_the_changes_of_one_call_are_made_together_or_not_at_all(state: State) -> None:
    journal = state.open()
    wrong = PartAdded(upload(0).marker, part(2**70))  # no number of SQLite's
    with pytest.raises((JournalError, OverflowError)):
        journal.write([UploadPlanned(upload(0)), wrong], durable=True)
    journal.write([UploadPlanned(upload(1))], durable=True)
    journal.close(finished=False)
    assert state.only().uploads == [upload(1)]


def test_an_end_reads_no_more_than_what_has_ended(state: State) -> None:
    """Or thousands of uploads with thousands of parts each slow each other down."""
    steps: list[str] = []
    journal = state.open()
    assert journal._connection is not None
    journal._connection.set_trace_callback(steps.append)
    journal.write([Ended("x")], durable=False)
    steps = [step for step in steps if step.startswith("DELETE")]
    plans = [journal._connection.execute(f"EXPLAIN QUERY PLAN {step}") for step in steps]
    assert {row[3] for plan in plans for row in plan} == {
        "SEARCH entry USING PRIMARY KEY (kind=? AND name=?)"
    }
    journal.close(finished=True)


def test_a_run_that_comes_to_its_end_leaves_nothing(state: State) -> None:
    journal = state.open()
    journal.write([UploadPlanned(upload(0))], durable=True)
    assert state.names() != []
    journal.close(finished=True)
    assert state.names() == []


def test_a_journal_that_is_closed_takes_no_more(state: State) -> None:
    journal = state.open()
    journal.close(finished=False)
    with pytest.raises(JournalError, match="closed"):
        journal.write([UploadPlanned(upload(0))], durable=True)
    journal.close(finished=False)


def test_nobody_else_may_read_it(state: State) -> None:
    before = os.umask(0)
    try:
        journal = state.open()
        journal.write([UploadPlanned(upload(0))], durable=True)
    finally:
        os.umask(before)
    modes = {stat.S_IMODE(path.stat().st_mode) for path in state.directory.iterdir()}
    assert (len(state.names()), modes) == (4, {0o600})
    assert stat.S_IMODE(state.directory.stat().st_mode) == 0o700
    journal.close(finished=True)


@pytest.mark.parametrize("name", ["a b", "a%20b", "a?mode=ro", "a#b", "a'b", "ü", b"\xff\xfe"])
def test_the_directory_may_have_any_name(tmp_path: Path, name: str | bytes) -> None:
    state = State(tmp_path / os.fsdecode(name))
    state.leave(UploadPlanned(upload(0)))
    assert state.only().uploads == [upload(0)]


def test_without_a_home_there_is_no_journal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sealift.journal.state_directory", lambda: None)
    with pytest.raises(JournalError, match="no home"):
        Journal(None, run_record()).open()


def test_the_default_place_is_the_state_directory(state_home: Path) -> None:
    journal = Journal(None, run_record())
    journal.open()
    journal.close(finished=False)
    names = os.listdir(state_home / "sealift" / "journal")
    assert f"{TOKENS[0]}.sqlite3" in names


# Several runs


def test_a_dead_run_is_handed_over_once(state: State) -> None:
    state.leave(UploadPlanned(created(0)))
    first, second = state.open(1), state.open(2)
    assert first.leftovers().uploads == {(SCOPE, "name-0"): [created(0)]}
    assert second.leftovers().uploads == {}
    assert state.found() == ([], [])
    first.close(finished=True)
    assert second.leftovers().uploads == {(SCOPE, "name-0"): [created(0)]}
    second.close(finished=True)
    assert state.only().run == run_record(0)


def test_what_is_released_is_gone(state: State) -> None:
    state.leave(UploadPlanned(created(0)), UploadPlanned(created(1)), DownloadPlanned(download(0)))
    journal = state.open(1)
    journal.leftovers()
    journal.release(upload(0).marker)
    journal.release(download(0).temporary)
    journal.release("unknown")
    journal.close(finished=True)
    dead = state.only()
    assert (dead.uploads, dead.downloads) == ([created(1)], [])


def test_a_dead_run_stays_until_one_of_its_command_is_through(state: State) -> None:
    """It tells since when the catalogue may lack something."""
    state.leave(UploadPlanned(created(0)))
    journal = state.open(1)
    journal.leftovers()
    journal.release(upload(0).marker)
    journal.swept(TOKENS[0])
    journal.close(finished=False)
    assert [dead.run.token for dead in state.found()[0]] == TOKENS[:2]


@pytest.mark.parametrize("is_swept", [True, False])
@pytest.mark.parametrize("same", [True, False])
def test_a_dead_run_of_the_same_command_ends_with_it(
    state: State, is_swept: bool, same: bool
) -> None:
    """When nothing of it is left: neither uploads and downloads nor temporary files."""
    state.leave(UploadPlanned(created(0)))
    journal = state.open(1, aim=() if same else ("put",))
    journal.leftovers()
    journal.release(upload(0).marker)
    if is_swept:
        journal.swept(TOKENS[0])
    journal.close(finished=True)
    dead, damaged = state.found()
    assert len(dead) == (0 if is_swept and same else 1)
    assert damaged == []


def test_runs_on_other_buckets_are_left_alone(state: State) -> None:
    state.leave(UploadPlanned(created(0)), number=0, scope=OTHER_SCOPE)
    journal = state.open(1)
    assert journal.leftovers() == Leftovers()
    assert [dead.run.scope for dead in state.found()[0]] == [OTHER_SCOPE]
    journal.close(finished=True)


def test_the_latest_of_two_dead_runs_stands_for_an_object(state: State) -> None:
    older = created(0, marker="e" * 32, upload_id="older")
    state.leave(UploadPlanned(older), number=3, started_at=1.0)
    state.leave(UploadPlanned(created(0)), number=2, started_at=2.0)
    journal = state.open(1)
    found = journal.leftovers()
    journal.close(finished=False)
    assert found.uploads == {(SCOPE, "name-0"): [older, created(0)]}


def test_an_upload_that_two_dead_runs_have_is_one(state: State) -> None:
    """The later one was killed when it had taken it over, and the older one not forgotten it."""
    state.leave(UploadPlanned(created(0, parts=(part(1),))), number=2, started_at=1.0)
    later = created(0, parts=(part(1), part(2)))
    state.leave(UploadPlanned(later), number=3, started_at=2.0)
    journal = state.open(1)
    found = journal.leftovers()
    assert found.uploads == {(SCOPE, "name-0"): [created(0, parts=(part(1),)), later]}
    journal.release(later.marker)
    journal.close(finished=False)
    assert [dead.uploads for dead in state.found()[0]] == [[], [], []]


def test_the_ids_of_runs_that_are_alive(state: State) -> None:
    state.leave(UploadPlanned(created(7)), number=3)
    first, second = state.open(1), state.open(2)
    first.write([UploadPlanned(created(1)), UploadPlanned(upload(2))], durable=False)
    assert live_upload_ids(state.text) == {"id-1"}
    second.leftovers()
    assert {"id-1"} <= second.alive()
    first.close(finished=True)
    second.close(finished=True)


HOLDER = """
import sys
from sealift.journal import Journal
from sealift.records import RunRecord, UploadCreated, UploadPlanned, UploadRecord
journal = Journal(sys.argv[1], RunRecord(sys.argv[2], 1.5, ("cp",), "/", sys.argv[3], None))
journal.open()
record = UploadRecord("0" * 32, sys.argv[3], "held", "/f", None, 9, 9, None, None, 1.5)
journal.write([UploadPlanned(record), UploadCreated("0" * 32, "held-id", False)], durable=True)
print("ready", flush=True)
sys.stdin.readline()
journal.close(finished=True)
"""


@pytest.fixture
def holder(state: State) -> Iterator[subprocess.Popen[str]]:
    """Another process whose run goes on."""
    with start(HOLDER, state.text, TOKENS[5], SCOPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        yield child
        child.kill()


def test_a_run_of_another_process_is_not_touched_while_it_lives(
    state: State, holder: subprocess.Popen[str]
) -> None:
    state.leave(UploadPlanned(upload(0)))
    journal = state.open(1)
    found = journal.leftovers()
    assert (found.runs, journal.alive()) == ([run_record(0)], {"held-id"})
    journal.release(upload(0).marker)
    journal.swept(TOKENS[0])
    journal.close(finished=True)
    before = state.names()
    assert {name.partition(".")[0] for name in before} == {TOKENS[5]}
    assert state.found() == ([], [])
    assert live_upload_ids(state.text) == {"held-id"}
    assert state.names() == before
    with pytest.raises(JournalError, match="cannot lock the journal"):
        state.open(5)
    assert state.names() == before
    holder.communicate("\n")
    assert holder.returncode == 0
    assert state.names() == []


def test_a_run_whose_process_was_killed_is_dead(
    state: State, holder: subprocess.Popen[str]
) -> None:
    """What a durable write returned from is there."""
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    dead = state.only()
    assert [(record.name, record.upload_id) for record in dead.uploads] == [("held", "held-id")]
    assert live_upload_ids(state.text) == set()


def test_one_of_two_processes_gets_what_a_dead_run_left(state: State) -> None:
    code = """
import sys
from sealift.journal import Journal
from sealift.records import RunRecord
journal = Journal(sys.argv[1], RunRecord(sys.argv[2], 2.5, (), "/", sys.argv[3], None))
journal.open()
print("ready", flush=True)
sys.stdin.readline()
print(len(journal.leftovers().uploads), flush=True)
sys.stdin.readline()
journal.close(finished=True)
"""
    state.leave(UploadPlanned(created(0)))
    children = [start(code, state.text, token, SCOPE) for token in TOKENS[1:4]]
    for child in children:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
    for child in children:
        assert child.stdin is not None
        child.stdin.write("\n")
        child.stdin.flush()
    counts = [int(child.stdout.readline()) for child in children if child.stdout]
    for child in children:
        child.communicate("\n")
    assert sorted(counts) == [0, 0, 1]


def test_a_run_that_ends_while_another_looks_is_not_called_damaged(
    state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its file was listed, and is gone when its turn comes."""
    ending = state.open(0)
    listed = os.listdir

    def list_then_end(path: str) -> list[str]:
        names = listed(path)
        ending.close(finished=True)
        return names

    monkeypatch.setattr(os, "listdir", list_then_end)
    assert state.found() == ([], [])
    monkeypatch.undo()
    assert state.names() == []


# Power cuts and kills

KILLED = """
import os, signal, sys
from sealift.journal import Journal
from sealift.records import RunRecord, UploadPlanned, UploadRecord
journal = Journal(sys.argv[1], RunRecord(sys.argv[2], 1.5, (), "/", sys.argv[3], None))
journal.open()
record = UploadRecord("0" * 32, sys.argv[3], "n", "/f", None, 9, 9, None, None, 1.5)
for number in range(int(sys.argv[4])):
    marker = f"{number:032x}"
    journal.write([UploadPlanned(record._replace(marker=marker))], durable=number % 2 == 0)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("count", [1, 2, 7])
def test_what_was_written_outlives_kill_9(state: State, count: int) -> None:
    with start(KILLED, state.text, TOKENS[0], SCOPE, str(count)) as child:
        assert child.wait() == -signal.SIGKILL
    assert sorted(record.marker for record in state.only().uploads) == [
        f"{number:032x}" for number in range(count)
    ]


STRACE = ["strace", "-f", "-qq", "-y", "-e", "trace=fsync,fdatasync", "-e", "signal=none"]

SYNCING = """
import sys
from sealift.journal import Journal
from sealift.records import PartAdded, RunRecord, UploadCreated, UploadPlanned, UploadRecord
from sealift.model import PartDone
def step(name):
    print(name, file=sys.stderr, flush=True)
journal = Journal(sys.argv[1], RunRecord(sys.argv[2], 1.5, (), "/", sys.argv[3], None))
record = UploadRecord("0" * 32, sys.argv[3], "n", "/f", None, 10**9, 10**6, None, None, 1.5)
step("open")
journal.open()
step("add before")
journal.write([UploadPlanned(record)], durable=False)
step("first durable")
journal.write([UploadCreated("0" * 32, "id", True)], durable=True)
step("durable")
journal.write([UploadCreated("0" * 32, "id", True)], durable=True)
step("add")
journal.write([PartAdded("0" * 32, PartDone(1, 10**6, "e", 1))], durable=False)
step("many")
for number in range(1, 700):
    journal.write([PartAdded("0" * 32, PartDone(number, 10**6, "e" * 9000, 1))], durable=False)
step("end")
"""


@pytest.fixture(scope="module")
def syncs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """What is synced in each step, by the suffix of its name."""
    directory = tmp_path_factory.mktemp("syncs")
    command = [*STRACE, sys.executable, "-c", SYNCING, str(directory / "state"), TOKENS[0], SCOPE]
    needs("strace")
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    found: dict[str, list[str]] = {}
    for line in done.stderr.splitlines():
        if "sync(" not in line:
            found[line] = synced = []
        else:
            name = line.partition("<")[2].partition(">")[0]
            synced.append(os.path.basename(name).removeprefix(TOKENS[0]))
    return found


def test_nothing_is_synced_before_something_must_be(syncs: dict[str, list[str]]) -> None:
    """A run of small files never waits for the disk."""
    assert (syncs["open"], syncs["add before"]) == ([], [])


def test_the_first_durable_change_makes_all_before_it_durable(syncs: dict[str, list[str]]) -> None:
    """The log, the file and the directories that have its name; then the log with the change."""
    first = syncs["first durable"]
    assert first[0] == first[-1] == ".sqlite3-wal"
    assert {".sqlite3", "journal", "state"} < set(first[1:-1])


def test_a_durable_change_costs_one_sync(syncs: dict[str, list[str]]) -> None:
    assert set(syncs["durable"]) == {".sqlite3-wal"}
    assert syncs["add"] == []


def test_what_was_durable_stays_so_when_the_log_begins_anew(syncs: dict[str, list[str]]) -> None:
    """A checkpoint that syncs nothing would let a power cut take what was synced in the log."""
    assert {".sqlite3-wal", ".sqlite3"} <= set(syncs["many"])
    assert len(syncs["many"]) < 40

"""The journal on real files, in real processes: what is written is there, damage does no harm."""

from __future__ import annotations

import errno
import fcntl
import os
import random
import re
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from sealift.errors import JournalError
from sealift.journal import DeadRun, Journal, Leftovers, dead_runs, live_upload_ids
from sealift.model import MiB, PartDone
from sealift.records import (
    Change,
    DownloadPlanned,
    DownloadRecord,
    Ended,
    PartAdded,
    RangeAdded,
    RangeDone,
    RunRecord,
    UploadCompleting,
    UploadCreated,
    UploadPlanned,
    UploadRecord,
    UploadState,
)

SCOPE = "https://localhost:9000/bucket"
OTHER_SCOPE = "https://localhost:9000/other"
TOKENS = [f"{number:016x}" for number in range(1, 9)]
WORDS = ("cp", "photos/", "s3://bucket/")


def run_record(number: int = 0, **changes: Any) -> RunRecord:
    run = RunRecord(TOKENS[number], 1000.5 + number, WORDS, "/work", SCOPE, "/back")
    return run._replace(**changes)


def upload(number: int = 0, **changes: Any) -> UploadRecord:
    record = UploadRecord(
        f"{number:032x}", SCOPE, f"name-{number}", f"/photos/{number}",
        (1, 2, 3, 4, 5), 64 * MiB, 8 * MiB, "k" * 16, 2**64 - 1, 1000.25,
    )  # fmt: skip
    return record._replace(**changes)


def created(number: int = 0, **changes: Any) -> UploadRecord:
    record = upload(number, state=UploadState.CREATED, upload_id=f"id-{number}", keeps_crc=True)
    return record._replace(**changes)


def part(number: int) -> PartDone:
    return PartDone(number, 8 * MiB, f'"etag-{number}"', 2**63 + number)


def download(number: int = 0, **changes: Any) -> DownloadRecord:
    record = DownloadRecord(
        f".sealift-{TOKENS[0]}-{number}.tmp", SCOPE, f"name-{number}", "/back", f"d/{number}",
        '"e"', None, 64 * MiB, 16 * MiB, "k" * 16,
    )  # fmt: skip
    return record._replace(**changes)


def fetched(number: int) -> RangeDone:
    return RangeDone(number * 16 * MiB, 16 * MiB, 2**64 - 1 - number)


@dataclass
class State:
    """A state directory, and what can be done to it."""

    path: Path

    @property
    def text(self) -> str:
        return str(self.path)

    @property
    def directory(self) -> Path:
        return self.path / "journal"

    def file(self, token: str = TOKENS[0], suffix: str = ".sqlite3") -> Path:
        return self.directory / f"{token}{suffix}"

    def names(self) -> list[str]:
        return sorted(os.listdir(self.directory))

    def open(self, number: int = 0, **changes: Any) -> Journal:
        journal = Journal(self.text, run_record(number, **changes))
        journal.open()
        return journal

    def leave(self, *changes: Change, number: int = 0, **run: Any) -> None:
        """A run that wrote `changes` and did not come to its end."""
        journal = self.open(number, **run)
        journal.write(changes, durable=True)
        journal.close(finished=False)

    def found(self) -> tuple[list[DeadRun], list[str]]:
        """The dead runs, unlocked again, and what is said of damage."""
        damaged: list[str] = []
        with dead_runs(self.text, damaged) as found:
            return list(found), damaged

    def only(self) -> DeadRun:
        (dead,), damaged = self.found()
        assert damaged == []
        return dead


@pytest.fixture
def state(tmp_path: Path) -> State:
    return State(tmp_path / "state")


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
    assert first.leftovers().uploads == {(SCOPE, "name-0"): created(0)}
    assert second.leftovers().uploads == {}
    assert state.found() == ([], [])
    first.close(finished=True)
    assert second.leftovers().uploads == {(SCOPE, "name-0"): created(0)}
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


@pytest.mark.parametrize("is_swept", [True, False])
@pytest.mark.parametrize("same", [True, False])
def test_a_dead_run_of_the_same_command_ends_with_it(
    state: State, is_swept: bool, same: bool
) -> None:
    """When nothing of it is left: neither uploads and downloads nor temporary files."""
    state.leave(UploadPlanned(created(0)))
    journal = state.open(1, words=WORDS if same else ("put",))
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
    assert found.uploads == {(SCOPE, "name-0"): created(0)}
    assert found.superseded == [older]


def test_an_upload_that_two_dead_runs_have_is_one(state: State) -> None:
    """The later one was killed when it had taken it over, and the older one not forgotten it."""
    state.leave(UploadPlanned(created(0, parts=(part(1),))), number=2, started_at=1.0)
    later = created(0, parts=(part(1), part(2)))
    state.leave(UploadPlanned(later), number=3, started_at=2.0)
    journal = state.open(1)
    found = journal.leftovers()
    assert (found.uploads, found.superseded) == ({(SCOPE, "name-0"): later}, [])
    journal.release(later.marker)
    journal.close(finished=False)
    assert [dead.uploads for dead in state.found()[0]] == [[], [], []]


def test_the_ids_of_runs_that_are_alive(state: State) -> None:
    state.leave(UploadPlanned(created(7)), number=3)
    first, second = state.open(1), state.open(2)
    first.write([UploadPlanned(created(1)), UploadPlanned(upload(2))], durable=False)
    assert live_upload_ids(state.text) == {"id-1"}
    found = second.leftovers()
    assert {"id-1"} <= found.alive
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


def start(code: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments], text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip


def test_a_run_of_another_process_is_not_touched_while_it_lives(
    state: State, holder: subprocess.Popen[str]
) -> None:
    state.leave(UploadPlanned(upload(0)))
    journal = state.open(1)
    found = journal.leftovers()
    assert (found.runs, found.alive) == ([run_record(0)], {"held-id"})
    journal.release(upload(0).marker)
    journal.swept(TOKENS[0])
    journal.close(finished=True)
    before = state.names()
    assert {name.partition(".")[0] for name in before} == {TOKENS[5]}
    assert state.found() == ([], [])
    assert live_upload_ids(state.text) == {"held-id"}
    assert state.names() == before
    with pytest.raises(JournalError, match="another run has this name"):
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
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
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


# Damage

STEPS: list[tuple[Sequence[Change], bool]] = [
    ([UploadPlanned(upload(0)), UploadPlanned(upload(1))], True),
    ([UploadCreated(upload(0).marker, "id-0", True)], True),
    ([PartAdded(upload(0).marker, part(number)) for number in range(1, 6)], False),
    ([DownloadPlanned(download(0)), DownloadPlanned(download(1, ranges=(fetched(3),)))], False),
    ([RangeAdded(download(0).temporary, fetched(number)) for number in range(3)], False),
    ([UploadCompleting(upload(0).marker)], True),
    ([Ended(upload(1).marker), UploadPlanned(created(2, parts=(part(1),)))], True),
]

Told = tuple[list[UploadRecord], list[DownloadRecord]]


def told(dead: DeadRun) -> Told:
    return sorted(dead.uploads), sorted(dead.downloads)


@dataclass
class Template:
    """The files of a dead run, what it had written after each step, and a place for damage."""

    files: dict[str, bytes]
    history: list[Told]
    state: State

    def look(self, name: str, content: bytes) -> tuple[Told | None, list[str]]:
        """What is found when the file that ends with `name` has another content."""
        shutil.rmtree(self.state.path, ignore_errors=True)
        self.state.directory.mkdir(parents=True)
        for suffix, whole in self.files.items():
            self.state.file(suffix=suffix).write_bytes(content if suffix == name else whole)
        found, damaged = self.state.found()
        assert len(found) <= 1
        for dead in found:
            assert dead.run == run_record()
        aside = self.state.file(suffix=".damaged").exists()
        assert aside == any("renamed" in note for note in damaged)
        assert aside <= (not found)
        return (told(found[0]) if found else None), damaged


@pytest.fixture(scope="module")
def logged(tmp_path_factory: pytest.TempPathFactory) -> Template:
    """Most is in the log: the run was killed."""
    state = State(tmp_path_factory.mktemp("logged"))
    journal = state.open()
    history: list[Told] = [([], [])]
    for changes, durable in STEPS:
        journal.write(changes, durable=durable)
        copy = State(state.path / "copy")
        shutil.copytree(state.directory, copy.directory)
        history.append(told(copy.only()))
        shutil.rmtree(copy.path)
    files = {
        suffix: state.file(suffix=suffix).read_bytes() for suffix in (".sqlite3", ".sqlite3-wal")
    }
    journal.close(finished=False)
    return Template(files, history, State(state.path / "look"))


@pytest.fixture(scope="module")
def settled(logged: Template, tmp_path_factory: pytest.TempPathFactory) -> Template:
    """All is in the file: somebody has looked at the run since it was killed."""
    logged.look("", b"")
    files = {".sqlite3": logged.state.file().read_bytes()}
    assert logged.state.names() == [f"{TOKENS[0]}.lock", f"{TOKENS[0]}.sqlite3"]
    return Template(files, logged.history, State(tmp_path_factory.mktemp("settled") / "look"))


def assert_part_of(some: Told, whole: Told) -> None:
    """Each record was written, if not all that belongs to it."""
    for known, written in ((some[0], whole[0]), (some[1], whole[1])):
        by_name = {record[0]: record for record in written}
        for record in known:
            original = by_name[record[0]]
            assert record[:10] == original[:10]
            assert record[10:-1] in (original[10:-1], *_EARLIER)
            assert set(record[-1]) <= set(original[-1])


# State, upload id and who keeps the checksum: Complete, and Create, were not found.
_EARLIER = [(UploadState.CREATED, "id-0", True), (UploadState.PLANNED, "", False)]


def test_case_15_a_log_cut_anywhere_is_an_earlier_state(logged: Template) -> None:
    log = logged.files[".sqlite3-wal"]
    chance = random.Random(15)
    frames = range(32, len(log) + 1, 24 + 4096)
    assert len(log) == frames[-1]
    cuts = {0, 8, 31, *frames, *(start + 24 for start in frames)}
    cuts |= {start + step for start in frames for step in (-1, 1)}
    cuts |= {chance.randrange(len(log)) for _ in range(40)}
    states = []
    for cut in sorted(cuts):
        found, damaged = logged.look(".sqlite3-wal", log[:cut])
        assert found in logged.history, cut
        assert damaged == [], cut
        states.append(logged.history.index(found))
    assert states == sorted(states)
    assert set(states) == set(range(len(logged.history)))


@pytest.mark.parametrize("first", range(4))
def test_case_15_a_bit_flipped_in_the_log_is_an_earlier_state_and_told(
    logged: Template, first: int
) -> None:
    """But for the very last change: there it looks as if it had been under way."""
    log = logged.files[".sqlite3-wal"]
    for place in {*range(first, 32, 4), *range(97 * first, len(log), 4 * 97)}:
        found, damaged = logged.look(".sqlite3-wal", _flipped(log, place))
        assert found in logged.history, place
        assert found in logged.history[-2:] or len(damaged) == 1, place
        assert found != logged.history[-1] or damaged == [], place


@pytest.mark.parametrize("first", range(4))
def test_case_15_a_bit_flipped_in_the_file_is_never_believed(settled: Template, first: int) -> None:
    content = settled.files[".sqlite3"]
    kinds = {"same": 0, "fewer": 0, "aside": 0}
    for place in range(23 * first, len(content), 97):
        found, damaged = settled.look(".sqlite3", _flipped(content, place))
        if found == settled.history[-1]:
            kinds["same"] += 1
            continue
        assert len(damaged) == 1, place
        kinds["fewer" if found else "aside"] += 1
        if found is not None:
            assert_part_of(found, settled.history[-1])
    assert all(kinds.values()), kinds


def _flipped(content: bytes, place: int) -> bytes:
    flipped = bytearray(content)
    flipped[place] ^= 1 << place % 8
    return bytes(flipped)


def test_case_15_text_that_is_no_text_costs_its_own_row_only(settled: Template) -> None:
    content = bytearray(settled.files[".sqlite3"])
    content[content.index(b"name-2")] ^= 0x80
    found, damaged = settled.look(".sqlite3", bytes(content))
    uploads, downloads = settled.history[-1]
    assert found == (uploads[:1], downloads)
    assert [note.startswith("1 entries") for note in damaged] == [True]


def test_case_15_a_log_that_had_all_is_set_aside_when_damaged(state: State, tmp_path: Path) -> None:
    journal = state.open()
    journal.write([UploadPlanned(upload(0))], durable=False)
    log = state.file(suffix=".sqlite3-wal").read_bytes()
    files = {".sqlite3": state.file().read_bytes(), ".sqlite3-wal": log}
    template = Template(files, [], State(tmp_path / "look"))
    journal.close(finished=True)
    assert template.look("", b"") == (([upload(0)], []), [])
    found, damaged = template.look(".sqlite3-wal", _flipped(log, 0))
    assert (found, len(damaged)) == (None, 1)


def test_case_15_a_file_cut_anywhere_is_set_aside_or_had_not_begun(settled: Template) -> None:
    content = settled.files[".sqlite3"]
    chance = random.Random(16)
    cuts = {*range(0, len(content), 4096), *(chance.randrange(len(content)) for _ in range(50))}
    for cut in cuts:
        found, damaged = settled.look(".sqlite3", content[:cut])
        assert found is None, cut
        assert len(damaged) == (cut > 0), cut


@pytest.mark.parametrize("seed", range(3))
def test_case_15_several_bytes_overwritten(logged: Template, settled: Template, seed: int) -> None:
    chance = random.Random(seed)
    for template, name in ((logged, ".sqlite3-wal"), (logged, ".sqlite3"), (settled, ".sqlite3")):
        for _ in range(25):
            content = bytearray(template.files[name])
            for _ in range(20):
                content[chance.randrange(len(content))] = chance.randrange(256)
            found, _ = template.look(name, bytes(content))
            if found is not None and found not in template.history:
                assert_part_of(found, template.history[-1])


def test_case_15_old_and_new_halves_of_a_page(settled: Template) -> None:
    """Sectors that did not get to the disk are as they were before: zeros, or another page."""
    content = settled.files[".sqlite3"]
    for start in range(0, len(content), 512):
        for sector in (bytes(512), content[-512:], content[4096 : 4096 + 512]):
            found, damaged = settled.look(
                ".sqlite3", content[:start] + sector + content[start + 512 :]
            )
            if found != settled.history[-1]:
                assert len(damaged) == 1, start
            if found is not None:
                assert_part_of(found, settled.history[-1])


LIFE = """
import sqlite3, sys, urllib.parse
from sealift.journal import Journal
from sealift.records import Ended, RunRecord, UploadPlanned, UploadRecord
journal = Journal(sys.argv[1], RunRecord(sys.argv[2], 1.5, (), "/", sys.argv[3], None))
def planned(number):
    name = f"{number:032x}"
    return UploadPlanned(UploadRecord(name, sys.argv[3], "n", "/f", None, 9, 9, None, None, 1.5))
journal.open()
print("-", flush=True)
journal.write([planned(0)], durable=True)
print("0", flush=True)
journal.write([planned(1)], durable=False)
print("01", flush=True)
journal.write([planned(2), Ended(f"{1:032x}")], durable=True)
print("02", flush=True)
journal.close(finished=True)
"""
_CALL = re.compile(
    r"\d+ +(\w+)\((?:\d+<([^>]*)>|AT_FDCWD<[^>]*>, \"([^\"]*)\"|\"([^\"]*)\")(.*)\) += [0-9]"
)


def test_case_15_a_run_killed_after_any_system_call_is_whole(state: State, tmp_path: Path) -> None:
    """All that a run does to its files, made again one by one: each is a state without damage."""
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    trace = "trace=openat,write,pwrite64,ftruncate,unlink"
    command = ["strace", "-f", "-qq", "-y", "-xx", "-s", "9000", "-e", trace, "-e", "signal=none"]
    log = tmp_path / "log"
    subprocess.run(
        [*command, "-o", str(log), sys.executable, "-c", LIFE, state.text, TOKENS[0], SCOPE],
        check=True, capture_output=True, timeout=60,
    )  # fmt: skip
    files: dict[str, bytearray] = {}
    told = ""
    seen = set()
    look = State(tmp_path / "look")
    for found in filter(None, map(_CALL.match, log.read_text().splitlines())):
        call, of_descriptor, created, named, rest = found.groups()
        name = os.path.basename(_text(of_descriptor or created or named or ""))
        if call == "write":
            told = _text(rest.split('"')[1]).strip() or told
            continue
        if not name.startswith(TOKENS[0]) or name.endswith("-shm"):
            continue
        if call == "openat":
            if "O_CREAT" in rest:
                files.setdefault(name, bytearray())
        elif call == "unlink":
            files.pop(name, None)
        elif call == "ftruncate":
            del files[name][int(rest[2:]) :]
        else:
            data, at = _bytes(rest.split('"')[1]), int(rest.rsplit(",", 1)[1])
            files[name].extend(bytes(max(0, at - len(files[name]))))
            files[name][at : at + len(data)] = data
        seen.add((told, _written(look, files)))
    assert seen <= {
        ("", ""), ("-", ""), ("-", "0"), ("0", "0"), ("0", "01"), ("01", "01"), ("01", "02"),
        ("02", "02"), ("02", ""),
    }  # fmt: skip
    assert len(seen) > 6


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text.replace("\\x", ""))


def _text(text: str) -> str:
    return _bytes(text).decode()


def _written(state: State, files: dict[str, bytearray]) -> str:
    """Which uploads are found in these files."""
    shutil.rmtree(state.path, ignore_errors=True)
    state.directory.mkdir(parents=True)
    for name, content in files.items():
        (state.directory / name).write_bytes(content)
    found, damaged = state.found()
    assert damaged == []
    return "".join(sorted(record.marker[-1] for dead in found for record in dead.uploads))


def test_a_run_that_had_not_begun_leaves_nothing(state: State) -> None:
    """Killed before it wrote who it is."""
    state.directory.mkdir(parents=True)
    state.file().touch(0o600)
    state.file(suffix=".lock").touch(0o600)
    connection = sqlite3.connect(state.file(TOKENS[1]))
    connection.execute("PRAGMA journal_mode = WAL")
    connection.close()
    assert state.found() == ([], [])
    assert state.names() == []


def test_a_file_that_is_no_database_is_set_aside(state: State) -> None:
    state.leave(UploadPlanned(upload(0)))
    state.file(TOKENS[1]).write_bytes(b"no database" * 1000)
    found, damaged = state.found()
    assert [dead.run for dead in found] == [run_record()]
    aside = state.file(TOKENS[1], ".damaged")
    assert [str(aside) in note for note in damaged] == [True]
    assert aside.read_bytes() == b"no database" * 1000
    assert state.found()[1] == []


def test_a_database_of_another_program_is_set_aside(state: State) -> None:
    state.directory.mkdir(parents=True)
    connection = sqlite3.connect(state.file())
    connection.execute("CREATE TABLE other (x)")
    connection.commit()
    connection.close()
    before = state.file().read_bytes()
    found, damaged = state.found()
    assert (found, len(damaged)) == ([], 1)
    assert state.file(suffix=".damaged").read_bytes() == before


def test_a_journal_without_its_run_is_set_aside(state: State) -> None:
    """Its uploads are still to be found by hand."""
    state.leave(UploadPlanned(created(0)))
    connection = sqlite3.connect(state.file())
    connection.execute("DELETE FROM entry WHERE kind = 'run'")
    connection.commit()
    connection.close()
    found, damaged = state.found()
    assert (found, len(damaged)) == ([], 1)
    assert b"name-0" in state.file(suffix=".damaged").read_bytes()


@pytest.mark.parametrize("is_full", [True, False])
def test_a_directory_in_the_file_s_place_is_set_aside(state: State, is_full: bool) -> None:
    state.file().mkdir(parents=True)
    if is_full:
        (state.file() / "x").write_bytes(b"kept")
    found, damaged = state.found()
    assert (found, len(damaged)) == ([], 1)
    assert state.file(suffix=".damaged").is_dir()
    assert state.found() == ([], [])


@pytest.mark.parametrize("kind", ["link", "pipe"])
def test_what_is_no_file_is_not_opened(state: State, tmp_path: Path, kind: str) -> None:
    victim = State(tmp_path / "victim")
    victim.leave(UploadPlanned(upload(0)))
    before = victim.file().read_bytes()
    state.directory.mkdir(parents=True)
    if kind == "link":
        state.file().symlink_to(victim.file())
    else:
        os.mkfifo(state.file())
    found, damaged = state.found()
    assert (found, len(damaged)) == ([], 1)
    assert victim.file().read_bytes() == before


def test_a_lock_that_is_a_link_is_not_followed(state: State, tmp_path: Path) -> None:
    state.leave(UploadPlanned(upload(0)))
    lock = state.file(suffix=".lock")
    lock.unlink(missing_ok=True)
    lock.symlink_to(tmp_path / "elsewhere")
    found, damaged = state.found()
    assert (found, len(damaged)) == ([], 1)
    assert not (tmp_path / "elsewhere").exists()
    assert live_upload_ids(state.text) == set()


# A journal that cannot be had


def write_all(journal: Journal) -> None:
    journal.open()
    for number in range(200):
        journal.write([UploadPlanned(created(number, path="/" + "x" * 2000))], durable=True)


def fill(state: State) -> Path:
    """Leave no room on its file system."""
    filler = state.path / "filler"
    room = shutil.disk_usage(state.path).free
    filler.write_bytes(bytes(room))
    assert shutil.disk_usage(state.path).free == 0
    return filler


def test_a_full_disk_ends_the_journal_and_takes_nothing_from_it(
    mounted: Callable[[str], Path],
) -> None:
    small = State(mounted("size=256k"))
    journal = Journal(small.text, run_record())
    with pytest.raises(JournalError, match=r"full|I/O"):
        write_all(journal)
    journal.close(finished=False)
    markers = sorted(record.marker for record in small.only().uploads)
    assert len(markers) >= 10
    assert markers == [upload(number).marker for number in range(len(markers))]


def test_a_full_disk_keeps_nobody_from_looking_and_removing(
    mounted: Callable[[str], Path],
) -> None:
    """Or `clean` could not make room."""
    small = State(mounted("size=256k"))
    small.leave(UploadPlanned(upload(0)), UploadPlanned(upload(1)))
    filler = fill(small)
    dead = small.only()
    assert sorted(dead.uploads) == [upload(0), upload(1)]
    dead.forget(upload(0).marker)
    assert dead.uploads == [upload(1)]
    dead.remove()
    filler.unlink()
    assert small.names() == []


def test_a_disk_too_full_to_begin(mounted: Callable[[str], Path]) -> None:
    small = State(mounted("size=64k"))
    filler = fill(small)
    journal = Journal(small.text, run_record())
    with pytest.raises(JournalError, match="cannot be used"):
        journal.open()
    journal.close(finished=False)
    filler.unlink()
    assert not small.directory.exists() or small.names() == []


def test_a_read_only_file_system(mounted: Callable[[str], Path]) -> None:
    place = State(mounted("size=1m"))
    place.leave(UploadPlanned(upload(0)))
    before = place.names()
    subprocess.run(["mount", "-o", "remount,ro", str(place.path)], check=True)
    journal = Journal(place.text, run_record(1))
    with pytest.raises(JournalError, match="Read-only"):
        journal.open()
    journal.close(finished=True)
    found, damaged = place.found()
    assert (found, len(damaged)) == ([], 1)
    assert "damaged" not in damaged[0]
    assert live_upload_ids(place.text) == set()
    assert place.names() == before


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Makes small file systems. Only root can; CI must."""
    made: list[Path] = []

    def mount(options: str) -> Path:
        directory = tmp_path / "mounted"
        directory.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(directory)]
        if subprocess.run(command, capture_output=True, check=False).returncode:
            if os.geteuid() == 0:
                pytest.fail("cannot mount a tmpfs")
            pytest.skip("only root can mount a tmpfs")
        made.append(directory)
        return directory

    yield mount
    for directory in made:
        subprocess.run(["umount", str(directory)], check=True)


AS_NOBODY = """
import os, sqlite3, sys, urllib.parse
from sealift.errors import JournalError
from sealift.journal import Journal, dead_runs, live_upload_ids
from sealift.records import RunRecord
if os.geteuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
journal = Journal(sys.argv[1], RunRecord(sys.argv[2], 1.5, (), "/", sys.argv[3], None))
damaged = []
try:
    journal.open()
    print("opened", len(journal.leftovers().runs))
except JournalError as error:
    print(error)
journal.close(finished=True)
try:
    with dead_runs(sys.argv[1], damaged) as found:
        print(len(found), damaged)
except JournalError as error:
    print(error)
print(live_upload_ids(sys.argv[1]) if len(sys.argv) > 4 else "")
"""


@pytest.fixture
def open_path(tmp_path: Path) -> Path:
    """A directory that every user gets to, for as long as the test takes."""
    for path in (tmp_path, *list(tmp_path.parents)[:3]):
        if path.stat().st_uid == os.geteuid() and path != Path("/tmp"):
            path.chmod(path.stat().st_mode | 0o055)
    return tmp_path


def test_an_unwritable_directory(open_path: Path) -> None:
    state = State(open_path / "state")
    state.path.mkdir(0o555)
    with start(AS_NOBODY, state.text, TOKENS[0], SCOPE, "all") as child:
        out, _ = child.communicate()
    assert out.splitlines()[0].endswith("has room")
    assert "Permission denied" in out.splitlines()[0]
    assert out.splitlines()[1:] == ["0 []", "set()"]
    assert os.listdir(state.path) == []


def test_a_directory_that_cannot_be_listed(open_path: Path) -> None:
    state = State(open_path / "state")
    state.directory.mkdir(parents=True)
    state.directory.chmod(0)
    with start(AS_NOBODY, state.text, TOKENS[0], SCOPE) as child:
        out, _ = child.communicate()
    state.directory.chmod(0o700)
    assert [line.count("Permission denied") for line in out.splitlines()] == [1, 1, 0]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be two users")
def test_a_journal_of_another_user_stops_nobody(open_path: Path) -> None:
    """A run under sudo, in the same home."""
    state = State(open_path / "state")
    state.leave(UploadPlanned(upload(0)))
    state.directory.chmod(0o777)
    before = state.names()
    with start(AS_NOBODY, state.text, TOKENS[1], SCOPE, "all") as child:
        out, _ = child.communicate()
    lines = out.splitlines()
    assert lines[0] == "opened 0"
    assert lines[1].startswith("0 [")
    assert lines[1].count("Permission denied") == 1
    assert lines[2] == "set()"
    assert state.names() == before
    assert state.only().uploads == [upload(0)]


def test_a_file_that_cannot_be_opened_now_is_not_called_damaged(state: State) -> None:
    """A process that has no file descriptor left."""
    code = """
import resource, sqlite3, sys, urllib.parse
from sealift.journal import dead_runs
damaged = []
resource.setrlimit(resource.RLIMIT_NOFILE, (4, 4))
with dead_runs(sys.argv[1], damaged) as found:
    print(len(found), damaged)
"""
    state.leave(UploadPlanned(upload(0)))
    with start(code, state.text) as child:
        out, _ = child.communicate()
    assert out.startswith("0 ['the journal")
    assert "cannot be used: unable to open" in out
    assert state.only().uploads == [upload(0)]


FAILING = """
import sqlite3, sys, urllib.parse
from sealift.errors import JournalError
from sealift.journal import Journal, dead_runs
from sealift.records import Ended, RunRecord
journal = Journal(sys.argv[1], RunRecord(sys.argv[2], 1.5, (), "/", sys.argv[3], None))
try:
    journal.open()
    print("opened")
    journal.write([Ended("x")], durable=True)
    print("durable")
except JournalError as error:
    print(error.message)
journal.close(finished=True)
damaged = []
with dead_runs(sys.argv[1], damaged) as found:
    print(len(found), *damaged)
"""


@pytest.mark.parametrize(
    ("inject", "reason", "step"),
    [
        ("flock:error=ENOLCK", "No locks available", 0),
        ("fsync,fdatasync:error=EIO", "disk I/O error", 1),
        ("pwrite64:error=ENOSPC", "full", 0),
    ],
)
def test_what_the_system_refuses(state: State, inject: str, reason: str, step: int) -> None:
    """A lock that cannot be had is not one that is held; what is not synced is not durable."""
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    state.directory.mkdir(parents=True)
    done = subprocess.run(
        ["strace", "-f", "-qq", "-o", "/dev/null", "-P", str(state.directory),
         *(word for suffix in (".sqlite3", ".sqlite3-wal", ".sqlite3-journal", ".lock")
           for word in ("-P", str(state.file(suffix=suffix)))),
         "-e", f"inject={inject}", sys.executable, "-c", FAILING, state.text, TOKENS[0], SCOPE],
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    *steps, last = done.stdout.splitlines()
    assert steps[:-1] == ["opened"][:step]
    assert reason in steps[-1]
    assert last == "0"
    assert state.names() == []


def test_a_dead_run_whose_lock_cannot_be_had_is_told(
    state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    state.leave(UploadPlanned(upload(0)))

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    with monkeypatch.context() as patch:
        patch.setattr(fcntl, "flock", refuse)
        found, damaged = state.found()
    assert found == []
    assert ["No locks available" in note for note in damaged] == [True]
    assert state.only().uploads == [upload(0)]


def test_a_file_where_the_directory_should_be(tmp_path: Path) -> None:
    (tmp_path / "state").write_bytes(b"a file")
    journal = Journal(str(tmp_path / "state"), run_record())
    with pytest.raises(JournalError):
        journal.open()
    with pytest.raises(JournalError), dead_runs(str(tmp_path / "state")):
        pass


def test_a_journal_in_the_way_stays(state: State) -> None:
    state.leave(UploadPlanned(upload(0)))
    journal = Journal(state.text, run_record())
    with pytest.raises(JournalError, match="File exists"):
        journal.open()
    assert state.found() == ([], [])
    journal.close(finished=True)
    assert state.only().uploads == [upload(0)]


def test_a_directory_above_that_cannot_be_read(open_path: Path) -> None:
    """It may be gone through, and so it is."""
    outer = open_path / "outer"
    (outer / "home").mkdir(parents=True)
    outer.chmod(0o711)
    (outer / "home").chmod(0o733)
    state = State(outer / "home" / "state")
    code = AS_NOBODY.replace("journal.close(", "journal.write([], durable=True)\njournal.close(", 1)
    with start(code, state.text, TOKENS[0], SCOPE) as child:
        out, _ = child.communicate()
    assert (child.returncode, out.splitlines()[:2]) == (0, ["opened 0", "0 []"])

"""What transfers note is durable when they are told so, and a failing journal ends only itself."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import anyio
import pytest
from tests.kit import until

from sealift import ledger as module
from sealift.errors import Cause, IntegrityError, JournalError, LocalFileError, ObjectError
from sealift.events import Event, Noted
from sealift.files.disk import THREAD_COUNT, Disk
from sealift.journal import Journal, dead_runs
from sealift.ledger import Ledger, is_resumable
from sealift.records import (
    Change,
    DownloadPlanned,
    DownloadRecord,
    Ended,
    RunRecord,
    UploadPlanned,
    UploadRecord,
)

pytestmark = pytest.mark.anyio

SCOPE = "https://localhost:9000/bucket"


def upload(number: int, **changes: object) -> UploadRecord:
    record = UploadRecord(f"{number:032x}", SCOPE, f"n{number}", "/f", None, 9, 9, None, None, 1.5)
    return record._replace(**changes)  # type: ignore[arg-type]


def planned(number: int) -> UploadPlanned:
    return UploadPlanned(upload(number))


class Watched(Journal):
    """A journal whose calls are counted, wait at `gate`, and fail when told."""

    def __init__(self, directory: str, run: RunRecord) -> None:
        super().__init__(directory, run)
        self.written: list[tuple[Sequence[Change], bool]] = []
        self.begun: list[str] = []
        self.gate = threading.Event()
        self.gate.set()
        self.failure: JournalError | None = None

    def _pass(self, call: str) -> None:
        self.begun.append(call)
        assert self.gate.wait(3)
        if self.failure is not None:
            raise self.failure

    def open(self) -> None:
        self._pass("open")
        super().open()

    def write(self, changes: Sequence[Change], *, durable: bool) -> None:
        self._pass("write")
        super().write(changes, durable=durable)
        self.written.append((changes, durable))

    def numbers(self, *, durable: bool | None = None) -> list[int]:
        """What was written, in its order."""
        return [
            int(change.record.marker, 16)
            for changes, synced in self.written
            for change in changes
            if durable in (None, synced) and isinstance(change, UploadPlanned)
        ]


class Site:
    """A ledger on a journal in a directory of its own."""

    def __init__(self, directory: Path) -> None:
        self.directory = str(directory)
        self.disk = Disk()
        self.events: list[Event] = []
        self.store, self.ledger = self.make(1)

    def make(
        self, number: int, *, resumes: bool = True, root: str | None = "/back"
    ) -> tuple[Watched, Ledger]:
        """Another run of the same command."""
        run = RunRecord(f"{number:016x}", float(number), ("cp",), "/work", SCOPE, root)
        store = Watched(self.directory, run)
        return store, Ledger(store, run, self.disk, self, resumes=resumes)

    def emit(self, event: Event) -> None:
        self.events.append(event)

    @property
    def notes(self) -> list[str]:
        return [event.text for event in self.events if isinstance(event, Noted)]

    def left(self) -> list[str]:
        """The uploads of dead runs."""
        with dead_runs(self.directory) as found:
            return sorted(record.name for dead in found for record in dead.uploads)

    def files(self) -> list[str]:
        return sorted(path.name for path in Path(self.directory).rglob("*") if path.is_file())


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path)
    yield made
    made.store.gate.set()
    made.disk.close()


# Notes


async def test_notes_that_meet_are_made_by_few_writes(site: Site) -> None:
    told: list[int] = []

    async def note(number: int) -> None:
        await site.ledger.note(planned(number))
        assert number in site.store.numbers(durable=True)
        told.append(number)

    await site.ledger.open()
    site.store.gate.clear()
    async with anyio.create_task_group() as group:
        for number in range(100):
            group.start_soon(note, number)
        await until(lambda: "write" in site.store.begun)
        assert told == []
        site.store.gate.set()
    assert sorted(told) == list(range(100))
    assert site.store.numbers() == list(range(100))
    assert len(site.store.written) <= 2
    await site.ledger.finish(finished=False)
    assert len(site.left()) == 100


async def test_nothing_is_opened_before_something_is_noted(site: Site) -> None:
    await site.ledger.finish(finished=True)
    assert (site.store.begun, site.files()) == ([], [])


async def test_what_was_added_goes_along_with_the_next_note(site: Site) -> None:
    site.ledger.add(planned(1), planned(2))
    await site.ledger.note(planned(3))
    assert [durable for _, durable in site.store.written] == [True]
    assert site.store.numbers() == [1, 2, 3]
    await site.ledger.finish(finished=True)


async def test_a_note_that_another_one_wrote_writes_nothing(site: Site) -> None:
    await site.ledger.note(planned(1))
    await site.ledger.note()
    assert len(site.store.written) == 1
    await site.ledger.finish(finished=True)


def test_what_a_crash_may_cost_is_a_second() -> None:
    assert module.INTERVAL <= 1


async def test_what_was_added_is_written_before_long(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "INTERVAL", 0.01)
    async with anyio.create_task_group() as group:
        group.start_soon(site.ledger.keep_writing)
        for number in range(3):
            site.ledger.add(planned(number))
            with anyio.fail_after(5):
                await until(lambda number=number: number in site.store.numbers())
        group.cancel_scope.cancel()
    assert site.store.numbers() == [0, 1, 2]
    await site.ledger.finish(finished=True)


@pytest.mark.parametrize("finished", [True, False])
async def test_the_end_writes_the_rest(site: Site, finished: bool) -> None:
    await site.ledger.note(planned(1))
    site.ledger.add(planned(2))
    await site.ledger.finish(finished=finished)
    assert site.store.numbers() == [1, 2]
    assert site.left() == ([] if finished else ["n1", "n2"])
    assert (site.files() == []) == finished
    assert not site.ledger.is_kept
    assert site.notes == []


async def test_what_ended_before_it_was_written_leaves_nothing(site: Site) -> None:
    site.ledger.add(planned(1), Ended(upload(1).marker), planned(2))
    await site.ledger.finish(finished=False)
    assert site.left() == ["n2"]


# A journal that fails


async def test_a_failure_ends_the_journal_and_not_the_run(site: Site) -> None:
    await site.ledger.note(planned(1))
    assert site.ledger.is_kept
    site.store.failure = JournalError("no room")
    await site.ledger.note(planned(2))
    assert not site.ledger.is_kept
    site.store.failure = None
    await site.ledger.note(planned(3))
    site.ledger.add(planned(4))
    assert await site.ledger.take_uploads("n1") == []
    await site.ledger.release("x")
    await site.ledger.swept(["x"])
    await site.ledger.finish(finished=False)
    assert ["no room" in note for note in site.notes] == [True]
    assert site.store.numbers() == [1]


@pytest.mark.parametrize("finished", [True, False])
async def test_a_journal_that_failed_ends_with_its_run_and_not_before(
    site: Site, finished: bool
) -> None:
    """Nobody else goes on with uploads that this run is busy with; and its lock is given back."""
    await site.ledger.note(planned(1))
    site.store.failure = JournalError("no room")
    await site.ledger.note(planned(2))
    assert site.left() == []
    await site.ledger.finish(finished=finished)
    assert site.left() == ([] if finished else ["n1"])
    assert (site.files() == []) == finished


async def test_a_journal_that_cannot_be_opened_is_told_once(tmp_path: Path) -> None:
    (tmp_path / "journal").write_bytes(b"a file in the way")
    site = Site(tmp_path)
    await site.ledger.note(planned(1))
    await site.ledger.note(planned(2))
    await site.ledger.finish(finished=False)
    assert len(site.notes) == 1
    assert site.files() == ["journal"]
    site.disk.close()


async def test_damage_that_dead_runs_left_is_told(site: Site) -> None:
    await leave(site, planned(1))
    with dead_runs(site.directory) as found:
        (path,) = [dead.path for dead in found]
    await site.disk.run(Path(path).write_bytes, b"no database" * 1000)
    await site.ledger.note(planned(1))
    assert ["damaged" in note for note in site.notes] == [True]
    assert site.ledger.is_kept
    await site.ledger.finish(finished=True)


# Interrupts


async def cancelled_amid(call: str, site: Site, work: Callable[[], object]) -> None:
    """Cancel `work` while the store is at `call`, which goes on."""
    site.store.begun.clear()
    site.store.gate.clear()

    async def interrupt() -> None:
        await until(lambda: call in site.store.begun)
        scope.cancel()
        asyncio.get_running_loop().call_later(0.02, site.store.gate.set)

    with anyio.CancelScope() as scope:
        async with anyio.create_task_group() as group:
            group.start_soon(interrupt)
            await work()  # type: ignore[misc]
    assert scope.cancelled_caught


async def test_an_interrupt_amid_a_write_loses_nothing(site: Site) -> None:
    await site.ledger.note(planned(1))
    await cancelled_amid("write", site, lambda: site.ledger.note(planned(2)))
    site.ledger.add(planned(3))
    await site.ledger.finish(finished=False)
    assert site.left() == ["n1", "n2", "n3"]
    assert site.notes == []


async def test_an_end_that_was_written_twice_stays_the_end(site: Site) -> None:
    """What was written when the interrupt came is written again, in its order."""
    await site.ledger.note(planned(1))
    ended = Ended(upload(1).marker)
    await cancelled_amid("write", site, lambda: site.ledger.note(planned(2), ended))
    await site.ledger.note(planned(1))
    await site.ledger.finish(finished=False)
    assert site.left() == ["n1", "n2"]


async def test_an_interrupt_while_others_write_loses_nothing(site: Site) -> None:
    """It waits for its turn."""
    await site.ledger.open()
    site.store.gate.clear()

    async def note_in_vain() -> None:
        with anyio.CancelScope() as scope:
            group.start_soon(cancel_soon, scope)
            await site.ledger.note(planned(2))
        assert scope.cancelled_caught

    async def cancel_soon(scope: anyio.CancelScope) -> None:
        scope.cancel()
        asyncio.get_running_loop().call_later(0.02, site.store.gate.set)

    async with anyio.create_task_group() as group:
        group.start_soon(site.ledger.note, planned(1))
        await until(lambda: "write" in site.store.begun)
        group.start_soon(note_in_vain)
    await site.ledger.finish(finished=False)
    assert site.left() == ["n1", "n2"]


async def test_an_interrupt_amid_the_opening_leaves_a_whole_journal(site: Site) -> None:
    await cancelled_amid("open", site, lambda: site.ledger.note(planned(1)))
    await site.ledger.finish(finished=False)
    assert site.notes == []
    assert site.left() == ["n1"]


async def test_an_interrupt_before_the_opening_leaves_a_whole_journal(site: Site) -> None:
    """No thread had time for it yet."""
    site.store.gate.clear()
    async with anyio.create_task_group() as group:
        for _ in range(THREAD_COUNT):
            group.start_soon(site.disk.run, site.store._pass, "busy")
        await until(lambda: site.store.begun == ["busy"] * THREAD_COUNT)
        with anyio.move_on_after(0.02) as scope:
            asyncio.get_running_loop().call_later(0.05, site.store.gate.set)
            await site.ledger.note(planned(1))
        assert scope.cancelled_caught
    await site.ledger.finish(finished=False)
    assert site.notes == []
    assert site.left() == ["n1"]


async def test_the_end_of_an_interrupted_run_is_written_all_the_same(site: Site) -> None:
    await site.ledger.note(planned(1))
    with anyio.CancelScope() as scope:
        scope.cancel()
        site.ledger.add(planned(2))
        await site.ledger.finish(finished=False)
    assert site.left() == ["n1", "n2"]


# What dead runs left


def download(number: int, path: str, root: str = "/back") -> DownloadRecord:
    name = f".sealift-{number:016x}-0.tmp"
    return DownloadRecord(name, SCOPE, "n", root, path, "e", None, 9, 9, None)


async def leave(site: Site, *changes: Change, number: int = 2, root: str = "/back") -> None:
    _, ledger = site.make(number, root=root)
    await ledger.note(*changes)
    await ledger.finish(finished=False)


async def test_an_upload_is_handed_over_once(site: Site) -> None:
    elsewhere = UploadPlanned(upload(5, scope="https://localhost:9000/other"))
    await leave(site, planned(1), elsewhere)
    assert await site.ledger.take_uploads("n5") == []
    assert await site.ledger.take_uploads("n1") == [upload(1)]
    assert await site.ledger.take_uploads("n1") == []
    await site.ledger.release(upload(1).marker)
    await site.ledger.finish(finished=False)
    assert site.left() == ["n5"]


async def test_an_older_upload_of_the_same_object_is_handed_over_too(site: Site) -> None:
    older = upload(1)
    await leave(site, UploadPlanned(older), number=2)
    later = UploadPlanned(upload(11, name="n1"))
    await leave(site, later, number=3)
    assert await site.ledger.take_uploads("n1") == [older, later.record]
    assert await site.ledger.take_uploads("n1") == []
    await site.ledger.finish(finished=False)


async def test_a_download_is_handed_over_where_it_was_going(site: Site) -> None:
    mine, other = download(2, "d/f"), download(3, "d/g", "/elsewhere")
    await leave(site, DownloadPlanned(mine), DownloadPlanned(other))
    _, up = site.make(7, root=None)
    assert await up.take_downloads("d/f") == []
    await up.finish(finished=False)
    assert await site.ledger.take_downloads("d/g") == []
    assert await site.ledger.take_downloads("d/f") == [mine]
    assert await site.ledger.take_downloads("d/f") == []
    await site.ledger.finish(finished=False)


async def test_whose_temporary_files_may_be_removed(site: Site) -> None:
    kept = download(2, "d/f")
    await leave(site, DownloadPlanned(kept), number=2)
    await leave(site, planned(1), number=3, root="/elsewhere")
    assert site.ledger.stale_tokens() == (set(), set())
    await site.ledger.open()
    assert site.ledger.stale_tokens() == ({f"{2:016x}"}, {kept.temporary})
    await site.ledger.release(kept.temporary)
    await site.ledger.swept([f"{2:016x}"])
    await site.ledger.finish(finished=True)
    with dead_runs(site.directory) as found:
        assert [dead.run.token for dead in found] == [f"{3:016x}"]


async def test_a_run_that_does_not_resume_leaves_dead_runs_alone(site: Site) -> None:
    await leave(site, planned(1))
    _, ledger = site.make(7, resumes=False)
    await ledger.note(planned(2))
    assert await ledger.take_uploads("n1") == []
    assert ledger.stale_tokens() == (set(), set())
    assert await ledger.alive() == frozenset()
    await ledger.finish(finished=True)
    assert site.left() == ["n1"]


# What is worth to be kept


@pytest.mark.parametrize("cause", list(Cause))
def test_what_a_later_run_may_bring_to_its_end(cause: Cause) -> None:
    passing = {"CONNECT", "NAME_LOOKUP", "STALE", "RESET", "STALLED", "THROTTLED", "SERVER",
               "EXPIRED", "SKEWED"}  # fmt: skip
    assert is_resumable(ObjectError("x", cause=cause)) == (cause.name in passing)
    assert not is_resumable(IntegrityError("x", cause=cause))


def test_an_interrupt_is_resumable_and_a_bug_is_not() -> None:
    assert is_resumable(KeyboardInterrupt())
    assert not is_resumable(ValueError())
    assert not is_resumable(LocalFileError("write", "x", OSError(28, "No space left")))

"""Kill -9 at system calls of one transfer; `python -m tests.kills` does it at each of them."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import anyio
import pytest
from tests.faults import Complete200Error, Match, Stall, Status
from tests.kills.boundaries import can_count
from tests.kills.nursery import Nursery
from tests.kills.sweep import AT_ONCE, LARGE, TRANSFERS, Ground, Transfer, sweep
from tests.kills.traces import files_below
from tests.kit import KEY, Certificate, Do
from tests.programs import needs

from sealift.errors import UsageError
from sealift.journal import dead_runs
from sealift.manifest import Manifest
from sealift.model import Location

from .conftest import PART_SIZE, Record, Site

# Of some 60 to 90 calls of a transfer, without repetitions, every so many is met here.
STEP = 20
UP = [transfer for transfer in TRANSFERS if transfer.objects]
DOWN = [transfer for transfer in TRANSFERS if transfer.files]


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    if not can_count():
        pytest.skip("system calls are counted on x86-64 Linux only")
    with Nursery() as nursery:
        yield nursery


def sweep_some(
    nursery: Nursery, certificate: Certificate, directory: Path, transfer: Transfer
) -> None:
    ground = Ground(nursery, certificate, directory, transfer)
    first = TRANSFERS.index(transfer) * STEP // len(TRANSFERS)

    def choose(calls: list[str]) -> list[int]:
        changes = [
            number
            for number, (call, before) in enumerate(zip(calls, ["", *calls], strict=False), 1)
            if call != before
        ]
        return changes[first::STEP]

    with ground.server:
        swept = sweep(ground, transfer, choose, seed=1)
    assert not swept.failures
    assert swept.kills >= 3, swept


@pytest.mark.parametrize("transfer", UP, ids=lambda transfer: transfer.name)
def test_case_12_an_upload_killed_at_a_system_call_is_done_by_the_next_run(
    nursery: Nursery, certificate: Certificate, tmp_path: Path, transfer: Transfer
) -> None:
    sweep_some(nursery, certificate, tmp_path, transfer)


@pytest.mark.parametrize("transfer", DOWN, ids=lambda transfer: transfer.name)
def test_case_13_a_download_killed_at_a_system_call_is_done_by_the_next_run(
    nursery: Nursery, certificate: Certificate, tmp_path: Path, transfer: Transfer
) -> None:
    sweep_some(nursery, certificate, tmp_path, transfer)


# By strace, a process of its own


def start(ground: Ground, *launcher: str) -> subprocess.Popen[bytes]:
    """The transfer's command as users start it; with its constants if it has any."""
    ground.server.requests.clear()
    lines = "".join(
        f"import {name.rpartition('.')[0]}; {name} = {value}\n"
        for name, value in ground.transfer.settings.items()
    )
    program = f"{lines}from sealift.__main__ import main; main()"
    return subprocess.Popen(
        [*launcher, sys.executable, "-c", program, *ground.words],
        cwd=ground.work,
        env=ground.environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


@pytest.mark.parametrize(
    ("name", "calls"),
    [("put", ["fsync"]), ("get", ["fallocate", "renameat"])],
)
def test_case_12_what_strace_kills_is_done_by_the_next_run(
    nursery: Nursery, certificate: Certificate, tmp_path: Path, name: str, calls: list[str]
) -> None:
    needs("strace")
    (transfer,) = (transfer for transfer in TRANSFERS if transfer.name == name)
    ground = Ground(nursery, certificate, tmp_path, transfer)
    kills = 0
    with ground.server:
        for call in calls:
            for number in range(1, 100):
                ground.clear()
                kill = f"inject={call}:signal=SIGKILL:when={number}"
                with start(ground, "strace", "-fqq", "-o", os.devnull, "-e", kill) as child:
                    status = child.wait(30)
                ground.check_killed()
                ground.check_done(ground.run())
                if status == 0:
                    break
                kills += 1
    assert kills >= len(calls)


# What was done is not done again


def wait_for_rows(state: Path, kind: str, count: int) -> None:
    """Wait until the journal has so many entries of a kind."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        for path in (state / "sealift" / "journal").glob("*.sqlite3"):
            try:
                with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
                    rows = connection.execute("SELECT 1 FROM entry WHERE kind = ?", (kind,))
                    if len(rows.fetchall()) >= count:
                        return
            except sqlite3.Error:
                pass  # it is being made
        time.sleep(0.01)
    raise AssertionError(f"the journal got no {count} entries {kind}")


def kill_when_noted(
    nursery: Nursery,
    certificate: Certificate,
    directory: Path,
    name: str,
    last: Match,
    stall: Stall,
) -> Ground:
    """Kill a transfer that waits for its last piece when the journal has the two others."""
    (transfer,) = (transfer for transfer in TRANSFERS if transfer.name == name)
    ground = Ground(nursery, certificate, directory, transfer)
    assert transfer.settings == AT_ONCE
    ground.server.script(last, stall)
    kind = "part" if transfer.objects else "range"
    with ground.server:
        ground.clear()
        with start(ground) as child:
            try:
                wait_for_rows(ground.state, kind, 2)
            finally:
                child.kill()
        ground.check_killed()
        ground.check_done(ground.run())
    return ground


def test_case_12_parts_that_were_noted_are_not_sent_again(
    nursery: Nursery, certificate: Certificate, tmp_path: Path
) -> None:
    last = Match(operation="UploadPart", part=3)
    ground = kill_when_noted(nursery, certificate, tmp_path, "put-noted", last, Stall("request"))
    # The server may hear of the end of the killed run's request while the next one goes on.
    assert {asked.part for asked in ground.server.seen("UploadPart")} == {3}
    assert not ground.server.seen("CreateMultipartUpload")


def test_case_13_ranges_that_were_noted_are_not_fetched_again(
    nursery: Nursery, certificate: Certificate, tmp_path: Path
) -> None:
    third = f"bytes={2 * PART_SIZE}-{len(LARGE) - 1}"
    last = Match(operation="GetObject", where=lambda asked: asked.headers.get("range") == third)
    ground = kill_when_noted(
        nursery, certificate, tmp_path, "get-noted", last, Stall("before_head")
    )
    assert {asked.headers.get("range") for asked in ground.server.seen("GetObject")} == {third}


# What was found by killing


def test_runs_that_died_as_they_began_or_ended_leave_nothing_and_are_no_damage(
    nursery: Nursery, certificate: Certificate, tmp_path: Path
) -> None:
    ground = Ground(nursery, certificate, tmp_path, TRANSFERS[0])
    journal = ground.state / "sealift" / "journal"
    with ground.server:
        ground.clear()
        journal.mkdir(parents=True)
        for number, names in enumerate(
            [[".lock"], [".lock", ".sqlite3"], [".sqlite3-wal", ".lock"], [".sqlite3-journal"]]
        ):
            for name in names:
                (journal / f"{number:016x}{name}").touch()
        with closing(sqlite3.connect(journal / "0123456789abcdef.sqlite3")) as connection:
            connection.execute("PRAGMA journal_mode = WAL")

        ended = ground.run()

        ground.check_done(ended)
    assert "damage" not in ended.stderr
    assert files_below(journal) == []


@pytest.mark.anyio
async def test_a_sync_that_has_nothing_left_to_do_ends_what_a_killed_one_left(
    site: Site, tmp_path: Path
) -> None:
    """Complete was applied, and the run killed before it knew."""
    words = ("sync", "tree", "s3://bucket/p")
    state = str(tmp_path / "state")
    os.utime(site.file("tree/x", LARGE), (1, 1))  # older than its object

    async def sync() -> None:
        site.record = Record()
        async with site.engine(state_directory=state, words=words) as engine:
            await engine.sync(str(site.directory / "tree"), "s3://bucket/p")

    await cut_off_at_complete(site, sync)
    assert left_over(state) == ["p/x"]

    await sync()

    assert not site.record.finished
    assert left_over(state) == []
    assert site.body("p/x") == LARGE
    assert not site.server.uploads


@pytest.mark.anyio
async def test_an_object_that_was_removed_after_a_killed_run_completed_it_goes_up_again(
    site: Site, tmp_path: Path
) -> None:
    state = str(tmp_path / "state")
    path = site.file("source", LARGE)

    async def put() -> None:
        site.record = Record()
        async with site.engine(state_directory=state) as engine:
            await engine.put(path, Location("bucket", "x"))

    await cut_off_at_complete(site, put)
    site.server.objects.clear()

    await put()

    assert site.record.finished == {"x"}
    assert site.body("x") == LARGE
    assert left_over(state) == []


async def cut_off_at_complete(site: Site, command: Callable[[], object]) -> None:
    """Cancel the command when Complete was applied, before it can hear of it."""
    scope = anyio.CancelScope()
    loop = asyncio.get_running_loop()
    stop = Do(lambda: loop.call_soon_threadsafe(scope.cancel))
    site.server.script(
        Match(operation="CompleteMultipartUpload", times=None),
        (Complete200Error(applied=True), stop),
    )
    site.server.script(Match(operation="HeadObject", times=1), Status(500))
    with scope:
        await command()  # type: ignore[misc]
    assert scope.cancelled_caught
    site.server._scripts.clear()
    site.server.requests.clear()


def left_over(state: str) -> list[str]:
    """The objects that the journal still has something of."""
    with dead_runs(state) as found:
        return [record.name for dead in found for record in (*dead.uploads, *dead.downloads)]


@pytest.mark.anyio
async def test_a_killed_sync_down_does_not_hide_that_an_object_was_replaced(
    site: Site, tmp_path: Path
) -> None:
    """The catalogue has not heard of a file that a killed run brought back: times do not tell."""
    target = str(tmp_path / "target")
    state = tmp_path / "state"
    site.server.store("p/x", b"older", customer_key=KEY)

    async def sync() -> None:
        async with site.engine(state_directory=str(state), words=("sync",)) as engine:
            await engine.sync("s3://bucket/p", target)

    await sync()
    forget_and_leave_dead(site, state, target)
    site.server.store("p/x", b"newer", customer_key=KEY)

    await sync()

    assert (tmp_path / "target" / "x").read_bytes() == b"newer"


@pytest.mark.anyio
async def test_a_killed_sync_up_does_not_hide_that_the_file_was_written_since(
    site: Site, tmp_path: Path
) -> None:
    """Its last request is served when the file is another already: times do not tell."""
    state = tmp_path / "state"
    site.file("tree/x", b"older")

    async def sync() -> None:
        async with site.engine(state_directory=str(state), words=("sync",)) as engine:
            await engine.sync(str(site.directory / "tree"), "s3://bucket/p")

    await sync()
    forget_and_leave_dead(site, state, None)
    site.file("tree/x", b"newer")
    site.server.objects["bucket", "p/x"] = replace(
        site.server.objects["bucket", "p/x"], modified=time.time() + 1
    )

    await sync()

    assert site.body("p/x") == b"newer"


def forget_and_leave_dead(site: Site, state: Path, target: str | None) -> None:
    """As if the sync before had been killed when its file had its name: no entry, a dead run."""
    from sealift.journal import Journal
    from sealift.records import RunRecord

    scope = f"{site.server.endpoint_url}/bucket"
    for path in state.glob("catalogue*"):
        path.unlink()
    run = RunRecord("0" * 16, time.time() - 1, ("sync",), os.getcwd(), scope, target)
    journal = Journal(str(state), run)
    journal.open()
    journal.close(finished=False)


def test_a_manifest_takes_the_place_of_one_that_a_killed_run_left(tmp_path: Path) -> None:
    path = str(tmp_path / "m")
    (killed := Manifest(path))._file.close()  # the lock ends with the process
    (left,) = tmp_path.iterdir()

    following = Manifest(path)

    with pytest.raises(UsageError, match="another run writes"):
        Manifest(path)
    assert list(tmp_path.iterdir()) == [left]
    following.commit()
    assert [found.name for found in tmp_path.iterdir()] == ["m"]
    killed.discard()

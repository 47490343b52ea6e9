"""What a restore takes for there already, and what an interrupt near the end leaves."""

from __future__ import annotations

import asyncio
import os
import stat
import time
from functools import partial
from pathlib import Path

import anyio
import pytest
from tests.faults import Match
from tests.faults.messages import Reply
from tests.faults.plan import Break, End, Framing, Plan
from tests.kit import KEY, Do

from sealift.journal import Journal, dead_runs
from sealift.model import Durability, Location
from sealift.options import TreeOptions
from sealift.records import RunRecord

from .conftest import LARGE, PART_SIZE, Record, Site

pytestmark = pytest.mark.anyio


@pytest.fixture
def stored(site: Site) -> Site:
    for name, content in {"p/d/small": b"small", "p/x": LARGE}.items():
        site.server.store(name, content, customer_key=KEY)
    return site


@pytest.fixture
def state(tmp_path: Path) -> str:
    return str(tmp_path / "state")


async def restore(site: Site, state: str) -> None:
    async with site.engine(state_directory=state) as engine:
        await engine.restore(Location("bucket", "p/"), str(site.out))


def begin_anew(site: Site) -> None:
    site.record = Record()
    site.server.requests.clear()


def left_over(state: str) -> list[str]:
    with dead_runs(state) as found:
        return [record.name for dead in found for record in (*dead.uploads, *dead.downloads)]


async def test_what_came_without_a_sync_is_fetched_again(stored: Site, state: str) -> None:
    """A power cut may have left its name, size and time, and zeros."""
    async with stored.engine(state_directory=state) as engine:
        tree = TreeOptions(durability=Durability.NONE)
        await engine.copy("s3://bucket/p/", str(stored.out), tree)
    begin_anew(stored)

    await restore(stored, state)

    assert stored.record.finished == {"p/d/small", "p/x"}


async def test_directories_of_what_is_left_alone_are_synced(
    stored: Site, state: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with stored.engine(state_directory=state) as engine:
        await engine.copy("s3://bucket/p/", str(stored.out))
    begin_anew(stored)
    synced = set()
    fsync = os.fsync

    def note(fd: int) -> None:
        synced.add(os.readlink(f"/proc/self/fd/{fd}"))
        fsync(fd)

    monkeypatch.setattr(os, "fsync", note)
    await restore(stored, state)

    assert stored.record.finished == set()
    assert {str(stored.out), str(stored.out / "d")} <= synced


async def test_an_interrupt_amid_the_last_sync_loses_nothing(
    stored: Site, state: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop, fsync = asyncio.get_running_loop(), os.fsync
    with anyio.CancelScope() as scope:

        def stop(fd: int) -> None:
            if stat.S_ISREG(os.fstat(fd).st_mode) and os.fstat(fd).st_size == len(LARGE):
                loop.call_soon_threadsafe(scope.cancel)
                time.sleep(0.2)
            fsync(fd)

        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", stop)
            await restore(stored, state)
    assert scope.cancelled_caught
    assert (stored.out / "x").read_bytes() == LARGE
    assert left_over(state) == []
    begin_anew(stored)

    await restore(stored, state)

    assert "p/x" not in stored.record.finished


async def test_an_interrupted_download_to_a_new_name_leaves_nothing(
    stored: Site, state: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(stored.directory)
    loop = asyncio.get_running_loop()
    with anyio.CancelScope() as scope:
        stored.server.script(
            Match(
                operation="GetObject",
                where=lambda asked: asked.headers.get("range", "").startswith(
                    f"bytes={PART_SIZE}-"
                ),
            ),
            Do(lambda: loop.call_soon_threadsafe(scope.cancel)),
        )
        async with stored.engine(state_directory=state, concurrency=1) as engine:
            await engine.get(Location("bucket", "p/x"))

    assert scope.cancelled_caught
    assert stored.left_behind() == []
    assert left_over(state) == []


class NoLastChunk:
    """All bytes come, and the connection ends before the reply does."""

    def shape(self, plan: Plan) -> None:
        plan.framing = Framing.CHUNKED
        plan.reshape.append(partial(_broken_at_its_end, plan))


def _broken_at_its_end(plan: Plan, reply: Reply) -> Reply:
    plan.reply_break = Break(len(reply.body), end=End.RESET)
    return reply


async def test_a_range_whose_reply_does_not_end_is_there_all_the_same(
    stored: Site, state: str
) -> None:
    stored.server.script(
        Match(
            operation="GetObject",
            times=3,
            where=lambda asked: asked.headers.get("range", "").startswith("bytes=0-"),
        ),
        NoLastChunk(),
    )
    async with stored.engine(state_directory=state) as engine:
        await engine.get(Location("bucket", "p/x"), str(stored.out))

    assert stored.record.finished == {"p/x"}
    assert stored.out.read_bytes() == LARGE
    ranges = [asked.headers.get("range") for asked in stored.server.seen("GetObject")]
    assert len(set(ranges)) == len(ranges) >= 3  # what a reset cut off is asked for, and no more


@pytest.mark.parametrize("root", ["tree", ".", "tree/d", "other"])
async def test_a_killed_run_above_or_below_leaves_a_gap_in_what_is_known(
    site: Site, state: str, root: str
) -> None:
    tree = site.directory / "tree"
    file = tree / "d" / "f"
    file.parent.mkdir(parents=True)
    scope = f"{site.server.endpoint_url}/bucket"
    killed = str((site.directory / root).resolve())
    run = RunRecord("a" * 16, time.time() - 60, (), os.getcwd(), scope, killed, ("cp",))
    journal = Journal(state, run)
    journal.open()
    journal.close(finished=False)
    file.write_bytes(b"old")
    os.utime(file, (1e9, 1e9))
    site.server.store("p/d/f", b"new", customer_key=KEY)

    async with site.engine(state_directory=state) as engine:
        await engine.sync("s3://bucket/p", str(tree))

    assert file.read_bytes() == (b"old" if root == "other" else b"new")

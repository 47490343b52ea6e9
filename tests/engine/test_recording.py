"""What the catalogue holds after a run: each object as the server and the disk have it."""

from __future__ import annotations

import asyncio
import os
import threading
from pathlib import Path

import anyio
import pytest
from tests.faults import ApplyThenReset, Match, Status
from tests.kit import CUSTOMER_KEY, Do, until

from sealift.catalogue import Catalogue
from sealift.checksums import crc64
from sealift.model import Known, Location, bare_etag
from sealift.plan import Naming
from sealift.recorder import Recorder

from .conftest import BAD, BATCH_NAMES, LARGE, Site

pytestmark = pytest.mark.anyio


def recorded(site: Site, state_home: Path) -> dict[str, Known]:
    catalogue = Catalogue(str(state_home / "sealift" / "catalogue.sqlite3"))
    try:
        rows = catalogue.known(f"{site.server.endpoint_url}/bucket", "")
    finally:
        catalogue.close()
    return {row.name: row for row in rows}


def expected(
    site: Site, name: str, mtime_ns: int | None, key_id: str | None = CUSTOMER_KEY.key_id
) -> Known:
    stored = site.server.objects["bucket", name]
    size, crc = len(stored.body), crc64(stored.body)
    return Known(name, size, bare_etag(stored.etag), None, crc, mtime_ns, key_id)


def make_tree(site: Site) -> dict[str, int]:
    """A batch of small files and a large one, each of a time of its own."""
    times = {name: 10**18 + number for number, name in enumerate([*BATCH_NAMES, "large"])}
    for name, mtime_ns in times.items():
        path = site.file(f"tree/{name}", LARGE if name == "large" else name.encode())
        os.utime(path, ns=(mtime_ns, mtime_ns))
    return times


@pytest.mark.parametrize("dialect", ["aws", "ceph"])
@pytest.mark.parametrize("concurrency", [1, 8])
async def test_what_went_up_and_came_down(site: Site, state_home: Path, concurrency: int) -> None:
    times = make_tree(site)
    async with site.engine(concurrency=concurrency) as engine:
        await engine.copy(f"{site.directory}/tree/", "s3://bucket/")
    objects = {name: expected(site, name, mtime_ns) for name, mtime_ns in times.items()}
    assert recorded(site, state_home) == objects

    (state_home / "sealift" / "catalogue.sqlite3").unlink()
    async with site.engine(concurrency=concurrency) as engine:
        await engine.restore(Location("bucket"), str(site.out), Naming.UUID)
    assert recorded(site, state_home) == objects
    assert {path.stat().st_mtime_ns for path in site.out.iterdir()} == set(times.values())


async def test_single_objects(site: Site, state_home: Path) -> None:
    mtime_ns = 1_700_000_000 * 10**9  # long enough ago to prove something
    path = site.file("source", b"content")
    os.utime(path, ns=(mtime_ns, mtime_ns))
    async with site.engine(customer_key=None) as engine:
        await engine.put(path, Location("bucket", "one"))
    assert recorded(site, state_home) == {"one": expected(site, "one", mtime_ns, None)}
    await site.put("one", b"other")
    await site.get("one")
    mtime_ns = site.out.stat().st_mtime_ns
    assert recorded(site, state_home) == {"one": expected(site, "one", mtime_ns)}


async def test_a_complete_whose_reply_was_lost(site: Site, state_home: Path) -> None:
    site.server.script(Match(operation="CompleteMultipartUpload"), ApplyThenReset())
    await site.put("large", LARGE)
    mtime_ns = (site.directory / "source").stat().st_mtime_ns
    assert recorded(site, state_home) == {"large": expected(site, "large", mtime_ns)}


async def test_a_changed_file_is_recorded_as_it_was_sent(site: Site, state_home: Path) -> None:
    path = site.file("source", b"before")
    site.record.on_start("one", lambda: Path(path).write_bytes(b"and after"))
    async with site.engine() as engine:
        await engine.put(path, Location("bucket", "one"))
    # Without its mtime: written once more within the same tick it would have the same.
    assert recorded(site, state_home) == {"one": expected(site, "one", None)}
    assert site.body("one") == b"and after"


async def test_failures_are_not_recorded(site: Site, state_home: Path) -> None:
    times = make_tree(site)
    site.server.script(Match(operation="PutObject", name=BAD, times=9), Status(403, "AccessDenied"))
    async with site.engine() as engine:
        await engine.copy(f"{site.directory}/tree/", "s3://bucket/")
    assert set(site.record.failed) == {BAD}
    assert set(recorded(site, state_home)) == set(times) - {BAD}


async def test_a_run_that_is_cancelled_records_what_is_done(site: Site, state_home: Path) -> None:
    make_tree(site)
    loop = asyncio.get_running_loop()
    with anyio.CancelScope() as scope:
        site.server.script(
            Match(operation="PutObject", name=BATCH_NAMES[-1]),
            Do(lambda: loop.call_soon_threadsafe(scope.cancel)),
        )
        async with site.engine(concurrency=1) as engine:
            await engine.copy(f"{site.directory}/tree/", "s3://bucket/")
    assert scope.cancelled_caught
    done = site.record.finished
    assert len(done) >= 16
    assert set(recorded(site, state_home)) == done


async def test_records_are_written_while_the_run_goes_on(
    site: Site, state_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sealift.recorder.INTERVAL", 0.01)
    make_tree(site)
    goes_on = threading.Event()
    site.server.script(Match(operation="CreateMultipartUpload"), Do(lambda: goes_on.wait(20)))
    async with anyio.create_task_group() as group:

        async def copy() -> None:
            async with site.engine() as engine:
                await engine.copy(f"{site.directory}/tree/", "s3://bucket/")

        group.start_soon(copy)
        await until(
            lambda: site.record.of(type(site.record.events[0])) if site.record.events else 0
        )
        file = state_home / "sealift" / "catalogue.sqlite3"
        await until(lambda: file.exists() and recorded(site, state_home))
        goes_on.set()
    assert "large" in recorded(site, state_home)


async def test_a_catalogue_of_no_use_is_noted_once(site: Site) -> None:
    make_tree(site)
    in_the_way = site.file("file", b"")
    async with site.engine(state_directory=f"{in_the_way}/state") as engine:
        await engine.copy(f"{site.directory}/tree/", "s3://bucket/")
        await engine.copy("s3://bucket/", str(site.out))
    assert not site.record.failed
    (note,) = [note for note in site.record.notes if "journal" not in note]
    assert "goes on without the catalogue" in note


async def test_a_damaged_catalogue_is_replaced(site: Site, state_home: Path) -> None:
    file = state_home / "sealift" / "catalogue.sqlite3"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"no database" * 1000)
    await site.put("one", b"content")
    assert set(recorded(site, state_home)) == {"one"}
    (note,) = site.record.notes
    assert "damaged" in note


def test_more_waits_than_memory_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Then the oldest are dropped."""
    monkeypatch.setattr("sealift.recorder.WAITING_COUNT", 3)
    recorder = Recorder(None, None, None, "", None)  # type: ignore[arg-type]
    for number in range(5):
        recorder.record(number)  # type: ignore[arg-type]
    assert list(recorder._waiting) == [2, 3, 4]

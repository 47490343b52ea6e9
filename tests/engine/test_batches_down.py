"""Small objects that come down in batches: each file is whole and named, or its failure is."""

from __future__ import annotations

import asyncio
import errno
import os
import resource
import stat
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import anyio
import pytest
from tests.faults import (
    CloseBeforeReply,
    Fault,
    Flip,
    Match,
    NoEcho,
    NoETag,
    ResetReply,
    Stall,
    Status,
    Truncate,
    WrongEcho,
)
from tests.kit import KEY, Do

from sealift.engine import Engine
from sealift.errors import (
    IntegrityError,
    LocalFileError,
    NotSealedError,
    ReplyError,
    UnsafeNameError,
)
from sealift.events import Failed, Finished, Started, Tally
from sealift.files.target import Target, TargetFile
from sealift.memory import Memory
from sealift.model import Durability
from sealift.options import TreeOptions
from sealift.schedule import BATCH_COUNT

from .conftest import BAD, BATCH_NAMES, LARGE, Site, assert_accounted, write_credentials

pytestmark = pytest.mark.anyio
both_dialects = pytest.mark.parametrize("dialect", ["aws", "ceph"])

GET_BAD = Match(operation="GetObject", name=BAD)
OTHERS = set(BATCH_NAMES) - {BAD}


def content_of(name: str) -> bytes:
    """Another size for each, and one that is empty."""
    return name.encode() * (int(name[1:3]) * 7)


def store(site: Site, name: str, content: bytes) -> None:
    from sealift.checksums import crc64, encode

    headers = {"x-amz-meta-sealift-crc64nvme": encode(crc64(content))}
    site.server.store(name, content, customer_key=KEY, headers=headers)


@pytest.fixture(autouse=True)
def stored(site: Site) -> None:
    for name in BATCH_NAMES:
        store(site, name, content_of(name))


async def get_tree(
    site: Site, directory: Path | None = None, *, names: Sequence[str] = (), **changes: object
) -> Engine:
    """One worker, so that the first batch is a large one and everything has an order."""
    async with site.engine(**{"concurrency": 1, **changes}) as engine:
        tree = TreeOptions(durability=Durability.DIR)
        await engine.copy("s3://bucket/", str(directory or site.out), tree)
    if changes.get("concurrency", 1) == 1:
        assert all(isinstance(event, Started) for event in site.record.jobs()[:10])
    assert_accounted(site, set(names or BATCH_NAMES))
    assert not engine._memory._used
    return engine


def assert_files(site: Site, *names: str) -> None:
    """These files, each whole, and nothing else."""
    found = {
        str(path.relative_to(site.out)): path.read_bytes()
        for path in site.out.rglob("*")
        if path.is_file()
    }
    assert sorted(found) == sorted(names)
    for name in names:
        assert found[name] == site.body(name)


def counts(site: Site) -> dict[str, int]:
    """How often each object was asked for."""
    names = [request.name for request in site.server.seen("GetObject")]
    return {name: names.count(name) for name in {*names, *BATCH_NAMES}}


async def test_all_goes_well(site: Site) -> None:
    await get_tree(site)
    assert site.record.finished == set(BATCH_NAMES)
    assert_files(site, *BATCH_NAMES)
    assert set(counts(site).values()) == {1}
    assert site.server.connections == 1
    assert all(event.checked for event in site.record.of(Finished))


@both_dialects
@pytest.mark.parametrize(
    "fault",
    [
        Flip(7),
        Truncate(7),
        ResetReply(7),
        NoETag(),
        Status(503, "SlowDown"),
        Status(500, "InternalError"),
    ],
    ids=str,
)
async def test_a_fault_that_passes_costs_one_attempt(site: Site, fault: Fault) -> None:
    site.server.script(GET_BAD, fault)
    await get_tree(site)
    assert site.record.finished == set(BATCH_NAMES)
    assert_files(site, *BATCH_NAMES)
    asked = counts(site)
    assert asked.pop(BAD) == 2
    assert set(asked.values()) == {1}
    assert len(site.record.retries) == 1


async def test_a_stale_connection_costs_no_attempt(site: Site) -> None:
    site.server.script(GET_BAD, CloseBeforeReply())
    await get_tree(site)
    assert_files(site, *BATCH_NAMES)
    assert not site.record.retries
    assert site.server.connections == 2


async def test_case_21_bytes_that_stay_wrong_make_no_file(site: Site) -> None:
    site.server.script(Match(operation="GetObject", name=BAD, times=None), Flip(7))
    await get_tree(site)
    assert isinstance(site.record.failed[BAD], IntegrityError)
    assert_files(site, *OTHERS)
    assert not site.left_behind()


@pytest.mark.parametrize("content", [b"short", b"", b"longer" * 1000, LARGE], ids=len)
async def test_case_18_an_object_replaced_after_the_listing(site: Site, content: bytes) -> None:
    site.record.on_start(BAD, lambda: store(site, BAD, content))
    await get_tree(site)
    assert site.record.finished == set(BATCH_NAMES)
    assert_files(site, *BATCH_NAMES)
    asked = counts(site)
    asked.pop(BAD)
    assert set(asked.values()) == {1}


async def test_an_object_that_is_gone_fails_by_name(site: Site) -> None:
    site.record.on_start(BAD, lambda: site.server.objects.pop(("bucket", BAD)))
    await get_tree(site)
    error = site.record.failed[BAD]
    assert isinstance(error, ReplyError)
    assert error.status == 404
    assert_files(site, *OTHERS)
    assert set(counts(site).values()) == {1}


@pytest.mark.parametrize("fault", [NoEcho(), WrongEcho()], ids=str)
async def test_case_24_an_object_without_echo_makes_no_file(site: Site, fault: Fault) -> None:
    site.server.script(Match(operation="GetObject", name=BAD, times=None), fault)
    await get_tree(site)
    assert isinstance(site.record.failed[BAD], NotSealedError)
    assert_files(site, *OTHERS)
    assert set(counts(site).values()) == {1}


async def test_unsafe_names_among_good_ones(site: Site) -> None:
    unsafe = ["n05b//x", "n05b/../../x", "n06b/./x", f"n07{'x' * 300}", "n08b/.."]
    for name in unsafe:
        site.server.store(name, b"unsafe", customer_key=KEY)
    del site.server.objects["bucket", BAD]
    await get_tree(site, names=[*OTHERS, *unsafe])
    assert set(site.record.failed) == set(unsafe)
    assert all(isinstance(error, UnsafeNameError) for error in site.record.failed.values())
    assert_files(site, *OTHERS)
    assert not [request for request in site.server.seen("GetObject") if request.name in unsafe]
    assert not (site.directory / "x").exists()


@pytest.mark.parametrize("kind", ["directory", "pipe"])
async def test_what_stands_in_the_way_stays(site: Site, kind: str) -> None:
    site.out.mkdir()
    if kind == "pipe":
        os.mkfifo(site.out / BAD)
    else:
        (site.out / BAD).mkdir()
        (site.out / BAD / "inside").touch()
    await get_tree(site)
    error = site.record.failed[BAD]
    assert isinstance(error, LocalFileError)
    assert error.errno == (errno.EISDIR if kind == "directory" else errno.EEXIST)
    assert (site.out / BAD).is_dir() == (kind == "directory")
    assert all((site.out / name).read_bytes() == content_of(name) for name in OTHERS)
    assert set(counts(site).values()) == {1}
    assert not site.left_behind()


async def test_case_38_expired_credentials_are_renewed_amid_a_batch(
    site: Site, credentials_file: Path
) -> None:
    def expire() -> None:
        site.server.expired_tokens.add("TOKEN-1")
        write_credentials(credentials_file, "TOKEN-2")

    site.server.script(GET_BAD, Do(expire))
    await get_tree(site)
    assert_files(site, *BATCH_NAMES)
    assert len(site.record.retries) == 1
    assert site.server.requests[-1].headers["x-amz-security-token"] == "TOKEN-2"


# The disk


@pytest.mark.parametrize("tiny_disk", ["size=512k", "size=2m,nr_inodes=30"], indirect=True)
@pytest.mark.parametrize("concurrency", [1, 3])
async def test_case_36_a_full_disk(site: Site, tiny_disk: Path, concurrency: int) -> None:
    """Each object is there, whole, or failed by name; nothing is asked for twice."""
    for name in BATCH_NAMES:
        store(site, name, name.encode() * 7000)
    await get_tree(site, tiny_disk, concurrency=concurrency)
    assert set(os.listdir(tiny_disk)) == site.record.finished
    for name in site.record.finished:
        assert (tiny_disk / name).read_bytes() == site.body(name)
    assert 15 < len(site.record.finished) < 35
    for error in site.record.failed.values():
        assert isinstance(error, LocalFileError)
        assert error.errno == errno.ENOSPC
    assert not site.record.retries
    assert set(counts(site).values()) == {1}


@pytest.fixture
def broken_pipe() -> Iterator[int]:
    """A descriptor that cannot be synced."""
    reading, writing = os.pipe()
    yield reading
    os.close(reading)
    os.close(writing)


async def test_case_37_a_file_that_cannot_be_synced_fails_alone(
    site: Site, broken_pipe: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad, sync = content_of(BAD), os.fsync

    def fsync(fd: int) -> None:
        is_bad = not os.path.isdir(f"/dev/fd/{fd}") and os.pread(fd, len(bad) + 1, 0) == bad
        sync(broken_pipe if is_bad else fd)

    monkeypatch.setattr(os, "fsync", fsync)
    await get_tree(site)
    error = site.record.failed[BAD]
    assert isinstance(error, LocalFileError)
    assert error.errno == errno.EINVAL
    assert_files(site, *OTHERS)
    assert set(counts(site).values()) == {1}
    assert not site.left_behind()


async def test_case_37_a_directory_that_cannot_be_synced_fails_its_files(
    site: Site, broken_pipe: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.server.objects.clear()
    names = [f"{name}-{number}/f" for name in BATCH_NAMES[:10] for number in range(3)]
    names += ["n04-1/g", "n04-1/h"]
    for name in names:
        store(site, name, content_of(name))
    sync = os.fsync

    def fsync(fd: int) -> None:
        name = os.path.basename(os.readlink(f"/proc/self/fd/{fd}"))
        sync(broken_pipe if name == "n04-1" else fd)

    monkeypatch.setattr(os, "fsync", fsync)
    await get_tree(site, names=names)
    failed = {name for name in names if name.startswith("n04-1/")}
    assert set(site.record.failed) == failed
    assert site.record.finished == set(names) - failed
    assert not site.left_behind()
    assert set(counts(site).values()) == {0, 1}


async def test_few_open_files_are_enough(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight threads with a batch each: files and directories, all open at once."""
    site.server.objects.clear()
    names = [f"n01-{number}/f" for number in range(300)]
    for name in names:
        store(site, name, b"content")
    sync, limits = os.fsync, resource.getrlimit(resource.RLIMIT_NOFILE)

    def fsync(fd: int) -> None:
        if stat.S_ISREG(os.fstat(fd).st_mode):
            time.sleep(0.05)  # all threads come so far
        sync(fd)

    monkeypatch.setattr(os, "fsync", fsync)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, limits[1]))
    try:
        await get_tree(site, names=names, concurrency=8)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert not site.record.failed
    assert not site.record.retries


# Ends


def assert_taken_back(site: Site) -> None:
    """After an interrupt: bytes count for what is done alone."""
    done = site.record.finished
    for event in site.record.of(Started):
        name = event.job.location.name
        assert event.job.moved == (event.job.size if name in done else 0), name
    assert not site.left_behind()


async def test_an_interrupt_amid_a_batch(site: Site) -> None:
    scope = anyio.CancelScope()
    loop = asyncio.get_running_loop()
    interrupt = Do(lambda: loop.call_soon_threadsafe(scope.cancel))
    site.server.script(GET_BAD, (interrupt, CloseBeforeReply()))
    async with site.engine(concurrency=1) as engine:
        with scope:
            await engine.copy("s3://bucket/", str(site.out))
    assert scope.cancelled_caught
    assert not site.record.finished
    assert_taken_back(site)
    assert not os.listdir(site.out)
    assert not engine._memory._used


async def test_an_interrupt_while_a_batch_is_written(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is being written ends: its files are whole, though nobody heard that they are done."""
    scope = anyio.CancelScope()
    loop = asyncio.get_running_loop()
    commit_each = Target.commit_each

    def interrupted(target: Target, files: Sequence[TargetFile]) -> list[LocalFileError | None]:
        loop.call_soon_threadsafe(scope.cancel)
        time.sleep(0.05)
        return commit_each(target, files)

    monkeypatch.setattr(Target, "commit_each", interrupted)
    next_one = Match(operation="GetObject", name=BATCH_NAMES[BATCH_COUNT])
    site.server.script(next_one, Stall("before_head"))
    async with site.engine(concurrency=1) as engine:
        with scope:
            await engine.copy("s3://bucket/", str(site.out))
    assert scope.cancelled_caught
    assert_taken_back(site)
    assert_files(site, *BATCH_NAMES[:BATCH_COUNT])
    assert not engine._memory._used


async def test_a_tally_adds_up(site: Site) -> None:
    site.server.script(GET_BAD, Status(403, "AccessDenied"))
    await get_tree(site)
    tally = Tally()
    for event in site.record.events:
        tally.emit(event)
    assert (tally.done_count, tally.failed_count) == (len(OTHERS), 1)
    assert tally.moved_size == tally.done_size == sum(len(content_of(name)) for name in OTHERS)
    assert tally.checked_count == len(OTHERS)
    assert not tally.active
    assert [event.name for event in site.record.of(Failed)] == [BAD]


async def test_little_memory_and_many_workers_do_not_lock_up(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A batch at a time fits in, while others want room for the objects that failed."""
    monkeypatch.setattr(Memory, "for_process", lambda _: Memory(1500))
    store(site, "n10-large", LARGE)
    site.server.script(
        Match(operation="GetObject", times=15, where=lambda sent: sent.name[2:] in "02468"),
        Status(503, "SlowDown", retry_after=0),
        Flip(0),
    )
    del site.server.objects["bucket", "n00"]  # of no bytes, so there is none to flip
    await get_tree(site, names=[*BATCH_NAMES[1:], "n10-large"], concurrency=6)
    assert not site.record.failed
    assert_files(site, *BATCH_NAMES[1:], "n10-large")

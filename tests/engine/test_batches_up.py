"""Small files that go up in batches: a fault hits the one it is meant for, and nobody else."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import anyio
import pytest
from tests.faults import (
    ApplyThenReset,
    CloseBeforeReply,
    ConnectionClose,
    Fault,
    FlipRequest,
    KeepAliveClose,
    Match,
    NoEcho,
    ResetRequest,
    Status,
)
from tests.kit import CUSTOMER_KEY, Do, assert_signed

from sealift.engine import Engine
from sealift.errors import (
    LocalFileError,
    NotSealedError,
    ObjectError,
    ReplyError,
    SourceChangedError,
)
from sealift.events import Started, Tally
from sealift.memory import Memory
from sealift.wire.connection import Deadlines

from .conftest import BAD, BATCH_NAMES, Site, assert_accounted, write_credentials

pytestmark = pytest.mark.anyio

PUT_BAD = Match(operation="PutObject", name=BAD)
OTHERS = set(BATCH_NAMES) - {BAD}


def content_of(name: str) -> bytes:
    """Another size for each, and one that is empty."""
    return name.encode() * (int(name[1:]) * 7)


@pytest.fixture(autouse=True)
def tree(site: Site) -> Path:
    for name in BATCH_NAMES:
        site.file(f"tree/{name}", content_of(name))
    return site.directory / "tree"


async def put_tree(site: Site, **changes: object) -> Engine:
    """One worker, so that the first batch is a large one and everything has an order."""
    async with site.engine(**{"concurrency": 1, **changes}) as engine:
        await engine.copy(f"{site.directory}/tree/", "s3://bucket/")
    if changes.get("concurrency", 1) == 1:
        assert all(isinstance(event, Started) for event in site.record.jobs()[:10])
    assert_accounted(site, set(BATCH_NAMES))
    assert not engine._memory._used
    return engine


def assert_stored(site: Site, *names: str) -> None:
    for name in names:
        stored = site.server.objects["bucket", name]
        assert stored.body == content_of(name)
        assert stored.customer_key_md5 == CUSTOMER_KEY.md5


def counts(site: Site) -> dict[str, int]:
    """How often each object was put."""
    names = [request.name for request in site.server.seen("PutObject")]
    return {name: names.count(name) for name in BATCH_NAMES}


async def test_all_goes_well(site: Site) -> None:
    await put_tree(site)
    assert site.record.finished == set(BATCH_NAMES)
    assert_stored(site, *BATCH_NAMES)
    assert set(counts(site).values()) == {1}
    assert site.server.connections == 1
    for request in site.server.requests:
        assert_signed(request)


@pytest.mark.parametrize(
    "fault",
    [
        Status(503, "SlowDown"),
        Status(500, "InternalError"),
        FlipRequest(3),
        ResetRequest(3),
        ConnectionClose(),
    ],
    ids=str,
)
async def test_a_fault_that_passes_costs_one_attempt(site: Site, fault: Fault) -> None:
    site.server.script(PUT_BAD, fault)
    await put_tree(site)
    assert site.record.finished == set(BATCH_NAMES)
    assert_stored(site, *BATCH_NAMES)
    made = counts(site)
    again = 0 if isinstance(fault, ConnectionClose) else 1
    assert made.pop(BAD) == 1 + again
    assert set(made.values()) == {1}


@pytest.mark.parametrize("fault", [CloseBeforeReply(), ApplyThenReset(), KeepAliveClose()], ids=str)
async def test_a_stale_connection_costs_no_attempt(site: Site, fault: Fault) -> None:
    site.server.script(PUT_BAD, fault)
    await put_tree(site)
    assert_stored(site, *BATCH_NAMES)
    assert not site.record.retries
    assert site.server.connections == 2


async def test_attempts_are_counted_from_the_first(site: Site) -> None:
    """The one made within the batch is among the eight."""
    site.server.script(Match(operation="PutObject", name=BAD, times=None), Status(500))
    await put_tree(site)
    assert site.record.finished == OTHERS
    assert_stored(site, *OTHERS)
    error = site.record.failed[BAD]
    assert isinstance(error, ReplyError)
    assert counts(site)[BAD] == error.attempts == 8
    assert [event.attempt for event in site.record.retries] == list(range(1, 8))


async def test_a_refusal_is_not_repeated(site: Site) -> None:
    site.server.script(
        Match(operation="PutObject", name=BAD, times=None), Status(403, "AccessDenied")
    )
    await put_tree(site)
    assert set(site.record.failed) == {BAD}
    assert set(counts(site).values()) == {1}
    assert_stored(site, *OTHERS)


async def test_case_23_an_object_without_echo_is_removed(site: Site) -> None:
    site.server.script(PUT_BAD, NoEcho())
    await put_tree(site)
    assert isinstance(site.record.failed[BAD], NotSealedError)
    assert set(site.server.objects) == {("bucket", name) for name in OTHERS}
    assert [request.name for request in site.server.seen("DeleteObject")] == [BAD]
    assert set(counts(site).values()) == {1}
    assert_stored(site, *OTHERS)


async def test_case_23_a_server_that_seals_nothing_keeps_nothing(site: Site) -> None:
    site.server.script(Match(operation="PutObject", times=None), NoEcho())
    await put_tree(site)
    assert set(site.record.failed) == set(BATCH_NAMES)
    assert not site.server.objects
    assert set(counts(site).values()) == {1}


async def test_case_38_expired_credentials_are_renewed_amid_a_batch(
    site: Site, credentials_file: Path
) -> None:
    def expire() -> None:
        site.server.expired_tokens.add("TOKEN-1")
        write_credentials(credentials_file, "TOKEN-2")

    site.server.script(PUT_BAD, Do(expire))
    await put_tree(site)
    assert_stored(site, *BATCH_NAMES)
    assert [event.error.code for event in site.record.retries] == ["ExpiredToken"]
    tokens = [request.headers["x-amz-security-token"] for request in site.server.seen("PutObject")]
    number = BATCH_NAMES.index(BAD)
    assert tokens == ["TOKEN-1"] * (number + 1) + ["TOKEN-2"] * (len(tokens) - number - 1)
    for request in site.server.seen("PutObject"):
        assert_signed(request)


async def test_case_06_a_storm_of_503_with_many_workers(site: Site) -> None:
    storm = site.server.script(
        Match(operation="PutObject", times=30), Status(503, "SlowDown", retry_after=0)
    )
    await put_tree(site, concurrency=4)
    assert (storm.used, len(site.record.retries)) == (30, 30)
    assert_stored(site, *BATCH_NAMES)
    assert sum(counts(site).values()) == len(BATCH_NAMES) + 30


# Files that change between the plan and the reading


@pytest.mark.parametrize(
    ("change", "stored"),
    [
        (lambda path: path.write_bytes(b"longer" * 1000), b"longer" * 1000),
        (lambda path: path.write_bytes(b""), b""),
        (lambda path: path.write_bytes(content_of(BAD)[::-1]), content_of(BAD)[::-1]),
        (lambda path: path.write_bytes(bytes(6 * 1024 * 1024)), bytes(6 * 1024 * 1024)),
    ],
    ids=["longer", "empty", "same size", "as large as two parts"],
)
async def test_case_16_a_file_that_changed_is_sent_as_it_is(
    site: Site, tree: Path, change: Callable[[Path], object], stored: bytes
) -> None:
    site.record.on_start(BAD, lambda: change(tree / BAD))
    await put_tree(site)
    assert site.record.finished == set(BATCH_NAMES)
    assert site.body(BAD) == stored
    assert_stored(site, *OTHERS)
    made = counts(site)
    made.pop(BAD)
    assert set(made.values()) == {1}


@pytest.mark.parametrize("instead", [None, "directory", "pipe", "broken link"])
async def test_a_file_that_is_gone_fails_by_name(
    site: Site, tree: Path, instead: str | None
) -> None:
    def vanish() -> None:
        path = tree / BAD
        path.unlink()
        if instead == "directory":
            path.mkdir()
        elif instead == "pipe":
            os.mkfifo(path)
        elif instead == "broken link":
            path.symlink_to("nowhere")

    site.record.on_start(BAD, vanish)
    await put_tree(site)
    assert site.record.finished == OTHERS
    expected = LocalFileError if instead in (None, "broken link") else SourceChangedError
    assert isinstance(site.record.failed[BAD], expected)
    assert_stored(site, *OTHERS)
    assert set(site.server.objects) == {("bucket", name) for name in OTHERS}


# Ends


async def test_an_interrupt_amid_a_batch(site: Site) -> None:
    scope = anyio.CancelScope()
    loop = asyncio.get_running_loop()
    interrupt = Do(lambda: loop.call_soon_threadsafe(scope.cancel))
    site.server.script(PUT_BAD, (interrupt, CloseBeforeReply()))
    async with site.engine(concurrency=1) as engine:
        with scope:
            await engine.copy(f"{site.directory}/tree/", "s3://bucket/")
    assert scope.cancelled_caught
    before = set(BATCH_NAMES[: BATCH_NAMES.index(BAD)])
    assert site.record.finished == before
    assert_stored(site, *before)
    for event in site.record.of(Started):
        name = event.job.location.name
        assert event.job.moved == (event.job.size if name in before else 0)
    assert not engine._memory._used


async def test_a_server_that_is_gone_ends_all_in_one_budget(site: Site) -> None:
    site.server.script(Match(operation="PutObject", after=3, times=None), Status(503, "SlowDown"))
    began = asyncio.get_running_loop().time()
    await put_tree(site)
    assert asyncio.get_running_loop().time() - began < 10
    assert len(site.record.finished) == 3
    assert all(isinstance(error, ObjectError) for error in site.record.failed.values())
    # The first uses the budget up, but for the last moment: the next one may have that.
    *alone, second, _ = sorted(error.attempts for error in site.record.failed.values())
    assert set(alone) == {1}
    assert second <= 3


async def test_a_tally_adds_up(site: Site) -> None:
    """What a screen shows of bytes never holds those of failed objects."""
    site.server.script(PUT_BAD, Status(403, "AccessDenied"))
    await put_tree(site)
    tally = Tally()
    for event in site.record.events:
        tally.emit(event)
    assert (tally.done_count, tally.failed_count) == (len(OTHERS), 1)
    assert tally.planned_count == len(BATCH_NAMES)
    assert tally.moved_size == tally.done_size == sum(len(content_of(name)) for name in OTHERS)
    assert not tally.active


async def test_little_memory_and_many_workers_do_not_lock_up(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A batch at a time fits in, while others want room for the objects that failed."""
    monkeypatch.setattr(Memory, "for_process", lambda _: Memory(1500))
    site.server.script(
        Match(operation="PutObject", times=40, where=lambda sent: int(sent.name[1:3]) % 2 == 0),
        Status(503, "SlowDown", retry_after=0),
    )
    await put_tree(site, concurrency=6, deadlines=Deadlines(progress=5.0))
    assert_stored(site, *BATCH_NAMES)

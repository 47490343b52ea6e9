"""An object on its way to a descriptor: in order, of one version, never whole when it is wrong."""

from __future__ import annotations

import os
import threading

import anyio
import pytest
from tests.faults import Fault, Flip, Match, ResetReply, Status, Truncate, key_md5_of
from tests.kit import KEY, OTHER_KEY, Do, until

from sealift.errors import (
    IntegrityError,
    ObjectChangedError,
    ReplyError,
    UsageError,
    WrongCustomerKeyError,
)
from sealift.model import Location

from .conftest import LARGE, PART_SIZE, Site

pytestmark = pytest.mark.anyio

SMALL = b"small" * 100
SECOND = Match(
    operation="GetObject",
    where=lambda asked: asked.headers.get("range", "").startswith(f"bytes={PART_SIZE}-"),
)

RESUMED = Match(
    operation="GetObject",
    where=lambda asked: asked.headers["range"].startswith(f"bytes={PART_SIZE + 1_000_000}-"),
)


@pytest.fixture(autouse=True)
def stored(site: Site) -> None:
    for name, body in (("small", SMALL), ("large", LARGE), ("empty", b"")):
        site.server.store(name, body, customer_key=KEY)


async def read(site: Site, name: str, **changes: object) -> bytes:
    """What was written of an object, to `out`, whether it was all or not."""
    fd = os.open(site.out, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    try:
        async with site.engine(**changes) as engine:
            await engine.read(Location("bucket", name), fd)
    finally:
        os.close(fd)
    return site.out.read_bytes()


@pytest.mark.parametrize(("name", "body"), [("small", SMALL), ("large", LARGE), ("empty", b"")])
async def test_all_bytes_in_order(site: Site, name: str, body: bytes) -> None:
    assert await read(site, name) == body
    etag = f'"{site.server.objects["bucket", name].etag}"'
    assert all(sent.headers["if-match"] == etag for sent in site.server.seen("GetObject"))


async def test_what_is_written_to_is_not_written_over(site: Site) -> None:
    site.out.write_bytes(b"before ")
    fd = os.open(site.out, os.O_WRONLY | os.O_APPEND)
    async with site.engine() as engine:
        await engine.read(Location("bucket", "small"), fd)
    os.close(fd)
    assert site.out.read_bytes() == b"before " + SMALL


@pytest.mark.parametrize(
    "fault", [Truncate(1_000_000), ResetReply(1_000_000), Status(503, "SlowDown")], ids=str
)
@pytest.mark.parametrize("memory", ["160MiB", "256MiB"])
async def test_a_range_that_goes_wrong_is_read_again(site: Site, fault: Fault, memory: str) -> None:
    script = site.server.script(SECOND, fault)
    assert await read(site, "large", memory=int(memory[:3]) << 20) == LARGE
    assert script.used == 1


async def test_case_02_a_line_that_never_holds_for_a_range_brings_it(site: Site) -> None:
    cuts = site.server.script(Match(operation="GetObject", times=None), Truncate(2_000_000))
    assert await read(site, "large") == LARGE
    assert cuts.used == 3 + 3 + 1
    assert len(site.record.retries) == 2 + 2


async def test_case_18_what_comes_after_a_break_is_of_the_same_version(site: Site) -> None:
    other = Do(lambda: site.server.store("large", LARGE[::-1], customer_key=KEY))
    site.server.script(SECOND, Truncate(1_000_000))
    site.server.script(RESUMED, other)
    with pytest.raises(ObjectChangedError):
        await read(site, "large", concurrency=1)
    assert site.out.read_bytes() == LARGE[:PART_SIZE]


@pytest.mark.parametrize("name", ["small", "large"])
async def test_case_21_a_wrong_checksum_holds_the_end_back(site: Site, name: str) -> None:
    site.server.script(Match(operation="GetObject"), Flip(7))
    with pytest.raises(IntegrityError, match="checksum") as caught:
        await read(site, name)
    written = site.out.stat().st_size
    assert written == (0 if name == "small" else 2 * PART_SIZE)
    assert ("do not use" in caught.value.hint) == (name == "large")


async def test_case_18_an_object_that_is_replaced_is_not_mixed(site: Site) -> None:
    def replace() -> None:
        site.server.store("large", bytes(len(LARGE)), customer_key=KEY)

    site.server.script(SECOND, Do(replace))
    with pytest.raises(ObjectChangedError, match="replaced"):
        await read(site, "large", concurrency=1)
    written = site.out.read_bytes()
    assert written == LARGE[: len(written)]
    assert len(written) < len(LARGE)


async def test_a_wrong_key(site: Site) -> None:
    site.server.store("other", SMALL, customer_key=OTHER_KEY)
    assert site.server.objects["bucket", "other"].customer_key_md5 == key_md5_of(OTHER_KEY)
    with pytest.raises(WrongCustomerKeyError):
        await read(site, "other")
    assert site.out.read_bytes() == b""


async def test_a_refusal(site: Site) -> None:
    site.server.script(SECOND, Status(403, "AccessDenied"))
    with pytest.raises(ReplyError, match="AccessDenied") as caught:
        await read(site, "large")
    assert f"{PART_SIZE} of {len(LARGE)} bytes" in caught.value.hint


@pytest.mark.parametrize("name", ["nothing", "prefix/", ""])
async def test_no_object(site: Site, name: str) -> None:
    with pytest.raises(UsageError, match="no object"):
        await read(site, name)


async def test_a_pipe_that_is_read_slowly_blocks_nothing(site: Site) -> None:
    out, into = os.pipe()
    received = bytearray()
    beats = 0

    def drain() -> None:
        while sip := os.read(out, 1 << 20):
            received.extend(sip)

    reader = threading.Thread(target=drain)
    async with site.engine() as engine, anyio.create_task_group() as group:
        group.start_soon(engine.read, Location("bucket", "large"), into)
        await until(lambda: len(site.server.seen("GetObject")) == 3)
        for _ in range(20):  # the pipe is full, and the loop goes on
            await anyio.sleep(0.001)
            beats += 1
        reader.start()
    os.close(into)
    reader.join()
    os.close(out)
    assert (bytes(received), beats) == (LARGE, 20)


async def test_a_pipe_that_is_not_read_can_be_left(site: Site) -> None:
    out, into = os.pipe()
    async with site.engine() as engine:
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as group:
                group.start_soon(engine.read, Location("bucket", "large"), into)
                await until(lambda: len(site.server.seen("GetObject")) == 3)
                scope.cancel()
    assert scope.cancelled_caught
    os.close(into)
    os.close(out)


async def test_a_pipe_whose_reader_has_gone(site: Site) -> None:
    out, into = os.pipe()
    os.close(out)
    async with site.engine() as engine:
        with pytest.raises(BrokenPipeError):
            await engine.read(Location("bucket", "large"), into)
    os.close(into)

"""The cases of a client to be trusted that are about uploads; each test bears its number."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from tests.faults import (
    Fault,
    FlipRequest,
    Match,
    NoEcho,
    ResetRequest,
    Stall,
    WrongEcho,
)
from tests.faults.messages import Request
from tests.faults.plan import Plan
from tests.kit import KEY, Do

from sealift.errors import (
    Cause,
    IntegrityError,
    NotSealedError,
    ReplyError,
    SourceChangedError,
)
from sealift.model import Location
from sealift.options import Options
from sealift.retry import Policy
from sealift.wire.connection import Deadlines

from .conftest import LARGE, Site, assert_one_object, count, creates

pytestmark = pytest.mark.anyio
both_dialects = pytest.mark.parametrize("dialect", ["aws", "ceph"])

SMALL = b"small" * 100


def parts(site: Site) -> dict[int | None, int]:
    """How often each part was sent."""
    numbers = [sent.part for sent in site.server.seen("UploadPart")]
    return {number: numbers.count(number) for number in sorted(set(numbers), key=str)}


# 1, 5: connections


@both_dialects
async def test_case_01_resets_amid_a_part_cost_two_more_connections(site: Site) -> None:
    site.server.script(
        Match(operation="UploadPart", part=2), ResetRequest(1_000_000), ResetRequest(3_000_000)
    )
    await site.put("x", LARGE)
    assert_one_object(site)
    assert parts(site) == {1: 1, 2: 3, 3: 1}
    second = [sent.connection_id for sent in site.server.seen("UploadPart") if sent.part == 2]
    assert len(set(second)) == 3


def test_case_05_no_byte_may_take_longer_than_30_seconds() -> None:
    assert Options(None).deadlines.progress == 30.0


@pytest.mark.usefixtures("quick_watch")
@pytest.mark.parametrize(
    "stall", [Stall("request", after=1_000_000), Stall("before_head")], ids=["writing", "reply"]
)
async def test_case_05_a_stalled_part_is_sent_again(site: Site, stall: Stall) -> None:
    script = site.server.script(Match(operation="UploadPart", part=2), stall)
    began = time.monotonic()
    await site.put("x", LARGE, deadlines=Deadlines(progress=0.4))
    assert time.monotonic() - began < 5
    assert_one_object(site)
    # The server notes a request that stalls only when it ends.
    assert (script.used, parts(site)[2]) == (1, 1 if stall.where == "request" else 2)
    assert [event.error.cause for event in site.record.retries] == [Cause.STALLED]


@pytest.mark.usefixtures("quick_watch")
@pytest.mark.parametrize("content", [SMALL, LARGE], ids=["put", "parts"])
async def test_case_05_replies_that_never_come_take_one_budget(site: Site, content: bytes) -> None:
    operation = "PutObject" if content is SMALL else "UploadPart"
    site.server.script(Match(operation=operation, times=None), Stall("before_head"))
    began = time.monotonic()
    policy = Policy(budget=0.5, longest_wait=0.02)
    await site.put("x", content, deadlines=Deadlines(progress=0.2), policy=policy)
    assert time.monotonic() - began < 6
    assert site.record.failed["x"].cause is Cause.STALLED
    assert site.record.failed["x"].attempts > 1


# 16, 17: the source changes


CHANGED = bytes([LARGE[0] ^ 1]) + LARGE[1:]


def grow(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more")


def shrink(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 5)


def rewrite(path: Path) -> None:
    before = path.stat().st_mtime_ns
    with path.open("r+b") as file:
        byte = file.read(1)[0]
        file.seek(0)
        file.write(bytes([byte ^ 1]))
    os.utime(path, ns=(before, before))  # only the time of the change of the inode tells


def take_the_place(path: Path) -> None:
    other = path.with_name("other")
    other.write_bytes(path.read_bytes())
    os.utime(other, ns=(path.stat().st_mtime_ns,) * 2)
    with other.open("r+b") as file:
        file.write(b"other")
    os.replace(other, path)


in_place = pytest.mark.parametrize("change", [grow, shrink, rewrite])
renamed = pytest.mark.parametrize("change", [take_the_place])


async def put_while_it_changes(
    site: Site, change: Callable[[Path], None], times: int | None
) -> None:
    path = site.directory / "source"
    first = Match(operation="UploadPart", part=1, times=times)
    site.server.script(first, Do(lambda: change(path)))
    await site.put("x", LARGE, concurrency=1)
    assert not site.server.uploads
    assert creates(site) == 2


async def assert_sent_once_more(site: Site, change: Callable[[Path], None]) -> None:
    await put_while_it_changes(site, change, 1)
    assert_one_object(site, (site.directory / "source").read_bytes())
    assert site.body("x") != LARGE
    # Found with the next part that is read: no more was sent of what had changed.
    assert parts(site) == {1: 2, 2: 1, 3: 1}


async def assert_given_up(site: Site, change: Callable[[Path], None]) -> None:
    site.server.store("x", b"older", customer_key=KEY)
    await put_while_it_changes(site, change, None)
    error = site.record.failed["x"]
    assert isinstance(error, SourceChangedError)
    assert "the file" in str(error)
    assert site.body("x") == b"older"
    assert parts(site) == {1: 2}


@both_dialects
@in_place
async def test_case_16_a_file_that_changes_is_sent_once_more(
    site: Site, change: Callable[[Path], None]
) -> None:
    await assert_sent_once_more(site, change)


@in_place
async def test_case_16_a_file_that_keeps_changing_fails(
    site: Site, change: Callable[[Path], None]
) -> None:
    await assert_given_up(site, change)


@both_dialects
@renamed
async def test_case_17_a_file_that_is_replaced_is_sent_once_more(
    site: Site, change: Callable[[Path], None]
) -> None:
    await assert_sent_once_more(site, change)


@renamed
async def test_case_17_a_file_that_is_replaced_again_and_again_fails(
    site: Site, change: Callable[[Path], None]
) -> None:
    await assert_given_up(site, change)


@pytest.mark.parametrize("change", [grow, shrink, rewrite, take_the_place])
@pytest.mark.parametrize("times", [1, 2])
async def test_case_16_and_17_hold_for_a_file_that_is_read_at_once(
    site: Site, monkeypatch: pytest.MonkeyPatch, change: Callable[[Path], None], times: int
) -> None:
    """It changes right after its bytes were read, so that they are no version of it."""
    path, readv = site.directory / "source", os.readv
    left = times

    def read_then_change(fd: int, buffers: list[memoryview]) -> int:
        nonlocal left
        filled = readv(fd, buffers)
        if left and os.fstat(fd).st_size == len(buffers[0]) >= len(SMALL) - 10:
            left -= 1
            change(path)
        return filled

    monkeypatch.setattr(os, "readv", read_then_change)
    await site.put("x", SMALL)
    assert left == 0
    if times == 1:
        assert_one_object(site, path.read_bytes())
        assert count(site, "PutObject") == (1,)
    else:
        assert isinstance(site.record.failed["x"], SourceChangedError)
        assert count(site, "PutObject") == (0,)


# 22: bytes that change on the way


class Unchecked:
    """A server that compares no digest, and a byte that changes on the way."""

    def shape(self, plan: Plan) -> None:
        plan.alter.append(self._without_digests)
        FlipRequest(3).shape(plan)

    def _without_digests(self, asked: Request) -> Request:
        digests = ("content-md5", "x-amz-checksum-crc64nvme")
        kept = {name: value for name, value in asked.headers.items() if name not in digests}
        return replace(asked, headers=kept)


@both_dialects
@pytest.mark.parametrize("content", [SMALL, LARGE], ids=["put", "parts"])
async def test_case_22_a_byte_flipped_on_the_way_is_read_and_sent_again(
    site: Site, content: bytes
) -> None:
    operation = "PutObject" if content is SMALL else "UploadPart"
    site.server.script(Match(operation=operation), FlipRequest(3))
    await site.put("x", content)
    assert_one_object(site, content)
    assert count(site, operation) == (2 if content is SMALL else 4,)
    assert [event.error.code for event in site.record.retries] == ["BadDigest"]


async def test_case_22_bytes_that_stay_flipped_fail(site: Site) -> None:
    site.server.script(Match(operation="PutObject", times=None), FlipRequest())
    await site.put("x", SMALL)
    assert "BadDigest" in str(site.record.failed["x"])
    assert count(site, "PutObject") == (3,)
    assert not site.server.objects


@pytest.mark.parametrize("content", [SMALL, LARGE], ids=["put", "parts"])
@pytest.mark.parametrize("dialect", ["ceph"])
async def test_case_22_a_server_that_checks_nothing_is_found_out_by_reading(
    site: Site, content: bytes
) -> None:
    """The checksum that goes with the object tells, to whoever reads it back."""
    operation = "PutObject" if content is SMALL else "UploadPart"
    site.server.script(Match(operation=operation), Unchecked())
    await site.put("x", content)
    assert site.body("x") != content
    await site.get("x")
    assert isinstance(site.record.failed["x"], IntegrityError)
    assert not site.out.exists()
    with pytest.raises(IntegrityError), (site.directory / "read").open("wb") as file:
        async with site.engine() as engine:
            await engine.read(Location("bucket", "x"), file.fileno())


@pytest.mark.parametrize("content", [SMALL, LARGE], ids=["put", "parts"])
async def test_case_22_a_server_that_tells_its_checksum_is_found_out_at_once(
    site: Site, content: bytes
) -> None:
    operation = "PutObject" if content is SMALL else "UploadPart"
    site.server.script(Match(operation=operation), Unchecked())
    await site.put("x", content)
    if content is SMALL:
        assert_one_object(site, content)
        assert count(site, "PutObject") == (2,)
    else:  # a part's reply tells nothing, but Complete compares the whole
        assert isinstance(site.record.failed["x"], ReplyError)
        assert not site.server.objects
        assert not site.server.uploads


# 23: replies without the echo


@pytest.mark.parametrize("fault", [NoEcho(), WrongEcho()], ids=str)
@pytest.mark.parametrize(
    ("operation", "requests"),
    [
        ("PutObject", {"PutObject": 1, "DeleteObject": 1}),
        ("CreateMultipartUpload", {"UploadPart": 0, "AbortMultipartUpload": 1}),
        ("UploadPart", {"UploadPart": 1, "AbortMultipartUpload": 1}),
    ],
)
async def test_case_23_what_is_not_sealed_does_not_stay(
    site: Site, operation: str, requests: dict[str, int], fault: Fault
) -> None:
    site.server.script(Match(operation=operation, times=None), fault)
    await site.put("x", SMALL if operation == "PutObject" else LARGE, concurrency=1)
    error = site.record.failed["x"]
    assert isinstance(error, NotSealedError)
    assert ("UNENCRYPTED" in str(error)) == (operation != "CreateMultipartUpload")
    assert not site.server.objects
    assert not site.server.uploads
    assert not site.record.retries
    assert {name: count(site, name)[0] for name in requests} == requests

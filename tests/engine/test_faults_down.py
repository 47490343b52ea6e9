"""Downloads under faults: a file appears whole and verified, or not at all."""

from __future__ import annotations

import errno
import os
from dataclasses import replace
from pathlib import Path

import pytest
from tests.faults import (
    ApplyThenReset,
    Chunked,
    Fault,
    FaultServer,
    Flip,
    Http10,
    IgnoreRange,
    Match,
    NoETag,
    Redirect,
    ReplaceObject,
    ResetReply,
    Status,
    Truncate,
    WrongRange,
)
from tests.faults.messages import Reply, Request
from tests.faults.plan import Plan
from tests.kit import CUSTOMER_KEY, KEY, OTHER_KEY, Certificate, Do, assert_signed

from sealift.errors import (
    IntegrityError,
    LocalFileError,
    ObjectError,
    ReplyError,
    WrongCustomerKeyError,
)
from sealift.events import Finished
from sealift.keys import CustomerKey
from sealift.model import Location

from .conftest import LARGE, PART_SIZE, SEAL, Site, assert_accounted, write_credentials

pytestmark = pytest.mark.anyio
both_dialects = pytest.mark.parametrize("dialect", ["aws", "ceph"])

GET = Match(operation="GetObject")
SECOND = Match(
    operation="GetObject",
    where=lambda asked: asked.headers.get("range", "").startswith(f"bytes={PART_SIZE}-"),
)
SMALL = b"small" * 100
OTHER = bytes(len(LARGE))


@pytest.fixture(autouse=True)
def stored(site: Site) -> None:
    site.server.store("small", SMALL, customer_key=KEY)
    site.server.store("large", LARGE, customer_key=KEY)


def assert_no_file(site: Site) -> None:
    assert not site.out.exists()
    assert not site.left_behind()


# Faults that pass


@pytest.mark.parametrize(
    "fault",
    [
        Truncate(1_000_000),
        ResetReply(1_000_000),
        ApplyThenReset(),
        Status(503, "SlowDown"),
        Status(500, "InternalError"),
        WrongRange(),
        NoETag(),
        IgnoreRange(),
        Chunked(),
        Http10(),
        (Http10(), Truncate(1_000_000)),
    ],
    ids=str,
)
async def test_a_range_that_goes_wrong_is_read_again(
    site: Site, fault: Fault | tuple[Fault, ...]
) -> None:
    script = site.server.script(SECOND, fault)
    await site.get("large")
    assert script.used == 1
    assert site.out.read_bytes() == LARGE
    (finished,) = site.record.of(Finished)
    assert finished.job.moved == finished.job.size == len(LARGE)
    assert not site.left_behind()


@pytest.mark.parametrize(
    "fault",
    [Truncate(100), ResetReply(100), Flip(7), NoETag(), (Http10(), Truncate(100))],
    ids=str,
)
async def test_a_small_object_that_goes_wrong_is_read_again(
    site: Site, fault: Fault | tuple[Fault, ...]
) -> None:
    site.server.script(GET, fault)
    await site.get("small")
    assert site.out.read_bytes() == SMALL
    (finished,) = site.record.of(Finished)
    assert finished.job.moved == len(SMALL)
    assert finished.checked


async def test_case_06_a_short_storm_of_503_passes(site: Site) -> None:
    names = [f"tree/{number}" for number in range(20)]
    for name in names:
        site.server.store(name, name.encode(), customer_key=KEY)
    storm = site.server.script(Match(operation="GetObject", times=15), Status(503, "SlowDown"))
    async with site.engine() as engine:
        await engine.restore(Location("bucket", "tree/"), str(site.out))
    assert storm.used == 15
    assert site.record.finished == set(names)
    found = {path.name: path.read_bytes() for path in site.out.iterdir()}
    assert found == {name.removeprefix("tree/"): name.encode() for name in names}


async def test_case_07_one_object_fails_and_the_others_go_on(site: Site) -> None:
    for name in ("a", "bad", "c"):
        site.server.store(f"tree/{name}", name.encode(), customer_key=KEY)
    site.server.script(
        Match(operation="GetObject", name="tree/bad", times=None), Status(500, "InternalError")
    )
    async with site.engine() as engine:
        await engine.copy("s3://bucket/tree/", str(site.out))
    assert site.record.finished == {"tree/a", "tree/c"}
    assert isinstance(site.record.failed["tree/bad"], ReplyError)
    tries = [sent for sent in site.server.seen("GetObject") if sent.name == "tree/bad"]
    assert len(tries) == site.record.failed["tree/bad"].attempts == 8
    assert sorted(path.name for path in site.out.iterdir()) == ["a", "c"]


# Bytes that are wrong


@both_dialects
@pytest.mark.parametrize("size", [len(LARGE), len(LARGE) + 7, 100])
async def test_case_18_an_object_replaced_between_ranges_is_never_mixed(
    site: Site, size: int
) -> None:
    new = b"\xaa" * size
    site.server.script(SECOND, ReplaceObject(new))
    await site.get("large")
    assert site.record.finished == {"large"}
    assert site.out.read_bytes() == new
    (finished,) = site.record.of(Finished)
    assert finished.job.moved == finished.job.size == size


class WithoutIfMatch:
    """The server does not know this header."""

    def shape(self, plan: Plan) -> None:
        plan.alter.append(self._altered)

    def _altered(self, asked: Request) -> Request:
        headers = {name: value for name, value in asked.headers.items() if name != "if-match"}
        return replace(asked, headers=headers)


@both_dialects
async def test_case_18_a_server_that_ignores_if_match_mixes_nothing(site: Site) -> None:
    """On Ceph there is no checksum either: the ETag of the reply alone tells."""
    act = Do(lambda: site.server.store("large", OTHER, customer_key=KEY))
    site.server.script(SECOND, (act, WithoutIfMatch()))
    site.server.script(Match(operation="GetObject", times=None), WithoutIfMatch())
    await site.get("large", concurrency=1)
    assert site.out.read_bytes() == OTHER


async def test_ranges_pin_the_version(site: Site) -> None:
    await site.get("large")
    etag = f'"{site.server.objects["bucket", "large"].etag}"'
    ranges = site.server.seen("GetObject")
    assert len(ranges) == 3
    for request in ranges:
        assert request.headers["if-match"] == etag
        assert request.headers[SEAL + "key-md5"] == CUSTOMER_KEY.md5
        assert_signed(request)


# The customer key


@both_dialects
@pytest.mark.parametrize("name", ["small", "large"])
async def test_case_25_a_wrong_key_is_found_in_two_requests(site: Site, name: str) -> None:
    with pytest.raises(WrongCustomerKeyError, match="key"):
        await site.get(name, customer_key=CustomerKey(OTHER_KEY))
    carried = [sent for sent in site.server.requests if SEAL + "key" in sent.headers]
    assert 1 <= len(carried) <= 2
    assert not site.record.retries
    assert_no_file(site)


@both_dialects
async def test_case_25_a_wrong_key_in_a_tree_costs_two_requests_an_object(site: Site) -> None:
    async with site.engine(customer_key=CustomerKey(OTHER_KEY)) as engine:
        await engine.copy("s3://bucket/", str(site.out))
    assert set(site.record.failed) == {"small", "large"}
    for error in site.record.failed.values():
        assert isinstance(error, WrongCustomerKeyError)
    for name in ("small", "large"):
        assert len([sent for sent in site.server.requests if sent.name == name]) <= 2
    assert not site.record.retries
    assert not list(site.out.iterdir())


# Who and when


@both_dialects
@pytest.mark.parametrize("offset", [1200, -1200])
async def test_case_38_a_wrong_clock_is_put_right_once(site: Site, offset: int) -> None:
    site.server.clock_offset = offset
    await site.get("large")
    assert site.out.read_bytes() == LARGE
    assert len(site.record.notes) == 1
    for request in site.server.requests[1:]:
        assert_signed(request)


@pytest.mark.parametrize(("name", "operation"), [("small", "GetObject"), ("large", "HeadObject")])
async def test_case_38_expired_credentials_are_read_anew(
    site: Site, credentials_file: Path, name: str, operation: str
) -> None:
    """A refused HEAD has no code, so it must not pass for a wrong key."""

    def expire() -> None:
        site.server.expired_tokens.add("TOKEN-1")
        write_credentials(credentials_file, "TOKEN-2")

    site.server.script(Match(operation=operation), Do(expire))
    await site.get(name)
    assert site.out.read_bytes() == site.body(name)
    assert site.server.requests[-1].headers["x-amz-security-token"] == "TOKEN-2"


@pytest.mark.parametrize(("name", "operation"), [("large", "HeadObject"), ("small", "GetObject")])
async def test_case_28_redirects_are_not_followed(
    site: Site, certificate: Certificate, name: str, operation: str
) -> None:
    with FaultServer(certificate) as other:
        target = f"{other.endpoint_url}/bucket/{name}"
        site.server.script(Match(operation=operation, times=None), Redirect(307, target))
        if operation == "HeadObject":
            with pytest.raises(ReplyError, match="307"):
                await site.get(name)
        else:
            await site.get(name)
            assert target in str(site.record.failed[name])
        assert other.connections == 0
    assert_no_file(site)


# The disk


@pytest.mark.parametrize("size", [3 * 1024 * 1024, len(LARGE)], ids=["one request", "ranges"])
async def test_case_36_a_full_disk_fails_one_object(site: Site, tiny_disk: Path, size: int) -> None:
    del site.server.objects["bucket", "large"], site.server.objects["bucket", "small"]
    for name, body in (("a", SMALL), ("b-big", LARGE[:size]), ("c", SMALL)):
        site.server.store(name, body, customer_key=KEY)
    # One after the other: what is written while the disk is full may fail, too.
    async with site.engine(concurrency=1) as engine:
        await engine.copy("s3://bucket/", str(tiny_disk))
    assert site.record.finished == {"a", "c"}
    error = site.record.failed["b-big"]
    assert isinstance(error, LocalFileError)
    assert error.errno == errno.ENOSPC
    assert sorted(os.listdir(tiny_disk)) == ["a", "c"]
    assert not site.record.retries
    # The space is reserved when the first range is there; no range is asked for twice.
    asked = [sent for sent in site.server.seen("GetObject") if sent.name == "b-big"]
    assert len({sent.headers.get("range") for sent in asked}) == len(asked)


async def test_a_failed_download_counts_nothing(site: Site) -> None:
    site.server.script(SECOND, Status(403, "AccessDenied"))
    await site.get("large")
    assert isinstance(site.record.failed["large"], ObjectError)
    assert_accounted(site, {"large"})
    assert_no_file(site)
    assert len(LARGE) > 2 * PART_SIZE


# Listings


class Circle:
    """Each page is the first one, and names one of two next pages in turn."""

    def __init__(self) -> None:
        self._count = 0

    def shape(self, plan: Plan) -> None:
        plan.alter.append(self._from_the_start)
        plan.reshape.append(self._with_a_next_page)

    def _from_the_start(self, asked: Request) -> Request:
        query = {name: value for name, value in asked.query.items() if "token" not in name}
        return replace(asked, query=query)

    def _with_a_next_page(self, reply: Reply) -> Reply:
        self._count += 1
        following = f"<NextContinuationToken>{self._count % 2}</NextContinuationToken>"
        body = bytes(reply.body).replace(
            b"<IsTruncated>false</IsTruncated>",
            f"<IsTruncated>true</IsTruncated>{following}".encode(),
        )
        return Reply(reply.status, {}, body)


async def test_case_40_a_listing_in_circles_ends(site: Site) -> None:
    site.server.store("d/x", b"x", customer_key=KEY)
    site.server.script(Match(operation="ListObjectsV2", times=None, after=1), Circle())
    async with site.engine() as engine:
        with pytest.raises(IntegrityError, match="in circles"):
            await engine.copy("s3://bucket/d/", str(site.out))
        with pytest.raises(IntegrityError, match="in circles"):
            _ = [entry async for entry in engine.list_level(Location("bucket", "d/"))]
    assert len(site.server.seen("ListObjectsV2")) < 10

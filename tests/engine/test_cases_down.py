"""The cases of a client to be trusted that are about downloads; each test bears its number."""

from __future__ import annotations

import re
import time
from dataclasses import replace

import pytest
from tests.faults import (
    Fault,
    Flip,
    IgnoreRange,
    Match,
    NoEcho,
    ReplaceObject,
    ResetReply,
    Stall,
    Truncate,
    WrongEcho,
    WrongRange,
    key_md5_of,
)
from tests.faults.messages import Request
from tests.kit import KEY, OTHER_KEY, Do

from sealift.checksums import crc64, encode
from sealift.download import START_COUNT
from sealift.errors import (
    Cause,
    IntegrityError,
    NetworkError,
    NotSealedError,
    ObjectChangedError,
    WrongCustomerKeyError,
)
from sealift.events import Finished
from sealift.model import Location
from sealift.options import Options
from sealift.retry import Policy
from sealift.wire.connection import Deadlines

from .conftest import LARGE, PART_SIZE, SEAL, Site, assert_accounted

pytestmark = pytest.mark.anyio
both_dialects = pytest.mark.parametrize("dialect", ["aws", "ceph"])

GETS = Match(operation="GetObject", times=None)
BRIEF = Policy(budget=0.3, longest_wait=0.02)
SMALL = b"small" * 100
RANGES = [(0, PART_SIZE), (PART_SIZE, 2 * PART_SIZE), (2 * PART_SIZE, len(LARGE))]


def is_second(request: Request) -> bool:
    """Whether bytes of the second range are asked for."""
    found = re.match(r"bytes=(\d+)-", request.headers.get("range", ""))
    return found is not None and PART_SIZE <= int(found[1]) < 2 * PART_SIZE


SECOND = Match(operation="GetObject", where=is_second)
SECOND_ALWAYS = replace(SECOND, times=None)


@pytest.fixture(autouse=True)
def stored(site: Site) -> None:
    for name, body in (("small", SMALL), ("large", LARGE)):
        crc = {"x-amz-meta-sealift-crc64nvme": encode(crc64(body))}
        site.server.store(name, body, customer_key=KEY, headers=crc)


def asked(site: Site) -> list[tuple[int, int]]:
    """The ranges asked for, as first byte and the one after the last, in the order of bytes."""
    ranges = [sent.headers["range"] for sent in site.server.seen("GetObject")]
    pairs = [re.findall(r"\d+", text) for text in ranges]
    return sorted((int(first), int(last) + 1) for first, last in pairs)


def assert_whole(site: Site, body: bytes = LARGE) -> None:
    assert site.record.finished == {"large"}
    assert site.out.read_bytes() == body
    (finished,) = site.record.of(Finished)
    assert finished.job.moved == finished.job.size == len(body)
    assert not site.left_behind()


def assert_older_file(site: Site) -> None:
    """Nothing has got the name of the file that was there."""
    assert site.out.read_bytes() == b"older"
    assert not site.left_behind()


# 2, 3: connections that end


@pytest.mark.parametrize("fault", [ResetReply(1_000_000), Truncate(1_000_000)], ids=str)
async def test_case_02_a_reset_amid_a_body_goes_on_from_the_byte_reached(
    site: Site, fault: Fault
) -> None:
    site.server.script(SECOND, fault, fault)
    await site.get("large")
    assert_whole(site)
    first, second, again, once_more, third = asked(site)
    assert [first, second, third] == RANGES
    assert PART_SIZE < again[0] <= PART_SIZE + 1_000_000
    assert again[0] < once_more[0] <= again[0] + 1_000_000
    assert again[1] == once_more[1] == 2 * PART_SIZE
    etag = f'"{site.server.objects["bucket", "large"].etag}"'
    assert {sent.headers["if-match"] for sent in site.server.seen("GetObject")} == {etag}
    assert len(site.record.retries) == 2


async def test_case_02_a_line_that_never_holds_for_a_range_brings_it(site: Site) -> None:
    """More breaks than a whole budget of attempts from the start would survive."""
    site.server.script(replace(GETS, name="large"), Truncate(700_000))
    await site.get("large")
    assert_whole(site)
    starts = [start for start, _ in asked(site)]
    assert starts == [start for begin, end in RANGES for start in range(begin, end, 700_000)]


@pytest.mark.parametrize("fault", [NoEcho(), WrongEcho(), WrongRange()], ids=str)
async def test_case_02_bytes_of_a_reply_that_is_not_believed_are_not_kept(
    site: Site, fault: Fault
) -> None:
    site.server.script(SECOND, (fault, Truncate(1_000_000)))
    await site.get("large")
    assert_whole(site)
    assert asked(site) == sorted([*RANGES, RANGES[1]])


async def test_case_02_an_object_replaced_after_a_reset_is_not_mixed(site: Site) -> None:
    new = bytes(len(LARGE))
    site.server.script(SECOND, Truncate(1_000_000), ReplaceObject(new))
    await site.get("large", concurrency=1)
    assert_whole(site, new)


@pytest.mark.parametrize("name", ["small", "large"])
async def test_case_03_a_body_that_is_always_short_never_gets_the_name(
    site: Site, name: str
) -> None:
    site.file("out", b"older")
    script = site.server.script(GETS, Truncate(0))
    await site.get(name, policy=BRIEF)
    assert isinstance(site.record.failed[name], NetworkError)
    assert script.used > 1
    assert_accounted(site, {name})
    assert site.out.read_bytes() == b"older"
    # A later run goes on with the one; the other was never begun.
    assert len(site.left_behind()) == (name == "large")


@pytest.mark.parametrize("after", [0, 300, len(SMALL) - 1])
async def test_case_03_a_short_body_is_asked_for_again(site: Site, after: int) -> None:
    site.server.script(Match(operation="GetObject"), Truncate(after))
    await site.get("small")
    assert site.out.read_bytes() == SMALL
    assert len(site.server.seen("GetObject")) == 2


# 4: stalls


def test_case_04_no_byte_may_take_longer_than_30_seconds() -> None:
    assert Options(None).deadlines.progress == 30.0


@pytest.mark.usefixtures("quick_watch")
@pytest.mark.parametrize("stall", [Stall("reply", after=1_000_000), Stall("before_head")], ids=str)
async def test_case_04_a_stalled_range_is_given_up_and_asked_for_again(
    site: Site, stall: Fault
) -> None:
    site.server.script(SECOND, stall)
    began = time.monotonic()
    await site.get("large", deadlines=Deadlines(progress=0.4))
    assert time.monotonic() - began < 5
    assert_whole(site)
    assert [event.error.cause for event in site.record.retries] == [Cause.STALLED]
    assert len(asked(site)) == 4


@pytest.mark.usefixtures("quick_watch")
async def test_case_04_a_server_that_stalls_for_ever_takes_one_budget(site: Site) -> None:
    site.server.script(SECOND_ALWAYS, Stall("before_head"))
    began = time.monotonic()
    policy = Policy(budget=0.5, longest_wait=0.02)
    await site.get("large", deadlines=Deadlines(progress=0.2), policy=policy)
    assert time.monotonic() - began < 5
    assert site.record.failed["large"].cause is Cause.STALLED
    assert site.record.failed["large"].attempts > 1
    assert not site.out.exists()


# 18, 19: the object changes


@both_dialects
async def test_case_18_an_object_replaced_again_and_again_fails(site: Site) -> None:
    site.file("out", b"older")
    count = iter(range(1000))

    def replaced() -> None:
        site.server.store("large", next(count).to_bytes(4, "big") + LARGE, customer_key=KEY)

    site.server.script(SECOND_ALWAYS, Do(replaced))
    await site.get("large", concurrency=1)
    assert isinstance(site.record.failed["large"], ObjectChangedError)
    assert_older_file(site)
    # Each start: a HEAD, the first range, and a 412 to the second, after which no third is begun.
    assert len(asked(site)) == 2 * START_COUNT
    assert not site.record.retries


@both_dialects
async def test_case_19_an_object_rekeyed_amid_ranges_is_a_wrong_key(site: Site) -> None:
    """Its ETag stays the same, so If-Match tells nothing."""
    site.file("out", b"older")
    before = site.server.objects["bucket", "large"].etag
    site.server.script(SECOND, ReplaceObject(customer_key_md5=key_md5_of(OTHER_KEY)))
    await site.get("large", concurrency=1)
    assert site.server.objects["bucket", "large"].etag == before
    assert isinstance(site.record.failed["large"], WrongCustomerKeyError)
    assert_older_file(site)
    assert asked(site) == RANGES[:2]
    assert not site.record.retries


# 20, 21: wrong bytes


@pytest.mark.parametrize(
    ("fault", "attempts"),
    [(IgnoreRange(), 1), (WrongRange(1), 3), (WrongRange(-1), 3)],
    ids=["the whole object", "one byte later", "one byte before"],
)
async def test_case_20_a_range_that_was_not_asked_for_is_never_written(
    site: Site, fault: Fault, attempts: int
) -> None:
    site.file("out", b"older")
    script = site.server.script(SECOND_ALWAYS, fault)
    await site.get("large")
    assert isinstance(site.record.failed["large"], IntegrityError | ObjectChangedError)
    assert_older_file(site)
    assert script.used == attempts * START_COUNT


@both_dialects
async def test_case_21_a_flipped_byte_is_found_and_the_object_read_again(site: Site) -> None:
    """Replies to ranges have no checksum of their own, so which range was bad nobody can tell."""
    site.server.script(SECOND, Flip(1000))
    await site.get("large")
    assert_whole(site)
    assert site.record.of(Finished)[0].checked
    assert asked(site) == sorted(RANGES * 2)


@both_dialects
@pytest.mark.parametrize("name", ["small", "large"])
async def test_case_21_bytes_that_stay_flipped_make_no_file(site: Site, name: str) -> None:
    site.file("out", b"older")
    script = site.server.script(GETS, Flip(3))
    await site.get(name)
    error = site.record.failed[name]
    assert isinstance(error, IntegrityError)
    assert "checksum" in str(error)
    assert_accounted(site, {name})
    assert_older_file(site)
    # Three attempts at the small one, three ranges of the large one, at each start.
    assert script.used == 3 * START_COUNT


# 24: the object is not sealed


@pytest.mark.parametrize("fault", [NoEcho(), WrongEcho()], ids=str)
@pytest.mark.parametrize(
    ("name", "operation"),
    [("small", "GetObject"), ("large", "GetObject"), ("large", "HeadObject")],
)
async def test_case_24_a_get_without_echo_makes_no_file(
    site: Site, name: str, operation: str, fault: Fault
) -> None:
    # The first HEAD is the command's own.
    after = 1 if operation == "HeadObject" else 0
    script = site.server.script(Match(operation=operation, times=None, after=after), fault)
    await site.get(name, concurrency=1)
    assert isinstance(site.record.failed[name], NotSealedError)
    assert not site.out.exists()
    assert not site.left_behind()
    assert not site.server.seen("DeleteObject")
    assert script.used == 1


@pytest.mark.parametrize("dialect", ["ceph"])
async def test_case_24_an_object_that_becomes_plaintext_amid_ranges(site: Site) -> None:
    """The same bytes, so the same ETag on Ceph: only the missing echo tells."""
    site.server.script(SECOND, Do(lambda: site.server.store("large", LARGE)))
    await site.get("large", concurrency=1)
    assert isinstance(site.record.failed["large"], NotSealedError)
    assert not site.out.exists()
    assert not site.left_behind()
    assert asked(site) == RANGES[:2]


@pytest.mark.parametrize("dialect", ["ceph"])
async def test_case_24_plaintext_is_taken_only_by_an_engine_without_a_key(site: Site) -> None:
    site.server.store("plain", SMALL)
    with pytest.raises(NotSealedError):
        await site.get("plain")
    assert not site.out.exists()
    async with site.engine(customer_key=None) as engine:
        await engine.get(Location("bucket", "plain"), str(site.out))
    assert site.out.read_bytes() == SMALL
    assert not any(SEAL + "key" in sent.headers for sent in site.server.seen("GetObject"))

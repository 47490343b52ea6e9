"""Copies from S3 to S3 when the server cannot, will not, or changes its mind in between."""

from __future__ import annotations

import pytest
from tests.engine.conftest import LARGE, PART_SIZE, Record, Site
from tests.faults import (
    ApplyThenReset,
    Complete200Error,
    Dialect,
    Fault,
    Flip,
    Match,
    NoEcho,
    ReplaceObject,
    Status,
    Truncate,
    WrongEcho,
)
from tests.kit import CUSTOMER_KEY, KEY, OTHER_KEY, Do

from sealift import copier, ways
from sealift.errors import IntegrityError, NotSealedError, UsageError, WrongCustomerKeyError
from sealift.keys import CustomerKey
from sealift.model import GiB
from sealift.options import SourceOptions
from sealift.ways import Way, choose_way

pytestmark = pytest.mark.anyio

TIMES = {"x-amz-meta-mtime": "1555555555.5"}


async def copy(
    site: Site, source: str, destination: str, key: bytes | None = OTHER_KEY, **changes: object
) -> Record:
    """Copy within the server; the source is sealed under `key`."""
    side = SourceOptions(
        None if key is None else CustomerKey(key),
        endpoint_url=site.server.endpoint_url,
        ca_bundle=str(site.certificate.ca_file),
    )
    async with site.engine(source=side, **changes) as engine:
        await engine.copy(f"s3://bucket/{source}", f"s3://bucket/{destination}")
    return site.record


def store(site: Site, name: str, body: bytes, key: bytes | None = OTHER_KEY) -> None:
    site.server.store(name, body, customer_key=key, headers=TIMES)


def assert_copied(site: Site, name: str, body: bytes) -> None:
    """The object is there, sealed under the destination's key, with its time."""
    stored = site.server.objects["bucket", name]
    assert stored.body == body
    assert stored.customer_key_md5 == CUSTOMER_KEY.md5
    assert stored.headers["x-amz-meta-mtime"] == TIMES["x-amz-meta-mtime"]
    assert not site.server.uploads


@pytest.mark.parametrize(
    ("size", "refused", "way"),
    [
        (0, (), Way.OBJECT),
        (5 * GiB, (), Way.OBJECT),
        (5 * GiB + 1, (), Way.PARTS),
        (1, (Way.PARTS,), Way.OBJECT),
        (1, (Way.OBJECT,), Way.STREAM),
        (6 * GiB, (Way.OBJECT,), Way.PARTS),
        (6 * GiB, (Way.OBJECT, Way.PARTS), Way.STREAM),
    ],
)
async def test_ways(size: int, refused: tuple[Way, ...], way: Way) -> None:
    assert choose_way(size, refused) is way


async def test_the_server_copies_and_nothing_is_read(site: Site) -> None:
    for number in range(40):
        store(site, f"p/{number:02}", b"x")
    record = await copy(site, "p/", "q/")
    assert len(record.finished) == 40
    assert_copied(site, "q/07", b"x")
    assert not site.server.seen("GetObject")
    assert not site.server.seen("HeadObject")


@pytest.mark.parametrize("dialect", ["ceph"])
@pytest.mark.parametrize("key", [OTHER_KEY, None], ids=["sealed", "plain"])
async def test_a_server_that_cannot_is_asked_once(site: Site, key: bytes | None) -> None:
    """Sealed sources it refuses, plain ones it copies to plaintext, which does not stay."""
    for number in range(20):
        store(site, f"p/{number:02}", b"x", key)
    record = await copy(site, "p/", "q/", key, concurrency=1)
    assert len(record.finished) == 20
    assert len(site.server.seen("CopyObject")) == 1
    assert len(site.server.seen("DeleteObject")) == (key is None)
    assert len(site.server.seen("GetObject")) == len(site.server.seen("PutObject")) == 20
    for number in range(20):
        assert_copied(site, f"q/{number:02}", b"x")


async def test_a_wrong_source_key_is_the_error_of_its_object_alone(site: Site) -> None:
    store(site, "p/a", b"a", bytes(range(2, 34)))
    store(site, "p/b", b"b")
    record = await copy(site, "p/", "q/", concurrency=1)
    assert isinstance(record.failed["q/a"], WrongCustomerKeyError)
    assert_copied(site, "q/b", b"b")
    assert len(site.server.seen("CopyObject")) == 2
    assert not any("range" in sent.headers for sent in site.server.seen("GetObject"))
    assert all(
        any(name.endswith("customer-key") for name in sent.headers)
        for sent in site.server.seen("GetObject")
    )


@pytest.mark.parametrize("dialect", ["aws", "ceph"])
async def test_case_18_a_streamed_object_that_is_replaced_is_begun_anew(
    site: Site, dialect: Dialect, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.server.script(Match(operation="CopyObject"), Status(501, "NotImplemented"))
    store(site, "a", LARGE)
    new = LARGE[:-5] + b"other"
    site.server.script(Match(operation="GetObject", after=1), ReplaceObject(new))
    record = await copy(site, "a", "b", concurrency=1)
    assert not record.failed
    assert_copied(site, "b", new)
    assert record.of(type(record.jobs()[-1]))[-1].job.moved == len(new)


async def test_case_18_an_object_that_is_replaced_between_parts_on_the_server(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ways, "MAX_COPY_OBJECT_SIZE", PART_SIZE)
    monkeypatch.setattr(copier, "COPIED_PART_SIZE", PART_SIZE)
    store(site, "a", LARGE)
    new = LARGE[:-5] + b"other"
    act = Do(lambda: store(site, "a", new))
    site.server.script(Match(operation="UploadPartCopy", after=1), act)
    record = await copy(site, "a", "b", concurrency=1)
    assert not record.failed
    assert_copied(site, "b", new)
    assert not site.server.seen("GetObject")


async def test_case_02_a_streamed_part_goes_on_from_the_byte_reached(site: Site) -> None:
    site.server.script(Match(operation="CopyObject"), Status(501, "NotImplemented"))
    store(site, "a", LARGE)
    cuts = site.server.script(Match(operation="GetObject", times=None), Truncate(2_000_000))
    record = await copy(site, "a", "b")
    assert not record.failed
    assert_copied(site, "b", LARGE)
    assert cuts.used == 3 + 3 + 1
    assert len(site.server.seen("UploadPart")) == 3


async def test_case_21_bytes_that_differ_from_the_stored_checksum_are_never_put(site: Site) -> None:
    site.server.script(Match(operation="CopyObject"), Status(501, "NotImplemented"))
    store(site, "a", b"content")
    site.server.script(Match(operation="GetObject", times=None), Flip(3))
    record = await copy(site, "a", "b")
    assert isinstance(record.failed["b"], IntegrityError)
    assert ("bucket", "b") not in site.server.objects
    assert not site.server.seen("PutObject")


async def test_case_08_an_error_under_a_200_is_tried_again(site: Site) -> None:
    store(site, "a", b"content")
    site.server.script(Match(operation="CopyObject"), Complete200Error())
    record = await copy(site, "a", "b")
    assert len(record.retries) == 1
    assert_copied(site, "b", b"content")


@pytest.mark.parametrize("fault", [NoEcho(), WrongEcho()], ids=str)
async def test_case_23_a_copy_that_is_not_sealed_is_removed_and_streamed(
    site: Site, fault: Fault
) -> None:
    store(site, "p/a", b"a")
    store(site, "p/b", b"b")
    site.server.script(Match(operation="CopyObject", times=None), fault)
    record = await copy(site, "p/", "q/", concurrency=1)
    assert not record.failed
    assert_copied(site, "q/a", b"a")
    assert_copied(site, "q/b", b"b")
    # The server is not asked to copy again.
    wanted = ("CopyObject", "DeleteObject", "PutObject")
    assert [sent.operation for sent in site.server.requests if sent.operation in wanted] == [
        *wanted, "PutObject",
    ]  # fmt: skip


@pytest.mark.parametrize("size", [7, len(LARGE)])
async def test_case_23_what_is_put_unsealed_is_removed(site: Site, size: int) -> None:
    site.server.script(Match(operation="CopyObject"), Status(501, "NotImplemented"))
    store(site, "a", LARGE[:size])
    site.server.script(Match(operation="PutObject"), NoEcho())
    site.server.script(Match(operation="HeadObject", name="b"), NoEcho())
    record = await copy(site, "a", "b")
    assert isinstance(record.failed["b"], NotSealedError)
    assert ("bucket", "b") not in site.server.objects


async def test_case_10_a_lost_reply_to_complete_is_settled_by_the_mark(site: Site) -> None:
    site.server.script(Match(operation="CopyObject"), Status(501, "NotImplemented"))
    store(site, "a", LARGE)
    site.server.script(Match(operation="CompleteMultipartUpload"), ApplyThenReset())
    record = await copy(site, "a", "b")
    assert not record.failed
    assert_copied(site, "b", LARGE)


async def test_a_failed_part_leaves_no_upload(site: Site) -> None:
    site.server.script(Match(operation="CopyObject"), Status(501, "NotImplemented"))
    store(site, "a", LARGE)
    site.server.script(Match(operation="UploadPart", part=2), Status(403, "AccessDenied"))
    record = await copy(site, "a", "b")
    assert list(record.failed) == ["b"]
    assert not site.server.uploads
    assert ("bucket", "b") not in site.server.objects


# In place: the source is all there is.


async def test_the_key_of_an_object_is_changed_in_place(site: Site) -> None:
    store(site, "p/a", b"content")
    assert not (await copy(site, "p/", "p/")).failed
    assert_copied(site, "p/a", b"content")


@pytest.mark.parametrize("dialect", ["ceph"])
async def test_a_plain_object_is_sealed_in_place(site: Site) -> None:
    store(site, "a", b"content", None)
    assert not (await copy(site, "a", "a", None)).failed
    assert_copied(site, "a", b"content")
    assert not site.server.seen("DeleteObject")


@pytest.mark.parametrize("size", [7, len(LARGE)])
async def test_the_only_copy_is_not_removed(site: Site, size: int) -> None:
    server = site.server
    store(site, "a", LARGE[:size])
    server.script(Match(operation="CopyObject"), Status(501, "NotImplemented"))
    server.script(Match(operation="PutObject"), NoEcho())
    completed = Match(
        operation="HeadObject", where=lambda _: bool(server.seen("CompleteMultipartUpload"))
    )
    server.script(completed, NoEcho())
    record = await copy(site, "a", "a")
    assert "no other copy" in str(record.failed["a"])
    assert not server.seen("DeleteObject")
    assert site.body("a") == LARGE[:size]


async def test_a_copy_in_place_without_an_echo_does_not_remove_its_source(site: Site) -> None:
    store(site, "a", b"content")
    site.server.script(Match(operation="CopyObject"), NoEcho())
    await copy(site, "a", "a")
    assert not site.server.seen("DeleteObject")
    assert site.body("a") == b"content"


# Arguments


@pytest.mark.parametrize(("source", "destination"), [("a", "a"), ("p/", "p"), ("p", "")])
async def test_an_object_onto_itself_is_refused(site: Site, source: str, destination: str) -> None:
    store(site, "a", b"a", KEY)
    store(site, "p/a", b"a", KEY)
    with pytest.raises(UsageError, match="the same object"):
        await copy(site, source, destination, KEY)
    assert not site.server.seen("CopyObject")


async def test_a_prefix_into_itself_is_refused(site: Site) -> None:
    store(site, "p/a", b"a", KEY)
    with pytest.raises(UsageError, match="is inside"):
        await copy(site, "p/", "p/q/", KEY)


@pytest.mark.parametrize("up", [True, False])
async def test_options_of_the_source_need_a_copy_across(site: Site, up: bool) -> None:
    store(site, "a", b"a", KEY)
    words = [site.file("source", b"x"), "s3://bucket/b"]
    async with site.engine(source=SourceOptions(CUSTOMER_KEY)) as engine:
        with pytest.raises(UsageError, match="s3 to s3"):
            await engine.copy(*(words if up else ["s3://bucket/a", str(site.out)]))
    assert not site.server.requests

"""Nothing is replaced that was not seen: --if-absent, and what a sync writes."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.engine.test_sync_faults import files, make, objects, store, sync, uri
from tests.faults import ApplyThenReset, Match, Status
from tests.kit import KEY, OTHER_KEY, Do

from sealift.errors import OvertakenError
from sealift.events import Unchanged
from sealift.model import Location
from sealift.options import TreeOptions

from .conftest import LARGE, Record, Site

pytestmark = pytest.mark.anyio

both_dialects = pytest.mark.parametrize("dialect", ["aws", "ceph"])
SIZES = pytest.mark.parametrize("content", [b"small", LARGE], ids=["small", "large"])
OTHERS = b"somebody else's"


async def put_if_absent(site: Site, content: bytes, **changes: object) -> None:
    path = site.file("source", content)
    async with site.engine(**changes) as engine:
        await engine.put(path, Location("bucket", "x"), if_absent=True)


def store_others(site: Site, key: bytes = KEY) -> None:
    site.server.store("x", OTHERS, customer_key=key)


def assert_left_alone(site: Site) -> None:
    assert site.body("x") == OTHERS
    assert site.record.failed == {}
    assert site.record.finished == set()
    assert sum(event.count for event in site.record.of(Unchanged)) == 1
    assert not site.server.uploads


@both_dialects
@SIZES
@pytest.mark.parametrize("key", [KEY, OTHER_KEY], ids=["same key", "other key"])
async def test_an_object_that_is_there_is_left_alone(
    site: Site, content: bytes, key: bytes
) -> None:
    store_others(site, key)

    await put_if_absent(site, content)

    assert_left_alone(site)
    assert not site.server.seen("UploadPart")


@both_dialects
@SIZES
async def test_one_that_this_file_made_before_is_unchanged_too(site: Site, content: bytes) -> None:
    await put_if_absent(site, content)
    site.server.requests.clear()
    site.record = Record()

    async with site.engine() as engine:
        path = str(site.directory / "source")
        await engine.put(path, Location("bucket", "x"), if_absent=True)

    assert site.record.finished == set()
    assert sum(event.count for event in site.record.of(Unchanged)) == 1
    assert not site.server.seen("HeadObject")


@both_dialects
@SIZES
async def test_an_object_that_is_absent_is_written(site: Site, content: bytes) -> None:
    await put_if_absent(site, content)

    assert site.record.finished == {"x"}
    assert site.body("x") == content


async def test_an_object_that_comes_before_complete_is_left_alone(site: Site) -> None:
    site.server.script(Match(operation="CompleteMultipartUpload"), Do(lambda: store_others(site)))
    await put_if_absent(site, LARGE)

    assert_left_alone(site)


@pytest.mark.parametrize("dialect", ["ceph"])
async def test_what_comes_amid_the_parts_is_left_alone_where_complete_knows_no_conditions(
    site: Site,
) -> None:
    site.server.script(Match(operation="UploadPart", part=3), Do(lambda: store_others(site)))

    await put_if_absent(site, LARGE)

    assert_left_alone(site)
    assert not site.server.seen("CompleteMultipartUpload")


@both_dialects
async def test_a_lost_reply_is_not_taken_for_another_writer(site: Site) -> None:
    site.server.script(Match(operation="PutObject"), ApplyThenReset())

    await put_if_absent(site, b"small")

    assert site.record.finished == {"x"}
    assert site.body("x") == b"small"
    assert len(site.server.seen("PutObject")) == 2
    assert len(site.server.seen("HeadObject")) == 1


async def test_a_lost_reply_to_complete_is_not_taken_for_another_writer(site: Site) -> None:
    site.server.script(
        Match(operation="CompleteMultipartUpload"),
        ApplyThenReset(),
        Status(412, "PreconditionFailed"),
    )
    await put_if_absent(site, LARGE)

    assert site.record.finished == {"x"}
    assert site.body("x") == LARGE


def know_no_conditions(site: Site) -> None:
    site.server.script(
        Match(
            times=None,
            where=lambda asked: (
                asked.operation in ("PutObject", "CompleteMultipartUpload")
                and not {"if-match", "if-none-match"}.isdisjoint(asked.headers)
            ),
        ),
        Status(501, "NotImplemented"),
    )


@SIZES
@pytest.mark.parametrize("there", [False, True])
async def test_a_server_without_conditional_writes_is_asked_by_list(
    site: Site, content: bytes, there: bool
) -> None:
    know_no_conditions(site)
    if there:
        store_others(site)

    await put_if_absent(site, content)

    if there:
        assert_left_alone(site)
    else:
        assert site.record.finished == {"x"}
        assert site.body("x") == content
        assert not site.server.uploads


@pytest.mark.parametrize("across", [False, True])
async def test_a_server_that_refuses_all_writes_is_asked_twice(site: Site, across: bool) -> None:
    store(site, {"y": b"y"}, "q/")
    site.server.script(Match(operation="PutObject", times=None), Status(501, "NotImplemented"))
    site.server.script(Match(operation="CopyObject", times=None), Status(501, "NotImplemented"))
    if across:
        async with site.engine() as engine:
            await engine.copy(uri("q/y"), uri("x"), TreeOptions(if_absent=True))
    else:
        await put_if_absent(site, b"small")

    assert set(site.record.failed) == {"x"}
    assert len(site.server.seen("PutObject")) == 2


async def test_a_tree_is_copied_around_what_is_there(site: Site) -> None:
    tree = {f"n{number:02}": b"ours" for number in range(20)}
    here = make(site.directory / "tree", tree)
    store(site, {"n03": OTHERS, "n17": OTHERS})

    async with site.engine() as engine:
        await engine.copy(f"{here}/", uri("p/"), TreeOptions(if_absent=True))

    assert objects(site) == tree | {"n03": OTHERS, "n17": OTHERS}
    assert len(site.record.finished) == 18
    assert sum(event.count for event in site.record.of(Unchanged)) == 2


@both_dialects
@pytest.mark.parametrize("key", [KEY, OTHER_KEY], ids=["same key", "other key"])
async def test_a_copy_leaves_alone_what_is_there(site: Site, key: bytes) -> None:
    store(site, {"a": b"a", "b": LARGE})
    store(site, {"a": OTHERS, "b": OTHERS}, "q/", key)

    async with site.engine() as engine:
        await engine.copy(uri("p/"), uri("q/"), TreeOptions(if_absent=True))

    assert objects(site, "q/") == {"a": OTHERS, "b": OTHERS}
    assert site.record.failed == {}
    assert not site.server.uploads


# Sync


@both_dialects
@SIZES
@pytest.mark.parametrize("was_there", [False, True])
async def test_a_sync_does_not_replace_what_it_has_not_seen(
    site: Site, state_home: Path, content: bytes, was_there: bool
) -> None:
    here = make(site.directory / "tree", {"a": b"a", "x": content})
    if was_there:
        store(site, {"x": b"older"})

    await sync(site, here, uri("p/"), acts={"p/x": lambda: store(site, {"x": OTHERS})})

    assert objects(site) == {"a": b"a", "x": OTHERS}
    assert {name: type(error) for name, error in site.record.failed.items()} == {
        "p/x": OvertakenError
    }
    assert not site.server.uploads


async def test_a_sync_does_not_write_anew_what_was_removed_meanwhile(
    site: Site, state_home: Path
) -> None:
    here = make(site.directory / "tree", {"x": b"x"})
    store(site, {"x": b"older"})

    await sync(site, here, uri("p/"), acts={"p/x": lambda: site.server.objects.clear()})

    assert objects(site) == {}
    assert isinstance(site.record.failed["p/x"], OvertakenError)


@both_dialects
async def test_a_sync_replaces_what_it_has_seen(site: Site, state_home: Path) -> None:
    here = make(site.directory / "tree", {"a": b"new", "x": LARGE})
    store(site, {"a": b"older", "x": b"older"})

    await sync(site, here, uri("p/"))

    assert objects(site) == files(here)
    (put,) = site.server.seen("PutObject")
    assert "if-match" in put.headers

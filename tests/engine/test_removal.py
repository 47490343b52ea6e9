"""Removal under faults: each name is reported once, and nothing more goes than was asked for."""

from __future__ import annotations

import pytest
from tests.faults import Match, Status
from tests.kit import until

from sealift import removal
from sealift.errors import ReplyError, SealiftError, UsageError
from sealift.events import Failed, Removed
from sealift.model import Location

from .conftest import Site

pytestmark = pytest.mark.anyio

PREFIX = Location("bucket", "p")
NAMES = [f"p/{number:04}" for number in range(2500)]


@pytest.fixture(autouse=True)
def stored(site: Site) -> None:
    for name in (*NAMES, "p", "p2/x"):
        site.server.store(name, b"")


@pytest.fixture
def one_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the requests the one with the first names comes first."""
    monkeypatch.setattr(removal, "REQUESTS_AT_ONCE", 1)


def left(site: Site) -> set[str]:
    return {name for _, name in site.server.objects}


def removed(site: Site) -> list[str]:
    return [event.name for event in site.record.of(Removed)]


async def remove_tree(site: Site) -> None:
    async with site.engine(customer_key=None) as engine:
        await engine.remove_tree(PREFIX)


async def test_a_tree_goes_and_its_neighbours_stay(site: Site) -> None:
    await remove_tree(site)
    assert left(site) == {"p", "p2/x"}
    assert sorted(removed(site)) == NAMES
    assert len(site.server.seen("DeleteObjects")) == 3


async def test_one_object(site: Site) -> None:
    async with site.engine(customer_key=None) as engine:
        await engine.remove(Location("bucket", "p"))
        with pytest.raises(UsageError, match="no object"):
            await engine.remove(Location("bucket", "p"))
    assert removed(site) == ["p"]
    assert left(site) == {*NAMES, "p2/x"}


@pytest.mark.usefixtures("one_at_a_time")
async def test_objects_that_the_server_keeps_are_named(site: Site) -> None:
    body = b"<DeleteResult><Error><Key>p/0007</Key><Code>AccessDenied</Code></Error></DeleteResult>"
    site.server.script(Match(operation="DeleteObjects"), Status(200, body=body))
    await remove_tree(site)
    assert set(site.record.failed) == {"p/0007"}
    assert sorted(removed(site)) == [name for name in NAMES if name != "p/0007"]


@pytest.mark.usefixtures("one_at_a_time")
async def test_objects_that_the_server_has_no_time_for_are_tried_again(site: Site) -> None:
    errors = b"".join(
        b"<Error><Key>%s</Key><Code>%s</Code></Error>" % (name.encode(), code)
        for name, code in ((NAMES[3], b"SlowDown"), (NAMES[4], b"AccessDenied"))
    )
    reply = Status(200, body=b"<DeleteResult>" + errors + b"</DeleteResult>")
    site.server.script(Match(operation="DeleteObjects"), reply)
    await remove_tree(site)
    assert set(site.record.failed) == {NAMES[4]}
    assert sorted(removed(site)) == sorted(set(NAMES) - {NAMES[4]})
    assert len(site.record.retries) == 1
    (again,) = [sent for sent in site.server.seen("DeleteObjects") if len(sent.body) < 1000]
    assert again.body.count(b"<Key>") == 1


async def test_a_request_that_is_refused_fails_its_names_only(site: Site) -> None:
    script = site.server.script(Match(operation="DeleteObjects"), Status(403, "AccessDenied"))
    await remove_tree(site)
    assert script.used == 1
    failed = site.record.failed
    assert len(failed) in (500, 1000)
    assert {type(error) for error in failed.values()} == {ReplyError}
    assert sorted([*failed, *removed(site)]) == NAMES
    assert left(site) == {*failed, "p", "p2/x"}


async def test_a_listing_that_fails_ends_the_removal(site: Site) -> None:
    site.server.script(
        Match(operation="ListObjectsV2", where=lambda asked: "continuation-token" in asked.query),
        Status(403, "AccessDenied"),
    )
    with pytest.raises(SealiftError, match="AccessDenied"):
        await remove_tree(site)
    assert sorted(removed(site)) == NAMES[:1000]
    assert left(site) == {*NAMES[1000:], "p", "p2/x"}
    assert not site.record.of(Failed)


async def test_nothing_below_a_prefix(site: Site) -> None:
    async with site.engine(customer_key=None) as engine:
        with pytest.raises(UsageError, match="nothing below"):
            await engine.remove_tree(Location("bucket", "none"))
    assert not site.server.seen("DeleteObjects")


async def test_the_next_page_is_asked_for_while_one_is_used(site: Site) -> None:
    found = []
    async with site.engine(customer_key=None) as engine:
        async for page in engine.list_all(PREFIX):
            found += [entry.name for entry in page]
            if len(found) == 1000:
                # the first one asks whether the settings hold
                await until(lambda: len(site.server.seen("ListObjectsV2")) == 3)
    assert found == sorted([*NAMES, "p", "p2/x"])

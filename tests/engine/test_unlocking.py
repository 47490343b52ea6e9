"""Each object comes down under its own key, and what that costs in requests."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from tests.engine.conftest import LARGE, Record, Site
from tests.faults import Match, Status
from tests.kit import KEY

from sealift.errors import ObjectError, Obstacle
from sealift.events import OlderKey, Tally
from sealift.keyring import HeldKey, Keyring, Rule
from sealift.keys import CustomerKey
from sealift.model import Location

pytestmark = pytest.mark.anyio

both_dialects = pytest.mark.parametrize("dialect", ["aws", "ceph"])
# The site's own, and two older ones.
RAWS = [KEY, bytes(range(40, 72)), bytes(range(80, 112))]
IDS = [CustomerKey(raw).key_id for raw in RAWS]
MISSING = bytes(range(120, 152))


def ring(*raws: bytes, rules: dict[str, bytes] | None = None) -> Keyring:
    return Keyring(
        [HeldKey(CustomerKey(raw), "a test") for raw in raws],
        [
            Rule(Location("bucket", name), CustomerKey(raw).key_id)
            for name, raw in (rules or {}).items()
        ],
    )


def store(
    site: Site, name: str, raw: bytes | None, *, body: bytes = b"", tag: bool = False
) -> None:
    headers = {}
    if tag and raw is not None:
        headers["x-amz-tagging"] = f"sealift-key-id={CustomerKey(raw).key_id}"
    site.server.store(name, body or name.encode(), customer_key=raw, headers=headers)


async def restore(site: Site, out: Path | None = None, **changes: Any) -> Record:
    """`p/` under the three keys, if not told otherwise; the requests of before are forgotten."""
    site.server.requests.clear()
    site.record = Record()
    changes = {"keyring": ring(*RAWS), "state_directory": str(site.directory / "state")} | changes
    async with site.engine(**changes) as engine:
        await engine.restore(Location("bucket", "p/"), str(out or site.out), resume=False)
    return site.record


def sent(site: Site, *operations: str) -> int:
    """How many requests there were about objects, or of these operations."""
    if operations:
        return sum(len(site.server.seen(operation)) for operation in operations)
    return sum(1 for request in site.server.requests if request.name)


def tally(record: Record) -> Tally:
    counted = Tally()
    for event in record.events:
        counted.emit(event)
    return counted


def obstacles(record: Record) -> dict[str, Obstacle | None]:
    return {
        name: error.obstacle if isinstance(error, ObjectError) else None
        for name, error in record.failed.items()
    }


@both_dialects
@pytest.mark.parametrize("tag", [True, False], ids=["tagged", "untagged"])
async def test_directories_under_three_keys_cost_hardly_more_than_under_one(
    site: Site, tag: bool
) -> None:
    for number, raw in enumerate(RAWS):
        for index in range(40):
            store(site, f"p/{number}/{index:02}", raw, tag=tag)

    record = await restore(site, concurrency=1)

    assert record.failed == {}
    assert len(record.finished) == 120
    # Of each of two directories one object is refused, and its key found.
    assert sent(site) <= 120 + 2 * 5
    counted = tally(record)
    assert counted.key_counts == dict.fromkeys(IDS, 40)
    assert counted.older_key_count == 80
    assert record.retries == []


@both_dialects
async def test_keys_without_any_order_cost_two_requests_an_object_where_there_are_tags(
    site: Site,
) -> None:
    for index in range(150):
        store(site, f"p/{index:03}", RAWS[index * 7 % 3], tag=True)

    record = await restore(site, concurrency=1)

    assert record.failed == {}
    assert tally(record).key_counts == dict.fromkeys(IDS, 50)
    assert sent(site) <= 2 * 150 + 60


async def test_keys_without_any_order_and_tags(site: Site) -> None:
    for index in range(150):
        store(site, f"p/{index:03}", RAWS[index * 7 % 3])

    record = await restore(site, concurrency=1)

    assert record.failed == {}
    assert sent(site, "GetObjectTagging") <= 15
    assert sent(site) <= 4 * 150


@pytest.mark.parametrize("tag", [True, False], ids=["tagged", "untagged"])
async def test_one_key_costs_one_request_an_object(site: Site, tag: bool) -> None:
    for index in range(40):
        store(site, f"p/{index:02}", KEY, tag=tag)
    record = await restore(site, keyring=Keyring())
    assert len(record.finished) == 40
    assert sent(site) == sent(site, "GetObject") == 40
    assert tally(record).key_counts == {}


@both_dialects
async def test_what_the_catalogue_knows_costs_nothing(site: Site, tmp_path: Path) -> None:
    for index in range(60):
        store(site, f"p/{index:02}", RAWS[index % 3])
    await restore(site)

    record = await restore(site, tmp_path / "again", concurrency=1)

    assert len(record.finished) == 60
    assert sent(site) == 60


@pytest.mark.parametrize("dialect", ["ceph"])
async def test_an_entry_that_names_the_old_key_of_an_object_is_no_proof(
    site: Site, tmp_path: Path
) -> None:
    """Sealed anew by others, an object has the same ETag on Ceph."""
    store(site, "p/a", RAWS[1])
    await restore(site)
    store(site, "p/a", RAWS[2])

    record = await restore(site, tmp_path / "again")
    assert record.finished == {"p/a"}
    assert record.finished
    await restore(site, tmp_path / "third", concurrency=1)
    assert sent(site) == 1


@both_dialects
async def test_large_objects_and_their_ranges_are_under_the_key_found(site: Site) -> None:
    for index in range(4):
        store(site, f"p/{index}", RAWS[index % 3], body=LARGE)
    record = await restore(site)
    assert len(record.finished) == 4
    assert {path.read_bytes() for path in site.out.iterdir()} == {LARGE}


@both_dialects
async def test_a_download_goes_on_under_the_key_that_it_was_begun_under(site: Site) -> None:
    store(site, "p/x", RAWS[2], body=LARGE)
    is_lost = [True]
    lost = Match(
        operation="GetObject", after=2, times=None,
        where=lambda asked: is_lost[0]
        and asked.headers.get("range", "bytes=0-0") != "bytes=0-0",
    )  # fmt: skip
    site.server.script(lost, Status(503, "SlowDown"))
    record = await restore(site, concurrency=1)
    assert set(record.failed) == {"p/x"}
    is_lost[0] = False

    site.server.requests.clear()
    site.record = Record()
    async with site.engine(
        keyring=ring(*RAWS), state_directory=str(site.directory / "state")
    ) as engine:
        await engine.restore(Location("bucket", "p/"), str(site.out))

    assert site.record.finished == {"p/x"}
    assert (site.out / "x").read_bytes() == LARGE
    ranges = [
        asked.headers["range"]
        for asked in site.server.seen("GetObject")
        if asked.headers.get("range") not in (None, "bytes=0-0")
    ]
    assert len(ranges) == 1


# What no key at hand opens


@both_dialects
async def test_what_cannot_be_opened_is_classed_and_the_rest_comes(site: Site) -> None:
    store(site, "p/archived", KEY)
    store(site, "p/missing", MISSING, tag=True)
    store(site, "p/older", RAWS[1])
    store(site, "p/ours", KEY)
    store(site, "p/plain", None)
    store(site, "p/unknown", MISSING)
    archived = Match(operation="GetObject", name="p/archived", times=None)
    site.server.script(archived, Status(403, "InvalidObjectState"))

    record = await restore(site)

    assert record.finished == {"p/older", "p/ours"}
    assert obstacles(record) == {
        "p/archived": Obstacle.ARCHIVED,
        "p/missing": Obstacle.MISSING_KEY,
        "p/plain": Obstacle.PLAIN,
        "p/unknown": Obstacle.UNKNOWN_KEY,
    }
    missing = CustomerKey(MISSING).key_id
    assert missing in str(record.failed["p/missing"])
    assert "sealift key list" in str(record.failed["p/unknown"])
    assert "--allow-unsealed" in str(record.failed["p/plain"])
    assert "from the archive first" in str(record.failed["p/archived"])
    assert record.retries == []
    assert not any("customer-key" not in "".join(asked.headers) for asked in _reads(site))
    counted = tally(record)
    assert counted.older_key_count == 1
    assert counted.missing_keys == {missing: 1}
    assert sorted(path.name for path in site.out.iterdir()) == ["older", "ours"]


def _reads(site: Site) -> list[Any]:
    return [
        asked for asked in site.server.requests if asked.operation in ("GetObject", "HeadObject")
    ]


@both_dialects
@pytest.mark.parametrize("body", [b"small", LARGE], ids=["small", "large"])
async def test_the_key_that_is_missing_is_named_by_the_catalogue(
    site: Site, body: bytes, tmp_path: Path
) -> None:
    """The key in .env was replaced: the commonest way to miss one."""
    store(site, "p/a", MISSING, body=body)
    own = {"keyring": Keyring(), "customer_key": CustomerKey(MISSING)}
    await restore(site, **own)

    record = await restore(site, tmp_path / "again", keyring=Keyring())

    assert obstacles(record) == {"p/a": Obstacle.MISSING_KEY}
    assert CustomerKey(MISSING).key_id in str(record.failed["p/a"])
    assert sent(site) <= 2


@both_dialects
@pytest.mark.parametrize("keys", [1, 3])
async def test_an_object_under_no_key_at_hand_costs_one_request_a_key_and_one_more(
    site: Site, keys: int
) -> None:
    for index in range(10):
        store(site, f"p/{index}", MISSING)
    record = await restore(site, keyring=ring(*RAWS[:keys]), concurrency=1)
    assert set(obstacles(record).values()) == {Obstacle.UNKNOWN_KEY}
    assert len(record.failed) == 10
    assert sent(site) <= 10 * (keys + 1)


@both_dialects
async def test_plain_objects_come_where_that_is_allowed(site: Site) -> None:
    for name, raw in {"a": None, "b": KEY, "c": None, "d": RAWS[1]}.items():
        store(site, f"p/{name}", raw, body=LARGE if name == "c" else b"")
    for keyring in (Keyring(), ring(*RAWS)):
        record = await restore(site, keyring=keyring, allow_unsealed=True)
        assert {"p/a", "p/b", "p/c"} <= record.finished
        assert ("p/d" in record.failed) is (len(keyring) == 0)
        assert tally(record).key_counts[""] == 2


@pytest.mark.parametrize(
    "status", [Status(403, "AccessDenied"), Status(501, "NotImplemented")], ids=["403", "501"]
)
async def test_tags_that_cannot_be_read_are_asked_for_once(site: Site, status: Status) -> None:
    for index in range(10):
        store(site, f"p/{index}", MISSING, tag=True)
    site.server.script(Match(operation="GetObjectTagging", times=None), status)
    record = await restore(site, concurrency=1)
    assert set(obstacles(record).values()) == {Obstacle.UNKNOWN_KEY}
    assert sent(site, "GetObjectTagging") == 1
    assert len([note for note in record.notes if "tags" in note]) == 1


async def test_a_lack_of_rights_is_no_matter_of_keys(site: Site) -> None:
    for index in range(4):
        store(site, f"p/{index}", KEY)
    site.server.script(Match(operation="GetObject", times=None), Status(403, "AccessDenied"))
    record = await restore(site)
    assert set(obstacles(record).values()) == {None}
    assert len(record.failed) == 4
    assert record.retries == []


async def test_without_a_key_of_its_own_a_run_has_those_of_the_keyring(site: Site) -> None:
    for number, raw in enumerate(RAWS):
        store(site, f"p/{number}", raw)
    store(site, "p/plain", None)
    record = await restore(site, customer_key=None)
    assert len(record.finished) == 3
    assert record.of(OlderKey) == [], "there is no key of today"
    assert obstacles(record) == {"p/plain": Obstacle.PLAIN}


# One object


@both_dialects
@pytest.mark.parametrize("tag", [True, False], ids=["tagged", "untagged"])
@pytest.mark.parametrize("raw", RAWS)
async def test_one_object_is_opened_with_few_requests(site: Site, raw: bytes, tag: bool) -> None:
    store(site, "x", raw, body=b"bytes", tag=tag)
    changes = {"keyring": ring(*RAWS), "state_directory": str(site.directory / "state")}
    async with site.engine(**changes) as engine:
        opened = await engine.open(Location("bucket", "x"))
        asked = sent(site)
        await engine.get(Location("bucket", "x"), str(site.out))
    assert opened.key_id == CustomerKey(raw).key_id
    assert opened.found_by == ("its tag" if tag else "trying")
    assert asked <= (2 if tag else 7)
    assert site.out.read_bytes() == b"bytes"


@both_dialects
async def test_one_object_whose_key_the_catalogue_knows(site: Site) -> None:
    store(site, "p/x", RAWS[2], body=b"bytes")
    await restore(site)
    site.server.requests.clear()
    reader, writer = os.pipe()
    async with site.engine(
        keyring=ring(*RAWS), state_directory=str(site.directory / "state")
    ) as engine:
        opened = await engine.open(Location("bucket", "p/x"))
        await engine.read(Location("bucket", "p/x"), writer)
    assert (opened.key_id, opened.found_by) == (IDS[2], "the catalogue")
    assert sent(site) == 3
    assert os.read(reader, 10) == b"bytes"


@both_dialects
async def test_one_object_that_cannot_be_opened(site: Site) -> None:
    store(site, "plain", None)
    store(site, "unknown", MISSING, body=b"")
    store(site, "missing", MISSING, tag=True)
    expected = {
        "plain": Obstacle.PLAIN,
        "unknown": Obstacle.UNKNOWN_KEY,
        "missing": Obstacle.MISSING_KEY,
    }
    for name, obstacle in expected.items():
        async with site.engine(keyring=ring(*RAWS)) as engine:
            with pytest.raises(ObjectError) as raised:
                await engine.get(Location("bucket", name), str(site.out))
        assert raised.value.obstacle is obstacle
    async with site.engine(keyring=ring(*RAWS), allow_unsealed=True) as engine:
        await engine.get(Location("bucket", "plain"), str(site.out))
    assert site.out.read_bytes() == b"plain"
    assert site.record.retries == []

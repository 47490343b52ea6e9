"""What rules mean for objects that are read: nothing is kept back, and no key goes astray."""

from __future__ import annotations

import pytest
from tests.engine.conftest import SEAL, Site
from tests.engine.test_unlocking import IDS, MISSING, RAWS, obstacles, restore, ring, store
from tests.kit import KEY

from sealift.errors import ObjectError, Obstacle
from sealift.events import OlderKey
from sealift.keyring import HeldKey, Keyring, Rule
from sealift.keys import CustomerKey
from sealift.model import Location

pytestmark = pytest.mark.anyio


async def test_a_key_for_another_bucket_is_not_shown_to_this_one(site: Site) -> None:
    store(site, "p/a", RAWS[1])
    rule = Rule(Location("elsewhere"), IDS[1])
    held = [HeldKey(CustomerKey(raw), "a test") for raw in RAWS]
    record = await restore(site, keyring=Keyring(held, [rule]))
    assert obstacles(record) == {"p/a": Obstacle.UNKNOWN_KEY}


async def test_a_tag_does_not_make_a_key_for_another_bucket_be_shown_to_this_one(
    site: Site,
) -> None:
    """Whoever may write to a bucket can tag objects there with the id of any key."""
    lure = {"x-amz-tagging": f"sealift-key-id={IDS[1]}"}
    for index in range(80):  # no order: so tags are read before the move
        store(site, f"p/{index:03}", RAWS[index % 2 * 2], tag=True)
    for index in range(80, 90):
        site.server.store(f"p/{index:03}", b"bait", customer_key=MISSING, headers=lure)
    held = [HeldKey(CustomerKey(raw), "a test") for raw in RAWS]
    keyring = Keyring(held, [Rule(Location("elsewhere"), IDS[1])])

    record = await restore(site, keyring=keyring, concurrency=1)
    async with site.engine(keyring=keyring) as engine:
        with pytest.raises(ObjectError):
            await engine.open(Location("bucket", "p/085"))

    assert len(record.failed) == 10
    shown = {request.headers.get(f"{SEAL}key-md5") for request in site.server.requests}
    assert CustomerKey(RAWS[2]).md5 in shown
    assert CustomerKey(RAWS[1]).md5 not in shown


async def test_an_object_under_another_key_than_its_rule_says_is_older(site: Site) -> None:
    store(site, "p/a", KEY)
    store(site, "p/new", RAWS[1])
    record = await restore(site, keyring=ring(*RAWS, rules={"p/": RAWS[1]}))
    assert record.finished == {"p/a", "p/new"}
    assert [event.job.location.name for event in record.of(OlderKey)] == ["p/a"]


@pytest.mark.parametrize("tag", [True, False], ids=["tagged", "untagged"])
async def test_a_rule_whose_key_is_missing_does_not_keep_the_only_key_from_what_it_opens(
    site: Site, tag: bool
) -> None:
    """Rules are about new objects: those of before are still under the old key."""
    store(site, "p/old", KEY)
    store(site, "p/new", MISSING, tag=tag)
    keyring = ring(KEY, rules={"p/": MISSING})

    record = await restore(site, keyring=keyring)
    async with site.engine(keyring=keyring) as engine:
        await engine.get(Location("bucket", "p/old"), str(site.directory / "got"))

    assert record.finished == {"p/old"}
    assert obstacles(record) == {"p/new": Obstacle.MISSING_KEY if tag else Obstacle.UNKNOWN_KEY}
    assert (site.directory / "got").read_bytes() == b"p/old"

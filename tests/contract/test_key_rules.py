"""Rules name customer keys for prefixes: each object goes up, and comes down, under its own."""

from __future__ import annotations

import secrets
from pathlib import Path

import pytest
from tests.contract.site import PART_SIZE, Site, boto_seal, make_tree, noise, read_tree

from sealift.catalogue import FILE_NAME, Catalogue
from sealift.errors import CustomerKeyError
from sealift.keyring import HeldKey, Keyring, Rule
from sealift.keys import CustomerKey
from sealift.model import Location


@pytest.fixture
def other() -> bytes:
    return secrets.token_bytes(32)


def _ring(site: Site, raw: bytes) -> Keyring:
    key = CustomerKey(raw)
    return Keyring([HeldKey(key, "a test")], [Rule(site.location("t/finance/"), key.key_id)])


FILES = {
    "a": b"ours",
    "finance/small": b"theirs",
    "finance/parts": noise(PART_SIZE + 1, 1),
    "z": b"",
}


@pytest.mark.parametrize("server", ["ministack", "ceph"], indirect=True)
def test_a_tree_goes_up_and_comes_down_under_the_keys_that_rules_name(
    site: Site, other: bytes, tmp_path: Path
) -> None:
    tree, back, state = make_tree(site.work / "t", FILES), site.work / "back", tmp_path / "state"
    ring = _ring(site, other)

    up = site.copy(f"{tree}/", site.uri("t/"), keyring=ring, state_directory=str(state))
    down = site.restore("t/", back, keyring=ring)

    assert up.failed == down.failed == {}
    assert read_tree(back) == FILES
    assert site.boto_get("t/a") == b"ours"
    reply = site.boto.get_object(Bucket=site.bucket, Key="t/finance/small", **boto_seal(other))
    assert reply["Body"].read() == b"theirs"
    scope = f"{site.server.endpoint_url}/{site.bucket}"
    known = {one.name: one.key_id for one in Catalogue(str(state / FILE_NAME)).known(scope, "")}
    theirs = CustomerKey(other).key_id
    assert known == {
        f"t/{name}": theirs if name.startswith("finance/") else site.customer_key.key_id
        for name in FILES
    }


@pytest.mark.parametrize("server", ["ministack"], indirect=True)
def test_a_second_sync_moves_nothing_and_a_new_rule_moves_what_it_names(
    site: Site, other: bytes, tmp_path: Path
) -> None:
    tree, state = make_tree(site.work / "t", FILES), str(tmp_path / "state")
    ring = _ring(site, other)

    def sync(keyring: Keyring) -> set[str]:
        record = site.run(
            lambda engine: engine.sync(str(tree), site.uri("t")),
            keyring=keyring,
            state_directory=state,
        )
        assert record.failed == {}
        return {event.job.location.name for event in record.done}

    assert sync(Keyring()) == {f"t/{name}" for name in FILES}
    assert sync(ring) == {"t/finance/small", "t/finance/parts"}
    assert sync(ring) == set()


@pytest.mark.parametrize("server", ["ministack"], indirect=True)
def test_a_rule_whose_key_is_missing_stops_the_run_before_anything_is_touched(
    site: Site, other: bytes
) -> None:
    tree = make_tree(site.work / "t", FILES)
    rule = Rule(Location(site.bucket, "t/finance/"), CustomerKey(other).key_id)
    elsewhere = Rule(Location(site.bucket, "u/"), "0" * 16)

    for way in ("copy", "sync"):
        with pytest.raises(CustomerKeyError, match="not at hand"):
            site.run(
                lambda engine, way=way: getattr(engine, way)(f"{tree}/", site.uri("t/")),  # type: ignore[misc]
                keyring=Keyring(rules=[rule]),
            )
    assert site.names() == []
    assert site.copy(f"{tree}/", site.uri("t/"), keyring=Keyring(rules=[elsewhere])).failed == {}

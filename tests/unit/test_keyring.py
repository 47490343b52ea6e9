"""Which of several customer keys seals what."""

from __future__ import annotations

import pytest

from sealift.errors import CustomerKeyError
from sealift.keyring import HeldKey, Keyring, Rule
from sealift.keys import CustomerKey
from sealift.model import UNSEALED, Location

ONE, TWO, THREE = (CustomerKey(bytes([number, *range(31)])) for number in (1, 2, 3))
RULES = [
    Rule(Location("b", "f/"), ONE.key_id),
    Rule(Location("b", "f/deep/"), TWO.key_id),
    Rule(Location("c"), THREE.key_id),
]
RING = Keyring([HeldKey(ONE, "x"), HeldKey(TWO, "y")], RULES, default=TWO)


@pytest.mark.parametrize(
    ("bucket", "name", "key_id"),
    [
        ("b", "f/x", ONE.key_id),
        ("b", "f/deep/x", TWO.key_id),
        ("b", "f", TWO.key_id),
        ("b", "fx", TWO.key_id),
        ("c", "anything", THREE.key_id),
        ("d", "f/x", TWO.key_id),
    ],
)
def test_the_longest_prefix_decides_and_the_default_seals_the_rest(
    bucket: str, name: str, key_id: str
) -> None:
    assert RING.key_ids_in(bucket)(name) == key_id


def test_a_key_that_is_not_at_hand_is_an_error_and_never_another_key() -> None:
    with pytest.raises(CustomerKeyError, match=THREE.key_id):
        RING.require(THREE.key_id)
    with pytest.raises(CustomerKeyError, match=THREE.key_id):
        RING.select(THREE.key_id)
    assert RING.select(UNSEALED) is None
    assert RING.select(ONE.key_id) == ONE


@pytest.mark.parametrize(
    ("bucket", "name", "is_missing"),
    [("b", "", False), ("c", "", True), ("c", "x/y", True), ("d", "", False)],
)
def test_rules_are_checked_where_they_meet_a_prefix(
    bucket: str, name: str, is_missing: bool
) -> None:
    prefix = Location(bucket, name)
    if is_missing:
        with pytest.raises(CustomerKeyError):
            RING.check_rules(prefix)
    else:
        RING.check_rules(prefix)


def test_keys_that_rules_name_for_other_buckets_only_are_not_shown_to_this_one() -> None:
    ring = Keyring([HeldKey(key, "x") for key in (ONE, TWO, THREE)], RULES)

    assert ring.triable_in("b") == [ONE, TWO]
    assert ring.triable_in("c") == [THREE]
    assert ring.triable_in("d") == []
    assert Keyring([HeldKey(ONE, "x")]).triable_in("d") == [ONE]


def test_the_default_is_one_of_the_keys_and_can_be_replaced() -> None:
    ring = RING.with_default(THREE)
    assert {held.key.key_id for held in ring} == {ONE.key_id, TWO.key_id, THREE.key_id}
    assert ring.key_ids_in("d")("x") == THREE.key_id
    assert Keyring().key_ids_in("b")("x") is None


def test_a_key_is_found_by_how_its_id_begins() -> None:
    for length in (16, 15):
        assert RING.named(ONE.key_id[:length]) == HeldKey(ONE, "x")
    assert RING.named(TWO.key_id.upper()).key == TWO
    for wrong in ("", THREE.key_id, ONE.key_id + "0", ONE.key_id[1:]):
        with pytest.raises(CustomerKeyError, match="is not at hand; look with: sealift key list"):
            RING.named(wrong)


def test_a_beginning_of_several_ids_names_none() -> None:
    ring = Keyring([HeldKey(CustomerKey.generate(), "x") for _ in range(17)])
    ids = [held.key.key_id for held in ring]
    first = next(one for one in "0123456789abcdef" if sum(i[0] == one for i in ids) > 1)
    with pytest.raises(CustomerKeyError, match=f"several key ids begin with {first}: ") as caught:
        ring.named(first)
    assert all(i in str(caught.value) for i in ids if i[0] == first)

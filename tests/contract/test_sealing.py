"""What is sealed under another customer key, or under none, is refused by name; the rest moves."""

from __future__ import annotations

import secrets

import pytest
from tests.contract.site import PART_SIZE, Site, boto_seal, make_tree, noise, read_tree

from sealift.errors import NotSealedError, WrongCustomerKeyError
from sealift.keys import CustomerKey

SIZES = {"empty": 0, "small": 1000, "ranges": PART_SIZE + 1}


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
def test_case_25_foreign_objects_are_refused_and_the_others_restored(site: Site, size: int) -> None:
    ours, foreign = noise(size, 1), noise(size, 2)
    site.boto_put("p/a", ours)
    site.boto_put("p/other", foreign, boto_seal(secrets.token_bytes(32)))
    site.boto_put("p/plain", foreign, {})
    site.boto_put("p/z", ours)
    back = make_tree(site.work / "back", {"other": b"older", "plain": b"older"})

    record = site.restore("p/", back)

    assert set(record.failed) == {"p/other", "p/plain"}
    assert isinstance(record.failed["p/other"], WrongCustomerKeyError)
    assert isinstance(record.failed["p/plain"], NotSealedError | WrongCustomerKeyError)
    assert record.retried == []
    assert read_tree(back) == {"a": ours, "z": ours, "other": b"older", "plain": b"older"}


def test_case_25_command_line_names_each_and_exits_1(site: Site) -> None:
    site.boto_put("p/a", b"ours")
    site.boto_put("p/other", b"secret", boto_seal(secrets.token_bytes(32)))
    site.boto_put("p/plain", b"secret", {})

    ended = site.cli("restore", site.uri("p/"), "back")

    assert ended.status == 1
    assert "p/other: " in ended.stderr
    assert "p/plain: " in ended.stderr
    assert "2 objects failed" in ended.stderr
    assert read_tree(site.work / "back") == {"a": b"ours"}


@pytest.mark.parametrize("command", ["get", "stat"])
@pytest.mark.parametrize("sealed", [True, False], ids=["other key", "plain"])
def test_case_25_single_foreign_object_is_refused(site: Site, command: str, sealed: bool) -> None:
    site.boto_put("object", b"secret", boto_seal(secrets.token_bytes(32)) if sealed else {})

    ended = site.cli(command, site.uri("object"))

    assert (ended.status, ended.stdout) == (1, "")
    assert "use the key that the object was sealed with" in ended.stderr or not sealed
    assert "key" in ended.stderr
    assert "retries" not in ended.stderr
    assert read_tree(site.work) == {}


def test_wrong_customer_key_opens_nothing_that_sealift_put(site: Site) -> None:
    files = {"small": b"small", "large": noise(PART_SIZE + 1)}
    tree = make_tree(site.work / "tree", files)
    site.copy(f"{tree}/", site.uri())

    record = site.restore("", "back", customer_key=CustomerKey.generate())

    assert set(record.failed) == set(files)
    assert all(isinstance(error, WrongCustomerKeyError) for error in record.failed.values())
    assert read_tree(site.work / "back") == {}


def test_object_is_overwritten_under_a_new_customer_key(site: Site) -> None:
    site.boto_put("object", b"old", boto_seal(secrets.token_bytes(32)))
    (site.work / "object").write_bytes(b"new")

    assert not site.copy("object", site.uri()).failed

    assert site.boto_get("object") == b"new"

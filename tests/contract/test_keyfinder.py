"""Finding the key of an object, on servers that answer a wrong key and none in their own ways."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable

import pytest
from tests.contract.site import Site, boto_seal

from sealift.engine import Engine
from sealift.errors import ReplyError
from sealift.keyfinder import KeyFinder, Sealed, Sealing, TagReader
from sealift.keyring import HeldKey, Keyring
from sealift.keys import CustomerKey
from sealift.model import UNSEALED

SIZES = [0, 1, 5000]


def _found(
    site: Site,
    ring: Keyring,
    name: str,
    size: int,
    recorded: str | None = None,
    read_tag: TagReader | None = None,
) -> Sealed:
    answers: list[Sealed] = []

    async def ask(engine: Engine) -> None:
        objects = await engine.bucket_client(site.bucket)
        finder = KeyFinder(objects, ring, engine.retrier, site.bucket, read_tag)
        answers.append(await finder.find(name, size, recorded))

    site.run(ask)
    return answers[0]


def _tag(key_id: str) -> Callable[[str], Awaitable[str | None]]:
    async def read_tag(_: str) -> str | None:
        return key_id

    return read_tag


@pytest.mark.parametrize("size", SIZES)
def test_the_key_is_found_among_several(site: Site, size: int) -> None:
    raws = [secrets.token_bytes(32) for _ in range(3)]
    ring = Keyring([HeldKey(CustomerKey(raw), "a test") for raw in raws])
    for number, raw in enumerate(raws):
        site.boto_put(f"o{number}", bytes(size), boto_seal(raw))

    for number, raw in enumerate(raws):
        key_id = CustomerKey(raw).key_id
        assert _found(site, ring, f"o{number}", size) == Sealed(Sealing.KEY, key_id)


@pytest.mark.parametrize("size", SIZES)
def test_plain_unknown_and_missing_are_told_apart(site: Site, size: int) -> None:
    ring = Keyring([HeldKey(site.customer_key, "a test")])
    site.boto_put("plain", bytes(size), {})
    site.boto_put("other", bytes(size), boto_seal(secrets.token_bytes(32)))

    assert _found(site, ring, "plain", size) == Sealed(Sealing.NONE, UNSEALED)
    assert _found(site, Keyring(), "plain", size) == Sealed(Sealing.NONE, UNSEALED)
    assert _found(site, ring, "other", size) == Sealed(Sealing.UNKNOWN, None)
    assert _found(site, ring, "other", size, "abc") == Sealed(Sealing.MISSING, "abc")
    tagged = _found(site, ring, "other", size, read_tag=_tag("def"))
    assert tagged == Sealed(Sealing.MISSING, "def")


def test_a_record_or_tag_that_is_wrong_costs_a_try_and_no_more(site: Site) -> None:
    other = CustomerKey.generate()
    ring = Keyring([HeldKey(other, "a test"), HeldKey(site.customer_key, "a test")])
    site.boto_put("o", b"bytes")

    found = _found(site, ring, "o", 5, recorded=other.key_id, read_tag=_tag(UNSEALED))

    assert found == Sealed(Sealing.KEY, site.customer_key.key_id)


def test_an_object_that_is_gone_is_no_matter_of_keys(site: Site) -> None:
    ring = Keyring([HeldKey(site.customer_key, "a test")])
    with pytest.raises(ReplyError, match="NoSuchKey"):
        _found(site, ring, "gone", 5)

"""`sealift key check` says which key opens an object, on servers that answer in their own ways."""

from __future__ import annotations

import json
import secrets
from pathlib import Path

import pytest
from tests.contract.site import Ended, Site, boto_seal

from sealift.key_sources.files import write_key_file
from sealift.keyring import HeldKey
from sealift.keys import CustomerKey

SIZES = [0, 1, 5000]
RAW = secrets.token_bytes(32)
OTHER = CustomerKey(RAW)


@pytest.fixture(autouse=True)
def other_key(site: Site) -> Path:
    """Another key at hand, in a directory that the command is told of."""
    path = site.work / "keys" / "other.env"
    path.parent.mkdir()
    write_key_file(str(path), HeldKey(OTHER, "", "other"))
    return path


def check(site: Site, name: str, *words: str) -> Ended:
    ended = site.cli("key", "check", site.uri(name), "--key-dir", "keys", *words)
    assert ended.stderr == ""
    return ended


@pytest.mark.parametrize("size", SIZES)
def test_the_key_of_an_object_is_named(site: Site, size: int) -> None:
    site.boto_put("ours", bytes(size))
    site.boto_put("other", bytes(size), boto_seal(RAW))
    ours = site.customer_key.key_id

    assert check(site, "ours") == Ended(
        0, f"{site.uri('ours')} is under the customer key {ours}\n", ""
    )
    assert check(site, "other") == Ended(
        0, f"{site.uri('other')} is under the customer key {OTHER.key_id} (other)\n", ""
    )
    assert check(site, "other", "--key", OTHER.key_id[:8]).status == 0
    refused = check(site, "other", "--key", ours)
    assert refused == Ended(1, f"{site.uri('other')} is not under the customer key {ours}\n", "")


@pytest.mark.parametrize("size", SIZES)
def test_what_no_key_opens_is_classed(site: Site, size: int) -> None:
    site.boto_put("unknown", bytes(size), boto_seal(secrets.token_bytes(32)))
    site.boto_put("plain", bytes(size), {})

    for name, sealing, text in (
        ("unknown", "unknown", "is under none of the 2 customer keys at hand"),
        ("plain", "none", "is under no customer key"),
        ("missing", "absent", "is not there"),
    ):
        assert check(site, name) == Ended(1, f"{site.uri(name)} {text}\n", "")
        told = check(site, name, "--json")
        assert (told.status, json.loads(told.stdout)) == (
            1,
            {"bucket": site.bucket, "name": name, "sealing": sealing, "key_id": None},
        )
    assert check(site, "plain", "--key", OTHER.key_id).stdout.endswith("under no customer key\n")


def test_the_catalogue_names_a_key_that_is_lost(site: Site, other_key: Path) -> None:
    (site.work / "file").write_bytes(b"content")
    put = site.cli("put", "file", site.uri("x"), "--key-file", str(other_key))
    assert put.status == 0, put
    other_key.unlink()

    told = check(site, "x")

    text = f"is under the customer key {OTHER.key_id}, which is not at hand"
    assert (told.status, told.stdout) == (1, f"{site.uri('x')} {text}\n")
    listed = site.cli("key", "list", "--json", "--key-dir", "keys")
    found = {row["key_id"]: row for row in map(json.loads, listed.stdout.splitlines())}
    assert found[OTHER.key_id]["missing"]
    assert found[OTHER.key_id]["object_count"] == 1


def test_a_missing_bucket_is_a_matter_of_settings(site: Site) -> None:
    ended = site.cli("key", "check", "s3://no-such-bucket-there/x")
    assert (ended.status, ended.stdout) == (2, "")
    assert "NoSuchBucket" in ended.stderr

"""`verify` as a command, with a manifest, and of older versions."""

from __future__ import annotations

import json
import secrets
from functools import partialmethod
from pathlib import Path

import pytest
from tests.contract.site import Site, boto_seal, make_tree
from tests.contract.test_verify import FILES, SEALED, findings, verified

from sealift.engine import Engine
from sealift.errors import UsageError
from sealift.keyring import HeldKey, Keyring
from sealift.keys import CustomerKey
from sealift.options import TreeOptions
from sealift.verify.findings import Finding, VerifyOptions
from sealift.wire.pages import ListingClient


@pytest.fixture
def tree(site: Site) -> Path:
    """FILES, on both sides."""
    root = make_tree(site.work / "tree", FILES)
    assert site.copy(f"{root}/", site.uri("p/")).failed == {}
    return root


def test_the_command_reports_and_touches_nothing(site: Site, tree: Path) -> None:
    state = site.work / "state"
    env = site.environment(XDG_STATE_HOME=str(state))
    good = site.cli("verify", "tree", site.uri("p"), "--sealed", env=env)
    assert good.status == 0, good.stderr
    assert good.stdout.endswith("VERIFIED: 5 objects the same on both sides and sealed\n")
    assert not state.exists()

    site.boto_put("p/plain\x1b", b"bytes", {})
    bad = site.cli("verify", "tree", site.uri("p"), "--sealed", env=env)
    assert bad.status == 1
    assert bad.stdout.endswith("NOT VERIFIED: 1 only-remote, 1 unencrypted\n")
    assert "plain\\x1b" in bad.stdout
    assert "\x1b" not in bad.stdout + bad.stderr

    told = site.cli("verify", site.uri("p"), "--sealed", "--json", env=env)
    assert (told.status, told.stderr) == (1, "")
    *events, report, summary = map(json.loads, told.stdout.splitlines())
    assert summary["event"] == "summary"
    assert [event["findings"] for event in events if event["event"] == "failed"] == [
        ["unencrypted"]
    ]
    assert (report["event"], report["verified"], report["sealed_count"]) == ("report", False, 5)
    assert report["names"] == {"unencrypted": ["p/plain\x1b"]}


def test_a_manifest_is_verified_with_the_keys_that_it_names(site: Site) -> None:
    """Under another default key than that of the time: it is one of several by now."""
    tree = make_tree(site.work / "tree", {"a": b"1", "b": b"22"})
    assert site.cli("sync", "--manifest", "m", tree, site.uri("p")).status == 0
    before = HeldKey(site.customer_key, "a test")
    now = CustomerKey.generate()
    reports = []

    async def verify(engine: Engine) -> None:
        options = VerifyOptions(is_sealed=True, is_deep=True)
        reports.append(await engine.verify_manifest(str(site.work / "m"), options))

    record = site.run(verify, customer_key=now, keyring=Keyring([before]))
    assert findings(record) == {}
    assert reports[0].keys == {site.customer_key.key_id: 2}
    assert reports[0].sealed_count == 2

    site.boto_put("p/a", b"2", {})
    site.boto_put("p/b", b"22", boto_seal(secrets.token_bytes(32)))
    record = site.run(verify, customer_key=now, keyring=Keyring([before]))
    assert findings(record)["a"][0] == "unencrypted"
    assert "altered" in findings(record)["a"]
    assert findings(record)["b"] == ["key-unknown"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((), "nothing is named"),
        (("s3://b/p",), "nothing to compare with"),
        (("tree", "elsewhere"), "is not an s3:// URI"),
        (("s3://b/p", "tree"), "give LOCAL first"),
        (("tree", "s3://b/p", "--manifest", "m"), "name it alone"),
        (("tree", "s3://b/p", "--key", "0123"), "add --sealed"),
        (("s3://b/p", "--all-versions"), "add --sealed"),
        (("tree", "s3://b/p", "--sealed", "--key", "0123"), "not at hand"),
        (("tree", "s3://b/p", "--exclude", "/x"), "matches nothing"),
    ],
)
@pytest.mark.parametrize("server", ["ministack"], indirect=True)
def test_what_cannot_be_meant_ends_with_2(site: Site, words: tuple[str, ...], told: str) -> None:
    make_tree(site.work / "tree", {"a": b"1"})
    ended = site.cli("verify", *(word.replace("s3://b/", site.uri()) for word in words))
    assert (ended.status, ended.stdout) == (2, "")
    assert told in ended.stderr


@pytest.mark.parametrize("size", [0, 5000])
def test_an_older_version_that_was_stored_plain_is_found(
    site: Site, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    site.boto_put("p/before", bytes(size), {})
    site.boto.put_bucket_versioning(
        Bucket=site.bucket, VersioningConfiguration={"Status": "Enabled"}
    )
    second = secrets.token_bytes(32)
    for name in ("p/a", "p/gone", "p/ü +&\n", "p/before"):
        for seal in ({}, boto_seal(second), None):
            site.boto_put(name, bytes(size), seal)
    site.boto.delete_object(Bucket=site.bucket, Key="p/gone")
    ring = Keyring([HeldKey(CustomerKey(second), "a test")])

    now, record = verified(site, None, SEALED, keyring=ring)
    assert findings(record) == {}
    assert now.object_count == 3

    all_of_them = VerifyOptions(is_sealed=True, all_versions=True)
    report, _ = verified(site, None, all_of_them, keyring=ring)
    assert report.findings == {Finding.UNENCRYPTED: 5, Finding.UNEXPECTED_KEY: 4}
    assert report.object_count == 13
    assert report.sealed_count == 4
    assert "p/before?versionId=null" in report.names[Finding.UNENCRYPTED]

    pages = partialmethod(ListingClient.list_versions, limit=2)
    monkeypatch.setattr(ListingClient, "list_versions", pages)
    assert verified(site, None, all_of_them, keyring=ring)[0].findings == report.findings
    one, _ = verified(site, None, all_of_them, name="p/a", keyring=ring)
    assert one.object_count == 3

    chosen = TreeOptions(rules=((False, "*"), (True, "a")))
    some, _ = verified(site, None, all_of_them, chosen, keyring=ring)
    assert some.object_count == 3


def test_versions_are_for_the_sealing_of_what_is_there(site: Site, tree: Path) -> None:
    versions = VerifyOptions(is_sealed=True, all_versions=True)
    with pytest.raises(UsageError, match="older versions are compared with nothing"):
        verified(site, tree, versions)
    with pytest.raises(UsageError, match="nothing to verify"):
        verified(site, None, versions, name="nothing")

"""`sealift doctor` on real servers, as a user runs it."""

from __future__ import annotations

import json
import signal
import time
from typing import Any

import pytest
from tests.contract.site import Ended, Site, noise

from sealift.capabilities import recall


def findings(ended: Ended) -> dict[str, dict[str, Any]]:
    assert ended.stderr == "", ended
    *found, summary = map(json.loads, ended.stdout.splitlines())
    assert summary["event"] == "summary"
    return {finding["check"]: finding for finding in found}


def not_ok(found: dict[str, dict[str, Any]]) -> dict[str, str]:
    return {name: finding["status"] for name, finding in found.items()
            if finding["status"] != "ok"}  # fmt: skip


def assert_clean(site: Site) -> None:
    assert site.names() == []
    assert site.uploads() == []
    listed = site.boto.list_object_versions(Bucket=site.bucket)
    assert not listed.get("Versions")
    assert not listed.get("DeleteMarkers")


# Ceph 16 copies no sealed objects and looks at no condition of Complete; neither has STS here.
EXPECTED = {
    "ceph": {
        "key-files": "skipped",
        "identity": "skipped",
        "lifecycle": "warning",
        "conditions": "warning",
        "copy": "warning",
    },
    "ministack": {"key-files": "skipped", "identity": "skipped", "lifecycle": "warning"},
}


@pytest.mark.parametrize("versioned", [False, True], ids=["plain", "versioned"])
def test_what_is_found(site: Site, versioned: bool) -> None:
    if versioned:
        site.boto.put_bucket_versioning(
            Bucket=site.bucket, VersioningConfiguration={"Status": "Enabled"}
        )

    ended = site.cli("doctor", site.uri("some/prefix"), "--json")

    found = findings(ended)
    assert ended.status == 0, found
    assert not_ok(found) == EXPECTED[site.server.name], found
    refuses_right = "a right ETag in If-Match is refused too" in found["conditions"]["text"]
    assert refuses_right is (versioned and site.server.name == "ceph")
    assert found["versioning"]["text"].startswith("enabled" if versioned else "never enabled")
    assert_clean(site)
    known = recall(None, f"{site.server.endpoint_url}/{site.bucket}", time.time())
    is_ceph = site.server.name == "ceph"
    assert (known.checks_crc, known.checks_md5) == (not is_ceph, True)
    assert (known.keeps_whole_crc, known.copies_sealed) == (False, not is_ceph)


def test_nothing_is_left_where_versioning_is_suspended(site: Site) -> None:
    """A plain DELETE would leave a delete marker."""
    for status in ("Enabled", "Suspended"):
        site.boto.put_bucket_versioning(
            Bucket=site.bucket, VersioningConfiguration={"Status": status}
        )
    found = findings(site.cli("doctor", site.uri(), "--json"))
    assert found["delete"]["status"] == "ok"
    assert_clean(site)


def test_settings_of_the_bucket(site: Site) -> None:
    site.boto.put_bucket_lifecycle_configuration(
        Bucket=site.bucket,
        LifecycleConfiguration={"Rules": [{
            "ID": "x", "Status": "Enabled", "Filter": {"Prefix": ""},
            "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 5},
        }]},
    )  # fmt: skip
    found = findings(site.cli("doctor", site.uri(), "--json"))
    assert found["lifecycle"]["status"] == "ok"
    assert "after 5 days" in found["lifecycle"]["text"]


@pytest.mark.parametrize("server", ["ceph"], indirect=True)
def test_credentials_that_are_none(site: Site) -> None:
    """Only Ceph looks at them."""
    environment = site.environment(AWS_SECRET_ACCESS_KEY="wrong")
    ended = site.cli("doctor", site.uri(), "--json", env=environment)
    found = findings(ended)
    assert ended.status == 1
    assert found["bucket"]["status"] == "failure"
    assert "secret key" in found["bucket"]["advice"]


def test_another_bucket(site: Site) -> None:
    ended = site.cli("doctor", f"s3://{site.bucket}-other", "--json")
    assert ended.status == 1
    assert findings(ended)["bucket"]["status"] == "failure"


@pytest.mark.parametrize("delay", [0.0, 0.1, 0.2, 0.3])
def test_nothing_is_left_when_interrupted(site: Site, delay: float) -> None:
    """At some moment after the first finding about objects."""
    with site.start("doctor", site.uri(), "--json") as child:
        assert child.stdout is not None
        for line in child.stdout:
            if b'"list"' in line:
                break
        time.sleep(delay)
        child.send_signal(signal.SIGINT)
        child.communicate(timeout=30)
    # It may have ended by then, or be past all its work, where nobody minds a signal.
    assert child.returncode in (0, 130, -signal.SIGINT)
    assert_clean(site)


def test_what_was_learned_spares_an_upload(site: Site) -> None:
    """Neither server keeps the checksum of a multipart object."""
    (site.work / "large").write_bytes(noise(9 << 20))
    assert site.cli("doctor", site.uri()).status == 0
    ended = site.cli("put", "large", site.uri())
    assert ended.status == 0, ended
    assert "crc64nvme" in str(site.boto_head("large")["Metadata"])
    assert site.boto_get("large") == noise(9 << 20)

"""Versions, and others who write to what is being rekeyed: nothing of theirs is lost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.contract.rekeys import Keys, versions
from tests.contract.site import PART_SIZE, Record, Site, noise

from sealift import ways
from sealift.copier import Copier
from sealift.errors import ObjectError, OvertakenError
from sealift.events import Event, Noted
from sealift.model import Job
from sealift.wire.operations import ObjectClient
from sealift.wire.uploads import MultipartClient

SIZES = {"empty": 0, "small": 1000, "parts": 2 * PART_SIZE + 17}


@pytest.fixture
def keys(site: Site) -> Keys:
    return Keys(site)


@pytest.fixture(autouse=True)
def _state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


def _version(site: Site, status: str = "Enabled") -> None:
    site.boto.put_bucket_versioning(Bucket=site.bucket, VersioningConfiguration={"Status": status})


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
def test_old_versions_stay_and_are_counted(site: Site, keys: Keys, size: int) -> None:
    _version(site)
    old = keys.put("p/object", noise(size))["VersionId"]
    seen: list[Event] = []

    record = keys.rekey("p/", record=Record(on_event=seen.append))

    assert record.failed == {}
    assert keys.read("p/object") == noise(size)
    new = keys.head("p/object")["VersionId"]
    assert versions(site.boto, site.bucket) == [("p/object", new), ("p/object", old)]
    reply = site.boto.get_object(
        Bucket=site.bucket, Key="p/object", VersionId=old, **keys.boto("old")
    )
    assert reply["Body"].read() == noise(size)
    notes = [event.text for event in seen if isinstance(event, Noted)]
    assert any(text.startswith("1 old version") for text in notes)


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
def test_exactly_the_version_that_was_read_is_removed(site: Site, keys: Keys, size: int) -> None:
    keys.put("p/null", b"before there were versions")
    _version(site)
    oldest = keys.put("p/object", b"older", "none")["VersionId"]
    keys.put("p/object", noise(size))

    record = keys.rekey("p/", remove_old_versions=True)

    assert record.failed == {}
    new = keys.head("p/object")["VersionId"]
    null = keys.head("p/null")["VersionId"]
    assert null != "null"
    assert set(versions(site.boto, site.bucket)) == {
        ("p/object", new), ("p/object", oldest), ("p/null", null),
    }  # fmt: skip
    assert keys.read("p/object") == noise(size)
    assert keys.read("p/null") == b"before there were versions"


@pytest.mark.parametrize("removes", [False, True])
def test_where_versions_are_suspended_the_old_one_is_told_of_or_removed(
    site: Site, keys: Keys, removes: bool
) -> None:
    """The new one has no id, and no delete marker stays of what the server was tried with."""
    _version(site)
    old = keys.put("p/object", b"content")["VersionId"]
    _version(site, "Suspended")
    keys.put("p/null", b"content")
    seen: list[Event] = []

    record = keys.rekey("p/", remove_old_versions=removes, record=Record(on_event=seen.append))

    assert record.failed == {}
    assert keys.read("p/object") == keys.read("p/null") == b"content"
    stay = set() if removes else {("p/object", old)}
    assert set(versions(site.boto, site.bucket)) == {
        ("p/object", "null"), ("p/null", "null"), *stay,
    }  # fmt: skip
    notes = [event.text for event in seen if isinstance(event, Noted)]
    assert any(text.startswith("1 old version") for text in notes) is not removes


def test_without_versions_nothing_is_removed(site: Site, keys: Keys) -> None:
    keys.put("p/object", b"content")
    assert keys.rekey("p/", remove_old_versions=True).failed == {}
    assert keys.read("p/object") == b"content"


@pytest.mark.parametrize("theirs", ["old", "new", "none"])
@pytest.mark.parametrize("size", [1000, PART_SIZE + 1])
def test_what_others_write_before_the_copy_is_begun_is_rekeyed_instead(
    site: Site, keys: Keys, monkeypatch: pytest.MonkeyPatch, size: int, theirs: str
) -> None:
    keys.put("p/object", noise(size))
    written = _once(monkeypatch, Copier, "copy_by", lambda: keys.put("p/object", b"new", theirs))

    record = keys.rekey("p/")

    assert written == [1]
    assert keys.read("p/object", "none" if theirs == "none" else "new") == b"new"
    assert set(record.failed) == ({"p/object"} if theirs == "none" else set())
    assert site.names() == ["p/object"]
    assert site.uploads() == []


@pytest.mark.parametrize("server", ["ceph"], indirect=True)
@pytest.mark.parametrize(
    ("size", "kind", "call"),
    [
        (1000, ObjectClient, "put_object"),
        (PART_SIZE + 1, MultipartClient, "create_multipart_upload"),
        (PART_SIZE + 1, ObjectClient, "upload_part"),
    ],
)
def test_what_others_write_while_an_object_is_streamed_stays(
    site: Site, keys: Keys, monkeypatch: pytest.MonkeyPatch, size: int, kind: type, call: str
) -> None:
    keys.put("p/object", noise(size))
    _once(monkeypatch, kind, call, lambda: keys.put("p/object", b"new"))

    record = keys.rekey("p/")

    assert record.failed == {}
    assert keys.read("p/object") == b"new"
    assert site.uploads() == []


@pytest.mark.parametrize("size", [1000, PART_SIZE + 1])
def test_an_object_that_is_written_all_the_time_is_left_to_its_writer(
    site: Site, keys: Keys, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    monkeypatch.setattr(ways, "MAX_COPY_OBJECT_SIZE", PART_SIZE)
    keys.put("p/object", noise(size))
    bodies = [noise(size, number) for number in range(1, 10)]
    real = Copier.copy_by

    async def overtaken(self: Copier, way: Any, job: Job, *rest: Any) -> Any:
        if job.location.name == "p/object":
            keys.put("p/object", bodies.pop(0))
        return await real(self, way, job, *rest)

    monkeypatch.setattr(Copier, "copy_by", overtaken)

    record = keys.rekey("p/")

    assert isinstance(record.failed["p/object"], ObjectError)
    assert keys.read("p/object", "old") == noise(size, 9 - len(bodies))
    assert len(bodies) == 6
    assert site.uploads() == []


def test_an_object_that_is_removed_meanwhile_does_not_come_back(
    site: Site, keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys.put("p/object", b"content")

    def remove() -> None:
        site.boto.delete_object(Bucket=site.bucket, Key="p/object")

    _once(monkeypatch, Copier, "copy_by", remove)

    record = keys.rekey("p/")

    assert set(record.failed) == {"p/object"}
    assert not isinstance(record.failed["p/object"], OvertakenError)
    assert site.names() == []


def _once(monkeypatch: pytest.MonkeyPatch, kind: type, call: str, act: Any) -> list[int]:
    """Have `act` called once, before the first `call` about the object."""
    real, acted = getattr(kind, call), list[int]()

    async def before(self: Any, *arguments: Any, **more: Any) -> Any:
        about = [getattr(getattr(one, "location", None), "name", one) for one in arguments]
        if not acted and "p/object" in [one for one in about if isinstance(one, str)]:
            acted.append(1)
            act()
        return await real(self, *arguments, **more)

    monkeypatch.setattr(kind, call, before)
    return acted

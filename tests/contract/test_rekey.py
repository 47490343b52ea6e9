"""Objects come under another key in their places: on the server or through memory."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.contract.rekeys import Keys
from tests.contract.site import PART_SIZE, Record, Site, make_tree, noise

from sealift import copier, ways
from sealift.errors import SettingsError
from sealift.events import Event, Would
from sealift.keyring import HeldKey, Keyring
from sealift.options import TreeOptions
from sealift.wire.tagging import KEY_ID_TAG

SIZES = {"empty": 0, "small": 1000, "parts": 2 * PART_SIZE + 17}
MTIME = "1555555555.555555555"
DESCRIBED: dict[str, Any] = {
    "Metadata": {"mtime": MTIME, "mode": "100640", "odd.name": "two  spaces, 100%"},
    "ContentType": "text/x-odd",
    "ContentDisposition": 'attachment; filename="a.txt"',
    "ContentEncoding": "identity",
    "ContentLanguage": "de",
    "CacheControl": "max-age=7",
    "Expires": "Wed, 21 Oct 2026 07:28:00 GMT",
    "WebsiteRedirectLocation": "/elsewhere",
}
TAGGING = "a=1&b%20c=%C3%BC%26"
TAGS = {"a": "1", "b c": "ü&"}


@pytest.fixture
def keys(site: Site) -> Keys:
    return Keys(site)


@pytest.fixture(autouse=True)
def _state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


def assert_rekeyed(keys: Keys, name: str, body: bytes, old: str = "old") -> None:
    """The bytes are to be had under the new key, and by nothing else."""
    assert keys.read(name) == body
    assert keys.read(name, old) is None
    assert keys.read(name, "none") is None


def lines(report: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in report.read_text().splitlines()]


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
def test_all_that_describes_an_object_is_kept(site: Site, keys: Keys, size: int) -> None:
    body, name = noise(size), "p/a ü+%"
    more = {"StorageClass": "STANDARD_IA"} if site.server.name == "ministack" else {}
    keys.put(name, body, Tagging=TAGGING, **DESCRIBED, **more)
    before = keys.head(name, "old")

    record = keys.rekey("p/")

    assert record.failed == {}
    assert len(record.done) == 1
    assert_rekeyed(keys, name, body)
    after = keys.head(name)
    assert after["Metadata"].items() >= before["Metadata"].items()
    kept = [*DESCRIBED, *more, "ExpiresString"]
    assert {one: after.get(one) for one in kept if one != "Metadata"} == {
        one: before.get(one) for one in kept if one != "Metadata"
    }
    assert keys.tags(name) == TAGS
    assert site.names() == [name]
    assert site.uploads() == []


@pytest.mark.parametrize("size", [0, 1000, PART_SIZE + 1])
@pytest.mark.parametrize(
    ("source", "to"),
    [("none", "new"), ("kms", "new"), ("old", "none"), ("old", "kms"), ("none", "kms"),
     ("kms", "none")],
)  # fmt: skip
def test_between_the_kinds_of_encryption(keys: Keys, source: str, to: str, size: int) -> None:
    check_kinds(keys, source, to, noise(size))


@pytest.mark.parametrize("server", ["ministack"], indirect=True)  # Ceph 16 has no SSE-S3
@pytest.mark.parametrize(
    ("source", "to"), [("s3", "new"), ("old", "s3"), ("s3", "kms"), ("kms", "s3"), ("none", "s3")]
)
def test_from_and_to_sse_s3(keys: Keys, source: str, to: str) -> None:
    check_kinds(keys, source, to, b"content")


def check_kinds(keys: Keys, source: str, to: str, body: bytes) -> None:
    keys.put("p/object", body, source, **DESCRIBED, Tagging=TAGGING)

    record = keys.rekey("p/", to, source)

    assert record.failed == {}
    assert len(record.done) == 1
    assert keys.read("p/object", to) == body
    head = keys.head("p/object", to)
    wanted = {"s3": "AES256", "kms": "aws:kms"}.get(to)
    assert head.get("ServerSideEncryption") == wanted
    assert head["Metadata"]["mtime"] == MTIME
    assert keys.tags("p/object") == TAGS
    if to == "new":
        assert keys.read("p/object", "none") is None
    if source == "old":
        assert keys.read("p/object", "old") is None
    assert keys.site.names() == ["p/object"]
    again = keys.rekey("p/", to, source)
    assert (again.done, again.failed) == ([], {})


@pytest.mark.parametrize("server", ["ceph"], indirect=True)
def test_what_the_server_would_store_as_plaintext_stops_the_run_before_it_is_touched(
    site: Site, keys: Keys
) -> None:
    keys.put("p/object", b"content")

    with pytest.raises(SettingsError, match="does not put an object under SSE s3"):
        keys.rekey("p/", "s3")

    assert keys.read("p/object", "old") == b"content"
    assert site.names() == ["p/object"]


@pytest.mark.parametrize("source", ["old", "none"])
def test_large_objects_in_parts_on_the_server(
    site: Site, keys: Keys, monkeypatch: pytest.MonkeyPatch, source: str, tmp_path: Path
) -> None:
    monkeypatch.setattr(ways, "MAX_COPY_OBJECT_SIZE", PART_SIZE)
    monkeypatch.setattr(copier, "COPIED_PART_SIZE", PART_SIZE)
    body = noise(2 * PART_SIZE + 17)
    keys.put("p/object", body, source, **DESCRIBED, Tagging=TAGGING)

    record = keys.rekey("p/", "new", source, report=str(tmp_path / "report"))

    assert record.failed == {}
    assert_rekeyed(keys, "p/object", body, source)
    assert keys.head("p/object")["Metadata"]["mtime"] == MTIME
    assert keys.tags("p/object") == TAGS
    assert (site.names(), site.uploads()) == (["p/object"], [])
    line = json.loads((tmp_path / "report").read_text())
    streamed = site.server.name == "ceph"
    assert line["way"] == ("GetObject and PutObject" if streamed else "UploadPartCopy")


def test_a_tree_of_ours_keeps_its_times_and_a_sync_moves_nothing_afterwards(
    site: Site, keys: Keys
) -> None:
    files = {f"d{n % 3}/{n:02}": b"%d" % n for n in range(30)} | {"parts": noise(PART_SIZE + 1)}
    tree = make_tree(site.work / "tree", files)
    tag = {"tag_key_id": True}
    first = site.run(lambda engine: engine.sync(str(tree), site.uri("p/")), **tag)
    assert first.failed == {}

    record = keys.rekey("p/", source="old")

    assert record.failed == {}
    assert len(record.done) == len(files)
    assert all(event.checked for event in record.done) is (site.server.name == "ceph")
    for name, body in files.items():
        assert_rekeyed(keys, f"p/{name}", body)
    assert keys.tags("p/d0/00") == {KEY_ID_TAG: keys.id("new")}
    new = {"customer_key": keys.key["new"]}
    again = site.run(lambda engine: engine.sync(str(tree), site.uri("p/")), **new)
    assert (again.done, again.failed) == ([], {})
    back = site.restore("p/", "back", **new)
    assert all(event.checked for event in back.done)
    assert len(back.done) == len(files)
    third = keys.rekey("p/", source="old")
    assert (third.done, third.failed) == ([], {})


def test_only_what_is_taken_is_touched_and_the_rest_is_named(
    site: Site, keys: Keys, tmp_path: Path
) -> None:
    stranger = Keys(site)
    keys.put("p/a", b"a")
    keys.put("p/b", b"b", "none")
    keys.put("p/c", b"c", "new")
    stranger.put("p/d", b"d", "new")
    third = Keys(site)
    third.put("p/e", b"e", "new")
    ring = Keyring([*keys.ring, HeldKey(third.key["new"], "a test")])

    record = keys.rekey("p/", source="old", keyring=ring, report=str(tmp_path / "r"))

    assert [event.job.location.name for event in record.done] == ["p/a"]
    assert set(record.failed) == {"p/b", "p/d", "p/e"}
    assert "no encryption" in str(record.failed["p/b"])
    assert "not at hand" in str(record.failed["p/d"])
    assert third.id("new") in str(record.failed["p/e"])
    assert keys.read("p/a") == b"a"
    assert keys.read("p/b", "none") == b"b"
    assert (stranger.read("p/d"), third.read("p/e")) == (b"d", b"e")
    report = {one["name"]: one for one in lines(tmp_path / "r")}
    assert {name: one["outcome"] for name, one in report.items()} == {
        "p/a": "rekeyed", "p/b": "failed", "p/c": "unchanged", "p/d": "failed", "p/e": "failed",
    }  # fmt: skip
    assert report["p/a"]["from"] == keys.id("old")
    assert report["p/a"]["to"] == report["p/c"]["from"] == keys.id("new")
    assert "not at hand" in report["p/d"]["error"]


def test_any_takes_all_that_is_at_hand(site: Site, keys: Keys) -> None:
    for number, seal in enumerate(["old", "none", "kms", "new", "old"]):
        keys.put(f"p/{number}", b"%d" % number, seal)
    order = keys.source(None)._replace(others=frozenset({"none", "s3", "kms"}))

    keys.source = lambda _: order  # type: ignore[method-assign]
    record = keys.rekey("p/")

    assert record.failed == {}
    assert len(record.done) == 4
    for number in range(5):
        assert_rekeyed(keys, f"p/{number}", b"%d" % number, "none")


def test_one_object_and_what_rules_take(site: Site, keys: Keys) -> None:
    for name in ("a", "a/b.txt", "a/c.bin", "ab"):
        keys.put(name, name.encode())

    assert len(keys.rekey("a").done) == 1
    assert [keys.read(name) for name in ("a", "a/b.txt", "ab")] == [b"a", None, None]
    keys.rekey("a/", tree=TreeOptions(rules=((False, "*"), (True, "*.txt"))))
    assert [keys.read(name) for name in ("a/b.txt", "a/c.bin", "ab")] == [b"a/b.txt", None, None]


def test_a_dry_run_touches_nothing(site: Site, keys: Keys, tmp_path: Path) -> None:
    keys.put("p/a", b"a")
    keys.put("p/b", b"b", "new")
    modified = keys.head("p/a", "old")["LastModified"]
    seen: list[Event] = []

    keys.rekey(
        "p/", record=Record(on_event=seen.append), dry_run=True, report=str(tmp_path / "report")
    )

    would = [event for event in seen if isinstance(event, Would)]
    assert [(event.act, event.name) for event in would] == [("rekey", site.uri("p/a"))]
    assert "CopyObject" in would[0].to
    assert keys.head("p/a", "old")["LastModified"] == modified
    assert site.names() == ["p/a", "p/b"]
    assert [line["outcome"] for line in lines(tmp_path / "report")] == ["would", "unchanged"]

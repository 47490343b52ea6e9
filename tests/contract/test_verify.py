"""`verify`: each way in which an object can be wrong is found, by its name, and nothing else is."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Any

import pytest
from tests.contract.site import PART_SIZE, Record, Site, boto_seal, make_tree, noise, read_tree

from sealift.checksums import crc64, encode
from sealift.errors import CustomerKeyError, UsageError, VerifyError
from sealift.keyring import HeldKey, Keyring, Rule
from sealift.keys import CustomerKey
from sealift.options import TreeOptions
from sealift.verify.findings import Finding, How, VerifyOptions, VerifyReport

FILES = {
    "a": b"some bytes",
    "d/deep/b": noise(70_000, 1),
    "d/empty": b"",
    "odd/%41 +&'\"<>\\*?é\u202e\x01": b"odd",
    "odd/line\nfeed": b"odd too",
}
PARTS = noise(PART_SIZE + 3, 2)
SEALED = VerifyOptions(is_sealed=True)
DEEP = VerifyOptions(is_deep=True)
BOTH = VerifyOptions(is_sealed=True, is_deep=True)


def verified(
    site: Site,
    local: Path | None,
    options: VerifyOptions | None = None,
    tree: TreeOptions | None = None,
    name: str = "p",
    **changes: Any,
) -> tuple[VerifyReport, Record]:
    """The report of `Engine.verify`, which is what the reporter heard."""
    reports: list[VerifyReport] = []
    place = None if local is None else str(local)

    async def verify(engine: Any) -> None:
        reports.append(
            await engine.verify(place, site.location(name), options, tree or TreeOptions())
        )

    record = site.run(verify, **changes)
    return reports[0], record


def findings(record: Record) -> dict[str, list[str]]:
    """What was told of each object, by the names below the prefix."""
    found = {}
    for name, error in record.failed.items():
        assert isinstance(error, VerifyError), error
        found[name.removeprefix("p/")] = list(error.findings)
    return found


def assert_agree(report: VerifyReport, record: Record) -> None:
    """The report counts what was told, no more and no less."""
    told = [one for found in findings(record).values() for one in found]
    assert sum(report.findings.values()) == len(told)
    assert {one.value for one in report.findings} == set(told)
    assert report.is_verified == (not told)


@pytest.fixture
def tree(site: Site) -> Path:
    """FILES, on both sides."""
    root = make_tree(site.work / "tree", FILES)
    assert site.copy(f"{root}/", site.uri("p/")).failed == {}
    return root


@pytest.fixture
def parts(site: Site, tree: Path) -> Path:
    """With an object of parts, too."""
    (tree / "parts").write_bytes(PARTS)
    assert site.copy(tree / "parts", site.uri("p/parts")).failed == {}
    return tree


@pytest.mark.parametrize("options", [None, SEALED, DEEP, BOTH])
def test_equal_sides_are_verified(site: Site, tree: Path, options: VerifyOptions | None) -> None:
    before = read_tree(tree)
    report, record = verified(site, tree, options)

    assert findings(record) == {}
    assert report.is_verified
    assert report.object_count == len(record.done) == len(FILES)
    assert report.object_size == sum(map(len, FILES.values()))
    how = How.READING if options in (DEEP, BOTH) else How.CHECKSUM
    assert report.content == {how: len(FILES)}
    assert report.keys == {site.customer_key.key_id: len(FILES)}
    assert report.sealed_count == (len(FILES) if options in (SEALED, BOTH) else 0)
    assert read_tree(tree) == before


def test_an_object_of_parts_is_verified_by_its_checksum_and_by_ranges(
    site: Site, parts: Path
) -> None:
    for options, how in ((None, How.CHECKSUM), (BOTH, How.READING)):
        report, record = verified(site, parts, options)
        assert findings(record) == {}
        assert report.content == {how: len(FILES) + 1}
        (job,) = [event.job for event in record.done if event.job.path == "parts"]
        assert job.moved == job.size
    site.boto_put("p/parts", PARTS)  # without a checksum
    report, record = verified(site, parts)
    assert findings(record) == {}
    assert report.content[How.READING] == 1


@pytest.mark.parametrize("options", [None, DEEP])
def test_a_flipped_byte_of_same_size_and_time_is_found(
    site: Site, parts: Path, options: VerifyOptions | None
) -> None:
    names = ["a", "d/deep/b", "parts"]
    for name in names:
        path = parts / name
        facts = path.stat()
        content = bytearray(path.read_bytes())
        content[-1] ^= 1
        path.write_bytes(content)
        os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))

    report, record = verified(site, parts, options)

    assert findings(record) == {name: ["content-differs"] for name in names}
    assert_agree(report, record)
    assert sorted(report.names[Finding.CONTENT]) == [f"p/{name}" for name in names]


def test_objects_of_other_bytes_are_found_by_reading_them(site: Site, parts: Path) -> None:
    for name, content in (*FILES.items(), ("parts", PARTS)):
        site.boto_put(f"p/{name}", bytes(len(content)))
    report, record = verified(site, parts)
    assert findings(record) == {
        name: ["content-differs"] for name in (*FILES, "parts") if name != "d/empty"
    }
    assert_agree(report, record)
    assert report.content == {How.READING: 1}, "the empty one has no other bytes"


def test_objects_without_a_checksum_are_read(site: Site, tree: Path) -> None:
    for name, content in FILES.items():
        site.boto_put(f"p/{name}", content)
    report, record = verified(site, tree)
    assert findings(record) == {}
    assert report.content == {How.READING: len(FILES)}


def test_a_forged_checksum_is_found_where_the_bytes_are_right(site: Site, tree: Path) -> None:
    forge(site, "a", FILES["a"], crc64(b"other bytes"))
    for options in (None, DEEP):
        report, record = verified(site, tree, options)
        assert findings(record) == {"a": ["checksum-wrong"]}
        assert_agree(report, record)


def test_only_reading_finds_bytes_behind_a_forged_checksum(site: Site, tree: Path) -> None:
    forge(site, "a", b"evil bytes", crc64(FILES["a"]))
    assert verified(site, tree)[0].is_verified, "the stored checksum is believed, as documented"
    _, record = verified(site, tree, DEEP)
    assert findings(record) == {"a": ["content-differs", "checksum-wrong"]}


def forge(site: Site, name: str, body: bytes, crc: int) -> None:
    """Store bytes beside a checksum of others, as metadata."""
    site.boto.put_object(
        Bucket=site.bucket,
        Key=f"p/{name}",
        Body=body,
        Metadata={"sealift-crc64nvme": encode(crc)},
        **site.seal,
    )


@pytest.mark.parametrize("options", [None, SEALED, BOTH])
def test_missing_extra_and_longer_are_told_apart(
    site: Site, tree: Path, options: VerifyOptions | None
) -> None:
    site.boto.delete_object(Bucket=site.bucket, Key="p/a")
    site.boto_put("p/zz", b"extra")
    site.boto_put("p/d/empty", b"no more")
    (tree / "odd" / "link").symlink_to("nowhere")
    site.boto_put("p/odd/link", b"")
    site.boto_put("p2/beside", b"another prefix")

    report, record = verified(site, tree, options)

    assert findings(record) == {
        "a": ["only-local"],
        "zz": ["only-remote"],
        "d/empty": ["size-differs"],
        "odd/link": ["only-remote"],
    }
    assert_agree(report, record)
    assert report.object_count == len(FILES) + 1
    assert report.skipped == {"symbolic link": 1}


@pytest.mark.parametrize("size", [0, 1, 70_000])
def test_an_unencrypted_object_is_found(site: Site, tree: Path, size: int) -> None:
    (tree / "plain").write_bytes(bytes(size))
    site.boto_put("p/plain", bytes(size), {})

    report, record = verified(site, tree, SEALED)
    assert findings(record) == {"plain": ["unencrypted"]}
    assert_agree(report, record)
    assert report.sealed_count == len(FILES)

    alone, record = verified(site, None, SEALED)
    assert findings(record) == {"plain": ["unencrypted"]}
    assert alone.content == {}

    unproven, record = verified(site, tree)
    assert findings(record) == {}
    assert unproven.keys == {site.customer_key.key_id: len(FILES), "": 1}


@pytest.mark.parametrize("size", [0, 5000])
def test_keys_at_hand_and_unknown_ones_are_told_apart(site: Site, tree: Path, size: int) -> None:
    second, unknown = secrets.token_bytes(32), secrets.token_bytes(32)
    for name, raw in (("second", second), ("unknown", unknown)):
        (tree / name).write_bytes(bytes(size))
        site.boto_put(f"p/{name}", bytes(size), boto_seal(raw))
    key = CustomerKey(second)
    ring = Keyring([HeldKey(key, "a test")])

    report, record = verified(site, tree, SEALED, keyring=ring)
    assert findings(record) == {"second": ["unexpected-key"], "unknown": ["key-unknown"]}
    assert_agree(report, record)
    assert report.keys == {site.customer_key.key_id: len(FILES), key.key_id: 1}

    content, record = verified(site, tree, keyring=ring)
    assert findings(record) == {"unknown": ["key-unknown"]}
    assert content.keys == report.keys

    rule = Rule(site.location("p/second"), key.key_id)
    ruled = Keyring([HeldKey(key, "a test")], [rule])
    _, record = verified(site, tree, SEALED, keyring=ruled)
    assert findings(record) == {"unknown": ["key-unknown"]}

    lost = Keyring(rules=[Rule(site.location("p/unknown"), "0123456789abcdef")])
    _, record = verified(site, tree, SEALED, keyring=lost)
    assert findings(record) == {"second": ["key-unknown"], "unknown": ["key-missing"]}


@pytest.mark.parametrize("options", [None, SEALED])
def test_a_tag_names_the_key_that_is_missing(
    site: Site, tree: Path, options: VerifyOptions | None
) -> None:
    other, missing = secrets.token_bytes(32), "0123456789abcdef"
    (tree / "tagged").write_bytes(b"bytes")
    site.boto.put_object(
        Bucket=site.bucket,
        Key="p/tagged",
        Body=b"bytes",
        Tagging=f"sealift-key-id={missing}",
        **boto_seal(other),
    )
    _, record = verified(site, tree, options)
    assert findings(record) == {"tagged": ["key-missing"]}
    assert missing in str(record.failed["p/tagged"])


def test_the_expected_key_can_be_named(site: Site, tree: Path) -> None:
    second = CustomerKey.generate()
    ring = Keyring([HeldKey(second, "a test")])
    expects = VerifyOptions(is_sealed=True, key_id=second.key_id)
    _, record = verified(site, tree, expects, keyring=ring)
    assert set(findings(record)) == set(FILES)
    assert {tuple(found) for found in findings(record).values()} == {("unexpected-key",)}

    with pytest.raises(CustomerKeyError, match="not at hand"):
        verified(site, tree, expects)


def test_one_file_against_one_object(site: Site, tree: Path) -> None:
    report, record = verified(site, tree / "d" / "deep" / "b", BOTH, name="p/d/deep/b")
    assert findings(record) == {}
    assert report.object_count == 1
    report, _ = verified(site, tree / "a", name="p/")
    assert report.object_count == 1
    assert report.is_verified
    _, record = verified(site, tree / "a", name="p/d/deep/b")
    assert findings(record) == {"d/deep/b": ["size-differs"]}
    _, record = verified(site, tree / "a", name="p/gone")
    assert findings(record) == {"gone": ["only-local"]}
    alone, _ = verified(site, None, SEALED, name="p/a")
    assert (alone.object_count, alone.sealed_count) == (1, 1)


def test_filters_and_markers_take_part_as_in_sync(site: Site, tree: Path) -> None:
    (tree / "no.tmp").write_bytes(b"here")
    site.boto_put("p/more.tmp", b"there")
    (tree / ".sealiftignore").write_text("*.log\n.sealiftignore\n")
    (tree / "x.log").write_bytes(b"here")
    site.boto_put("p/d/", b"")
    site.boto_put("p/gone/", b"")
    (tree / "hollow").mkdir()
    chosen = TreeOptions(rules=((False, "*.tmp"),))

    report, record = verified(site, tree, tree=chosen)
    assert findings(record) == {}
    assert report.rules == ((False, "*.tmp"),)

    marked = TreeOptions(rules=chosen.rules, markers=True)
    _, record = verified(site, tree, tree=marked)
    assert findings(record) == {"gone/": ["only-remote"], "hollow/": ["only-local"]}

    alone, record = verified(site, None, SEALED, tree=chosen)
    assert findings(record) == {}
    assert alone.object_count == len(FILES) + 2


def test_a_file_that_cannot_be_read_is_named(site: Site, tree: Path) -> None:
    (tree / "a").unlink()
    (tree / "a").symlink_to("loop")
    (tree / "loop").symlink_to("a")
    report, record = verified(site, tree, tree=TreeOptions(follow_links=True))
    assert report.findings == {Finding.UNREADABLE: 2, Finding.ONLY_REMOTE: 1}
    assert not report.is_verified
    assert set(record.failed) == {"a", "loop", "p/a"}


def test_what_cannot_be_meant_is_told(site: Site, tree: Path) -> None:
    for local, options, name, match in (
        (None, None, "p", "nothing to compare"),
        (None, DEEP, "p", "nothing to compare"),
        (None, SEALED, "nothing/", "there is no object"),
        (site.work / "missing", None, "p", "cannot read"),
    ):
        with pytest.raises(UsageError, match=match):
            verified(site, local, options, name=name)
    (site.work / "void").mkdir()
    with pytest.raises(UsageError, match="nothing to verify"):
        verified(site, site.work / "void", name="nothing")

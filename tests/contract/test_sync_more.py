"""Sync from bucket to bucket, with filters and markers, and the manifest that it leaves."""

from __future__ import annotations

import json
import os
import random
import time
from pathlib import Path

import pytest
from tests.contract.site import Record, Site, make_tree, noise, read_tree
from tests.contract.test_sync import NAMES, edit_objects, remote_tree, sync

from sealift.compare import Method
from sealift.errors import UsageError
from sealift.options import TreeOptions
from sealift.sync import SyncOptions


def sync_tree(
    site: Site, source: object, destination: object, tree: TreeOptions, **options: object
) -> Record:
    chosen = SyncOptions(**options)  # type: ignore[arg-type]
    return site.run(lambda engine: engine.sync(str(source), str(destination), chosen, tree))


def names_of(record: Record) -> list[str]:
    return sorted(event.job.location.name for event in record.done)


def let_second_pass() -> None:
    """What is copied in the second in which it was put is copied once more."""
    now = int(time.time())
    while int(time.time()) == now:
        time.sleep(0.01)


def test_random_edits_are_evened_out_between_two_prefixes(site: Site) -> None:
    chance = random.Random(7)
    for name in NAMES:
        site.boto_put(f"from/{name}", chance.randbytes(99))
    for _ in range(3):
        edit_objects(site, "from/", chance)
        let_second_pass()
        first = sync(site, site.uri("from"), site.uri("to"), delete=True)
        assert not first.failed
        assert remote_tree(site, "to/") == remote_tree(site, "from/")
        again = sync(site, site.uri("from"), site.uri("to"), delete=True)
        assert not again.done


def test_what_others_put_at_the_destination_is_replaced(site: Site) -> None:
    site.boto_put("from/a", b"right")
    sync(site, site.uri("from"), site.uri("to"))
    site.boto_put("to/a", b"wrong")
    assert names_of(sync(site, site.uri("from"), site.uri("to"))) == ["to/a"]
    assert site.boto_get("to/a") == b"right"


def test_checksums_of_two_objects_are_compared(site: Site) -> None:
    tree = make_tree(site.work / "tree", {"a": b"1", "b": b"2"})
    site.copy(f"{tree}/", site.uri("from/"))
    site.copy(f"{tree}/", site.uri("to/"))
    (tree / "b").write_bytes(b"3")
    site.copy(tree / "b", site.uri("to/b"))
    found = sync(site, site.uri("from"), site.uri("to"), method=Method.CHECKSUM)
    assert names_of(found) == ["to/b"]
    assert site.boto_get("to/b") == b"2"


def test_a_prefix_is_not_synced_into_itself(site: Site) -> None:
    site.boto_put("a/x", b"1")
    for source, destination in (("a", "a/b"), ("a", "a"), ("", "a"), ("a/b", "a")):
        with pytest.raises(UsageError, match="inside the other"):
            sync(site, site.uri(source), site.uri(destination))
    assert site.names() == ["a/x"]


def test_filters_hold_on_both_sides_so_what_is_left_out_is_not_removed(site: Site) -> None:
    tree = make_tree(
        site.work / "tree",
        {"a.jpg": b"1", "b.txt": b"2", ".sealiftignore": b"*.log\n", "n/x.log": b"3"},
    )
    for name in ("old.jpg", "keep.txt", "n/y.log"):
        site.boto_put(f"p/{name}", b"x")
    rules = TreeOptions(rules=((False, "*.txt"),))
    up = sync_tree(site, tree, site.uri("p"), rules, delete=True)
    assert names_of(up) == ["p/.sealiftignore", "p/a.jpg"]
    assert set(remote_tree(site, "p/")) == {".sealiftignore", "a.jpg", "keep.txt", "n/y.log"}
    down = sync_tree(site, site.uri("p"), tree, rules, delete=True)
    assert not down.done
    assert set(read_tree(tree)) == {"a.jpg", "b.txt", ".sealiftignore", "n/x.log"}


def test_markers_keep_empty_directories_and_settle(site: Site) -> None:
    tree = make_tree(site.work / "tree", {"d/f": b"1"})
    (tree / "empty" / "deep").mkdir(parents=True)
    markers = TreeOptions(markers=True)
    up = sync_tree(site, tree, site.uri("p"), markers)
    assert names_of(up) == ["p/d/f", "p/empty/deep/"]
    assert not sync_tree(site, tree, site.uri("p"), markers, delete=True).done

    back = site.work / "back"
    sync_tree(site, site.uri("p"), back, markers)
    assert (back / "empty" / "deep").is_dir()
    assert not sync_tree(site, site.uri("p"), back, markers, delete=True).done
    (tree / "empty" / "deep" / "now").write_bytes(b"2")
    sync_tree(site, tree, site.uri("p"), markers, delete=True)
    assert set(remote_tree(site, "p/")) == {"d/f", "empty/deep/now"}


def manifest_of(path: Path) -> dict[str, dict[str, object]]:
    lines = map(json.loads, path.read_text().splitlines())
    return {line["name"]: line for line in lines}


def test_a_manifest_names_all_that_is_there_and_can_be_verified(site: Site) -> None:
    tree = make_tree(site.work / "tree", {"a": b"1", "d/b\n": b"22", "large": noise(6 << 20)})
    assert site.cli("sync", "--manifest", "one", "tree", site.uri("p")).status == 0
    (tree / "a").write_bytes(b"new")
    assert site.cli("sync", "--manifest", "two", "tree", site.uri("p")).status == 0
    one, two = manifest_of(site.work / "one"), manifest_of(site.work / "two")
    assert sorted(one) == sorted(two) == ["p/a", "p/d/b\n", "p/large"]
    assert one["p/large"] == two["p/large"]
    assert two["p/a"] == {
        "bucket": site.bucket,
        "name": "p/a",
        "size": 3,
        "crc64nvme": two["p/a"]["crc64nvme"],
        "key_id": site.customer_key.key_id,
        "version_id": two["p/a"]["version_id"],
    }
    assert isinstance(two["p/a"]["crc64nvme"], str)

    good = site.cli("verify", "--manifest", "two")
    assert good.status == 0, good.stderr
    assert "intact    3 objects" in good.stderr
    assert "3 of 3 against a stored checksum" in good.stderr

    site.boto.delete_object(Bucket=site.bucket, Key="p/large")
    site.boto_put("p/d/b\n", b"xx")
    bad = site.cli("verify", "--manifest", "two", "--json")
    assert bad.status == 1
    failed = {
        line["name"]: line["error"]
        for line in map(json.loads, bad.stdout.splitlines())
        if line["event"] == "failed"
    }
    assert sorted(failed) == ["p/d/b\n", "p/large"]
    assert "has no CRC64NVME any more" in failed["p/d/b\n"]
    assert "404" in failed["p/large"]
    assert not list(site.work.glob("*.part"))


def test_a_manifest_of_a_run_that_was_stopped_is_not_there(site: Site) -> None:
    site.boto_put("p/x", b"x")
    tree = make_tree(site.work / "tree", {"a": b"1"})
    ended = site.cli(
        "sync", "--manifest", "m", "--delete", "--max-delete", "0", tree, site.uri("p")
    )
    assert ended.status == 1
    assert sorted(os.listdir(site.work)) == ["tree"]


WRONG_LINE = {
    "bucket": "b", "name": "n", "size": 1, "crc64nvme": "x", "key_id": None, "version_id": None,
}  # fmt: skip


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "cannot read m"),
        (b"", "m is empty"),
        (b"{}\n", "line 1 of m is none of a manifest"),
        (b"\xff\n", "m is no manifest"),
        (json.dumps(WRONG_LINE).encode(), "line 1 of m is none of a manifest"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("server", ["ministack"], indirect=True)
def test_what_is_no_manifest_is_told(site: Site, content: bytes | None, told: str) -> None:
    if content is not None:
        (site.work / "m").write_bytes(content)
    ended = site.cli("verify", "--manifest", "m")
    assert ended.status == 2
    assert told in ended.stderr

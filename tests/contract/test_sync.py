"""Sync makes one side as the other, both ways, and a second run finds nothing to do."""

from __future__ import annotations

import json
import os
import random
import shutil
from pathlib import Path

import pytest
from tests.contract.site import Record, Site, make_tree, noise, read_tree

from sealift.catalogue import FILE_NAME
from sealift.compare import Method
from sealift.errors import ObjectError, UsageError
from sealift.sync import SyncOptions

# Directories sort with their slash: `a.b` and `a-b` lie on either side of `a/...`.
NAMES = (
    "a", "a.b", "a-b", "a!", "a0", "b/c", "b/c.d", "b/c-d/e", "b.c", "b/é", "b/e\u0301", "b/🚢",
    "ü/x", "c d/+", "c d/%2F", "z/z/z/z", "A", "x&<y>",
)  # fmt: skip
HOUR = 3600


def sync(site: Site, source: object, destination: object, **options: object) -> Record:
    chosen = SyncOptions(**options)  # type: ignore[arg-type]
    return site.run(lambda engine: engine.sync(str(source), str(destination), chosen))


def remote_tree(site: Site, prefix: str) -> dict[str, bytes]:
    return {
        name.removeprefix(prefix): site.boto_get(name)
        for name in site.names()
        if name.startswith(prefix)
    }


def edit_files(root: Path, chance: random.Random) -> None:
    """A few files are written, rewritten with the same size and an old time, or removed."""
    for name in chance.sample(NAMES, 6):
        path = root / name
        act = chance.choice(["write", "same size", "remove", "touch"])
        if act == "remove" or (act != "write" and not path.is_file()):
            path.unlink(missing_ok=True)
            continue
        if act == "touch":
            os.utime(path, ns=(1, chance.randrange(10**18)))
            continue
        before = path.stat() if act == "same size" else None
        size = before.st_size if before else chance.randrange(0, 3000)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(chance.randbytes(size))
        if before:  # older than the object, but not the file that was sent
            os.utime(path, ns=(1, before.st_mtime_ns - HOUR * 10**9))


def edit_objects(site: Site, prefix: str, chance: random.Random) -> None:
    """A few objects are put by others, replaced by the same size, or removed."""
    there = {name.removeprefix(prefix) for name in site.names()}
    for name in chance.sample(NAMES, 5):
        act = chance.choice(["put", "same size", "remove"])
        if act == "remove" and name in there:
            site.boto.delete_object(Bucket=site.bucket, Key=prefix + name)
        elif act == "same size" and name in there:
            size = site.boto_head(prefix + name)["ContentLength"]
            site.boto_put(prefix + name, chance.randbytes(size))
        elif act == "put":
            site.boto_put(prefix + name, chance.randbytes(chance.randrange(0, 3000)))


@pytest.mark.parametrize("seed", range(2))
def test_random_edits_on_either_side_are_evened_out(site: Site, seed: int) -> None:
    chance = random.Random(seed)
    tree = make_tree(site.work / "tree", {name: chance.randbytes(99) for name in NAMES})
    prefix, uri = "p ü/", site.uri("p ü")
    for _ in range(5):
        edit_files(tree, chance)
        edit_objects(site, prefix, chance)
        if chance.random() < 0.5:
            first, again = (sync(site, tree, uri, delete=True) for _ in range(2))
        else:
            first, again = (sync(site, uri, tree, delete=True) for _ in range(2))
        assert not first.failed
        assert read_tree(tree) == remote_tree(site, prefix)
        assert not again.done
        assert not again.failed


def test_a_lost_catalogue_costs_nothing_but_exactness(site: Site, state_home: Path) -> None:
    tree = make_tree(site.work / "tree", {"a": b"1", "d/b": b"22", "large": noise(6 << 20)})
    sync(site, tree, site.uri("p"))
    shutil.rmtree(state_home)

    assert not sync(site, tree, site.uri("p")).done
    back = sync(site, site.uri("p"), site.work / "back")
    assert len(back.done) == 3
    shutil.rmtree(state_home)
    assert not sync(site, site.uri("p"), site.work / "back").done
    assert read_tree(site.work / "back") == read_tree(tree)


def test_rebuild_asks_every_object_and_knows_them_afterwards(site: Site, state_home: Path) -> None:
    tree = make_tree(site.work / "tree", {"a": b"1", "b": b"2", "c": b"3"})
    sync(site, tree, site.uri("p"))
    shutil.rmtree(state_home)
    site.boto_put("p/b", b"x")  # by others, who leave no checksum

    rebuilt = sync(site, tree, site.uri("p"), method=Method.REBUILD)
    assert [event.job.location.name for event in rebuilt.done] == ["p/b"]

    # Only an entry tells that this one was touched: the object is younger than the file.
    (tree / "a").write_bytes(b"9")
    os.utime(tree / "a", ns=(1, 1))
    assert [e.job.location.name for e in sync(site, tree, site.uri("p")).done] == ["p/a"]


def test_checksum_sees_what_size_and_time_hide(site: Site, state_home: Path) -> None:
    tree = make_tree(site.work / "tree", {"a": b"old", "same": b"same"})
    sync(site, tree, site.uri("p"))
    shutil.rmtree(state_home)
    (tree / "a").write_bytes(b"new")
    os.utime(tree / "a", ns=(1, 1))

    assert not sync(site, tree, site.uri("p")).done
    assert not sync(site, tree, site.uri("p"), method=Method.SIZE).done
    found = sync(site, tree, site.uri("p"), method=Method.CHECKSUM)
    assert [event.job.location.name for event in found.done] == ["p/a"]
    assert site.boto_get("p/a") == b"new"


def test_a_dry_run_says_what_a_real_run_then_does(site: Site) -> None:
    tree = make_tree(site.work / "tree", {"a": b"1", "b\x1b": b"22", "gone": b"3"})
    sync(site, tree, site.uri("p"))
    (tree / "gone").unlink()
    (tree / "a").write_bytes(b"longer")
    make_tree(tree, {"n/new": b"333"})
    before = remote_tree(site, "p/")

    dry = site.cli("sync", "--delete", "--dry-run", "tree", site.uri("p"))
    assert (dry.status, remote_tree(site, "p/")) == (0, before)
    assert dry.stdout.splitlines() == [
        f"would upload tree/a to {site.uri('p/a')} (6 B)",
        f"would upload tree/n/new to {site.uri('p/n/new')} (3 B)",
        f"would remove {site.uri('p/gone')} (1 B)",
    ]
    told = site.cli("sync", "--delete", "--dry-run", "--json", "tree", site.uri("p"))
    acts = [line for line in map(json.loads, told.stdout.splitlines()) if line["event"] == "would"]
    assert [(act["act"], act["name"]) for act in acts] == [
        ("upload", "tree/a"),
        ("upload", "tree/n/new"),
        ("remove", site.uri("p/gone")),
    ]

    real = site.cli("sync", "--delete", "tree", site.uri("p"))
    assert real.status == 0
    assert "moved     2 objects" in real.stderr
    assert "removed   1 object" in real.stderr
    assert "unchanged 1 object" in real.stderr
    assert remote_tree(site, "p/") == read_tree(tree)


def test_a_dry_run_down_makes_not_even_the_directory(site: Site) -> None:
    site.boto_put("p/a", b"x")
    dry = site.cli("sync", "--delete", "--dry-run", site.uri("p"), "back")
    assert dry.stdout == f"would download {site.uri('p/a')} to back/a (1 B)\n"
    assert not (site.work / "back").exists()


def test_delete_down_removes_files_and_what_they_leave_empty(site: Site) -> None:
    site.boto_put("p/keep/a", b"x")
    back = make_tree(site.work / "back", {"keep/b": b"1", "old/deep/c": b"2", "d": b"3"})
    (back / "link").symlink_to("d")
    sync(site, site.uri("p"), back, delete=True)
    assert sorted(os.listdir(back)) == ["keep", "link"]
    assert read_tree(back / "keep") == {"a": b"x"}


def test_nothing_is_removed_without_delete(site: Site) -> None:
    tree = make_tree(site.work / "tree", {"a": b"1"})
    site.boto_put("p/other", b"x")
    sync(site, tree, site.uri("p"))
    assert remote_tree(site, "p/") == {"a": b"1", "other": b"x"}


def test_an_empty_source_removes_nothing_unless_forced(site: Site) -> None:
    (site.work / "tree").mkdir()
    site.boto_put("p/a", b"x")
    refused = site.cli("sync", "--delete", "tree", site.uri("p"))
    assert refused.status == 2
    assert "the source is empty" in refused.stderr
    assert site.names() == ["p/a"]
    forced = site.cli("sync", "--delete", "--force", "tree", site.uri("p"))
    assert (forced.status, site.names()) == (0, [])

    back = make_tree(site.work / "back", {"f": b"1"})
    with pytest.raises(UsageError, match="the source is empty"):
        sync(site, site.uri("nothing"), back, delete=True)
    assert read_tree(back) == {"f": b"1"}


def test_a_missing_source_is_an_error_and_touches_nothing(site: Site) -> None:
    site.boto_put("p/a", b"x")
    missing = site.cli("sync", "--delete", "--force", "nowhere", site.uri("p"))
    assert missing.status == 2
    assert "nowhere" in missing.stderr
    assert site.names() == ["p/a"]


def test_more_than_max_delete_removes_nothing(site: Site) -> None:
    make_tree(site.work / "tree", {"a": b"1"})
    for name in ("x", "y"):
        site.boto_put(f"p/{name}", b"x")
    refused = site.cli("sync", "--delete", "--max-delete", "1", "tree", site.uri("p"))
    assert refused.status == 1
    assert "2 names would be removed, more than --max-delete allows" in refused.stderr
    assert sorted(remote_tree(site, "p/")) == ["a", "x", "y"]
    allowed = site.cli("sync", "--delete", "--max-delete", "2", "tree", site.uri("p"))
    assert (allowed.status, site.names()) == (0, ["p/a"])


def test_a_failed_object_keeps_everything_from_being_removed(site: Site) -> None:
    tree = make_tree(site.work / "tree", {"a": b"1"})
    Path(os.fsdecode(os.fsencode(tree) + b"/\xff")).write_bytes(b"x")
    site.boto_put("p/old", b"x")
    ended = site.cli("sync", "--delete", "tree", site.uri("p"))
    assert ended.status == 1
    assert "nothing was removed, because 1 object" in ended.stderr
    assert sorted(site.names()) == ["p/a", "p/old"]


def test_case_34_collisions_are_named_and_the_first_name_wins(site: Site) -> None:
    for name in ("d", "d-", "d/x", "d/y/z", "e"):
        site.boto_put(f"p/{name}", b"1")
    back = sync(site, site.uri("p"), site.work / "back")
    assert sorted(back.failed) == ["d/x", "d/y/z"]
    assert all("the object d is a file" in str(error) for error in back.failed.values())
    assert read_tree(site.work / "back") == {"d": b"1", "d-": b"1", "e": b"1"}


def test_an_object_under_another_key_goes_up_again_and_does_not_come_down(site: Site) -> None:
    tree = make_tree(site.work / "tree", {"a": b"1"})
    os.utime(tree / "a", ns=(1, 1))
    other = {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": b"k" * 32}
    site.boto_put("p/a", b"1", other)
    down = sync(site, site.uri("p"), tree, method=Method.CHECKSUM)
    assert list(down.failed) == ["p/a"]
    up = sync(site, tree, site.uri("p"), method=Method.CHECKSUM)
    assert len(up.done) == 1
    assert site.boto_get("p/a") == b"1"


def test_catalogue_that_cannot_be_read_is_noted_and_not_missed(
    site: Site, state_home: Path
) -> None:
    tree = make_tree(site.work / "tree", {"a": b"1"})
    sync(site, tree, site.uri("p"))
    (catalogue,) = state_home.rglob(FILE_NAME)
    catalogue.write_bytes(b"no database" * 1000)
    ended = site.cli("sync", "tree", site.uri("p"))
    assert ended.status == 0
    assert "the catalogue" in ended.stderr
    assert "nothing to do" in ended.stderr


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["a", "b"], "neither side is an s3:// URI"),
        (["file", "s3://b/"], "is a file"),
        (["s3://b/", "file"], "is a file"),
        (["--size-only", "--checksum", "t", "s3://b/"], "exclude each other"),
        (["--force", "t", "s3://b/"], "add --delete"),
        (["--dry-run", "s3://b/", ""], "one side is empty"),
    ],
)
@pytest.mark.parametrize("server", ["ministack"], indirect=True)
def test_wrong_usage_is_told_before_anything(site: Site, arguments: list[str], told: str) -> None:
    make_tree(site.work, {"file": b"1"})
    ended = site.cli("sync", *arguments)
    assert ended.status == 2
    assert told in ended.stderr


def test_max_delete_is_an_error_of_the_run_in_the_engine(site: Site) -> None:
    tree = make_tree(site.work / "tree", {"a": b"1"})
    site.boto_put("p/x", b"x")
    with pytest.raises(ObjectError, match="more than --max-delete allows"):
        sync(site, tree, site.uri("p"), delete=True, max_delete=0)


def test_case_34_names_that_a_folding_file_system_takes_for_one_are_told(site: Site) -> None:
    """A link under the directory's name in the other case makes it look like one that folds."""
    (site.work / "Back").mkdir()
    (site.work / "bACK").symlink_to("Back")
    for name in ("A", "a", "b"):
        site.boto_put(f"p/{name}", name.encode())
    back = sync(site, site.uri("p"), site.work / "Back")
    assert list(back.failed) == ["a"]
    assert "takes the name for that of the object A" in str(back.failed["a"])
    assert read_tree(site.work / "Back") == {"A": b"A", "b": b"b"}

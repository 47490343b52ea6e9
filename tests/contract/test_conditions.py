"""Nothing is replaced that was not seen, on real servers."""

from __future__ import annotations

import pytest
from tests.contract.site import PART_SIZE, Record, Site, make_tree, noise

from sealift.engine import Engine
from sealift.errors import OvertakenError
from sealift.events import Event, Started

SIZES = pytest.mark.parametrize("size", [1000, PART_SIZE + 1], ids=["small", "large"])


@SIZES
def test_put_if_absent(site: Site, size: int) -> None:
    (site.work / "f").write_bytes(noise(size, 1))
    words = ("put", "f", site.uri("x"), "--if-absent", "--part-size", "5MiB")
    assert site.cli(*words).status == 0
    assert site.boto_get("x") == noise(size, 1)
    (site.work / "f").write_bytes(noise(size, 2))

    ended = site.cli(*words)

    assert ended.status == 0, ended
    assert "unchanged 1 object" in ended.stderr
    assert site.boto_get("x") == noise(size, 1)
    assert site.uploads() == []


def test_copies_and_trees_if_absent(site: Site) -> None:
    tree = {"a": b"a", "b/c": noise(PART_SIZE + 1)}
    make_tree(site.work / "tree", tree)
    site.boto_put("p/a", b"other")
    site.boto_put("q/b/c", b"other")

    assert site.cli("cp", "tree/", site.uri("p/"), "--if-absent").status == 0
    assert site.cli("cp", site.uri("p/"), site.uri("q/"), "--if-absent").status == 0

    assert site.boto_get("p/a") == site.boto_get("q/a") == b"other"
    assert site.boto_get("p/b/c") == tree["b/c"]
    assert site.boto_get("q/b/c") == b"other"


@SIZES
@pytest.mark.parametrize("was_there", [False, True])
def test_sync_leaves_alone_what_others_wrote_meanwhile(
    site: Site, size: int, was_there: bool
) -> None:
    make_tree(site.work / "tree", {"x": noise(size, 1)})
    if was_there:
        site.boto_put("x", b"older")

    def write(event: Event) -> None:
        if isinstance(event, Started):
            site.boto_put("x", b"somebody else's")

    async def sync(engine: Engine) -> None:
        await engine.sync("tree", site.uri())

    record = site.run(sync, record=Record(write))

    assert isinstance(record.failed["x"], OvertakenError)
    assert site.boto_get("x") == b"somebody else's"
    assert site.uploads() == []


def test_sync_replaces_what_it_saw(site: Site) -> None:
    """Also an object of parts, whose ETag is no MD5."""
    for round_number in range(2):
        for size in (1000, PART_SIZE + 1):
            make_tree(site.work / "tree", {f"x{size}": noise(size + round_number, round_number)})

        ended = site.cli("sync", "tree", site.uri(), "--part-size", "5MiB")

        assert ended.status == 0, ended
        for size in (1000, PART_SIZE + 1):
            assert site.boto_get(f"x{size}") == noise(size + round_number, round_number)


def test_a_sync_replaces_what_it_has_seen_in_a_versioned_bucket(site: Site) -> None:
    """Where Ceph 16 refuses also the right ETag."""
    site.boto.put_bucket_versioning(
        Bucket=site.bucket, VersioningConfiguration={"Status": "Enabled"}
    )
    names = [f"{number:02}" for number in range(20)]
    for content in (b"before", b"and after"):
        make_tree(site.work / "tree", dict.fromkeys(names, content))
        ended = site.cli("sync", "tree", site.uri("t"))
        assert ended.status == 0, ended
    for name in names:
        assert site.boto_get(f"t/{name}") == b"and after"

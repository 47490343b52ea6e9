"""Sizes around every edge: what is sent whole, what is cut, and where the cuts are."""

from __future__ import annotations

import os

import anyio
import pytest
from tests.contract.site import PART_SIZE, Record, Site, make_tree, noise, read_tree

from sealift.engine import Engine
from sealift.model import MiB

# By the number of parts; 0 stands for one PutObject.
SIZES = {
    0: 0,
    1: 0,
    PART_SIZE - 1: 0,
    PART_SIZE: 0,
    PART_SIZE + 1: 2,
    2 * PART_SIZE + 54_321: 3,
}


def test_case_40_every_size_goes_up_and_comes_back(site: Site) -> None:
    files = {f"size-{size}": noise(size, size) for size in SIZES}
    tree = make_tree(site.work / "tree", files)

    up = site.copy(f"{tree}/", site.uri("s/"))
    assert not up.failed
    assert all(done.checked for done in up.done)
    for size, part_count in SIZES.items():
        head = site.boto_head(f"s/size-{size}")
        assert head["ContentLength"] == size
        etag = head["ETag"].strip('"')
        assert etag.endswith(f"-{part_count}") if part_count else "-" not in etag
        assert site.boto_get(f"s/size-{size}") == files[f"size-{size}"]
    assert site.uploads() == []

    down = site.restore("s/", "back")
    assert not down.failed
    assert sorted(done.job.size for done in down.done) == sorted(SIZES)
    assert all(done.checked for done in down.done)
    assert read_tree(site.work / "back") == files


def test_parts_too_large_to_be_held_in_memory_are_streamed(site: Site) -> None:
    content = noise(34 * MiB + 7)
    (site.work / "large").write_bytes(content)

    up = site.copy("large", site.uri(), part_size=17 * MiB)
    down = site.copy(site.uri("large"), "back", part_size=17 * MiB)

    assert not up.failed
    assert not down.failed
    assert site.boto_head("large")["ETag"].strip('"').endswith("-3")
    assert (site.work / "back").read_bytes() == content


def test_no_part_is_left_when_the_source_is_changed_all_the_time(site: Site) -> None:
    path = site.work / "log"
    path.write_bytes(noise(2 * PART_SIZE))

    async def keep_touching() -> None:
        while True:
            os.utime(path)
            await anyio.sleep(0.005)

    async def command(engine: Engine) -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(keep_touching)
            await engine.copy(str(path), site.uri())
            group.cancel_scope.cancel()

    record = site.run(command)

    assert [type(error).__name__ for error in record.failed.values()] == ["SourceChangedError"]
    assert site.uploads() == []
    assert site.names() == []


@pytest.mark.parametrize("direction", ["up", "down"])
def test_what_a_cancelled_engine_leaves_is_gone_after_the_next_run(
    site: Site, direction: str
) -> None:
    content = noise(3 * PART_SIZE)
    (site.work / "large").write_bytes(content)
    if direction == "down":
        site.copy("large", site.uri())
        source, destination = site.uri("large"), "x"
    else:
        source, destination = "large", site.uri("x")
    record = Record()

    async def command(engine: Engine) -> None:
        with anyio.move_on_after(1.0):
            await engine.copy(source, destination)

    site.run(command, record=record, max_bandwidth=2 * MiB)

    assert record.done == []
    assert site.names() == ([] if direction == "up" else ["large"])
    assert "x" not in os.listdir(site.work)

    assert not site.copy(source, destination).failed
    assert site.uploads() == []
    assert site.names() == (["x"] if direction == "up" else ["large"])
    assert sorted(os.listdir(site.work)) == (["large"] if direction == "up" else ["large", "x"])
    if direction == "up":
        assert site.boto_get("x") == content
    else:
        assert (site.work / "x").read_bytes() == content

"""Whole syncs: a dry run is what a run does, stopped ones are made good, two at once do no harm."""

from __future__ import annotations

import asyncio
import os
import random
import sqlite3
from contextlib import closing
from pathlib import Path

import anyio
import pytest
from tests.engine.conftest import LARGE, Record, Site
from tests.engine.test_sync_faults import files, make, objects, set_moment, store, sync, uri
from tests.faults import Match
from tests.kit import Do

from sealift import planning
from sealift.catalogue import FILE_NAME
from sealift.compare import Method
from sealift.engine import Engine
from sealift.events import Finished, Removed, Would
from sealift.options import TreeOptions
from sealift.sync import SyncOptions

pytestmark = pytest.mark.anyio

NAMES = [
    "a",
    "a.b",
    "a/",
    "b/c",
    "b/c-d",
    "b/é",
    "c",
    "C",
    "d e/+",
    "x\ny",
    "z/z/z",
    "log/1",
    "k.log",
]


def acts(record: Record) -> list[tuple[str, str]]:
    """What a dry run would do."""
    return sorted(
        (would.act, would.job.location.name if would.job else would.name)
        for would in record.of(Would)
    )


def deeds(record: Record, act: str, root: str = "") -> list[tuple[str, str]]:
    """What a run did; what it removed lay below `root`."""
    done = [(act, event.job.location.name) for event in record.of(Finished)]
    return sorted([*done, *(("remove", root + event.name) for event in record.of(Removed))])


@pytest.mark.parametrize("direction", ["upload", "download", "copy"])
@pytest.mark.parametrize("seed", range(3))
async def test_a_dry_run_says_exactly_what_is_then_done(
    site: Site, state_home: Path, direction: str, seed: int
) -> None:
    chance = random.Random(seed)
    here = site.directory / "tree"
    here.mkdir()
    markers = TreeOptions(rules=((False, "*.log"),) if seed % 2 else (), markers=seed == 2)
    for _ in range(2):
        for name in chance.sample(NAMES, 8):
            body = chance.randbytes(chance.choice([1, 1, 5]))
            if name != "a/" and not (here / name).is_dir():
                make(here, {name: body})
                os.utime(here / name, ns=(1, chance.choice([10**18, 2 * 10**18])))
        for prefix in ("p/", "q/"):
            for name in chance.sample(NAMES, 6):
                empty = name.endswith("/")
                store(
                    site,
                    {name: b"" if empty else chance.randbytes(chance.choice([1, 1, 5]))},
                    prefix,
                )
                set_moment(site, prefix + name, moment=chance.choice([10**9, 15 * 10**8]))
        before, there = files(here), dict(site.server.objects)
        entries = sorted(here.rglob("*"))
        sides = {
            "upload": (here, uri("p")),
            "download": (uri("p"), here),
            "copy": (uri("p"), uri("q")),
        }[direction]
        dry = await sync(site, *sides, markers, delete=True, dry_run=True)
        assert (files(here), sorted(here.rglob("*"))) == (before, entries)
        assert site.server.objects == there
        wet = await sync(site, *sides, markers, delete=True)
        assert set(dry.failed) == set(wet.failed) or direction == "download"
        if not wet.failed:
            root = f"{here}/" if direction == "download" else uri("")
            assert acts(dry) == deeds(wet, direction, root)
            again = await sync(site, *sides, markers, delete=True)
            assert direction == "copy" or not deeds(again, direction)


async def test_a_dry_run_makes_no_entry(site: Site, state_home: Path) -> None:
    here = make(site.directory / "tree", {"a": b"1"})
    store(site, {"a": b"1", "b": b"2"})
    await sync(site, here, uri("p"), delete=True, dry_run=True, method=Method.REBUILD)
    with closing(sqlite3.connect(state_home / "sealift" / FILE_NAME)) as connection, connection:
        assert connection.execute("SELECT count(*) FROM object").fetchone() == (0,)


@pytest.mark.parametrize("direction", ["up", "down", "across"])
async def test_a_run_that_is_stopped_is_made_good_by_the_next(site: Site, direction: str) -> None:
    tree = {**{f"{number:03}": b"%d" % number for number in range(100)}, "large": LARGE}
    here = make(site.directory / "tree", tree if direction == "up" else {"old/x": b"x"})
    store(site, {"old/x": b"x"} if direction == "up" else tree)
    store(site, {"old/x": b"x"}, "q/")
    sides = {"up": (here, uri("p")), "down": (uri("p"), here), "across": (uri("p"), uri("q"))}
    operation = {"up": "PutObject", "down": "GetObject", "across": "CopyObject"}[direction]
    loop = asyncio.get_running_loop()
    with anyio.CancelScope() as scope:
        site.server.script(
            Match(operation=operation, after=40),
            Do(lambda: loop.call_soon_threadsafe(scope.cancel)),
        )
        await sync(
            site,
            *sides[direction],
            delete=True,
            manifest=str(site.directory / "m"),
        )
    assert scope.cancelled_caught
    assert not site.record.of(Removed)
    assert not site.left_behind()
    assert not (site.directory / "m").exists()
    record = await sync(site, *sides[direction], delete=True)
    assert not record.failed
    assert objects(site) == files(here) if direction != "across" else objects(site, "q/") == tree
    assert not site.server.uploads
    assert not site.left_behind()


async def test_two_at_once_end_with_equal_sides(site: Site) -> None:
    tree = {f"{number:03}": b"%d" % number for number in range(200)}
    here = make(site.directory / "tree", tree)
    store(site, {f"x{number}": b"x" for number in range(50)})
    records = [Record(), Record()]

    async def run(record: Record) -> None:
        async with Engine(site.options(), record) as engine:
            await engine.sync(str(here), uri("p"), SyncOptions(delete=True))

    async with anyio.create_task_group() as group:
        for record in records:
            group.start_soon(run, record)
    assert not records[0].failed
    assert not records[1].failed
    assert objects(site) == tree
    assert not (await sync(site, here, uri("p"), delete=True)).finished


async def test_a_locked_catalogue_is_noted_and_not_missed(site: Site, state_home: Path) -> None:
    here = make(site.directory / "tree", {"a": b"1"})
    await sync(site, here, uri("p"))
    file = state_home / "sealift" / FILE_NAME
    with closing(sqlite3.connect(file, isolation_level=None)) as other, other:
        other.execute("BEGIN EXCLUSIVE")
        make(here, {"b": b"2"})
        record = await sync(site, here, uri("p"), delete=True)
        assert record.notes
        assert not record.failed
        other.execute("ROLLBACK")
    assert objects(site) == {"a": b"1", "b": b"2"}


@pytest.mark.parametrize("change", ["grow", "shrink", "rewrite", "remove", "directory", "pipe"])
async def test_a_file_that_changes_while_it_is_sent(site: Site, change: str) -> None:
    here = make(site.directory / "tree", {"a": b"before", "b": b"x"})
    path = here / "a"

    def act() -> None:
        if change in ("remove", "directory", "pipe"):
            path.unlink()
        match change:
            case "grow":
                path.write_bytes(b"before and after")
            case "shrink":
                path.write_bytes(b"b")
            case "rewrite":
                path.write_bytes(b"after!")
            case "directory":
                path.mkdir()
            case "pipe":
                os.mkfifo(path)

    store(site, {"extra": b"x"})
    first = await sync(site, here, uri("p"), acts={"p/a": act}, delete=True)
    if change in ("remove", "directory", "pipe"):
        assert set(first.failed) == {"p/a"}
        assert "extra" in objects(site)
    await sync(site, here, uri("p"), delete=True)
    assert objects(site) == files(here)


async def test_what_folds_to_a_fetched_name_is_not_removed(
    site: Site, state_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where case folds, it is the very file that was fetched."""
    monkeypatch.setattr(planning, "folds_case", lambda _: True)
    here = make(site.directory / "tree", {"README": b"local", "gone": b"gone"})
    store(site, {"readme": b"fetched"})

    await sync(site, uri("p/"), here, delete=True)

    assert site.record.finished == {"p/readme"}
    assert [event.name for event in site.record.of(Removed)] == ["gone"]
    assert (here / "README").exists()

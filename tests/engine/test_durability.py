"""What is synced before a downloaded file counts as done."""

from __future__ import annotations

import os
import stat
from collections import Counter
from pathlib import Path

import pytest
from tests.engine.conftest import LARGE, Site
from tests.kit import KEY

from sealift.model import Durability, Location
from sealift.options import TreeOptions

pytestmark = pytest.mark.anyio

SMALL = {f"p/a/{number:02}": b"small" for number in range(10)}


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch, site: Site) -> Counter[str]:
    """Counts what is synced at the site, by kind; the sync takes place.

    A thread of an earlier test may still be syncing elsewhere.
    """
    counts: Counter[str] = Counter()
    fsync = os.fsync

    def count(fd: int) -> None:
        if Path(os.readlink(f"/proc/self/fd/{fd}")).is_relative_to(site.directory):
            counts["directory" if stat.S_ISDIR(os.fstat(fd).st_mode) else "file"] += 1
        fsync(fd)

    monkeypatch.setattr(os, "fsync", count)
    return counts


@pytest.fixture
def stored(site: Site) -> Site:
    for name, content in {**SMALL, "p/large": LARGE}.items():
        site.server.store(name, content, customer_key=KEY)
    (site.directory / "to" / "a").mkdir(parents=True)
    return site


def as_asked(synced: Counter[str], durability: Durability) -> bool:
    """Whether each of the eleven files was synced, and each directory after the last of its own.

    Small files that come in one batch share the sync of their directory.
    """
    files = 0 if durability is Durability.NONE else 11
    directories = range(2, 12) if durability is Durability.DIR else range(1)
    return synced["file"] == files and synced["directory"] in directories


@pytest.mark.parametrize("durability", list(Durability))
async def test_files_and_directories_are_synced_as_asked(
    stored: Site, synced: Counter[str], durability: Durability
) -> None:
    to = str(stored.directory / "to")
    async with stored.engine() as engine:
        await engine.copy("s3://bucket/p/", to, TreeOptions(durability=durability))

    assert not stored.record.failed
    assert as_asked(synced, durability)


@pytest.mark.parametrize("chosen", [None, *Durability])
async def test_restore_syncs_directories_unless_told_otherwise(
    stored: Site, synced: Counter[str], chosen: Durability | None
) -> None:
    to = str(stored.directory / "to")
    async with stored.engine() as engine:
        await engine.restore(Location("bucket", "p/"), to, tree=TreeOptions(durability=chosen))

    assert as_asked(synced, chosen or Durability.DIR)


async def test_copies_sync_files_and_get_its_directory_too(
    stored: Site, synced: Counter[str]
) -> None:
    async with stored.engine() as engine:
        await engine.copy("s3://bucket/p/", str(stored.directory / "to"))
        assert as_asked(synced, Durability.FILE)
        synced.clear()
        await engine.get(Location("bucket", "p/large"), str(stored.directory / "out"))

    assert synced == {"file": 1, "directory": 1}

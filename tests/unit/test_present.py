"""What a restore leaves alone: only what both sides still have as it was when it was restored."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from sealift.catalogue import Catalogue
from sealift.events import Event, Noted, Unchanged
from sealift.files.disk import Disk
from sealift.model import Known, Location, RemoteObject
from sealift.present import Present

pytestmark = pytest.mark.anyio

SCOPE = "https://localhost:9000/bucket"
TIME_NS = 1_764_000_000_123_456_789


def listed(name: str, **changes: object) -> RemoteObject:
    return RemoteObject(f"p/{name}", 3, '"e"', 1_764_000_100.0)._replace(**changes)  # type: ignore[arg-type]


class Site:
    """A directory that was restored into, a catalogue that says so, and what was told."""

    def __init__(self, directory: Path) -> None:
        self.back = directory / "back"
        self.path = directory / "catalogue.sqlite3"
        self.catalogue = Catalogue(str(self.path))
        self.disk = Disk()
        self.events: list[Event] = []

    def emit(self, event: Event) -> None:
        self.events.append(event)

    def restored(self, *names: str) -> None:
        rows = []
        for name in names:
            path = self.back / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"abc")
            os.utime(path, ns=(TIME_NS, TIME_NS))
            rows.append(Known(f"p/{name}", 3, "e", None, None, TIME_NS, "k"))
        self.catalogue.record(SCOPE, rows)

    async def missing(self, *pages: list[RemoteObject], back: str | None = None) -> list[str]:
        async def listing() -> AsyncIterator[list[RemoteObject]]:
            for page in pages:
                yield page

        prefix = Location("bucket", "p/")
        present = Present(
            self.catalogue,
            SCOPE,
            prefix,
            "p/",
            back or str(self.back),
            self.disk,
            self,
            durable=True,
        )
        return [found.name async for page in present.missing(listing()) for found in page]

    def unchanged(self) -> list[tuple[int, int]]:
        return [(one.count, one.size) for one in self.events if isinstance(one, Unchanged)]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path)
    yield made
    made.catalogue.close()
    made.disk.close()


async def test_what_is_there_is_left_alone_and_counted(site: Site) -> None:
    site.restored("a", "d/b", "ü")
    first, second = [listed("a"), listed("d/b")], [listed("new", size=9), listed("ü")]
    assert await site.missing(first, [], second) == ["p/new"]
    assert site.unchanged() == [(2, 6), (1, 3)]


def write(path: Path) -> None:
    path.write_bytes(b"abd")


def lengthen(path: Path) -> None:
    path.write_bytes(b"abcd")
    os.utime(path, ns=(TIME_NS, TIME_NS))


def age(path: Path) -> None:
    os.utime(path, ns=(TIME_NS, TIME_NS - 1))


def remove(path: Path) -> None:
    path.unlink()


def link(path: Path) -> None:
    """Of as many bytes as the file has."""
    path.rename(path.with_name("els"))
    path.symlink_to("els")
    os.utime(path, ns=(TIME_NS, TIME_NS), follow_symlinks=False)


def be_directory(path: Path) -> None:
    path.unlink()
    path.mkdir()
    os.utime(path, ns=(TIME_NS, TIME_NS))


@pytest.mark.parametrize("change", [write, lengthen, age, remove, link, be_directory])
async def test_a_file_that_changed_is_fetched(site: Site, change: Callable[[Path], None]) -> None:
    site.restored("a", "b")
    change(site.back / "a")
    assert await site.missing([listed("a"), listed("b")]) == ["p/a"]


@pytest.mark.parametrize("changes", [{"etag": '"other"'}, {"size": 4}])
async def test_an_object_that_changed_is_fetched(site: Site, changes: dict[str, object]) -> None:
    site.restored("a", "b")
    assert await site.missing([listed("a", **changes), listed("b")]) == ["p/a"]


async def test_a_file_that_nobody_knows_is_fetched(site: Site) -> None:
    """It looks the same; but who has ever compared it?"""
    site.restored("a", "b")
    site.catalogue.forget(SCOPE, ["p/a"])
    assert await site.missing([listed("a"), listed("b")]) == ["p/a"]


@pytest.mark.parametrize("name", ["\0", "a" * 300, "d/", "/etc/passwd", "\ud800"])
async def test_a_name_that_no_file_can_have_is_fetched(site: Site, name: str) -> None:
    """So that it fails by name."""
    site.restored("b")
    known = Known(f"p/{name}", 3, "e", None, None, TIME_NS, "k")
    if name != "\ud800":
        site.catalogue.record(SCOPE, [known])
    assert await site.missing([listed(name), listed("b")]) == [f"p/{name}"]


async def test_into_another_directory_everything_is_fetched(site: Site, tmp_path: Path) -> None:
    site.restored("a")
    other = str(tmp_path / "other")
    assert await site.missing([listed("a")], back=other) == ["p/a"]
    assert site.events == []


async def test_without_a_catalogue_everything_is_fetched(site: Site) -> None:
    site.restored("a")
    site.catalogue.close()
    site.path.write_bytes(b"no database" * 1000)
    assert await site.missing([listed("a")]) == ["p/a"]
    assert ["damaged" in one.text for one in site.events if isinstance(one, Noted)] == [True]
    assert site.unchanged() == []

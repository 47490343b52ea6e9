"""What a power cut leaves: what was reported done is there, all else is whole or absent."""

from __future__ import annotations

import asyncio
import fcntl
import itertools
import json
import os
import random
import subprocess
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest
from tests.faults import Match, Request, Stall, Status
from tests.kit import KEY, Do

from sealift import ledger, ranged
from sealift.events import Event, Finished
from sealift.journal import Journal, dead_runs
from sealift.model import TEMPORARY_NAME, Durability, Location, PartDone
from sealift.options import WHOLE_TREE, TreeOptions
from sealift.records import PartAdded, RunRecord, UploadCreated, UploadPlanned, UploadRecord

from .conftest import LARGE, PART_SIZE, Record, Site, mounted

pytestmark = pytest.mark.anyio

TWO_RANGES = LARGE[: PART_SIZE + 12_000]
IMAGE_SIZE = 64 * 1024 * 1024
# From linux/fs.h.
FIFREEZE, FITHAW = 0xC0045877, 0xC0045878

Files = dict[str, bytes]


class Disk:
    """A disk of ext4 whose power can be cut at any instant, at `root`.

    What is written to it reaches an image, which lies in a second file system. While that one is
    frozen the image stands still, so that a copy of it is what a power cut at that instant leaves:
    with what was synced, and without what was in the page cache only (`commit=300`: the kernel
    syncs nothing by itself).
    """

    def __init__(self, directory: Path) -> None:
        self.root = directory / "disk"
        self._directory = directory
        self._image = directory / "holder" / "image"
        self._numbers = itertools.count()
        self._lock = threading.Lock()
        self._stack = ExitStack()

    def __enter__(self) -> Disk:
        with self._stack:
            enter = self._stack.enter_context
            memory = enter(mounted(self._directory / "memory", "-t", "tmpfs", "tmpfs"))
            holder = enter(self._mounted(_make(memory / "holder", 4 * IMAGE_SIZE), "holder"))
            self._fd = os.open(holder, os.O_RDONLY | os.O_DIRECTORY)
            self._stack.callback(os.close, self._fd)
            self.power_up(_make(self._image, IMAGE_SIZE))
            self._stack = self._stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def cut(self) -> Path:
        """The image as it would be if the power went now."""
        with self._lock:
            copy = self._directory / "memory" / f"cut-{next(self._numbers)}"
            fcntl.ioctl(self._fd, FIFREEZE, 0)
            try:
                subprocess.run(["cp", "--sparse=auto", self._image, copy], check=True)
            finally:
                fcntl.ioctl(self._fd, FITHAW, 0)
            return copy

    @contextmanager
    def after(self, cut: Path) -> Iterator[Path]:
        """The disk after this cut, beside the one that goes on; the image is gone then."""
        with self._mounted(cut, "after") as root:
            yield root
        cut.unlink()

    def power_up(self, image: Path) -> None:
        """Let the disk be what a cut has left. Its device has another number than before."""
        self._stack.enter_context(self._mounted(image, "disk", "commit=300"))

    def sync(self) -> None:
        """Make durable all that is on it."""
        subprocess.run(["sync", "--file-system", self.root], check=True)

    def _mounted(self, image: Path, name: str, *options: str) -> AbstractContextManager[Path]:
        words = ",".join(("loop", *options))
        return mounted(self._directory / name, "-o", words, str(image))


def _make(image: Path, size: int) -> Path:
    with image.open("wb") as file:
        file.truncate(size)
    subprocess.run(["mkfs.ext4", "-q", "-F", "-b", "4096", image], check=True)
    return image


@pytest.fixture
def disk(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Disk]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AK")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "SK")
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    with Disk(tmp_path) as disk:
        yield disk


@dataclass
class CutRecord(Record):
    """Cuts the power when so many objects were reported done: each cut, and what was done then."""

    disk: Disk | None = None
    counts: frozenset[int] = frozenset()
    cuts: list[tuple[Path, set[str]]] = field(default_factory=list)

    def emit(self, event: Event) -> None:
        super().emit(event)
        if isinstance(event, Finished) and len(self.finished) in self.counts:
            assert self.disk is not None
            self.cuts.append((self.disk.cut(), self.finished))


def store(site: Site, disk: Disk, count: int) -> tuple[Files, Files]:
    """Objects, and older files that stand in the place of some of them, by name."""
    objects = {f"d{n % 5}/f{n:02}": b"%d new " % n * (1 + n % 7 * 300) for n in range(count)}
    objects |= {"d0/large": TWO_RANGES, "large": TWO_RANGES[::-1]}
    for name, body in objects.items():
        site.server.store(name, body, customer_key=KEY)
    older = {name: b"older " + name.encode() for name in (*list(objects)[::3], "large")}
    for name, body in older.items():
        path = disk.root / "back" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)
    disk.sync()
    return objects, older


def lost(root: Path, objects: Files, older: Files, done: set[str]) -> list[str]:
    """The names that do not have what they must: the object, or, before it is done, what was there.

    A name that stands for no object is one as well, but for temporary files.
    """
    there = {
        str(path.relative_to(root)): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file() and not TEMPORARY_NAME.fullmatch(path.name)
    }
    return sorted(
        name
        for name in objects.keys() | there.keys()
        if there.get(name) != objects.get(name)
        and (name in done or there.get(name) != older.get(name))
    )


def assert_kept(disk: Disk, cut: Path, objects: Files, older: Files, done: set[str]) -> None:
    with disk.after(cut) as root:
        assert lost(root / "back", objects, older, done) == []


async def restore(site: Site, disk: Disk, tree: TreeOptions = WHOLE_TREE, **changes: Any) -> None:
    async with site.engine(**changes) as engine:
        await engine.restore(Location("bucket"), str(disk.root / "back"), tree=tree)


@pytest.mark.parametrize("seed", [1, 2])
async def test_case_14_what_was_reported_done_survives_a_power_cut(
    site: Site, disk: Disk, seed: int
) -> None:
    """Cuts at random moments of a run of eight workers, each right after an object was done."""
    objects, older = store(site, disk, 60)
    counts = random.Random(seed).sample(range(1, len(objects)), 6)
    site.record = record = CutRecord(disk=disk, counts=frozenset([*counts, len(objects)]))
    await restore(site, disk)
    assert record.finished == set(objects)
    assert len(record.cuts) == 7
    for cut, done in record.cuts:
        assert_kept(disk, cut, objects, older, done)


def test_case_14_what_a_process_has_told_to_be_done_survives_a_power_cut(
    site: Site, disk: Disk
) -> None:
    """Cuts while the command line goes on, each when its output has told so much."""
    objects, older = store(site, disk, 300)
    counts = random.Random(3).sample(range(1, len(objects)), 5)
    cuts: list[tuple[Path, set[str]]] = []
    done: set[str] = set()
    with site.start("restore", "s3://bucket", disk.root / "back") as child:
        assert child.stdout is not None
        for line in child.stdout:
            event = json.loads(line)
            if event["event"] == "done":
                done.add(event["name"])
                if len(done) in counts:
                    cuts.append((disk.cut(), set(done)))
    assert (child.returncode, done) == (0, set(objects))
    assert len(cuts) == len(counts)
    for cut, told in cuts:
        assert_kept(disk, cut, objects, older, told)


async def test_case_14_a_power_cut_at_any_step_leaves_whole_files(
    site: Site, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cuts before each call that syncs or names a file, and after the last one."""
    objects, older = store(site, disk, 6)
    cuts: list[tuple[Path, set[str]]] = []

    def cut_before(call: Callable[..., None]) -> Callable[..., None]:
        def cut_and_call(*arguments: Any, **options: Any) -> None:
            done = site.record.finished  # before the cut: the run goes on while that is made
            cuts.append((disk.cut(), done))
            call(*arguments, **options)

        return cut_and_call

    for name in ("fsync", "rename"):
        monkeypatch.setattr(os, name, cut_before(getattr(os, name)))
    await restore(site, disk, concurrency=1)
    monkeypatch.undo()
    assert site.record.finished == set(objects)
    cuts.append((disk.cut(), set(objects)))
    assert len(cuts) > 3 * len(objects)
    for cut, done in cuts:
        assert_kept(disk, cut, objects, older, done)


@pytest.mark.parametrize("durability", [Durability.NONE, Durability.FILE])
async def test_case_14_with_less_durability_a_power_cut_loses_files(
    site: Site, disk: Disk, durability: Durability
) -> None:
    """What the other tests look for is there to be found."""
    objects, older = store(site, disk, 20)
    await restore(site, disk, TreeOptions(durability=durability), concurrency=1)
    done = site.record.finished
    assert done == set(objects)
    with disk.after(disk.cut()) as root:
        assert lost(root / "back", objects, older, done)


# The run after


class PowerCut:
    """The power goes when such a request comes in, which is not answered, nor is a later one.

    So whatever the run does that has not ended by then, it changes nothing more on the server.
    """

    def __init__(self, site: Site, disk: Disk, match: Match) -> None:
        self._site = site
        self._disk = disk
        self._cut: Path | None = None
        self._scope = anyio.CancelScope()
        self._loop = asyncio.get_running_loop()
        refused = Status(503, "ServiceUnavailable")
        site.server.script(match, (Do(self._go), refused))
        site.server.script(Match(times=None, where=lambda _: self._cut is not None), refused)

    def _go(self) -> None:
        self._cut = self._disk.cut()
        self._loop.call_soon_threadsafe(self._scope.cancel)

    async def ends(self, run: Callable[[], Awaitable[None]]) -> set[str]:
        """Run until the power goes, and have it back; what was done.

        Then the server answers again, and its record and the site's begin anew.
        """
        with self._scope:
            await run()
        assert self._scope.cancelled_caught
        assert self._cut is not None
        self._disk.power_up(self._cut)
        self._cut = None
        done = self._site.record.finished
        self._site.record = Record()
        self._site.server.requests.clear()
        return done


def is_second(asked: Request) -> bool:
    """Whether it is for a second range."""
    return asked.headers.get("range", "").startswith(f"bytes={PART_SIZE}-")


async def test_case_14_a_restore_goes_on_after_a_power_cut(
    site: Site, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ranged, "NOTE_INTERVAL", 0.0)
    objects, older = store(site, disk, 10)
    run = partial(restore, site, disk, concurrency=1, state_directory=str(disk.root / "state"))
    done = await PowerCut(site, disk, Match(name="large", where=is_second)).ends(run)
    assert done == objects.keys() - {"large"}
    assert lost(disk.root / "back", objects, older, done) == []

    await run()

    assert not site.record.failed
    assert lost(disk.root / "back", objects, older, set(objects)) == []
    assert not list(disk.root.rglob(".sealift-*"))
    asked = [each for each in site.server.seen("GetObject") if each.name == "large"]
    assert [is_second(each) for each in asked] == [True]


async def test_case_14_no_temporary_file_is_left_for_good(
    site: Site, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even one of which nothing was noted, half of an object."""
    monkeypatch.setattr(ledger, "INTERVAL", 0.01)
    objects, older = store(site, disk, 30)
    site.server.script(Match(name="d0/large", where=is_second), Stall("before_head"))
    run = partial(restore, site, disk, concurrency=3, state_directory=str(disk.root / "state"))
    await PowerCut(site, disk, Match(name="large")).ends(run)
    assert len(list(disk.root.rglob(".sealift-*"))) == 1

    await run()

    assert site.record.notes == []
    assert lost(disk.root / "back", objects, older, set(objects)) == []
    assert not list(disk.root.rglob(".sealift-*"))


@pytest.mark.parametrize(
    "match",
    [
        Match(operation="UploadPart", part=1),
        Match(operation="UploadPart", part=2),
        Match(operation="CompleteMultipartUpload"),
    ],
    ids=["part 1", "part 2", "complete"],
)
async def test_case_14_an_upload_goes_on_after_a_power_cut(
    site: Site, disk: Disk, match: Match
) -> None:
    (disk.root / "large").write_bytes(TWO_RANGES)
    disk.sync()

    async def run() -> None:
        async with site.engine(concurrency=1, state_directory=str(disk.root / "state")) as engine:
            await engine.put(str(disk.root / "large"), Location("bucket", "large"))

    await PowerCut(site, disk, match).ends(run)
    (upload,) = site.server.uploads

    await run()

    assert site.record.finished == {"large"}
    assert site.body("large") == TWO_RANGES
    assert not site.server.uploads
    assert {each.query["uploadId"] for each in site.server.seen("UploadPart")} <= {upload}
    assert not site.server.seen("CreateMultipartUpload")


def test_case_14_a_durable_note_survives_what_is_written_after_it(disk: Disk) -> None:
    """Those that may be lost, so many that the database is rewritten, take none of these along."""
    state = str(disk.root / "state")
    run = RunRecord("0" * 16, 0.0, ("cp",), "/", "https://host/bucket", None)
    journal = Journal(state, run)
    journal.open()
    upload = UploadRecord("", run.scope, "name", "/name", None, 1 << 34, 8 << 20, None, None, 0.0)
    add_parts(journal, "of an earlier one")
    for marker in ("first", "second"):
        journal.write([UploadPlanned(upload._replace(marker=marker))], durable=True)
        add_parts(journal, marker)
    journal.write([UploadCreated("second", "id", True)], durable=True)
    cut = disk.cut()
    journal.close(finished=False)
    disk.power_up(cut)
    with dead_runs(state) as found:
        uploads = {one.marker: one.upload_id for dead in found for one in dead.uploads}
    assert uploads == {"first": "", "second": "id"}


def add_parts(journal: Journal, marker: str) -> None:
    """Notes that may be lost, each written by itself, for more than one checkpoint."""
    for number in range(1, 2000):
        part = PartDone(number, 8 << 20, f'"{number}"', number)
        journal.write([PartAdded(marker, part)], durable=False)

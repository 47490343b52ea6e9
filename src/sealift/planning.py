"""Makes plans: what a walk or a listing finds becomes jobs, batch by batch, and is announced.

What takes no part, and what cannot, is reported on the way.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Iterator
from itertools import islice
from typing import TypeVar

from sealift.collisions import Collisions
from sealift.errors import ObjectError
from sealift.events import Failed, PlanComplete, Planned, RemovalPlanned, Reporter, Skipped
from sealift.files.disk import Disk
from sealift.files.folding import folds_case, folds_form
from sealift.files.walk import FileEntry, Passed, walk
from sealift.filters import Filter
from sealift.keyed import Plan
from sealift.manifest import read_manifest
from sealift.model import Direction, Job, Location
from sealift.options import TreeOptions
from sealift.plan import Naming, copy_job, download_job, is_marker, listed_root, upload_job
from sealift.remote import Pages

T = TypeVar("T")
# Holds objects of pages back.
Sieve = Callable[[Pages], Pages]

# Files looked at in one go: what has been planned before the first reply goes up with Content-MD5.
WALK_BATCH = 64


class Planner:
    """Plans for one engine, which hears of what is found."""

    def __init__(self, disk: Disk, reporter: Reporter) -> None:
        self._disk = disk
        self._reporter = reporter

    async def one(self, job: Job) -> Plan:
        """A single job."""
        yield self._planned([job])
        self._reporter.emit(PlanComplete())

    async def uploads(self, root: str, prefix: Location, chosen: Filter, tree: TreeOptions) -> Plan:
        """The files below `root`, to go below `prefix`."""
        async for batch in self.walk(root, chosen, tree):
            jobs = []
            for entry in batch:
                if isinstance(entry, Passed):
                    continue
                try:
                    jobs.append(upload_job(entry, prefix))
                except ObjectError as error:
                    self._reporter.emit(Failed(entry.name, error))
            yield self._planned(jobs)
        self._reporter.emit(PlanComplete())

    async def downloads(
        self,
        source: Location,
        pages: Pages,
        cut: str,
        naming: Naming,
        tree: TreeOptions,
        directory: str,
        sieve: Sieve | None = None,
    ) -> Plan:
        """The objects of `pages`, which lie below `source`; their names lose `cut`.

        Those that cannot stand side by side below `directory` fail here, the first of two apart.
        Of the others `sieve` holds those back that need not move.
        """
        keeps_names = naming is Naming.KEEP
        collisions = await self.collisions(directory) if keeps_names else None
        fit = self._fit(source, pages, cut, tree, collisions)
        async for page in fit if sieve is None else sieve(fit):
            yield self._planned([download_job(source.bucket, found, cut, naming) for found in page])
        self._reporter.emit(PlanComplete())

    async def collisions(self, directory: str) -> Collisions:
        """Finds names that cannot stand side by side below `directory`."""
        folds = await self._disk.run(folds_case, directory)
        return Collisions(folds_case=folds, folds_form=folds_form())

    async def _fit(
        self,
        source: Location,
        pages: Pages,
        cut: str,
        tree: TreeOptions,
        collisions: Collisions | None,
    ) -> Pages:
        """What takes part; without `collisions` all names will be new, and none a directory's."""
        made = tree.markers and collisions is not None
        async for page in taken(source, pages, tree):
            fit = []
            for found in page:
                if is_marker(found) and not (made and found.name != cut):
                    self._reporter.emit(Skipped(found.name, "directory marker"))
                    continue
                try:
                    if collisions is not None:
                        collisions.check(found.name)
                except ObjectError as error:
                    self._reporter.emit(Failed(found.name, error))
                else:
                    fit.append(found)
            yield fit

    async def copies(
        self, source: Location, pages: Pages, cut: str, prefix: Location, tree: TreeOptions
    ) -> Plan:
        """The objects of `pages`, which lie below `source`, to go below `prefix`."""
        async for page in taken(source, pages, tree):
            jobs = []
            for found in page:
                if found.name == cut:
                    self._reporter.emit(Skipped(found.name, "directory marker"))
                    continue
                location = prefix.child(found.name.removeprefix(cut))
                begin = Location(source.bucket, found.name)
                try:
                    jobs.append(copy_job(begin, found.size, location, found.etag))
                except ObjectError as error:
                    self._reporter.emit(Failed(found.name, error))
            yield self._planned(jobs)
        self._reporter.emit(PlanComplete())

    async def manifest(self, path: str) -> Plan:
        """The objects of a manifest; each job has the CRC64NVME, key id and version of its line."""
        lines = read_manifest(path)
        while batch := await self._disk.run_brief(_take, lines, WALK_BATCH):
            yield self._planned(
                [
                    Job(
                        Direction.VERIFY,
                        line.location,
                        line.location.name,
                        line.size,
                        crc=line.crc,
                        version_id=line.version_id,
                        key_id=line.key_id,
                    )
                    for line in batch
                ]
            )
        self._reporter.emit(PlanComplete())

    async def removals(self, pages: Pages, count: int | None) -> AsyncIterator[list[str]]:
        """The names of `pages`; `count` is how many there are, if known."""
        if count is not None:
            self._reporter.emit(RemovalPlanned(count))
            self._reporter.emit(PlanComplete())
        async for page in pages:
            if count is None:
                self._reporter.emit(RemovalPlanned(len(page)))
            yield [found.name for found in page]
        if count is None:
            self._reporter.emit(PlanComplete())

    async def walk(
        self,
        root: str,
        chosen: Filter,
        tree: TreeOptions,
        *,
        is_source: bool = True,
        is_whole: bool = True,
        step: int = WALK_BATCH,
    ) -> AsyncIterator[list[FileEntry | Passed]]:
        """What is below `root`, some at a time; what cannot be sent is reported, failures drop out.

        Where `root` is no source it need not be there, and nothing is reported but failures, these
        too only if the walk has to be `is_whole`.
        """
        if not is_source and not await self._disk.run(os.path.isdir, root):
            return
        found = walk(
            root,
            chosen,
            follow_links=tree.follow_links,
            empty_directories=tree.markers and is_source,
        )
        while batch := await self._disk.run_brief(_take, found, step):
            if Passed not in map(type, batch):
                yield batch
                continue
            entries: list[FileEntry | Passed] = []
            for entry in batch:
                if not isinstance(entry, Passed):
                    entries.append(entry)
                elif entry.error is not None:
                    if is_source or is_whole:
                        self._reporter.emit(Failed(entry.name, entry.error))
                else:
                    if is_source:
                        self._reporter.emit(Skipped(entry.name, entry.reason))
                    if _is_text(entry.name):
                        entries.append(entry)
            yield entries

    def _planned(self, jobs: list[Job]) -> list[Job]:
        self._reporter.emit(Planned(len(jobs), sum(job.size for job in jobs)))
        return jobs


async def taken(source: Location, pages: Pages, tree: TreeOptions) -> Pages:
    """What the rules take of `pages`, by the names below `source`."""
    root, chosen = len(listed_root(source)), Filter(tree.rules)
    async for page in pages:
        if chosen.is_open:
            yield page
        else:
            yield [found for found in page if chosen.takes(found.name[root:])]


def _take(found: Iterator[T], count: int) -> list[T]:
    return list(islice(found, count))


def _is_text(name: str) -> bool:
    """Whether a name is UTF-8, so that it has a place in the order of names."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True

"""Makes one side as the other: compares, moves what differs, then removes what is left over.

Names that end in `/` or not, both sides stand for the contents of a tree, as in `aws s3 sync`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial

from sealift.catalogue import Catalogue
from sealift.collisions import Collisions
from sealift.compare import Method, Verdict, compare_file, known_crc
from sealift.differences import D, Entries, Extras, Listed, Question, Rules, S, SyncPlan
from sealift.errors import CatalogueError, ObjectError, UsageError, WrongCustomerKeyError
from sealift.events import Noted, RemovalPlanned, Reporter, Would
from sealift.files.disk import Disk
from sealift.files.source import CHUNK_SIZE, file_crc
from sealift.files.walk import FileEntry, Passed
from sealift.filters import Filter
from sealift.memory import Memory
from sealift.merge import Side
from sealift.model import Direction, Job, Location, RemoteObject
from sealift.options import TreeOptions
from sealift.plan import Naming, contents, download_job, upload_job
from sealift.remote import Remote
from sealift.resources import Settle
from sealift.runner import Plan, Runner

Walk = Callable[..., AsyncIterator[list[FileEntry | Passed]]]


@dataclass(frozen=True, slots=True)
class SyncOptions:
    """What a sync does besides moving what differs; `method` tells how to compare.

    `delete` removes what the source lacks, nothing when these are more than `max_delete` names, and
    only with `force` when the source is empty. `dry_run` says what would happen, no more.
    """

    method: Method = Method.TIMES
    delete: bool = False
    max_delete: int | None = None
    force: bool = False
    dry_run: bool = False


class Sync:
    """One sync of an engine.

    `walk` gives the files below a directory, `failed_count` says how many objects failed so far.
    """

    def __init__(
        self,
        options: SyncOptions,
        tree: TreeOptions,
        chosen: Filter,
        remote: Remote,
        runner: Runner,
        disk: Disk,
        memory: Memory,
        catalogue: Catalogue,
        reporter: Reporter,
        walk: Walk,
        failed_count: Callable[[], int],
    ) -> None:
        self._options = options
        self._tree = tree
        self._chosen = chosen
        self._remote = remote
        self._runner = runner
        self._disk = disk
        self._memory = memory
        self._catalogue = catalogue
        self._reporter = reporter
        self._walk = walk
        self._failed_count = failed_count

    async def up(self, root: str, destination: Location) -> None:
        """Make what is below a prefix as the tree `root` is."""
        prefix = contents(destination)
        listed = await self._list(prefix)
        rules = Rules[FileEntry, RemoteObject](
            lambda file, found: self._compare(listed, file, found),
            lambda file: upload_job(file, prefix),
            lambda job, file, found: self._question(job, listed, file, found),
        )
        plan = SyncPlan(rules, self._reporter, keep_extras=self._options.delete)
        there = Side(str(prefix), listed.pages(), len(prefix.name))
        jobs = plan.jobs(Side(root, self._walk(root, self._chosen, self._tree)), there)
        remove = partial(self._remove_objects, prefix)
        await self._carry_out(
            plan, jobs, prefix.bucket, partial(self._runner.up, tree=self._tree), remove
        )

    async def down(self, source: Location, root: str) -> None:
        """Make the directory `root` as what is below a prefix is."""
        prefix = contents(source)
        listed = await self._list(prefix)
        rules = Rules[RemoteObject, FileEntry](
            lambda found, file: self._compare(listed, file, found),
            lambda found: download_job(prefix.bucket, found, prefix.name, Naming.KEEP),
            lambda job, found, file: self._question(job, listed, file, found),
            Collisions(),
        )
        plan = SyncPlan(rules, self._reporter, keep_extras=self._options.delete)
        here = Side(root, self._walk(root, self._chosen, self._tree, is_source=False))
        jobs = plan.jobs(Side(str(prefix), listed.pages(), len(prefix.name)), here)
        move, remove = (
            partial(self._runner.down, directory=root, tree=self._tree),
            partial(self._remove_files, root),
        )
        await self._carry_out(plan, jobs, prefix.bucket, move, remove)

    # Comparing

    async def _list(self, prefix: Location) -> Listed:
        scope = await self._remote.scope(prefix.bucket)
        if self._options.method is Method.REBUILD and not self._options.dry_run:
            try:
                await self._disk.run(self._catalogue.forget_prefix, scope, prefix.name)
            except CatalogueError as error:
                self._reporter.emit(Noted(str(error)))
        entries = Entries(partial(self._catalogue.known, scope, prefix.name))
        pages = self._remote.pages(prefix)
        return Listed(prefix, pages, entries, self._chosen, self._disk, self._reporter)

    def _compare(self, listed: Listed, file: FileEntry, found: RemoteObject) -> Verdict:
        return compare_file(file, found, listed.known.get(found.name), self._options.method)

    def _question(self, job: Job, listed: Listed, file: FileEntry, found: RemoteObject) -> Question:
        crc = None
        if self._options.method is Method.CHECKSUM:
            crc = known_crc(listed.known.get(found.name), found)
        return partial(self._is_same, job, file, found, crc)

    async def _is_same(
        self, job: Job, file: FileEntry, found: RemoteObject, crc: int | None
    ) -> bool:
        """Whether a file and an object are the same by the CRC64NVME of their bytes.

        `crc` is the object's where it is known, else it is asked for by HEAD. An object without one
        is different.
        """
        etag = found.etag
        if crc is None:
            try:
                head = await self._remote.head(job.location)
            except WrongCustomerKeyError:
                if job.direction is Direction.UP:  # the file goes up, under the key of today
                    return False
                raise
            etag, crc = head.etag, head.facts.crc
            job.version_id = head.version_id
            if crc is None or head.size != file.size:
                return False
        async with self._memory.buffer(CHUNK_SIZE) as room:
            if await self._disk.run(file_crc, file.path, room) != crc:
                return False
        job.etag, job.crc, job.mtime_ns = etag, crc, file.mtime_ns
        return True

    # Carrying out

    async def _carry_out(
        self,
        plan: SyncPlan[S, D],
        jobs: Plan,
        bucket: str,
        move: Callable[..., Awaitable[None]],
        remove: Callable[[Extras], Awaitable[None]],
    ) -> None:
        async def see(batch: Sequence[Job], settle: Settle) -> None:
            for job in await plan.differing(batch, settle):
                self._reporter.emit(Would(job.direction.value, job.path, job.size, job))

        with closing(plan.extras):
            if self._options.dry_run:
                await self._runner.look(jobs, bucket, see)
            else:
                await move(jobs, bucket, sift=plan.differing)
            await self._remove(plan, remove)

    async def _remove(
        self, plan: SyncPlan[S, D], remove: Callable[[Extras], Awaitable[None]]
    ) -> None:
        """Remove what only the destination has, if nothing speaks against it."""
        extras, options = plan.extras, self._options
        if not extras.count:
            return
        if not plan.source_count and not options.force:
            raise UsageError(
                "the source is empty, so everything would be removed", hint="if so, add --force"
            )
        if options.max_delete is not None and extras.count > options.max_delete:
            raise ObjectError(
                f"{extras.count} names would be removed, more than --max-delete allows",
                hint="none was; look with --dry-run",
            )
        failed = self._failed_count()
        if failed:
            self._reporter.emit(Noted(f"nothing was removed, because {failed} objects failed"))
            return
        if not options.dry_run:
            self._reporter.emit(RemovalPlanned(extras.count))
            await remove(extras)
            return
        for batch in extras.batches():
            for extra in batch:
                self._reporter.emit(Would("remove", extra.name, extra.size))

    async def _remove_objects(self, prefix: Location, extras: Extras) -> None:
        async def names() -> AsyncIterator[list[str]]:
            for batch in extras.batches():
                yield [prefix.name + extra.name for extra in batch]

        await self._runner.remove(names(), prefix.bucket)

    async def _remove_files(self, root: str, extras: Extras) -> None:
        for batch in extras.batches():
            await self._runner.remove_files([extra.name for extra in batch], root)

"""Makes one side as the other: compares, moves what differs, then removes what is left over.

Names that end in `/` or not, both sides stand for the contents of a tree, as in `aws s3 sync`.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from operator import attrgetter
from typing import TYPE_CHECKING

from sealift.catalogue import Catalogue
from sealift.collisions import Collisions
from sealift.compare import (
    Method,
    Verdict,
    are_surely_same,
    compare_file,
    compare_objects,
    is_sealed_otherwise,
    known_crc,
)
from sealift.differences import D, Entries, Extras, Listed, Question, Rules, S, SyncPlan, expected
from sealift.errors import (
    CatalogueError,
    LocalFileError,
    ObjectError,
    UsageError,
)
from sealift.events import Failed, Noted, RemovalPlanned, Reporter, Would
from sealift.files.directories import Identity, directory_identity
from sealift.files.disk import Disk
from sealift.files.walk import FileEntry, Passed
from sealift.filters import Filter
from sealift.keyed import Move, Plan
from sealift.keyring import Keyring
from sealift.manifest import Line, Manifest
from sealift.merge import Side
from sealift.model import Job, Known, Location, RemoteObject
from sealift.options import TreeOptions
from sealift.plan import (
    Naming,
    contents,
    copy_job,
    download_job,
    ends_of,
    is_marker,
    place_below,
    upload_job,
)
from sealift.remote import Remote
from sealift.resources import Settle
from sealift.runner import Runner
from sealift.sameness import Sameness
from sealift.unlocking import Unlocker

if TYPE_CHECKING:
    from sealift.copier import Source

# Names of a range that is listed beside others: some pages.
CUT_STEP = 4000
# Files or entries of the catalogue that are read in one go, on the event loop as long as that takes
# less than 5 ms: a quarter of a page of LIST.
STEP = 250

_NAME = attrgetter("name")

Walk = Callable[..., AsyncIterator[list[FileEntry | Passed]]]
RunPlan = Callable[..., Awaitable[None]]


@dataclass(frozen=True, slots=True)
class SyncOptions:
    """What a sync does besides moving what differs; `method` tells how to compare.

    `delete` removes what the source lacks, nothing when these are more than `max_delete` names, and
    only with `force` when the source is empty. `dry_run` says what would happen, no more. What is
    at the destination afterwards is written to the file `manifest`.
    """

    method: Method = Method.TIMES
    delete: bool = False
    max_delete: int | None = None
    force: bool = False
    dry_run: bool = False
    manifest: str | None = None


@dataclass(slots=True)
class Sync:
    """One sync of an engine.

    `remote` has the destination, `walk` gives the files below a directory, `collisions` finds names
    that cannot stand side by side there, `failed_count` says how many objects failed so far,
    `keyring` says which customer key is that of an object at the destination; `sameness` answers
    what comparing leaves open.
    """

    options: SyncOptions
    tree: TreeOptions
    chosen: Filter
    remote: Remote
    runner: Runner
    disk: Disk
    catalogue: Catalogue
    reporter: Reporter
    walk: Walk
    collisions: Callable[[str], Awaitable[Collisions]]
    failed_count: Callable[[], int]
    keyring: Keyring
    sameness: Sameness
    manifest: Manifest | None = field(default=None, init=False)

    async def run(self, work: Callable[[], Awaitable[None]]) -> None:
        """Await one of the three below, with the manifest that the options ask for."""
        path = self.options.manifest
        if path is None or self.options.dry_run:
            await work()
            return
        self.manifest = await self.disk.run(Manifest, path)
        try:
            await work()
        except BaseException:
            if self.manifest is not None:
                self.manifest.discard()
            raise
        if self.manifest is not None:
            await self.disk.run(self.manifest.commit)

    async def up(self, root: str, destination: Location) -> None:
        """Make what is below a prefix as the tree `root` is."""
        prefix = contents(destination)
        listed = await self._list(prefix)
        key_id_of = self.keyring.key_ids_in(prefix.bucket)
        is_one_key = not self.keyring.has_rules_in(prefix.bucket)
        key_id = key_id_of(prefix.name)

        def compare(file: FileEntry, found: RemoteObject) -> Verdict:
            known = listed.known.get(found.name)
            if is_sealed_otherwise(known, found, key_id_of(found.name)):
                return Verdict.DIFFERENT
            return self._compare(known, file, found)

        def are_same(files: Sequence[FileEntry], found: Sequence[RemoteObject]) -> bool:
            if self.manifest is not None or not is_one_key:
                return False
            known = list(map(listed.known.get, map(_NAME, found)))
            return are_surely_same(files, found, known, self.options.method, key_id)

        rules = Rules[FileEntry, RemoteObject](
            compare,
            lambda file: upload_job(file, prefix),
            lambda job, file, found: self._question(job, listed, file, found),
            lambda _, found: self._note_same(listed, found),
            expected,
            are_same=are_same,
        )
        source = Side(root, self.walk(root, self.chosen, self.tree, step=STEP))
        move = partial(self.runner.up, tree=self.tree)
        remove = partial(self._remove_objects, prefix)
        plan = self._plan(rules)
        jobs = plan.jobs(source, listed.side())
        await self._carry_out(plan, jobs, prefix.bucket, move, remove, prefix)

    async def down(self, source: Location, root: str) -> None:
        """Make the directory `root` as what is below a prefix is."""
        prefix = contents(source)
        listed = await self._list(prefix, lambda name: os.path.isdir(os.path.join(root, name)))
        collisions = await self.collisions(root)
        rules = Rules[RemoteObject, FileEntry](
            lambda found, file: self._compare(listed.known.get(found.name), file, found),
            lambda found: download_job(prefix.bucket, found, prefix.name, Naming.KEEP),
            lambda job, found, file: self._question(job, listed, file, found),
            lambda found, _: self._note_same(listed, found),
            collisions=collisions,
        )
        was = await self.disk.run(directory_identity, root)
        found = self.walk(
            root, self.chosen, self.tree, is_source=False, is_whole=self.options.delete
        )
        move = partial(self.runner.down, directory=root, tree=self.tree)
        remove = partial(self._remove_files, root, was, collisions)
        plan = self._plan(rules)
        jobs = plan.jobs(listed.side(), Side(root, found))
        await self._carry_out(plan, jobs, prefix.bucket, move, remove, root)

    async def across(
        self,
        source: Location,
        there: Remote,
        side: Source,
        unlocker: Unlocker,
        destination: Location,
    ) -> None:
        """Make what is below one prefix as what is below another, which `there` and `side` read."""
        begin, prefix = contents(source), contents(destination)
        listed = await self._list(prefix)
        method = self.options.method
        key_id_of = self.keyring.key_ids_in(prefix.bucket)

        def compare(ours: RemoteObject, theirs: RemoteObject) -> Verdict:
            known = listed.known.get(theirs.name)
            if is_sealed_otherwise(known, theirs, key_id_of(theirs.name)):
                return Verdict.DIFFERENT
            return compare_objects(ours, theirs, known, method)

        def make_job(found: RemoteObject) -> Job:
            location = prefix.child(found.name[len(begin.name) :])
            return copy_job(Location(begin.bucket, found.name), found.size, location, found.etag)

        def question(job: Job, _ours: RemoteObject, _: RemoteObject) -> Question:
            return partial(self.sameness.of_copy, job, there)

        rules = Rules[RemoteObject, RemoteObject](
            compare, make_job, question, lambda _, found: self._note_same(listed, found), expected
        )
        pages, entries, markers = there.pages(begin), Entries(lambda _: []), self.tree.markers
        unknown = Listed(
            begin, pages, entries, self.chosen, self.disk, self.reporter, markers=markers
        )
        move = partial(self.runner.across, source=side, unlocker=unlocker, tree=self.tree)
        remove = partial(self._remove_objects, prefix)
        plan = self._plan(rules)
        jobs = plan.jobs(unknown.side(), listed.side())
        await self._carry_out(plan, jobs, prefix.bucket, move, remove, prefix)

    # Comparing

    async def _list(
        self, prefix: Location, is_made: Callable[[str], bool] = lambda _: False
    ) -> Listed:
        scope = await self.remote.scope(prefix.bucket)
        if self.options.method is Method.REBUILD and not self.options.dry_run:
            try:
                await self.disk.run(self.catalogue.forget_prefix, scope, prefix.name)
            except CatalogueError as error:
                self.reporter.emit(Noted(str(error)))
        entries = Entries(partial(self.catalogue.known, scope, prefix.name, limit=STEP))
        pages = self.remote.pages(prefix, partial(self._cuts, scope, prefix.name))
        return Listed(
            prefix,
            pages,
            entries,
            self.chosen,
            self.disk,
            self.reporter,
            markers=self.tree.markers,
            is_made=is_made,
        )

    async def _cuts(self, scope: str, prefix: str) -> list[str]:
        """Names at which to cut a long listing: the catalogue has most of them."""
        try:
            return await self.disk.run(self.catalogue.cuts, scope, prefix, CUT_STEP)
        except CatalogueError as error:
            self.reporter.emit(Noted(str(error)))
            return []

    def _compare(self, known: Known | None, file: FileEntry, found: RemoteObject) -> Verdict:
        verdict = compare_file(file, found, known, self.options.method, self.runner.gap_since)
        if verdict is not Verdict.SAME and is_marker(found):
            return Verdict.SAME  # two directories
        return verdict

    def _question(self, job: Job, listed: Listed, file: FileEntry, found: RemoteObject) -> Question:
        known = listed.known.get(found.name)
        if self.options.method is Method.REBUILD or known_crc(known, found) is None:
            known = None
        return partial(self.sameness.of_file, job, file, known)

    # Carrying out

    def _plan(self, rules: Rules[S, D]) -> SyncPlan[S, D]:
        return SyncPlan(rules, self.reporter, keep_extras=self.options.delete)

    async def _carry_out(
        self,
        plan: SyncPlan[S, D],
        jobs: Plan,
        bucket: str,
        move: RunPlan,
        remove: Callable[[Extras], Awaitable[None]],
        destination: Location | str,
    ) -> None:
        async def see(batch: Sequence[Job], settle: Settle) -> None:
            for job in await plan.differing(batch, settle):
                name, to = ends_of(job, destination)
                self.reporter.emit(Would(job.direction.value, name, to, job.size, job))

        with closing(plan.extras):
            if self.options.dry_run:
                await self.runner.look(jobs, bucket, see)
            else:
                await move(jobs, bucket, around=lambda each: self._around(plan, bucket, each))
            await self._remove(plan, remove, destination)

    def _around(self, plan: SyncPlan[S, D], bucket: str, move: Move) -> Move:
        """Move only what differs, and write down what is there then."""
        key_id_of = self.keyring.key_ids_in(bucket)

        async def move_differing(jobs: Sequence[Job], settle: Settle) -> None:
            def note(job: Job, outcome: bool | ObjectError | None) -> None:
                if not isinstance(outcome, ObjectError):
                    key_id = key_id_of(job.location.name) if job.key_id is None else job.key_id
                    where, size = job.location, job.size
                    self._write(Line(where, size, job.crc, key_id or None, job.version_id))
                settle(job, outcome)

            heard = settle if self.manifest is None else note
            different = await plan.differing(jobs, heard)
            if different:
                await move(different, heard)

        return move_differing

    def _note_same(self, listed: Listed, found: RemoteObject) -> None:
        """Write down an object that is there already."""
        if self.manifest is None:
            return
        location = Location(listed.prefix.bucket, found.name)
        known = listed.known.get(found.name)
        crc = known_crc(known, found)
        if known is None or crc is None:
            self._write(Line(location, found.size, None, None, None))
        else:
            self._write(Line(location, found.size, crc, known.key_id, known.version_id))

    def _write(self, line: Line) -> None:
        """Write a line of the manifest; what cannot be written ends the manifest, not the sync."""
        if self.manifest is None:
            return
        try:
            self.manifest.add(line)
        except LocalFileError as error:
            self.manifest.discard()
            self.manifest = None
            self.reporter.emit(Failed("manifest", error))

    async def _remove(
        self,
        plan: SyncPlan[S, D],
        remove: Callable[[Extras], Awaitable[None]],
        destination: Location | str,
    ) -> None:
        """Remove what only the destination has, if nothing speaks against it."""
        extras, options = plan.extras, self.options
        if not extras.count:
            return
        failed = self.failed_count()
        if failed:
            self.reporter.emit(Noted(f"nothing was removed, because {failed} objects failed"))
            return
        if not plan.source_count and not options.force:
            raise UsageError(
                "the source is empty, so everything would be removed", hint="if so, add --force"
            )
        if options.max_delete is not None and extras.count > options.max_delete:
            raise ObjectError(
                f"{extras.count} names would be removed, more than --max-delete allows",
                hint="none was; --dry-run without it names them",
            )
        if not options.dry_run:
            self.reporter.emit(RemovalPlanned(extras.count))
            await remove(extras)
            return
        for batch in extras.batches():
            for extra in batch:
                place = place_below(destination, extra.name)
                self.reporter.emit(Would("remove", place, "", extra.size))

    async def _remove_objects(self, prefix: Location, extras: Extras) -> None:
        async def names() -> AsyncIterator[list[str]]:
            for batch in extras.batches():
                yield [prefix.name + extra.name for extra in batch]

        await self.runner.remove(names(), prefix.bucket)

    async def _remove_files(
        self, root: str, was: Identity | None, collisions: Collisions, extras: Extras
    ) -> None:
        """What the file system takes for a name that the source has is that file by now."""
        for batch in extras.batches():
            names = [one.name for one in batch if not collisions.has_place_of(one.name)]
            kept = {extra.directory for extra in batch}
            await self.runner.remove_files(names, root, was, kept)

"""One verification: what is on either side becomes jobs for `verifier`, name by name.

A walk and a LIST, both in the order of names, are merged as `sync` does; memory holds a page of
each. What one side lacks, or has in another size, is told at once. The catalogue says under which
key an object was when it was moved, and nothing else: its checksums prove nothing.
"""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator
from functools import partial
from typing import NamedTuple

from sealift import __version__
from sealift.catalogue import Catalogue
from sealift.differences import Entries
from sealift.errors import CatalogueError, ObjectError, UsageError
from sealift.events import (
    Event,
    Failed,
    Noted,
    PlanComplete,
    Planned,
    Reported,
    Reporter,
    Skipped,
    Verifying,
)
from sealift.files.disk import Disk
from sealift.files.walk import FileEntry, Passed, file_size, ignore_lines
from sealift.filters import Filter, is_pattern
from sealift.keyed import Move, Plan
from sealift.manifest import manifest_bucket
from sealift.merge import Side, merge
from sealift.model import UNSEALED, Direction, Job, Known, Location, RemoteObject, bare_etag
from sealift.options import TreeOptions
from sealift.plan import contents, file_location, is_marker, prefix_names
from sealift.planning import Planner
from sealift.remote import Pages, Remote
from sealift.resources import Sight
from sealift.runner import Runner
from sealift.verify.contents import Subject, differing_size
from sealift.verify.findings import Finding, Noticed, VerifyOptions, VerifyReport, error_of
from sealift.verify.verifier import Verifier


class Found(NamedTuple):
    """A listed object, and the key id that the catalogue says: UNSEALED for none, None: nothing."""

    name: str
    listed: RemoteObject
    recorded: str | None


class Verification:
    """One run of an engine; its reports begin with what is asked for."""

    def __init__(
        self,
        options: VerifyOptions | None,
        tree: TreeOptions,
        remote: Remote,
        runner: Runner,
        disk: Disk,
        catalogue: Catalogue,
        reporter: Reporter,
    ) -> None:
        self._options = options or VerifyOptions()
        self._tree = tree
        self._remote = remote
        self._runner = runner
        self._disk = disk
        self._catalogue = catalogue
        self._reporter = reporter
        self._planner = Planner(disk, self)
        self._subjects: dict[Job, Subject] = {}
        self._report = VerifyReport("")

    async def sides(self, local: str | None, remote: Location) -> VerifyReport:
        """A directory or file against what is there; None: only what is there."""
        if local is None:
            return await self._verify_alone(remote)
        self._check_versions()
        try:
            size = await self._disk.run(file_size, local)
            self._report.local = await self._disk.run(os.path.abspath, local)
        except ObjectError as error:
            raise UsageError(error.message, hint=error.hint) from None
        if size is not None:
            location = file_location(local, remote)
            return await self._run(self._file(local, size, location), location)
        prefix = contents(remote)
        ignored = await self._disk.run(ignore_lines, local)
        self._report.ignore_file = tuple(filter(is_pattern, ignored))
        chosen = Filter(self._tree.rules, ignored)
        return await self._run(self._trees(local, prefix, chosen), prefix)

    async def manifest(self, path: str) -> VerifyReport:
        """The objects of a manifest."""
        self._check_versions()
        bucket = await self._disk.run(manifest_bucket, path)
        self._report.manifest = await self._disk.run(os.path.abspath, path)
        return await self._run(self._lines(path), Location(bucket))

    def _check_versions(self) -> None:
        if self._options.all_versions:
            raise UsageError(
                "older versions are compared with nothing", hint="look at URI --sealed alone"
            )

    async def _verify_alone(self, remote: Location) -> VerifyReport:
        if not self._options.is_sealed or self._options.is_deep:
            raise UsageError(
                "there is nothing to compare with",
                hint="name a directory too, or look at the sealing alone by --sealed",
            )
        if self._options.all_versions:
            return await self._run(self._versions(remote), remote)
        pages, _ = await self._remote.find(remote)
        if pages is None:
            return await self._run(self._alone(remote, self._remote.only(remote)), remote)
        prefix, _ = prefix_names(remote)
        return await self._run(self._alone(prefix, pages), prefix)

    async def _run(self, plan: Plan, remote: Location) -> VerifyReport:
        report, options = self._report, self._options
        report.remote, report.version = str(remote), __version__
        report.is_sealed, report.is_deep = options.is_sealed, options.is_deep
        report.expected_key, report.rules = options.key_id, self._tree.rules
        report.all_versions = options.all_versions
        report.began, began = time.time(), time.monotonic()
        self._reporter.emit(Verifying())
        report.endpoint = (await self._remote.scope(remote.bucket)).rsplit("/", 1)[0]
        await self._runner.inspect(plan, remote.bucket, self._make)
        report.elapsed = time.monotonic() - began
        if not (report.object_count or report.findings):
            raise UsageError("there is nothing to verify", hint="check the names and the filters")
        self._reporter.emit(Reported(report.record()))
        return report

    def _make(self, sight: Sight) -> Move:
        if self._options.key_id is not None:
            sight.keyring.require(self._options.key_id)
        return Verifier(sight, self._options, self._subjects, self._report).see

    def emit(self, event: Event) -> None:
        """What a walk or a manifest tells on the way belongs into the report."""
        match event:
            case Failed(name, error):
                self._report.note(name, [Noticed(Finding.UNREADABLE, error.message)])
            case Skipped(_, reason):
                self._report.note_skipped(reason)
        self._reporter.emit(event)

    # Plans

    async def _trees(self, root: str, prefix: Location, chosen: Filter) -> Plan:
        """The files below `root` against the objects below a prefix."""
        walk = self._planner.walk(root, chosen, self._tree)
        found = Side(str(prefix), self._listed(prefix, chosen), len(prefix.name))
        async for pairs in merge(Side(root, walk), found):
            jobs = []
            for name, ours, theirs in pairs:
                place = prefix.child(name)
                if theirs is None:
                    if isinstance(ours, FileEntry):
                        self._tell(place, Noticed(Finding.ONLY_LOCAL, "there is no such object"))
                    continue
                job = self._pair(root, place, name, ours, theirs)
                if job is not None:
                    jobs.append(job)
            yield self._planned(jobs)
        self._reporter.emit(PlanComplete())

    async def _file(self, path: str, size: int, location: Location) -> Plan:
        """A single file against a single object."""
        listed = await self._remote.listed(location)
        if listed is None:
            self._tell(location, Noticed(Finding.ONLY_LOCAL, "there is no such object"))
        else:
            (found,) = await self._remembered([listed], await self._entries_of(location))
            entry = FileEntry(path, location.name, size, 0, 0)
            job = self._pair("", location, location.name, entry, found)
            yield self._planned([] if job is None else [job])
        self._reporter.emit(PlanComplete())

    async def _alone(self, prefix: Location, pages: Pages) -> Plan:
        """The objects of `pages`, whose names begin with that of `prefix`, without any file."""
        async for some in self._chosen(prefix, pages, Filter(self._tree.rules)):
            yield self._planned(
                [
                    self._job(
                        Location(prefix.bucket, one.name),
                        one.name,
                        one,
                        Subject(compares=False, recorded=one.recorded),
                    )
                    for one in some
                ]
            )
        self._reporter.emit(PlanComplete())

    async def _versions(self, remote: Location) -> Plan:
        """All versions of an object, or of what is below a prefix."""
        prefix, _ = prefix_names(remote)
        chosen, cut = Filter(self._tree.rules), len(prefix.name)
        async for page in self._remote.versions(remote):
            jobs = []
            for one in page:
                is_below = one.name.startswith(prefix.name)
                if one.name != remote.name and not (is_below and chosen.takes(one.name[cut:])):
                    continue
                version_id = None if one.is_latest else one.version_id
                subject = Subject(compares=False, version_id=version_id)
                place = Location(remote.bucket, one.name)
                job = Job(Direction.VERIFY, place, one.name, one.size, version_id=one.version_id)
                self._report.note_object(one.size)
                self._subjects[job] = subject
                jobs.append(job)
            yield self._planned(jobs)
        self._reporter.emit(PlanComplete())

    async def _lines(self, path: str) -> Plan:
        """The objects of a manifest."""
        async for jobs in self._planner.manifest(path):
            for job in jobs:
                self._report.note_object(job.size)
                self._subjects[job] = Subject(is_line=True, recorded=job.key_id)
            yield jobs

    # Objects

    def _pair(
        self,
        root: str,
        place: Location,
        name: str,
        ours: FileEntry | Passed | None,
        theirs: Found,
    ) -> Job | None:
        """The job of an object that has a file or should have one; None: all of it is told."""
        listed = theirs.listed
        subject = Subject(recorded=theirs.recorded)
        if isinstance(ours, FileEntry):
            subject.path = ours.path
            subject.compares = ours.size == listed.size
            if not subject.compares:
                subject.noticed.append(differing_size(listed.size, ours.size, subject))
        else:
            subject.compares = False
            if not self._is_directory(root, name, listed):
                there = "is no file here" if ours is None else f"is a {ours.reason} here"
                subject.noticed.append(Noticed(Finding.ONLY_REMOTE, f"there {there}"))
            elif not self._options.is_sealed:
                return None
        if subject.compares or self._options.is_sealed:
            return self._job(place, name, theirs, subject)
        self._report.note_object(listed.size)
        self._tell(place, *subject.noticed)
        return None

    def _is_directory(self, root: str, name: str, listed: RemoteObject) -> bool:
        """Whether an object stands for a directory, and no file is missing."""
        if not is_marker(listed):
            return False
        return not name or not self._tree.markers or os.path.isdir(os.path.join(root, name))

    def _job(self, place: Location, path: str, found: Found, subject: Subject) -> Job:
        self._report.note_object(found.listed.size)
        job = Job(Direction.VERIFY, place, path, found.listed.size)
        self._subjects[job] = subject
        return job

    def _planned(self, jobs: list[Job]) -> list[Job]:
        self._reporter.emit(Planned(len(jobs), sum([job.size for job in jobs])))
        return jobs

    def _tell(self, place: Location, *noticed: Noticed) -> None:
        self._report.note(place.name, noticed)
        self._reporter.emit(Failed(place.name, error_of(noticed)))

    # Listing

    def _listed(self, prefix: Location, chosen: Filter) -> AsyncIterator[list[Found]]:
        return self._chosen(prefix, self._remote.pages(prefix), chosen)

    async def _chosen(
        self, prefix: Location, pages: Pages, chosen: Filter
    ) -> AsyncIterator[list[Found]]:
        """What `chosen` takes of `pages`, by the names below `prefix`."""
        entries = await self._entries_of(prefix)
        cut = len(prefix.name)
        async for page in pages:
            found = await self._remembered(page, entries)
            if chosen.is_open:
                yield found
            else:
                yield [one for one in found if chosen.takes(one.name[cut:])]

    async def _entries_of(self, prefix: Location) -> Entries:
        if not await self._disk.run(self._catalogue.is_there):
            return Entries(lambda _: [])
        scope = await self._remote.scope(prefix.bucket)
        return Entries(partial(self._catalogue.known, scope, prefix.name))

    async def _remembered(self, page: list[RemoteObject], entries: Entries) -> list[Found]:
        known: dict[str, Known] = {}
        try:
            known = await self._disk.run_brief(entries.up_to, page[-1].name)
        except CatalogueError as error:
            self._reporter.emit(Noted(str(error)))
        return [Found(one.name, one, _key_of(one, known.get(one.name))) for one in page]


def _key_of(listed: RemoteObject, known: Known | None) -> str | None:
    """The key id that an entry says, where it is of the object that is listed."""
    if known is None or known.etag != bare_etag(listed.etag) or known.size != listed.size:
        return None
    return known.key_id or UNSEALED

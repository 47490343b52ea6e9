"""The engine: the only place that builds things, and the public Python API.

    async with Engine(Options(customer_key=key), reporter) as engine:
        await engine.copy("photos/", "s3://bucket/photos/")

A command is one plan run on one schedule:

    plan (walk or LIST)  ->  schedule (workers)  ->  upload | download  ->  wire  ->  S3

Each job is one object. One that fails is reported by name and the others go on; what is wrong with
the settings raises UsageError before anything is touched. Cancelling a command cleans up.
"""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from functools import partial
from itertools import islice
from types import TracebackType
from typing import TypeVar

import anyio

from sealift.copier import Copier, Source
from sealift.descriptors import files_at_once, worker_limit
from sealift.download import Downloader
from sealift.errors import Cause, ObjectError, UsageError
from sealift.events import (
    Event,
    Failed,
    Finished,
    Noted,
    PlanComplete,
    Planned,
    Reporter,
    Retried,
    Silent,
    Skipped,
    Started,
)
from sealift.files.disk import THREAD_COUNT, Disk
from sealift.files.target import Target
from sealift.files.walk import Passed, file_size, walk
from sealift.memory import Memory
from sealift.model import Direction, Job, Location, RemoteObject
from sealift.options import ADAPTIVE_CEILING, Options
from sealift.pace import Pace, start_for
from sealift.plan import (
    Naming,
    check_name,
    check_size,
    copied_object,
    copied_prefix,
    copy_job,
    download_job,
    file_location,
    is_marker,
    object_path,
    random_name,
    tree_prefix,
    upload_job,
)
from sealift.remote import Pages, Remote
from sealift.resources import Resources, Settle
from sealift.schedule import Schedule, first_error
from sealift.session import Session
from sealift.upload import Uploader
from sealift.wire.bucket import BucketClient, HeadFacts

A = TypeVar("A")
T = TypeVar("T")

# Files looked at in one go.
WALK_BATCH = 64

Plan = AsyncIterator[list[Job]]


class Engine:
    """Moves objects under one customer key; use it as an async context manager."""

    def __init__(self, options: Options, reporter: Reporter | None = None) -> None:
        self._options = options
        self._reporter: Reporter = reporter or Silent()
        self._stack = AsyncExitStack()
        self._memory = Memory.for_process(options.memory)
        self._disk = Disk()
        self._session = Session(options, self)
        self._remote = Remote(self._session)
        self._source_session = (
            self._session if options.source is None else Session(options.for_source(), self)
        )
        self._sessions = {self._session, self._source_session}
        self._pace = Pace(1, 0.0)

    async def __aenter__(self) -> Engine:
        self._stack.callback(self._disk.close)
        try:
            for session in self._sessions:
                await self._stack.enter_async_context(session)
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._stack.aclose()

    # Commands

    async def put(self, path: str, destination: Location) -> None:
        """Upload one file; a bucket or a name that ends with `/` keeps the file's name."""
        size = await self._file_size(path)
        if size is None:
            raise UsageError(f"{path} is a directory", hint="use: sealift cp")
        await self._up_file(path, size, destination)

    async def get(self, source: Location, destination: str | None = None) -> str:
        """Download one object, without a destination to `tmp/<uuid4><suffix>`; returns the path."""
        if destination is None:
            directory, name = "tmp", random_name(source.name)
        else:
            directory, name = await self._object_path(source, destination)
        await self._down_object(source, directory, name)
        return name if directory == "." else os.path.join(directory, name)

    async def copy(self, source: str, destination: str) -> None:
        """Copy a file, tree, object or prefix, up, down or across; `/` means "the contents"."""
        up, down = destination.startswith("s3://"), source.startswith("s3://")
        if not up and not down:
            raise UsageError("neither side is an s3:// URI", hint="write s3://BUCKET/NAME")
        if self._options.source is not None and not (up and down):
            raise UsageError(
                "options of the source are for copies from s3 to s3", hint="leave --source-... out"
            )
        if up and down:
            await self._copy_across(Location.parse(source), Location.parse(destination))
        elif up:
            await self._copy_up(source, Location.parse(destination))
        else:
            await self._copy_down(Location.parse(source), destination)

    async def restore(
        self, source: Location, destination: str = "tmp/", naming: Naming = Naming.KEEP
    ) -> None:
        """Bring back a prefix, or one object, below `destination`."""
        pages, cut = await self._remote.find(source)
        if pages is not None:
            await self._down_tree(source.bucket, pages, cut, destination, naming)
            return
        name = source.name.rsplit("/", 1)[-1]
        await self._down_object(
            source, destination, random_name(name) if naming is Naming.UUID else name
        )

    async def list_level(self, prefix: Location) -> AsyncIterator[RemoteObject | str]:
        """What is directly below a prefix, by name: objects, and deeper prefixes as text."""
        async for entry in self._remote.level(prefix):
            yield entry

    async def stat(self, location: Location) -> HeadFacts:
        """HEAD of an object with the customer key."""
        return await self._remote.head(location)

    # Up

    async def _copy_up(self, source: str, destination: Location) -> None:
        size = await self._file_size(source)
        if size is not None:
            await self._up_file(source, size, destination)
            return
        plan = self._plan_tree(source, tree_prefix(source, destination))
        await self._run_up(plan, destination.bucket)

    async def _up_file(self, path: str, size: int, destination: Location) -> None:
        location = file_location(path, destination)
        _usable(check_name, location.name)
        _usable(check_size, size)
        await self._run_up(self._plan_one(Job(Direction.UP, location, path, size)), location.bucket)

    async def _run_up(self, plan: Plan, bucket: str) -> None:
        objects = await self._session.objects(bucket)
        schedule = self._make_schedule(objects)
        uploader = Uploader(self._resources(objects, schedule), self._options.part_size)
        await self._run(schedule, plan, uploader.move)

    async def _plan_tree(self, root: str, prefix: Location) -> Plan:
        found = walk(root)
        while batch := await self._disk.run_brief(_take, found, WALK_BATCH):
            jobs = []
            for entry in batch:
                if isinstance(entry, Passed):
                    self._report_passed(entry)
                    continue
                try:
                    jobs.append(upload_job(entry, prefix))
                except ObjectError as error:
                    self.emit(Failed(entry.name, error))
            yield self._planned(jobs)
        self.emit(PlanComplete())

    def _report_passed(self, entry: Passed) -> None:
        if entry.error is not None:
            self.emit(Failed(entry.name, entry.error))
        else:
            self.emit(Skipped(entry.name, entry.reason))

    # Down

    async def _copy_down(self, source: Location, destination: str) -> None:
        pages, cut = await self._remote.find(source)
        if pages is not None:
            await self._down_tree(source.bucket, pages, cut, destination, Naming.KEEP)
        else:
            await self._down_object(source, *await self._object_path(source, destination))

    async def _down_object(self, source: Location, directory: str, name: str) -> None:
        if not source.name or source.name.endswith("/"):
            raise UsageError(f"{source} names no object", hint="use: sealift cp or restore")
        await self._session.objects(source.bucket)
        head = await self._remote.found(source)
        job = Job(Direction.DOWN, source, name, head.size)
        await self._run_down(self._plan_one(job), source.bucket, directory)

    async def _down_tree(
        self, bucket: str, pages: Pages, cut: str, directory: str, naming: Naming
    ) -> None:
        await self._run_down(self._plan_pages(bucket, pages, cut, naming), bucket, directory)

    async def _run_down(self, plan: Plan, bucket: str, directory: str) -> None:
        objects = await self._session.objects(bucket)
        schedule = self._make_schedule(objects)
        target = await self._disk.run(_usable, Target, directory)
        try:
            resources = self._resources(objects, schedule)
            open_count = files_at_once(schedule.ceiling, THREAD_COUNT)
            downloader = Downloader(resources, self._options.part_size, target, open_count)
            await self._run(schedule, plan, downloader.move)
        finally:
            target.close()

    async def _plan_pages(self, bucket: str, pages: Pages, cut: str, naming: Naming) -> Plan:
        async for page in pages:
            jobs = []
            for found in page:
                if is_marker(found):
                    self.emit(Skipped(found.name, "directory marker"))
                else:
                    jobs.append(download_job(bucket, found, cut, naming))
            yield self._planned(jobs)
        self.emit(PlanComplete())

    # Across

    async def _copy_across(self, source: Location, destination: Location) -> None:
        there = self._options.for_source()
        same_server = there.same_server(self._options)
        same_key = there.customer_key == self._options.customer_key
        remote = Remote(self._source_session)
        pages, cut = await remote.find(source)
        if pages is None:
            target = copied_object(source, destination)
            size = (await remote.found(source)).size
            plan = self._plan_one(_usable(partial(copy_job, source, size), target))
            in_place = target == source
        else:
            prefix = copied_prefix(source, destination, same_server=same_server)
            plan = self._plan_copies(source.bucket, pages, cut, prefix)
            in_place = prefix == Location(source.bucket, cut)
        if in_place and same_server and same_key:
            raise UsageError(
                "the source and the destination are the same object", hint="give another name"
            )
        objects = await self._session.objects(destination.bucket)
        side = Source(
            await self._source_session.objects(source.bucket),
            self._source_session.retrier,
            same_server,
        )
        schedule = self._make_schedule(objects)
        copier = Copier(self._resources(objects, schedule), self._options.part_size, side)
        await self._run(schedule, plan, copier.move)

    async def _plan_copies(self, bucket: str, pages: Pages, cut: str, prefix: Location) -> Plan:
        async for page in pages:
            jobs = []
            for found in page:
                if found.name == cut:
                    self.emit(Skipped(found.name, "directory marker"))
                    continue
                location = prefix.child(found.name.removeprefix(cut))
                try:
                    jobs.append(copy_job(Location(bucket, found.name), found.size, location))
                except ObjectError as error:
                    self.emit(Failed(found.name, error))
            yield self._planned(jobs)
        self.emit(PlanComplete())

    # All of them

    async def _plan_one(self, job: Job) -> Plan:
        yield self._planned([job])
        self.emit(PlanComplete())

    def _planned(self, jobs: list[Job]) -> list[Job]:
        self.emit(Planned(len(jobs), sum(job.size for job in jobs)))
        return jobs

    async def _run(
        self, schedule: Schedule, plan: Plan, move: Callable[[list[Job], Settle], Awaitable[None]]
    ) -> None:
        def settle(job: Job, outcome: bool | ObjectError) -> None:
            if isinstance(outcome, ObjectError):
                self.emit(Failed(job.location.name, outcome, job))
            else:
                self.emit(Finished(job, outcome))

        async def run_batch(jobs: list[Job]) -> None:
            for job in jobs:
                self.emit(Started(job))
            await move(jobs, settle)

        try:
            async with anyio.create_task_group() as keeper:
                for session in self._sessions:
                    keeper.start_soon(session.keep_credentials)
                await schedule.run(plan, run_batch)
                keeper.cancel_scope.cancel()
        except BaseExceptionGroup as group:
            raise first_error(group) from None

    def _make_schedule(self, objects: BucketClient) -> Schedule:
        fixed = self._options.concurrency
        ceiling = fixed or ADAPTIVE_CEILING
        possible = worker_limit()
        if possible is not None and possible < ceiling:
            if fixed is not None:
                self.emit(
                    Noted(f"the limit of open files (ulimit -n) allows {possible} requests at once")
                )
            ceiling = possible
        start = start_for(objects.answer_time) if fixed is None else ceiling
        self._pace = Pace(ceiling, time.monotonic(), start=start)
        return Schedule(ceiling, self._pace)

    def _resources(self, objects: BucketClient, schedule: Schedule) -> Resources:
        return Resources(
            objects=objects,
            disk=self._disk,
            memory=self._memory,
            retrier=self._session.retrier,
            spread=schedule.spread,
            note_done=schedule.note_done,
        )

    async def _file_size(self, path: str) -> int | None:
        return await self._disk.run(_usable, file_size, path)

    async def _object_path(self, source: Location, destination: str) -> tuple[str, str]:
        there = await self._disk.run(os.path.isdir, destination)
        return object_path(source, destination, is_directory=there)

    def emit(self, event: Event) -> None:
        """Pass an event on to the reporter; a server that asks to slow down slows the pace."""
        if isinstance(event, Retried) and event.error.cause is Cause.THROTTLED:
            self._pace.throttled(time.monotonic())
        self._reporter.emit(event)


def _take(found: Iterator[T], count: int) -> list[T]:
    return list(islice(found, count))


def _usable(check: Callable[[A], T], argument: A) -> T:
    """Run a check on an argument of the command: its failure means that nothing was started."""
    try:
        return check(argument)
    except ObjectError as error:
        raise UsageError(error.message, hint=error.hint) from None

"""Runs a plan: one schedule, its workers, and who moves the objects of one direction."""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Coroutine, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import anyio

from sealift.catalogue import Catalogue
from sealift.cleaning import drop_unclaimed
from sealift.descriptors import files_at_once, idle_directories, worker_limit
from sealift.errors import ObjectError, UsageError
from sealift.events import Failed, Finished, Noted, Removed, Reporter, Started, Unchanged
from sealift.files.directories import KEPT_DIRECTORY_COUNT, Identity
from sealift.files.disk import THREAD_COUNT, Disk
from sealift.files.target import Target
from sealift.journal import Journal
from sealift.keyed import Move, Plan, by_key
from sealift.ledger import Ledger
from sealift.memory import Memory
from sealift.model import MAX_RANGE_SIZE, Durability, Job, Location
from sealift.opening import Opened
from sealift.options import ADAPTIVE_CEILING, Options, TreeOptions
from sealift.outlook import Outlook
from sealift.pace import Pace, start_for
from sealift.recorder import Recorder
from sealift.records import RunRecord
from sealift.resources import Resources, Sight
from sealift.schedule import Schedule, first_error
from sealift.session import Session
from sealift.state import working_directory
from sealift.unlocking import Unlocker, Unlockers
from sealift.wire.bucket import BucketClient

if TYPE_CHECKING:
    from sealift.capabilities import Capabilities
    from sealift.copier import Source

# Makes another move of one: what is done around it.
Around = Callable[[Move], Move]
Endless = Callable[[], Coroutine[Any, Any, None]]


def _just(move: Move) -> Move:
    return move


class Runner:
    """Runs the plans of one engine, one at a time; `sessions` are all that it uses."""

    def __init__(
        self,
        options: Options,
        session: Session,
        sessions: Collection[Session],
        disk: Disk,
        memory: Memory,
        catalogue: Catalogue,
        reporter: Reporter,
        unlockers: Unlockers,
    ) -> None:
        self._unlockers = unlockers
        self._options = options
        self._keyring = options.keys()
        self._session = session
        self._sessions = sessions
        self._disk = disk
        self._memory = memory
        self._catalogue = catalogue
        self._reporter = reporter
        self._pace = Pace(1, 0.0)
        self.gap_since: float | None = None
        """Of the last run up or down, see `Ledger.gap_since`."""

    async def up(self, plan: Plan, bucket: str, tree: TreeOptions, around: Around = _just) -> None:
        """Upload the files of `plan`."""
        objects = await self._session.objects(bucket)
        schedule = self._make_schedule(objects)
        ledger = self._make_ledger(objects)
        await ledger.open()
        self.gap_since = ledger.gap_since()

        def make(resources: Resources) -> Move:
            from sealift.upload import Uploader  # here: many syncs find nothing to move

            return Uploader(
                resources,
                self._options.part_size,
                preserve_mode=tree.preserve_mode,
                if_absent=tree.if_absent,
            ).move

        move = by_key(self._resources(objects, schedule, ledger), self._keyring, make)
        await self._run(objects, schedule, plan, around(move), ledger)

    async def down(
        self,
        plan: Plan,
        bucket: str,
        directory: str,
        tree: TreeOptions,
        around: Around = _just,
        *,
        resumes: bool = True,
    ) -> None:
        """Download the objects of `plan` below `directory`, which is made when it is missing."""
        objects = await self._session.objects(bucket)
        unlocker = await self._unlockers.of(bucket)
        schedule = self._make_schedule(objects)
        target = await self._disk.run(_open_target, directory, tree.durability)
        ledger = self._make_ledger(objects, target, resumes=resumes)
        try:
            try:
                await self._sweep(ledger, target)
            except BaseException:
                await ledger.finish(finished=False)
                raise
            self.gap_since = ledger.gap_since()
            resources = self._resources(objects, schedule, ledger)
            open_count = files_at_once(schedule.ceiling, THREAD_COUNT)

            def make(resources: Resources) -> Move:
                from sealift.download import Downloader

                return Downloader(
                    resources,
                    self._options.part_size,
                    target,
                    open_count,
                    preserve_mode=tree.preserve_mode,
                    markers=tree.markers,
                ).move

            each = by_key(resources, self._keyring, make, writes=False)
            move = around(unlocker.around(each))
            await self._run(objects, schedule, unlocker.guessed(plan), move, ledger, target)
        finally:
            target.close()

    async def across(
        self,
        plan: Plan,
        bucket: str,
        source: Source,
        unlocker: Unlocker,
        tree: TreeOptions,
        around: Around = _just,
    ) -> None:
        """Copy the objects of `plan`, which `source` and its `unlocker` read, to a bucket."""
        from sealift.copier import Copier  # here, as below: most runs do without

        objects = await self._session.objects(bucket)
        schedule = self._make_schedule(objects)
        ledger = self._make_ledger(objects)
        resources = self._resources(objects, schedule, ledger)

        def make(resources: Resources) -> Move:
            return Copier(resources, self._options.part_size, source, if_absent=tree.if_absent).move

        move = around(unlocker.around(by_key(resources, self._keyring, make)))
        await self._run(objects, schedule, unlocker.guessed(plan), move, ledger)

    async def rekey(
        self, plan: Plan, bucket: str, make: Callable[[Resources], Move], *, moves: bool
    ) -> None:
        """Have each object of `plan` written anew in its place; unless it `moves`, only looked at.

        `make` makes what does it.
        """
        objects = await self._session.objects(bucket)
        schedule = self._make_schedule(objects)
        ledger = self._make_ledger(objects)
        move = make(self._resources(objects, schedule, ledger))
        await self._run(objects, schedule, plan, move, ledger if moves else None)

    async def look(self, plan: Plan, bucket: str, see: Move) -> None:
        """Run `see` in the place of moves: for dry runs."""
        objects = await self._session.objects(bucket)
        await self._run(objects, self._make_schedule(objects), plan, see, None)

    async def inspect(self, plan: Plan, bucket: str, make: Callable[[Sight], Move]) -> None:
        """Run what `make` makes in the place of moves; nothing is recorded."""
        objects = await self._session.objects(bucket)
        schedule = self._make_schedule(objects)
        sight = Sight(
            open_bucket=self._session.objects,
            keyring=self._keyring,
            read_tag=self._unlockers.read_tag,
            disk=self._disk,
            memory=self._memory,
            retrier=self._session.make_retrier(schedule.pause),
            spread=schedule.spread,
            note_done=schedule.note_done,
            range_size=min(self._options.part_size, MAX_RANGE_SIZE),
        )
        await self._run(objects, schedule, plan, make(sight), None)

    async def read(self, source: Location, opened: Opened, fd: int) -> None:
        """Write the bytes of one object to a file descriptor; see `reading` for what is checked."""
        from sealift.files.output import Output
        from sealift.reading import READ_AHEAD, Reader

        reader = Reader(
            (await self._unlockers.of(source.bucket)).client(opened.key_id),
            self._session.retrier,
            self._memory,
            self._disk,
            range_size=min(self._options.part_size, MAX_RANGE_SIZE),
            ahead=self._options.concurrency or READ_AHEAD,
        )
        output = Output(fd)
        try:
            await self._with(
                [self._keep_credentials], partial(reader.read, source.name, opened.head, output)
            )
        finally:
            output.close()

    async def remove(self, names: AsyncIterator[list[str]], bucket: str) -> None:
        """Remove the objects `names`."""
        from sealift.removal import Remover

        objects = await self._session.objects(bucket)
        remover = Remover(objects, self._session.retrier, self._reporter)
        await self._with([self._keep_credentials], partial(remover.remove, names))

    async def remove_files(
        self, names: Sequence[str], directory: str, was: Identity | None, kept: Collection[str]
    ) -> None:
        """Remove the files `names` below `directory`, and directories that this leaves empty.

        The directories `kept`, as `a/b/`, stay. ObjectError when `directory` is not what it `was`.
        """
        from sealift.removal import remove_files

        errors = await self._disk.run(remove_files, directory, names, was, kept)
        for name, error in zip(names, errors, strict=True):
            self._reporter.emit(Removed(name) if error is None else Failed(name, error))

    async def _keep_credentials(self) -> None:
        async with anyio.create_task_group() as group:
            for session in self._sessions:
                group.start_soon(session.keep_credentials)

    def slow_down(self) -> None:
        """A server asked for it."""
        self._pace.throttled(time.monotonic())

    async def _run(
        self,
        objects: BucketClient,
        schedule: Schedule,
        plan: Plan,
        move: Move,
        ledger: Ledger | None,
        target: Target | None = None,
    ) -> None:
        """Run `plan`, down to `target`; without `ledger` nothing is moved, so nothing recorded."""
        recorder = self._make_recorder(objects)
        outlook = Outlook()
        failed = False

        def settle(job: Job, outcome: bool | ObjectError | None) -> None:
            nonlocal failed
            if isinstance(outcome, ObjectError):
                failed = True
                self._reporter.emit(Failed(job.location.name, outcome, job))
                end = outlook.end_after(outcome, has_written=schedule.has_done)
                if end is not None:
                    raise end
                return
            outlook.note_success()
            if target is not None and target.durability is Durability.NONE:
                job.mtime_ns = None  # it proves nothing: a power cut may keep it and not the bytes
            if ledger is not None and job.etag:  # else an object was left alone, and not looked at
                recorder.record(job)
            if outcome is None:
                self._reporter.emit(Unchanged(1, job.size, job))
            else:
                self._reporter.emit(Finished(job, outcome))

        async def run_batch(jobs: list[Job]) -> None:
            for job in jobs:
                self._reporter.emit(Started(job))
            await move(jobs, settle)

        async def work() -> None:
            await schedule.run(plan, run_batch)
            if ledger is not None and not failed:
                await drop_unclaimed(ledger, objects, self._session.retrier, self._disk, target)

        meanwhile: list[Endless] = [self._keep_credentials]
        if ledger is not None:
            meanwhile += [recorder.keep_recording, ledger.keep_writing]
        is_through = False
        try:
            await self._with(meanwhile, work)
            is_through = True
        finally:
            await recorder.finish()
            if ledger is not None:
                await ledger.finish(finished=is_through and not failed)

    async def _with(
        self, meanwhile: Sequence[Endless], work: Callable[[], Awaitable[None]]
    ) -> None:
        """Await `work`; `meanwhile` goes on until it is done."""
        try:
            async with anyio.create_task_group() as keeper:
                for call in meanwhile:
                    keeper.start_soon(call)
                await work()
                keeper.cancel_scope.cancel()
        except BaseExceptionGroup as group:
            raise first_error(group) from None

    def _make_recorder(self, objects: BucketClient) -> Recorder:
        return Recorder(self._catalogue, self._disk, self._reporter, objects.scope, objects.key_id)

    def _make_ledger(
        self, objects: BucketClient, target: Target | None = None, *, resumes: bool = True
    ) -> Ledger:
        run = RunRecord(
            target.token if target else secrets.token_hex(8),
            time.time(),
            self._options.words,
            working_directory(),
            objects.scope,
            target.root if target else None,
            self._options.aim,
        )
        return Ledger(
            Journal(self._options.state_directory, run),
            run,
            self._disk,
            self._reporter,
            resumes=resumes,
        )

    async def _sweep(self, ledger: Ledger, target: Target) -> None:
        """Remove what dead runs left below the target, but for what this one may go on with."""
        await ledger.open()
        tokens, kept = ledger.stale_tokens()
        if tokens:
            await self._disk.run(target.sweep, tokens, kept)
            await ledger.swept(sorted(tokens))

    def _make_schedule(self, objects: BucketClient) -> Schedule:
        fixed = self._options.concurrency
        ceiling = fixed or ADAPTIVE_CEILING
        possible = worker_limit()
        if possible is not None and possible < ceiling:
            if fixed is not None:
                self._reporter.emit(
                    Noted(f"the limit of open files (ulimit -n) allows {possible} requests at once")
                )
            ceiling = possible
        start = start_for(objects.answer_time) if fixed is None else ceiling
        self._pace = Pace(ceiling, time.monotonic(), start=start)
        return Schedule(ceiling, self._pace)

    def _resources(self, objects: BucketClient, schedule: Schedule, ledger: Ledger) -> Resources:
        return Resources(
            objects=objects,
            disk=self._disk,
            memory=self._memory,
            retrier=self._session.make_retrier(schedule.pause),
            spread=schedule.spread,
            note_done=schedule.note_done,
            ledger=ledger,
            explained=self._explained,
            recall=partial(self._recall, objects.scope),
        )

    async def _recall(self, scope: str) -> Capabilities:
        """What is remembered of a server under a customer key."""
        from sealift.capabilities import UNKNOWN, recall  # here: small files have no use for it

        if self._options.customer_key is None:
            return UNKNOWN
        return await self._disk.run(recall, self._options.state_directory, scope, time.time())

    async def _explained(self, error: ObjectError, job: Job) -> ObjectError:
        location = job.location
        return await self._session.explained(error, location.bucket, location.name)


def _open_target(directory: str, durability: Durability | None) -> Target:
    try:
        return Target(
            directory,
            durability or Durability.FILE,
            kept_count=idle_directories(KEPT_DIRECTORY_COUNT),
        )
    except ObjectError as error:
        raise UsageError(error.message, hint=error.hint) from None

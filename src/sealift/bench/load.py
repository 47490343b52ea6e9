"""Puts an endpoint under the load of one cell, as `cp` would without its disk, and times it.

The data plane, the schedule, the pace, the memory budget and the retries are those of a transfer;
checksums are computed as there. Left out are the files, the journal, and second tries of requests
that take long.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

import anyio

from sealift.bench.cells import Cell, Way
from sealift.bench.noise import Noise, digest_of, each_of
from sealift.bench.objects import Stored
from sealift.bench.results import Result
from sealift.bench.samples import Samples, quantiles, step_count
from sealift.bench.watch import Watch
from sealift.checksums import Digest, combine, crc64
from sealift.descriptors import worker_limit
from sealift.errors import ObjectError
from sealift.files.disk import Disk
from sealift.memory import Memory
from sealift.metadata import FileFacts
from sealift.model import (
    MAX_RANGE_SIZE,
    ByteRange,
    Direction,
    Job,
    KiB,
    Location,
    Part,
    PartDone,
    cut_parts,
    cut_ranges,
    part_size_for,
)
from sealift.options import ADAPTIVE_CEILING
from sealift.pace import Pace, start_for
from sealift.retry import Retrier
from sealift.schedule import Schedule, first_error
from sealift.session import Session
from sealift.upload import MAX_BUFFERED_PART_SIZE
from sealift.wire.bucket import BucketClient
from sealift.wire.connection import Body
from sealift.wire.timed import Timing
from sealift.wire.uploads import MultipartStart

T = TypeVar("T")

# Requests in flight when the span ends may end within so many seconds, or within the span again.
GRACE = 5.0
# A cell in which nothing succeeds ends the run at once, and any at so many failures.
MAX_FAILURES = 20
_PAGE = 256
_STORE_WORKERS = 4
# Checksums of more bytes are left to a thread.
_LOOP_SIZE = 256 * KiB


@dataclass(slots=True)
class _Cell:
    """One cell under way. `start` to `end` is the span that counts, on the monotonic clock.

    `in_flight` has when each request began; `cut` are those that took too long to wait for.
    """

    cell: Cell
    retrier: Retrier
    schedule: Schedule
    samples: Samples = field(default_factory=Samples)
    cut: Samples = field(default_factory=Samples)
    in_flight: dict[Timing, float] = field(default_factory=dict)
    start: float = 0.0
    end: float = 0.0
    cpu: float = 0.0
    is_over: bool = False
    object_count: int = 0
    failed_count: int = 0
    error: str = ""

    def note_object(self) -> None:
        """An object is complete."""
        self.schedule.note_done()
        if self.start and not self.is_over:
            self.object_count += 1


class Load:
    """Runs cells one at a time on one bucket."""

    def __init__(
        self,
        session: Session,
        objects: BucketClient,
        memory: Memory,
        disk: Disk,
        watch: Watch,
        stored: Stored,
    ) -> None:
        self._session = session
        self._objects = objects
        self._memory = memory
        self._disk = disk
        self._watch = watch
        self._stored = stored
        self._noise = Noise(MAX_BUFFERED_PART_SIZE)
        self._checks_crc = False

    async def run(
        self, cell: Cell, names: Iterator[Location], warm_up: float, seconds: float
    ) -> Result:
        """Measure `cell` on the objects `names`, an endless iterator, for so many seconds after
        `warm_up`.

        Raises ObjectError when nothing works.
        """
        ceiling = cell.concurrency or ADAPTIVE_CEILING
        possible = worker_limit()
        if possible is not None:
            ceiling = min(ceiling, possible)
        start = ceiling if cell.concurrency else start_for(self._objects.answer_time)
        pace = self._watch.pace = Pace(ceiling, time.monotonic(), start=start)
        schedule = Schedule(ceiling, pace)
        run = _Cell(cell, self._session.make_retrier(schedule.pause), schedule)
        self._watch.retry_count = self._watch.throttle_count = 0
        try:
            async with anyio.create_task_group() as group:
                with anyio.CancelScope() as scope:
                    group.start_soon(_keep_time, run, warm_up, seconds, scope)
                    await schedule.run(_plan(run, names), partial(self._run_batch, run))
                group.cancel_scope.cancel()
        except BaseExceptionGroup as failed:
            raise first_error(failed) from None
        finally:
            self._watch.pace = None
        return self._result(run, pace.limit)

    async def settle(self) -> None:
        """Wait until the server is through with what the cell before has left it to do."""
        with suppress(ObjectError):  # who may not list may yet read and write
            await self._session.retrier.run("", self._objects.reach)

    async def store(self, size: int, part_size: int | None, location: Location) -> None:
        """Store one object, whatever time it takes. Raises ObjectError."""
        schedule = Schedule(_STORE_WORKERS, Pace(_STORE_WORKERS, 0.0, start=_STORE_WORKERS))
        retrier = self._session.make_retrier(schedule.pause)
        run = _Cell(Cell(Way.UP, size, part_size, _STORE_WORKERS), retrier, schedule)

        async def plan() -> AsyncIterator[list[Job]]:
            yield [Job(Direction.UP, location, "", size)]

        await schedule.run(plan(), partial(self._run_batch, run))

    async def _run_batch(self, run: _Cell, jobs: list[Job]) -> None:
        if run.is_over:
            return
        is_up = run.cell.way is Way.UP
        try:
            if run.cell.part_size is None:
                await (self._put_each if is_up else self._get_each)(run, jobs)
            else:
                for job in jobs:
                    await (self._put_parts if is_up else self._get_ranges)(run, job)
        except ObjectError as error:
            run.failed_count += 1
            run.error = run.error or error.message
            if not run.schedule.has_done or run.failed_count >= MAX_FAILURES:
                raise

    # One request an object

    async def _put_each(self, run: _Cell, jobs: list[Job]) -> None:
        async with self._memory.buffer(sum([job.size for job in jobs])):
            for job in jobs:
                if run.is_over:
                    return
                await run.retrier.run(job.location.name, self._put, run, job)
                run.note_object()

    async def _put(self, run: _Cell, job: Job) -> None:
        data = self._noise.view(job.size)
        digest = await self._digest(data)
        name = job.location.name
        self._stored.note_begun(name)
        with _timed(run, job.size) as timing:
            stored = await self._objects.put_object(
                name, data, job.size, digest, None, FileFacts(time.time_ns(), digest.crc), timing
            )
        self._checks_crc = self._checks_crc or stored.checked
        self._stored.note_done(job.location, stored.version_id)

    async def _get_each(self, run: _Cell, jobs: list[Job]) -> None:
        async with self._memory.buffer(sum([job.size for job in jobs])) as room:
            start = 0
            for job in jobs:
                if run.is_over:
                    return
                view = room[start : start + job.size]
                await run.retrier.run(job.location.name, self._get, run, job.location.name, view)
                start += job.size
                run.note_object()

    async def _get(self, run: _Cell, name: str, room: memoryview) -> None:
        with _timed(run, len(room)) as timing:
            await self._objects.get_object(name, room, None, None, timing)
        await self._check(room)

    # Parts and ranges

    async def _put_parts(self, run: _Cell, job: Job) -> None:
        name = job.location.name
        self._stored.note_creating(name)
        start = await run.retrier.run(name, self._create, name, idempotent=False)
        self._stored.note_upload(name, start.upload_id)
        part_size = part_size_for(job.size, run.cell.part_size or 0)
        done: list[PartDone] = []

        async def send(part: Part) -> None:
            if run.is_over:
                return
            done.append(
                await run.retrier.run(name, self._put_part, run, name, start.upload_id, part)
            )

        await run.schedule.spread(_until_over(run, cut_parts(job.size, part_size)), send)
        if sum([part.size for part in done]) < job.size:
            return
        done.sort(key=lambda part: part.number)
        crc = combine((part.crc or 0, part.size) for part in done) if start.whole_crc else None
        completed = await run.retrier.run(
            name, self._objects.complete_multipart_upload, name, start.upload_id, done, crc
        )
        self._stored.note_completed(start.upload_id)
        version_id = completed.version_id
        if not completed.echoed:  # as `completion` does; Ceph tells the version here only
            version_id = (await run.retrier.run(name, self._objects.head_object, name)).version_id
        run.note_object()
        self._stored.note_done(job.location, version_id)

    async def _create(self, name: str) -> MultipartStart:
        return await self._objects.create_multipart_upload(
            name, None, FileFacts(time.time_ns()), whole_crc=True
        )

    async def _put_part(self, run: _Cell, name: str, upload_id: str, part: Part) -> PartDone:
        size = part.span.size
        async with self._memory.buffer(min(size, MAX_BUFFERED_PART_SIZE)):
            data: Body
            if size <= MAX_BUFFERED_PART_SIZE:
                data = self._noise.view(size)
                digest = await self._digest(data)
            else:
                views = self._noise.views(size)
                digest = await self._disk.run(digest_of, views, not self._checks_crc)
                data = partial(each_of, views)
            with _timed(run, size) as timing:
                stored = await self._objects.upload_part(
                    name, upload_id, part.number, data, size, digest, timing
                )
        self._checks_crc = self._checks_crc or stored.checked
        return PartDone(part.number, size, stored.etag, digest.crc)

    async def _get_ranges(self, run: _Cell, job: Job) -> None:
        name = job.location.name
        head = await run.retrier.run(name, self._objects.head_object, name)

        async def fetch(span: ByteRange) -> None:
            if not run.is_over:
                await run.retrier.run(name, self._get_range, run, name, span, head.etag)

        step = min(run.cell.part_size or 0, MAX_RANGE_SIZE)
        await run.schedule.spread(_until_over(run, cut_ranges(job.size, step)), fetch)
        run.note_object()

    async def _get_range(self, run: _Cell, name: str, span: ByteRange, etag: str) -> None:
        async with self._memory.buffer(span.size) as room:
            with _timed(run, span.size) as timing:
                await self._objects.get_object(name, room, span, etag, timing)
            await self._check(room)

    # Checksums

    async def _digest(self, data: memoryview) -> Digest:
        """With Content-MD5, as long as the server has not shown that it checks the CRC."""
        with_md5 = not self._checks_crc
        if len(data) < _LOOP_SIZE:
            return Digest(data, with_md5=with_md5)
        return await self._disk.run(digest_of, [data], with_md5)

    async def _check(self, data: memoryview) -> None:
        if len(data) < _LOOP_SIZE:
            crc64(data)
        else:
            await self._disk.run(crc64, data)

    def _result(self, run: _Cell, reached: int) -> Result:
        samples, start, end = run.samples, run.start, run.end
        steps = step_count(end - start)
        rates = [each.rates(start, end, steps) for each in (samples, run.cut)]
        return Result(
            cell=run.cell,
            reached=reached,
            seconds=end - start,
            size=round(samples.moved(start, end) + run.cut.moved(start, end)),
            object_count=run.object_count,
            request_count=samples.count(start, end),
            first_byte=quantiles(samples.first_byte_times(start, end)),
            request=quantiles(samples.request_times(start, end)),
            cpu_seconds=run.cpu,
            retry_count=self._watch.retry_count,
            throttle_count=self._watch.throttle_count,
            failed_count=run.failed_count,
            error=run.error,
            rates=tuple(map(sum, zip(*rates, strict=True))),
        )


async def _keep_time(run: _Cell, warm_up: float, seconds: float, scope: anyio.CancelScope) -> None:
    """Begin and end the span that counts; what is in flight long after that is cut off."""
    await anyio.sleep(warm_up)
    run.start, cpu = time.monotonic(), time.process_time()
    await anyio.sleep(seconds)
    run.end, run.cpu = time.monotonic(), time.process_time() - cpu
    run.is_over = True
    await anyio.sleep(max(GRACE, seconds))
    now = time.monotonic()
    for timing, began in run.in_flight.items():
        run.cut.add(began, now, now, timing.moved)
    scope.cancel()


async def _plan(run: _Cell, names: Iterator[Location]) -> AsyncIterator[list[Job]]:
    cell = run.cell
    direction = Direction.UP if cell.way is Way.UP else Direction.DOWN
    while not run.is_over:
        yield [Job(direction, name, "", cell.size) for name in itertools.islice(names, _PAGE)]


@contextmanager
def _timed(run: _Cell, size: int) -> Iterator[Timing]:
    """Times one attempt of a request; it counts if it succeeds."""
    timing = Timing()
    began = run.in_flight[timing] = time.monotonic()
    try:
        yield timing
        heard = began + timing.heard_at - timing.began_at  # without the time to connect
        run.samples.add(began, heard, time.monotonic(), size)
    finally:
        del run.in_flight[timing]


def _until_over(run: _Cell, pieces: Iterator[T]) -> Iterator[T]:
    return itertools.takewhile(lambda _: not run.is_over, pieces)

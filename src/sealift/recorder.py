"""Writes what a run has moved into the catalogue, while it goes on: the workers never wait for it.

Once a span all objects that have ended meanwhile are written, in a thread of the disk; the event
loop appends each to a queue and does no more. When the disk is slower than the network for long,
the queue drops its oldest: the catalogue may have gaps, the run may not be held up.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

import anyio

from sealift.catalogue import Catalogue
from sealift.errors import CatalogueError
from sealift.events import Noted, Reporter
from sealift.files.disk import Disk
from sealift.model import Direction, Job, Known, bare_etag

# Seconds: what a crash may leave unrecorded.
INTERVAL = 1.0
BATCH_COUNT = 1000
# Objects that wait: some 10 MiB of memory, and what the fastest run moves in two seconds.
WAITING_COUNT = 20_000
# Nanoseconds: the steps in which files get their times, by the kernel's tick, or by file systems
# that know whole seconds only (FAT two of them).
TICK_NS = 10_000_000
COARSE_TICK_NS = 2_000_000_000
# Seconds that the end of a run, also of one that was interrupted, waits for its last objects.
FINISH_TIME = 1.0


class Recorder:
    """Records the finished jobs of one run; they are of one bucket.

    `key_id` is that of the customer key of jobs that name none. `record` takes a job that is done,
    and is to be called once an object.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        disk: Disk,
        reporter: Reporter,
        scope: str,
        key_id: str | None,
    ) -> None:
        self._catalogue = catalogue
        self._disk = disk
        self._reporter = reporter
        self._scope = scope
        self._key_id = key_id
        self._waiting: deque[Job] = deque(maxlen=WAITING_COUNT)
        self._troubles: list[CatalogueError] = []
        self._begun_ns = time.time_ns()
        self.record = self._waiting.append

    async def keep_recording(self) -> None:
        """Write what is there from time to time, for ever.

        The file is opened at once: the first objects are on their way, and the loop has nothing
        else to do.
        """
        await self._call(self._catalogue.open)
        while True:
            await anyio.sleep(INTERVAL)
            await self._write_all()

    async def finish(self) -> None:
        """Write the rest; a cancelled run waits for it, though not for long."""
        with anyio.move_on_after(FINISH_TIME, shield=True):
            await self._write_all()

    async def _write_all(self) -> None:
        for _ in range(-(-len(self._waiting) // BATCH_COUNT)):  # those of now, not those to come
            await self._call(self._write_batch)

    async def _call(self, work: Callable[[], None]) -> None:
        try:
            await self._disk.run(self._attempt, work)
        finally:  # also of a call that was cancelled: a trouble is told but once
            while self._troubles:
                self._reporter.emit(Noted(str(self._troubles.pop())))

    # In a thread

    def _attempt(self, work: Callable[[], None]) -> None:
        try:
            work()
        except CatalogueError as trouble:
            self._troubles.append(trouble)

    def _write_batch(self) -> None:
        """Jobs are taken here, in the thread: a call that is given up loses none."""
        count = min(BATCH_COUNT, len(self._waiting))
        jobs = [self._waiting.popleft() for _ in range(count)]
        rows = [
            Known(
                job.location.name,
                job.size,
                bare_etag(job.etag),
                job.version_id,
                job.crc,
                job.mtime_ns if self._is_at_rest(job) else None,
                (self._key_id if job.key_id is None else job.key_id) or None,
            )
            for job in jobs
        ]
        self._catalogue.record(self._scope, rows)

    def _is_at_rest(self, job: Job) -> bool:
        """Whether whoever writes to the file after it was read gives it another mtime.

        Not so where it was written but a tick before, or even after the run began: then its mtime
        proves nothing, and is not recorded.
        """
        if job.mtime_ns is None or job.direction is not Direction.UP:
            return True
        tick_ns = TICK_NS if job.mtime_ns % 1_000_000_000 else COARSE_TICK_NS
        return job.mtime_ns < self._begun_ns - tick_ns

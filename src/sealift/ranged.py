"""One object coming down by concurrent ranges of one version of it, and going on after a crash.

What is there is in the journal from time to time: first the bytes are made durable, then noted. A
later run takes the temporary file over when the object is still the same version, and reads each
noted range again before it believes it.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial

import anyio

from sealift.checksums import combine, crc64
from sealift.errors import NetworkError, ObjectError
from sealift.fetching import check_version
from sealift.files.names import split_name
from sealift.files.source import CHUNK_SIZE
from sealift.files.target import Target, TargetFile
from sealift.hedge import Hedge
from sealift.ledger import KEPT, is_resumable
from sealift.metadata import FileFacts
from sealift.model import ByteRange, Job, cut_ranges
from sealift.records import Change, DownloadPlanned, DownloadRecord, Ended, RangeAdded, RangeDone
from sealift.resources import Resources
from sealift.wire.bucket import HeadFacts
from sealift.wire.connection import Counter
from sealift.wire.operations import Received

# Seconds between two notes of what is there of an object: what a crash may cost.
NOTE_INTERVAL = 5.0


@dataclass(slots=True)
class _Download:
    """A download under way: its pinned version, its file, and (CRC, size) by start of range.

    `there` are the ranges that an earlier run has fetched, by their start; `unnoted` those that the
    journal does not have yet, as of `noted_at` (seconds, monotonic).

    One range is written at a time: the kernel lets no two write to one file, and those who wait
    for that spin (measured on tmpfs: 2 GiB by eight threads took 1.4 s, by one 0.5 s).
    """

    job: Job
    head: HeadFacts
    file: TargetFile
    record: DownloadRecord
    there: dict[int, RangeDone]
    noted_at: float
    writing: anyio.Lock = field(default_factory=anyio.Lock)
    allocated: bool = False
    crcs: dict[int, tuple[int, int]] = field(default_factory=dict)
    unnoted: list[RangeDone] = field(default_factory=list)
    is_planned: bool = False


class RangedDownloader:
    """Moves large objects down; see `download.Downloader`."""

    def __init__(
        self, resources: Resources, range_size: int, target: Target, *, preserve_mode: bool
    ) -> None:
        self._objects = resources.objects
        self._disk = resources.disk
        self._memory = resources.memory
        self._retrier = resources.retrier
        self._spread = resources.spread
        self._ledger = resources.ledger
        self._hedge = Hedge()
        self._range_size = range_size
        self._target = target
        self._preserve_mode = preserve_mode

    async def fetch(self, job: Job, head: HeadFacts) -> bool:
        """Write the version `head` of the object; returns whether a stored CRC64NVME agreed.

        Raises ObjectError, see `download.Downloader`.
        """
        parts = split_name(job.path)
        job.size = head.size
        download = await self._begin(job, parts, head)
        file = download.file
        try:
            await self._spread(
                cut_ranges(head.size, download.record.range_size),
                partial(self._get_range, download),
            )
            crc = combine(download.crcs[start] for start in sorted(download.crcs))
            job.etag = head.etag
            job.version_id = head.version_id
            note_facts(job, crc, head.facts)
            if head.facts.mtime_ns is not None:
                file.set_mtime(head.facts.mtime_ns)
            if self._preserve_mode and head.facts.mode is not None:
                file.set_mode(head.facts.mode)
            with anyio.CancelScope(shield=True):  # what is done is done, and is to be known
                await self._disk.run(self._target.commit, file)
        except BaseException as error:
            job.moved = 0
            if self._ledger.is_kept and not job.is_named_anew and is_resumable(error):
                # They may not be durable: who goes on with them compares their CRC64NVME.
                self._ledger.add(*_changes(download, download.unnoted))
                self._target.keep(file)
                if isinstance(error, ObjectError):
                    error.hint = "; ".join(filter(None, (error.hint, KEPT)))
            else:
                self._target.discard(file)
                self._ledger.add(Ended(file.temporary))
            raise
        self._ledger.add(Ended(file.temporary))
        return head.facts.crc is not None

    async def _begin(self, job: Job, parts: list[str], head: HeadFacts) -> _Download:
        """The download as a dead run left it, if it was of this very version; else a new one."""
        records = await self._ledger.take_downloads(job.path)
        for earlier in records[:-1]:
            if earlier.temporary != records[-1].temporary:
                await self._drop(parts, earlier)
        if records:
            with anyio.CancelScope(shield=True):  # brief, and half of it would lose what is there
                download = await self._take_over(job, parts, head, records[-1])
            if download is not None:
                return download
        file = await self._disk.run(self._target.create, parts)
        record = DownloadRecord(
            file.temporary,
            self._ledger.run.scope,
            job.location.name,
            self._ledger.run.root or "",
            job.path,
            head.etag,
            head.version_id,
            head.size,
            self._range_size,
            self._objects.key_id,
        )
        return _Download(job, head, file, record, {}, time.monotonic())

    async def _drop(self, parts: list[str], earlier: DownloadRecord) -> None:
        """Remove what a dead run left, for a later one has left something newer."""
        file = await self._disk.run(self._target.reopen, parts, earlier.temporary, earlier.size)
        if file is not None:
            self._target.discard(file)
        await self._ledger.release(earlier.temporary)

    async def _take_over(
        self, job: Job, parts: list[str], head: HeadFacts, left: DownloadRecord
    ) -> _Download | None:
        """The download `left`, if it is of this very version; else nothing is left of it."""
        file = await self._disk.run(self._target.reopen, parts, left.temporary, head.size)
        version = (left.etag, left.version_id, left.size)
        fits = version == (head.etag, head.version_id, head.size)
        if file is not None and not (fits and left.key_id == self._objects.key_id):
            self._target.discard(file)
            file = None
        if file is not None:
            await self._ledger.note(DownloadPlanned(left))
        await self._ledger.release(left.temporary)
        if file is None:
            return None
        there = {done.start: done for done in left.ranges}
        return _Download(job, head, file, left, there, time.monotonic(), is_planned=True)

    async def _get_range(self, download: _Download, span: ByteRange) -> None:
        done = download.there.get(span.start)
        if done is not None and done.size == span.size and await self._is_there(download, done):
            download.job.moved += done.size
            download.crcs[done.start] = done.crc, done.size
            return
        pieces: list[tuple[int, int]] = []
        await self._retrier.run(
            download.job.location.name, self._get_range_once, download, span, pieces
        )
        crc = combine(pieces)
        download.crcs[span.start] = crc, span.size
        download.unnoted.append(RangeDone(span.start, span.size, crc))
        due = time.monotonic() - download.noted_at > NOTE_INTERVAL
        if due and not download.job.is_named_anew:
            await self._note_durable(download)

    async def _get_range_once(
        self, download: _Download, span: ByteRange, pieces: list[tuple[int, int]]
    ) -> None:
        """Fetch what is missing of `span`; `pieces`, by (CRC, size), are those written so far.

        What comes before a connection breaks is kept: a line that never holds for a whole range
        brings it all the same.
        """
        job = download.job
        rest = ByteRange(span.start + sum([size for _, size in pieces]), span.end)
        if not rest.size:  # all of it came, but not the end of the reply
            return
        with ExitStack() as spares:
            async with self._memory.buffer(rest.size) as own:
                try:
                    received, room = await self._hedge.run(
                        job,
                        partial(self._get, download, rest, own),
                        partial(self._get_again, download, rest, spares),
                    )
                except NetworkError as error:
                    if error.received:
                        data = own[: error.received]
                        pieces.append(await self._save(download, data, rest.start))
                        job.moved += error.received
                    raise
                with counted_if_kept(job, received.size):
                    check_version(received, download.head)
                    pieces.append(await self._save(download, room, rest.start))

    async def _get(
        self, download: _Download, span: ByteRange, room: memoryview, counter: Counter
    ) -> tuple[Received, memoryview]:
        name, etag = download.job.location.name, download.head.etag
        return await self._objects.get_object(name, room, span, etag, counter), room

    def _get_again(
        self, download: _Download, span: ByteRange, spares: ExitStack, counter: Counter
    ) -> Awaitable[tuple[Received, memoryview]] | None:
        """The same into a buffer of its own, if there is one to spare."""
        room = spares.enter_context(self._memory.spare(span.size))
        return None if room is None else self._get(download, span, room, counter)

    async def _save(self, download: _Download, data: memoryview, start: int) -> tuple[int, int]:
        """Write `data` to its place in the file; returns its CRC and size."""
        async with download.writing:
            if not download.allocated:
                await self._disk.run(download.file.allocate, download.head.size)
                download.allocated = True
            crc = await self._disk.run(_write, download.file, data, start)
        return crc, len(data)

    async def _is_there(self, download: _Download, done: RangeDone) -> bool:
        """Whether the file has the bytes of a range that an earlier run has fetched."""
        async with self._memory.buffer(min(done.size, CHUNK_SIZE)) as room:
            crc = await self._disk.run(download.file.crc, done.start, done.size, room)
        download.allocated = True
        return crc == done.crc

    async def _note_durable(self, download: _Download) -> None:
        """Make the ranges fetched so far durable, then note them, which is to last as well."""
        download.noted_at = time.monotonic()
        done, download.unnoted = download.unnoted, []
        try:
            await self._disk.run(download.file.sync_data)
        except BaseException:
            download.unnoted += done
            raise
        await self._ledger.note(*_changes(download, done))


def _changes(download: _Download, done: list[RangeDone]) -> list[Change]:
    """How the ranges `done` are noted."""
    name = download.file.temporary
    changes: list[Change] = [RangeAdded(name, one) for one in done]
    if not download.is_planned:
        download.is_planned = True
        changes.insert(0, DownloadPlanned(download.record))
    return changes


@contextmanager
def counted_if_kept(job: Job, size: int) -> Iterator[None]:
    """Take `size` bytes back from the count when they are not written after all."""
    try:
        yield
    except BaseException:
        job.moved -= size
        raise


def _write(file: TargetFile, data: memoryview, position: int) -> int:
    crc = crc64(data)
    file.write(data, position)
    return crc


def note_facts(job: Job, crc: int, facts: FileFacts) -> None:
    """Note what the object is; IntegrityError when its checksum says otherwise."""
    job.crc = crc
    job.mtime_ns = facts.mtime_ns
    facts.check(crc)

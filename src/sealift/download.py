"""One object coming down: one GetObject, or concurrent ranges of one version of it.

Bytes are verified before the file gets its name: exact length and range, one ETag, and the whole
CRC64NVME wherever the server or the object's metadata holds one.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial

from sealift.checksums import combine, crc64
from sealift.errors import IntegrityError, NotSealedError, ObjectChangedError
from sealift.files.target import Target, TargetFile, split_name
from sealift.metadata import FileFacts
from sealift.model import ByteRange, Job, MiB, cut_ranges
from sealift.resources import Resources
from sealift.wire.bucket import HeadFacts
from sealift.wire.operations import Received

# A range need not grow with the object, as parts must.
MAX_RANGE_SIZE = 16 * MiB
# How often an object is begun anew when it is replaced meanwhile, or its bytes do not add up.
START_COUNT = 3


@dataclass(slots=True)
class _Download:
    """A download under way: its pinned version, its file, and (CRC, size) by start of range."""

    job: Job
    head: HeadFacts
    file: TargetFile
    crcs: dict[int, tuple[int, int]] = field(default_factory=dict)


class Downloader:
    """Moves objects down; shared by all workers of a run."""

    def __init__(self, resources: Resources, part_size: int, target: Target) -> None:
        self._objects = resources.objects
        self._disk = resources.disk
        self._memory = resources.memory
        self._retrier = resources.retrier
        self._spread = resources.spread
        self._range_size = min(part_size, MAX_RANGE_SIZE)
        self._target = target

    async def download(self, job: Job) -> bool:
        """Write the object of `job` below the target; returns whether a stored CRC64NVME agreed.

        Raises ObjectError; then no file of that name was made, and an older one is untouched.
        """
        parts = split_name(job.path)
        for start in range(1, START_COUNT + 1):
            try:
                if job.size <= self._range_size:
                    return await self._retrier.run(
                        job.location.name, self._get_whole_once, job, parts
                    )
                return await self._get_ranges(job, parts)
            except (ObjectChangedError, IntegrityError) as error:
                if start == START_COUNT or isinstance(error, NotSealedError):
                    raise
                job.moved = 0
                job.size = (await self._head(job)).size
        raise AssertionError

    async def _head(self, job: Job) -> HeadFacts:
        name = job.location.name
        return await self._retrier.run(name, self._objects.head_object, name)

    # One request

    async def _get_whole_once(self, job: Job, parts: list[str]) -> bool:
        async with self._memory.buffer(job.size) as room:
            received = await self._objects.get_object(job.location.name, room, None, None, job)
            with _counted_if_kept(job, received.size):
                if received.size != job.size:
                    raise ObjectChangedError("the object is shorter than planned: it was replaced")
                return await self._disk.run(self._save, parts, room, received.facts)

    def _save(self, parts: list[str], data: memoryview, facts: FileFacts) -> bool:
        crc = crc64(data)
        _compare(crc, facts)
        file = self._target.create(parts)
        try:
            file.write(data, 0)
            if facts.mtime_ns is not None:
                file.set_mtime(facts.mtime_ns)
        except BaseException:
            self._target.discard(file)
            raise
        self._target.commit(file)
        return facts.crc is not None

    # Ranges

    async def _get_ranges(self, job: Job, parts: list[str]) -> bool:
        head = await self._head(job)
        job.size = head.size
        file = await self._disk.run(self._open, parts, head.size)
        download = _Download(job, head, file)
        try:
            await self._spread(
                cut_ranges(head.size, self._range_size), partial(self._get_range, download)
            )
            crc = combine(download.crcs[start] for start in sorted(download.crcs))
            _compare(crc, head.facts)
            if head.facts.mtime_ns is not None:
                file.set_mtime(head.facts.mtime_ns)
        except BaseException:
            self._target.discard(file)
            raise
        await self._disk.run(self._target.commit, file)
        return head.facts.crc is not None

    def _open(self, parts: list[str], size: int) -> TargetFile:
        file = self._target.create(parts)
        try:
            file.allocate(size)
        except BaseException:
            self._target.discard(file)
            raise
        return file

    async def _get_range(self, download: _Download, span: ByteRange) -> None:
        await self._retrier.run(download.job.location.name, self._get_range_once, download, span)

    async def _get_range_once(self, download: _Download, span: ByteRange) -> None:
        job, head = download.job, download.head
        async with self._memory.buffer(span.size) as room:
            received = await self._objects.get_object(job.location.name, room, span, head.etag, job)
            with _counted_if_kept(job, received.size):
                _same_version(received, head)
                crc = await self._disk.run(_write, download.file, room, span.start)
        download.crcs[span.start] = crc, span.size


@contextmanager
def _counted_if_kept(job: Job, size: int) -> Iterator[None]:
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


def _same_version(received: Received, head: HeadFacts) -> None:
    if received.etag != head.etag or received.total != head.size:
        raise ObjectChangedError("the object was replaced while it was being read")


def _compare(crc: int, facts: FileFacts) -> None:
    if facts.crc is not None and crc != facts.crc:
        raise IntegrityError("the bytes received do not have the checksum stored with the object")

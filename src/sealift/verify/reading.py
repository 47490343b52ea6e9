"""The CRC64NVME of all bytes of a file, and of an object: to hold one against the other."""

from __future__ import annotations

from collections.abc import Sequence

from sealift.checksums import combine, crc64
from sealift.errors import IntegrityError, ObjectChangedError, ObjectError, SourceChangedError
from sealift.fetching import fetch_range
from sealift.files.disk import Disk
from sealift.files.source import CHUNK_SIZE, SourceFile, read_each
from sealift.memory import Memory
from sealift.model import ByteRange, Job, Spread, cut_ranges
from sealift.retry import Retrier
from sealift.wire.bucket import BucketClient, HeadFacts
from sealift.wire.operations import Received


class FileReader:
    """Reads files in the threads of the disk."""

    def __init__(self, disk: Disk, memory: Memory) -> None:
        self._disk = disk
        self._memory = memory

    async def crc(self, path: str, job: Job, *, counts: bool) -> int:
        """Of one file of the size that `job` has; `counts`: the job moves with it. ObjectError."""
        async with self._memory.buffer(min(CHUNK_SIZE, job.size)) as room:
            return await self._disk.run(_file_crc, path, job, room, counts)

    async def crc_of_each(self, files: Sequence[tuple[str, int]]) -> list[int | ObjectError]:
        """Of small files, given by path and size."""
        async with self._memory.buffer(sum([size for _, size in files])) as room:
            found = await self._disk.run_brief(read_each, files, room, False)
        return [_at_rest(one) if isinstance(one, ObjectError) else one[0].crc for one in found]


def _file_crc(path: str, job: Job, room: memoryview, counts: bool) -> int:
    source = SourceFile(path)
    try:
        if source.size != job.size:
            raise SourceChangedError("")
        crc = 0
        for view in source.chunks(ByteRange(0, source.size), room):
            crc = crc64(view, crc)
            if counts:
                job.moved += len(view)
        source.check()
    except SourceChangedError as error:
        raise _at_rest(error) from None
    finally:
        source.close()
    return crc


def _at_rest(error: ObjectError) -> ObjectError:
    """The error, in the words of who does not send the file."""
    if isinstance(error, SourceChangedError):
        return SourceChangedError(
            "the file was changed while it was read", hint="verify it again when it is at rest"
        )
    return error


class ObjectReader:
    """Reads objects: at once, or as ranges of one version, several in flight."""

    def __init__(self, retrier: Retrier, memory: Memory, spread: Spread, range_size: int) -> None:
        self._retrier = retrier
        self._memory = memory
        self._spread = spread
        self.range_size = range_size

    async def whole(self, objects: BucketClient, job: Job) -> tuple[int, Received]:
        """The CRC of an object of no more than one range, by one request. ObjectError."""

        async def read_once() -> tuple[int, Received]:
            async with self._memory.buffer(job.size) as room:
                received = await objects.get_object(job.location.name, room, None, None, None)
                return crc64(room[: received.size]), received

        return await self._retrier.run(job.location.name, read_once)

    async def ranges(self, objects: BucketClient, job: Job, head: HeadFacts) -> int:
        """The CRC of the version `head`; the job moves with it. ObjectError."""
        name = job.location.name
        if head.size == 0:
            _, received = await self.whole(objects, job)
            if received.size:
                raise ObjectChangedError("the object was replaced while it was read")
            return 0
        crcs: dict[int, tuple[int, int]] = {}

        async def read(span: ByteRange) -> None:
            async with self._memory.buffer(span.size) as room:
                await fetch_range(objects, self._retrier, name, head, span, room)
                crcs[span.start] = (crc64(room), span.size)
            job.moved += span.size

        await self._spread(cut_ranges(head.size, self.range_size), read)
        if sum(size for _, size in crcs.values()) != head.size:
            raise IntegrityError("not all bytes of the object came")
        return combine(crcs[start] for start in sorted(crcs))

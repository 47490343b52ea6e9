"""One object going up: PutObject, or CreateMultipartUpload, parts, CompleteMultipartUpload.

What the server is asked to check depends on what it shows to check:

- Every request carries the CRC64NVME of its bytes. A reply that echoes it was checked. Until the
  first such reply, and with servers that never echo (Ceph 16), Content-MD5 goes along.
- A multipart object's own CRC64NVME is kept by the server where it says so in the reply to Create.
  Elsewhere it goes into the metadata, which Create takes before the first part: then the file is
  read once more, up front (some 0.3 s a GiB from the page cache). The first Create of a run finds
  out, unless `doctor` has.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from functools import partial

from sealift.checksums import Digest
from sealift.completion import Multipart, gone
from sealift.conditions import Conditions
from sealift.errors import (
    NotSealedError,
    ObjectError,
    OvertakenError,
    ReplyError,
    SourceChangedError,
    UploadGoneError,
)
from sealift.files.source import CHUNK_SIZE, SourceFile, read_each, read_small
from sealift.hedge import Hedge
from sealift.metadata import FileFacts, content_type
from sealift.model import ByteRange, Job, MiB, Part, PartDone, cut_parts, part_size_for
from sealift.multipart import Multiparts, Origin
from sealift.resources import Resources, Settle
from sealift.tagging import Tagging
from sealift.unsealed import remove_unsealed
from sealift.wire.connection import Body

# A larger part is not held in memory but read twice: for its checksum, then to be sent. A larger
# file is a multipart upload, if of one part: its Complete waits until the file proved unchanged.
MAX_BUFFERED_PART_SIZE = 16 * MiB


class Uploader:
    """Moves files up; shared by all workers of a run.

    With `preserve_mode` their permissions are kept in the objects' metadata; with `if_absent` an
    object that is there is left as it is.
    """

    def __init__(
        self,
        resources: Resources,
        part_size: int,
        *,
        preserve_mode: bool = False,
        if_absent: bool = False,
    ) -> None:
        self._objects = resources.objects
        self._disk = resources.disk
        self._memory = resources.memory
        self._retrier = resources.retrier
        self._conditions = Conditions(resources.objects, resources.retrier, if_absent=if_absent)
        self._multiparts = Multiparts(resources, self._conditions)
        self._tagging = Tagging(resources.objects, resources.retrier)
        self._spread = resources.spread
        self._note_done = resources.note_done
        self._explained = resources.explained
        self._recall = resources.recall
        self._part_size = part_size
        self._max_put_size = min(part_size, MAX_BUFFERED_PART_SIZE)
        # Of st_mode: the file type and the permissions, no setuid and such.
        self._mode_mask = 0o170777 if preserve_mode else None
        self._hedge = Hedge()
        self._checks_crc = False
        self._keeps_whole_crc: bool | None = None

    async def move(self, jobs: Sequence[Job], settle: Settle) -> None:
        """Send the files of `jobs`, one or several small ones; `settle` hears how each ended.

        Small files are read by one call to the disk and sent one after the other. When one of them
        fails, it and those after it go the careful way, one by one.
        """
        self._conditions.expect(jobs)
        sent, failed = 0, None
        if len(jobs) > 1:
            try:
                async for _ in self._put_each(jobs):
                    settle(jobs[sent], True)
                    sent += 1
            except ObjectError as error:
                failed = error
        for job in jobs[sent:]:
            try:
                checked = await self._upload(job, failed)
            except OvertakenError as error:
                settle(job, self._conditions.outcome(error))
            except ObjectError as error:
                settle(job, await self._explained(error, job))
            else:
                settle(job, checked)
            failed = None

    async def _upload(self, job: Job, failed: ObjectError | None) -> bool:
        """Send the file of `job`; returns True: the server has compared a checksum of every byte.

        A file that changes meanwhile is sent once more from the start, and so is one whose upload
        the server has forgotten. Raises ObjectError; then nothing of ours is left on the server
        unless the error says so. `failed` is the error of a first attempt that was made already.
        """
        try:
            return await self._upload_once(job, failed)
        except (SourceChangedError, UploadGoneError):
            source = await self._disk.run(SourceFile, job.path)
            job.size = source.size
            job.moved = 0
            source.close()
            return await self._upload_once(job, None)

    async def _upload_once(self, job: Job, failed: ObjectError | None) -> bool:
        if job.size > self._max_put_size:
            await self._upload_parts(job)
            return True
        try:
            await self._conditions.write(job, partial(self._put_once, job), failed)
        except NotSealedError as error:
            await remove_unsealed(self._objects, self._retrier, job.location, error)
            raise
        if self._tagging.is_on:
            await self._tagging.ensure("PutObject", job.location.name)
        return True

    # One request

    async def _put_each(self, jobs: Sequence[Job]) -> AsyncIterator[None]:
        """Put small files one after the other; yields after each. Raises the first ObjectError."""
        async with self._memory.buffer(sum([job.size for job in jobs])) as room:
            files = [(job.path, job.size) for job in jobs]
            found = await self._disk.run_brief(read_each, files, room, not self._checks_crc)
            start = 0
            for job, read in zip(jobs, found, strict=True):
                if isinstance(read, ObjectError):
                    raise read
                end = start + job.size
                await self._put(job, room[start:end], *read)
                if self._tagging.is_on:
                    await self._tagging.ensure("PutObject", job.location.name)
                self._retrier.note_success()
                start = end
                yield

    async def _put_once(self, job: Job) -> None:
        """Read the file and put it; each attempt reads anew, for the bytes may be what was bad."""
        async with self._memory.buffer(job.size) as room:
            read = await self._disk.run(read_small, job.path, room, not self._checks_crc)
            await self._put(job, room, *read)

    async def _put(
        self, job: Job, data: memoryview, digest: Digest, mtime_ns: int, mode: int
    ) -> None:
        name = job.location.name
        facts = FileFacts(mtime_ns, digest.crc, None, self._kept(mode))
        job.crc = digest.crc
        job.mtime_ns = mtime_ns
        stored = await self._objects.put_object(
            name,
            data,
            job.size,
            digest,
            content_type(name),
            facts,
            job,
            self._conditions.headers(job),
        )
        self._note_done()
        job.etag = stored.etag
        job.version_id = stored.version_id
        self._checks_crc = self._checks_crc or stored.checked

    def _kept(self, mode: int) -> int | None:
        """What the metadata say of a file's mode."""
        return None if self._mode_mask is None else mode & self._mode_mask

    # Parts

    async def _upload_parts(self, job: Job) -> None:
        source = await self._disk.run(SourceFile, job.path)
        try:
            if source.size != job.size:
                raise SourceChangedError("the file was changed after it was planned")
            part_size = part_size_for(source.size, self._part_size)
            mode = self._kept(source.mode)
            identity = source.identity if mode is None else (*source.identity, mode)
            origin = Origin(source.path, identity, part_size)
            left = await self._multiparts.resume(job, origin)
            upload = left or await self._create(job, source, origin)
            if upload.is_done:
                job.mtime_ns, job.moved = source.mtime_ns, job.size
                await self._tag_whole(job, is_new=False)
                return
            async with self._multiparts.aborted_on_failure(upload):
                await self._spread(
                    cut_parts(source.size, upload.part_size),
                    partial(self._send_part, upload, source),
                )
                await self._disk.run(source.check)
                if upload.whole_crc is not None and upload.crc() != upload.whole_crc:
                    raise SourceChangedError("the file was changed while it was sent")
                job.mtime_ns = source.mtime_ns
                await self._multiparts.complete(upload)
            await self._tag_whole(job, is_new=left is None)
        finally:
            source.close()

    async def _tag_whole(self, job: Job, *, is_new: bool) -> None:
        """Not `is_new`: begun by an earlier run, maybe without the tag."""
        if self._tagging.is_on:
            name = job.location.name
            await self._tagging.ensure("CreateMultipartUpload", name, came_along=is_new)

    async def _create(self, job: Job, source: SourceFile, origin: Origin) -> Multipart:
        """Create an upload; its metadata have the CRC64NVME of the whole where the server keeps
        none."""
        kind = content_type(job.location.name)
        facts = FileFacts(source.mtime_ns, mode=self._kept(source.mode))
        if self._keeps_whole_crc is None and (await self._recall()).keeps_whole_crc is False:
            self._keeps_whole_crc = False
        if self._keeps_whole_crc is not False:
            upload = await self._multiparts.create(job, origin, kind, facts, whole_crc=True)
            self._keeps_whole_crc = upload.keeps_crc
            if upload.keeps_crc:
                return upload
            await self._multiparts.drop(upload)
        async with self._memory.buffer(CHUNK_SIZE) as room:
            digest = await self._disk.run(source.digest, ByteRange(0, source.size), room, False)
        facts = facts._replace(crc=digest.crc)
        return await self._multiparts.create(job, origin, kind, facts, whole_crc=False)

    async def _send_part(self, upload: Multipart, source: SourceFile, part: Part) -> None:
        there = upload.there.get(part.number)
        if there is not None and await self._is_unchanged(source, part, there):
            upload.job.moved += part.span.size
            upload.done.append(there)
            return
        try:
            done = await self._retrier.run(
                upload.job.location.name, self._send_part_once, upload, source, part
            )
        except ReplyError as error:
            raise gone(error) from None
        self._multiparts.add_part(upload, done)

    async def _is_unchanged(self, source: SourceFile, part: Part, there: PartDone) -> bool:
        """Whether the file still has the bytes of a part that an earlier run has sent."""
        async with self._memory.buffer(min(part.span.size, CHUNK_SIZE)) as room:
            digest = await self._disk.run(source.digest, part.span, room, False)
        return digest.crc == there.crc

    async def _send_part_once(self, upload: Multipart, source: SourceFile, part: Part) -> PartDone:
        job, span = upload.job, part.span
        is_held = span.size <= MAX_BUFFERED_PART_SIZE
        # Taken before the request begins: waiting for it amid the request would look like a stall.
        async with self._memory.buffer(span.size if is_held else CHUNK_SIZE) as room:
            with_md5 = not self._checks_crc  # others may have learned it meanwhile
            body: Body
            if is_held:
                digest = await self._disk.run(source.read_part, room, span.start, with_md5)
                body = room
            else:
                digest = await self._disk.run(source.digest, span, room, with_md5)
                body = partial(self._stream, source, span, room)
            send = partial(
                self._objects.upload_part,
                job.location.name,
                upload.upload_id,
                part.number,
                body,
                span.size,
                digest,
            )
            stored = await (self._hedge.run(job, send, send) if is_held else send(job))
        self._checks_crc = self._checks_crc or stored.checked
        return PartDone(part.number, span.size, stored.etag, digest.crc)

    async def _stream(
        self, source: SourceFile, span: ByteRange, room: memoryview
    ) -> AsyncIterator[memoryview]:
        """The bytes of a part too large to be held, through `room`."""
        position = span.start
        while position < span.end:
            view = room[: min(len(room), span.end - position)]
            await self._disk.run(source.read_into, view, position)
            yield view
            position += len(view)

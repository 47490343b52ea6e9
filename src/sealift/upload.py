"""One object going up: PutObject, or CreateMultipartUpload, parts, CompleteMultipartUpload.

What the server is asked to check depends on what it shows to check:

- Every request carries the CRC64NVME of its bytes. A reply that echoes it was checked. Until the
  first such reply, and with servers that never echo (Ceph 16), Content-MD5 goes along.
- A multipart object's own CRC64NVME is kept by the server where it says so in the reply to Create.
  Elsewhere it goes into the metadata, which Create takes before the first part: then the file is
  read once more, up front (some 0.3 s a GiB from the page cache).
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial

import anyio

from sealift.checksums import Digest, combine
from sealift.errors import (
    Cause,
    IntegrityError,
    NotSealedError,
    ObjectError,
    ReplyError,
    SealiftError,
    SourceChangedError,
)
from sealift.files.source import CHUNK_SIZE, SourceFile, read_each, read_small
from sealift.metadata import FileFacts, content_type
from sealift.model import ByteRange, Job, MiB, Part, PartDone, cut_parts, part_size_for
from sealift.resources import Resources, Settle
from sealift.wire.bucket import MultipartStart
from sealift.wire.connection import Body
from sealift.wire.operations import not_sealed_message

# A larger part is not held in memory but read twice: for its checksum, then to be sent. A larger
# file is a multipart upload, if of one part: its Complete waits until the file proved unchanged.
MAX_BUFFERED_PART_SIZE = 16 * MiB
# How long a cancelled run, or a failed object, may take to abort an upload; what is left then stays
# on the server.
CANCELLED_ABORT_TIME = 1.5
FAILED_ABORT_TIME = 10.0
# How long the removal of an unsealed object is tried, whatever else happens.
REMOVAL_TIME = 30.0


@dataclass(slots=True)
class _Multipart:
    """An upload under way. `whole_crc` is what the metadata say, None when the server keeps it."""

    job: Job
    source: SourceFile
    upload_id: str
    marker: str
    whole_crc: int | None
    done: list[PartDone] = field(default_factory=list)


class Uploader:
    """Moves files up; shared by all workers of a run.

    With `preserve_mode` their permissions are kept in the objects' metadata.
    """

    def __init__(
        self, resources: Resources, part_size: int, *, preserve_mode: bool = False
    ) -> None:
        self._objects = resources.objects
        self._disk = resources.disk
        self._memory = resources.memory
        self._retrier = resources.retrier
        self._spread = resources.spread
        self._note_done = resources.note_done
        self._part_size = part_size
        self._max_put_size = min(part_size, MAX_BUFFERED_PART_SIZE)
        # Of st_mode: the file type and the permissions, no setuid and such.
        self._mode_mask = 0o170777 if preserve_mode else None
        self._checks_crc = False
        self._keeps_whole_crc: bool | None = None

    async def move(self, jobs: Sequence[Job], settle: Settle) -> None:
        """Send the files of `jobs`, one or several small ones; `settle` hears how each ended.

        Small files are read by one call to the disk and sent one after the other. When one of them
        fails, it and those after it go the careful way, one by one.
        """
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
            except ObjectError as error:
                settle(job, error)
            else:
                settle(job, checked)
            failed = None

    async def _upload(self, job: Job, failed: ObjectError | None) -> bool:
        """Send the file of `job`; returns True: the server has compared a checksum of every byte.

        A file that changes meanwhile is sent once more from the start. Raises ObjectError; then
        nothing of ours is left on the server unless the error says so. `failed` is the error of a
        first attempt that was made already.
        """
        try:
            return await self._upload_once(job, failed)
        except SourceChangedError:
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
            await self._retrier.run(job.location.name, self._put_once, job, failed=failed)
        except NotSealedError as error:
            await self._remove_unsealed(job, error)
            raise
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
        stored = await self._objects.put_object(
            name, data, job.size, digest, content_type(name), facts, job
        )
        self._note_done()
        job.etag = stored.etag
        job.version_id = stored.version_id
        job.crc = digest.crc
        job.mtime_ns = mtime_ns
        self._checks_crc = self._checks_crc or stored.checked

    def _kept(self, mode: int) -> int | None:
        """What the metadata say of a file's mode."""
        return None if self._mode_mask is None else mode & self._mode_mask

    async def _remove_unsealed(self, job: Job, unsealed: NotSealedError) -> None:
        """What the server took of ours without the customer key must not stay there.

        An interrupt waits for it, though not for long.
        """
        location = job.location
        reason = "no answer in time"
        with anyio.move_on_after(REMOVAL_TIME, shield=True):
            try:
                await self._retrier.run(
                    location.name, self._objects.delete_object, location.name, unsealed.version_id
                )
            except ObjectError as error:
                reason = str(error)
            else:
                return
        raise NotSealedError(
            f"{location} is stored UNENCRYPTED and could not be removed",
            hint=f"remove it yourself ({reason})",
        ) from None

    # Parts

    async def _upload_parts(self, job: Job) -> None:
        source = await self._disk.run(SourceFile, job.path)
        try:
            if source.size != job.size:
                raise SourceChangedError("the file was changed after it was planned")
            upload = await self._create(job, source)
            try:
                part_size = part_size_for(source.size, self._part_size)
                await self._spread(
                    cut_parts(source.size, part_size), partial(self._send_part, upload)
                )
                await self._disk.run(source.check)
                await self._complete(upload)
            except BaseException as error:
                if not await self._abort(upload, error) and isinstance(error, ObjectError):
                    error.hint = _joined(error.hint, _left_open(upload))
                job.moved = 0
                raise
        finally:
            source.close()

    async def _create(self, job: Job, source: SourceFile) -> _Multipart:
        marker, mode = secrets.token_hex(16), self._kept(source.mode)
        if self._keeps_whole_crc is not False:
            facts = FileFacts(source.mtime_ns, None, marker, mode)
            start = await self._retrier.run(job.location.name, self._create_once, job, facts, True)
            self._keeps_whole_crc = start.whole_crc
            if start.whole_crc:
                return _Multipart(job, source, start.upload_id, marker, None)
            probe = _Multipart(job, source, start.upload_id, marker, None)
            if not await self._abort(probe, None):
                raise ObjectError("cannot abort an upload", hint=_left_open(probe))
        async with self._memory.buffer(CHUNK_SIZE) as room:
            digest = await self._disk.run(source.digest, ByteRange(0, source.size), room, False)
        facts = FileFacts(source.mtime_ns, digest.crc, marker, mode)
        start = await self._retrier.run(job.location.name, self._create_once, job, facts, False)
        return _Multipart(job, source, start.upload_id, marker, digest.crc)

    async def _create_once(self, job: Job, facts: FileFacts, whole_crc: bool) -> MultipartStart:
        """Create; when cancelled, await the upload id all the same: nobody else can abort it."""
        creating = asyncio.ensure_future(
            self._objects.create_multipart_upload(
                job.location.name, content_type(job.location.name), facts, whole_crc=whole_crc
            )
        )
        try:
            return await asyncio.shield(creating)
        except asyncio.CancelledError:
            with anyio.move_on_after(CANCELLED_ABORT_TIME, shield=True), suppress(SealiftError):
                start = await creating
                await self._objects.abort_multipart_upload(job.location.name, start.upload_id)
            raise

    async def _send_part(self, upload: _Multipart, part: Part) -> None:
        done = await self._retrier.run(upload.job.location.name, self._send_part_once, upload, part)
        upload.done.append(done)

    async def _send_part_once(self, upload: _Multipart, part: Part) -> PartDone:
        job, source, span = upload.job, upload.source, part.span
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
            stored = await self._objects.upload_part(
                job.location.name, upload.upload_id, part.number, body, span.size, digest, job
            )
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

    # The end

    async def _complete(self, upload: _Multipart) -> None:
        parts = sorted(upload.done, key=lambda part: part.number)
        crc = combine((part.crc, part.size) for part in parts)
        if upload.whole_crc is not None and crc != upload.whole_crc:
            raise SourceChangedError("the file was changed while it was sent")
        job = upload.job
        job.crc = crc
        job.mtime_ns = upload.source.mtime_ns
        name = job.location.name
        try:
            sealed = await self._retrier.run(name, self._complete_once, upload, parts, crc)
            if not sealed:
                await self._retrier.run(name, self._confirm_once, upload)
        except NotSealedError as error:
            await self._remove_unsealed(job, error)
            raise

    async def _complete_once(self, upload: _Multipart, parts: list[PartDone], crc: int) -> bool:
        """Complete, or find that it was completed: True when the object is known to be sealed.

        A lost reply, an error after the fact and a second Complete of a finished upload look alike
        from here. The marker in the metadata tells: no other upload has it.
        """
        job = upload.job
        kept = crc if upload.whole_crc is None else None
        try:
            done = await self._objects.complete_multipart_upload(
                job.location.name, upload.upload_id, parts, kept
            )
        except ObjectError as error:
            if not _may_be_done(error):
                raise
            is_final = isinstance(error, ReplyError) and error.status == 404
            if not await self._is_done(upload, is_final=is_final):
                raise
            return True
        job.etag = done.etag
        job.version_id = done.version_id
        return done.echoed

    async def _is_done(self, upload: _Multipart, *, is_final: bool) -> bool:
        """Whether the object is there after a failed Complete.

        When the upload is gone (`is_final`) the answer decides, so HEAD is tried until it comes.
        """
        try:
            if is_final:
                name = upload.job.location.name
                return await self._retrier.run(name, self._confirm_once, upload)
            return await self._confirm_once(upload)
        except NotSealedError:
            raise
        except ObjectError:
            return False

    async def _confirm_once(self, upload: _Multipart) -> bool:
        """HEAD: whether the object is the one that this upload made, whole and sealed.

        False when it is another one, which says nothing about ours. Raises NotSealedError and
        IntegrityError when ours is bad.
        """
        head = await self._objects.head_object(upload.job.location.name, check_echo=False)
        if head.facts.marker != upload.marker:
            return False
        if not head.sealed:
            error = NotSealedError(not_sealed_message("CompleteMultipartUpload"))
            error.version_id = head.version_id
            raise error
        if head.size != upload.job.size:
            raise IntegrityError(
                f"the server holds {head.size} bytes of {upload.job.size} after Complete",
                cause=Cause.PERMANENT,
            )
        upload.job.etag = head.etag
        upload.job.version_id = head.version_id
        return True

    async def _abort(self, upload: _Multipart, error: BaseException | None) -> bool:
        """Abort after `error`; whether nothing of the upload is left."""
        cancelled = error is not None and not isinstance(error, Exception)
        span = CANCELLED_ABORT_TIME if cancelled else FAILED_ABORT_TIME
        name = upload.job.location.name
        with anyio.move_on_after(span, shield=True):
            try:
                await self._retrier.run(
                    name, self._objects.abort_multipart_upload, name, upload.upload_id
                )
            except SealiftError:
                return False
            return True
        return False


def _left_open(upload: _Multipart) -> str:
    return f"the unfinished upload {upload.upload_id} is still on the server"


def _joined(*hints: str) -> str:
    return "; ".join(filter(None, hints))


def _may_be_done(error: ObjectError) -> bool:
    """Whether a failed Complete may have completed all the same."""
    if isinstance(error, ReplyError):
        return error.status >= 500 or error.code == "NoSuchUpload"
    return error.cause in (Cause.RESET, Cause.STALLED, Cause.GARBLED, Cause.BAD_DIGEST)

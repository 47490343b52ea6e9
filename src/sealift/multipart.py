"""The life of a multipart upload, whatever its parts are made of.

Create, parts, Complete; or Abort, so that nothing is left to be paid for. A random mark in the
metadata settles what a lost reply to Complete leaves open.

Each step is in the journal before it is made, so that a later run can go on: what it finds there is
believed only as far as the server agrees (`resume`). An upload is kept for that when the run is
interrupted or the server cannot be reached any more; when it cannot come to a good end, it is
aborted.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import NamedTuple

import anyio

from sealift.checksums import combine
from sealift.errors import (
    Cause,
    IntegrityError,
    NotSealedError,
    ObjectError,
    ReplyError,
    SealiftError,
    UploadGoneError,
)
from sealift.ledger import KEPT, is_resumable
from sealift.metadata import FileFacts
from sealift.model import Job, PartDone
from sealift.records import (
    Ended,
    FileIdentity,
    PartAdded,
    UploadCompleting,
    UploadCreated,
    UploadPlanned,
    UploadRecord,
    UploadState,
)
from sealift.resources import Resources
from sealift.unsealed import remove_unsealed
from sealift.uploads_left import abort_left, usable_parts
from sealift.wire.operations import Headers, not_sealed_message
from sealift.wire.uploads import MultipartStart

# How long a cancelled run, or a failed object, may take to abort an upload; what is left then stays
# on the server.
CANCELLED_ABORT_TIME = 1.5
FAILED_ABORT_TIME = 10.0


@dataclass(slots=True)
class Multipart:
    """An upload under way. `keeps_crc`: the server keeps the CRC64NVME of the whole, else the
    metadata have it as `whole_crc`.

    `in_place` says that it replaces the object that its bytes come from. `there` are parts that an
    earlier run has sent, by number; `is_done` says that it has even completed the upload.
    """

    job: Job
    upload_id: str
    marker: str
    keeps_crc: bool
    part_size: int
    whole_crc: int | None = None
    in_place: bool = False
    is_resumable: bool = False
    is_done: bool = False
    done: list[PartDone] = field(default_factory=list)
    there: dict[int, PartDone] = field(default_factory=dict)

    def crc(self) -> int | None:
        """The CRC64NVME of all parts in their order; None when the server copied some."""
        pieces = [(part.crc, part.size) for part in sorted(self.done, key=_number)]
        known = [(crc, size) for crc, size in pieces if crc is not None]
        return combine(known) if len(known) == len(pieces) else None


class Origin(NamedTuple):
    """What an upload's bytes come from, as the journal has it; see `records.UploadRecord`."""

    path: str
    identity: FileIdentity | None
    part_size: int


class Multiparts:
    """Creates, completes and aborts uploads to one bucket."""

    def __init__(self, resources: Resources) -> None:
        self._objects = resources.objects
        self._retrier = resources.retrier
        self._ledger = resources.ledger

    async def create(
        self,
        job: Job,
        origin: Origin,
        content_type: str | None,
        facts: FileFacts,
        carried: Headers | None = None,
        *,
        whole_crc: bool,
    ) -> Multipart:
        """Create an upload of `job`; with `whole_crc` the server is asked to keep that."""
        name, marker = job.location.name, secrets.token_hex(16)
        record = UploadRecord(
            marker,
            self._ledger.run.scope,
            name,
            origin.path,
            origin.identity,
            job.size,
            origin.part_size,
            self._ledger.key_id,
            facts.crc,
            time.time(),
        )
        await self._ledger.note(UploadPlanned(record))
        try:
            start = await self._retrier.run(
                name, self._create_once, name, content_type,
                facts._replace(marker=marker), carried, whole_crc,
            )  # fmt: skip
        except ReplyError:  # the server has made none
            self._ledger.add(Ended(marker))
            raise
        await self._ledger.note(UploadCreated(marker, start.upload_id, start.whole_crc))
        return Multipart(
            job,
            start.upload_id,
            marker,
            start.whole_crc,
            origin.part_size,
            facts.crc,
            is_resumable=origin.identity is not None,
        )

    async def resume(self, job: Job, origin: Origin) -> Multipart | None:
        """The upload of `job` that a dead run began, if there is one to go on with.

        Else what it left is aborted.
        """
        record = await self._ledger.take_upload(job.location.name)
        if record is None:
            return None
        upload = None
        if (
            record.upload_id
            and record.path == origin.path
            and _is_same(record.identity, origin.identity)
            and (record.key_id, record.size) == (self._ledger.key_id, job.size)
        ):
            upload = await self._take_over(job, record)
        else:
            await abort_left(self._objects, self._retrier, record, self._ledger.alive())
        await self._ledger.release(record.marker)
        return upload

    async def _take_over(self, job: Job, record: UploadRecord) -> Multipart | None:
        upload = Multipart(
            job,
            record.upload_id,
            record.marker,
            record.keeps_crc,
            record.part_size,
            record.whole_crc,
            is_resumable=True,
        )
        name = job.location.name
        listed = await self._retrier.run(name, self._objects.list_parts, name, record.upload_id)
        if listed is None:
            if record.state is not UploadState.COMPLETING:
                return None
            upload.is_done = await self._retrier.run(name, self._confirm_once, upload)
            upload.done.extend(record.parts)
            job.crc = upload.crc()
            return upload if upload.is_done else None
        upload.there = usable_parts(record, listed)
        parts = tuple(upload.there.values())
        await self._ledger.note(UploadPlanned(record._replace(parts=parts)))
        return upload

    def add_part(self, upload: Multipart, part: PartDone) -> None:
        """The server has `part`."""
        upload.done.append(part)
        self._ledger.add(PartAdded(upload.marker, part))

    async def _create_once(
        self,
        name: str,
        content_type: str | None,
        facts: FileFacts,
        carried: Headers | None,
        whole_crc: bool,
    ) -> MultipartStart:
        """Create; when cancelled, await the upload id all the same: nobody else can abort it."""
        creating = asyncio.ensure_future(
            self._objects.create_multipart_upload(
                name, content_type, facts, carried, whole_crc=whole_crc
            )
        )
        try:
            return await asyncio.shield(creating)
        except asyncio.CancelledError:
            with anyio.move_on_after(CANCELLED_ABORT_TIME, shield=True), suppress(SealiftError):
                start = await creating
                await self._objects.abort_multipart_upload(name, start.upload_id)
            raise

    @asynccontextmanager
    async def aborted_on_failure(self, upload: Multipart) -> AsyncIterator[None]:
        """A block that sends parts and completes.

        When it fails, the upload is kept for a later run if that can go on with it, else aborted;
        the error says what is left, if anything.
        """
        try:
            yield
        except BaseException as error:
            upload.job.moved = 0
            if upload.is_resumable and self._ledger.is_kept and is_resumable(error):
                if isinstance(error, ObjectError):
                    error.hint = _joined(error.hint, KEPT)
            elif not await self._abort(upload, error) and isinstance(error, ObjectError):
                error.hint = _joined(error.hint, _left_open(upload))
            raise

    async def drop(self, upload: Multipart) -> None:
        """Abort an upload that is of no use; ObjectError when that fails."""
        if not await self._abort(upload, None):
            raise ObjectError("cannot abort an upload", hint=_left_open(upload))

    async def _abort(self, upload: Multipart, error: BaseException | None) -> bool:
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
            self._ledger.add(Ended(upload.marker))
            return True
        return False

    # The end

    async def complete(self, upload: Multipart) -> None:
        """Complete; an object that proves unsealed is removed before NotSealedError is raised."""
        name = upload.job.location.name
        upload.job.crc = crc = upload.crc()
        kept = crc if upload.keeps_crc else None
        await self._ledger.note(UploadCompleting(upload.marker))
        try:
            sealed = await self._retrier.run(name, self._complete_once, upload, kept)
            if not sealed:
                await self._retrier.run(name, self._confirm_once, upload)
        except NotSealedError as error:
            await remove_unsealed(
                self._objects, self._retrier, upload.job.location, error, in_place=upload.in_place
            )
            raise
        except ObjectError as error:
            if _may_be_done(error) and await self._is_gone(upload):
                raise _gone() from None
            if isinstance(error, ReplyError):  # what the server refuses now it refuses a later run
                upload.is_resumable = False
            raise
        await self._ledger.note(Ended(upload.marker))

    async def _is_gone(self, upload: Multipart) -> bool:
        """Whether the server has forgotten the upload, so that Complete can never succeed."""
        name = upload.job.location.name
        try:
            return await self._objects.list_parts(name, upload.upload_id) is None
        except ObjectError:
            return False

    async def _complete_once(self, upload: Multipart, kept: int | None) -> bool:
        """Complete, or find that it was completed: True when the object is known to be sealed.

        A lost reply, an error after the fact and a second Complete of a finished upload look alike
        from here. The marker in the metadata tells: no other upload has it.
        """
        parts = sorted(upload.done, key=_number)
        try:
            done = await self._objects.complete_multipart_upload(
                upload.job.location.name, upload.upload_id, parts, kept
            )
        except ObjectError as error:
            if not _may_be_done(error):
                raise
            is_final = isinstance(error, ReplyError) and error.status == 404
            if not await self._is_done(upload, is_final=is_final):
                raise
            return True
        upload.job.etag = done.etag
        upload.job.version_id = done.version_id
        return done.echoed

    async def _is_done(self, upload: Multipart, *, is_final: bool) -> bool:
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

    async def _confirm_once(self, upload: Multipart) -> bool:
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


def gone(error: ObjectError) -> ObjectError:
    """`error`, or that the server has forgotten the upload, when it says so."""
    if isinstance(error, ReplyError) and error.code == "NoSuchUpload":
        return _gone()
    return error


def _gone() -> UploadGoneError:
    return UploadGoneError(
        "the server has forgotten the upload before it was complete",
        hint="a rule of the bucket may abort uploads too soon",
    )


def _is_same(there: FileIdentity | None, here: FileIdentity | None) -> bool:
    """Whether a file is as it was; its device may have another number since a restart."""
    return there is not None and here is not None and there[1:] == here[1:]


def _number(part: PartDone) -> int:
    return part.number


def _left_open(upload: Multipart) -> str:
    return f"the unfinished upload {upload.upload_id} is still on the server"


def _joined(*hints: str) -> str:
    return "; ".join(filter(None, hints))


def _may_be_done(error: ObjectError) -> bool:
    """Whether a failed Complete may have completed all the same."""
    if isinstance(error, ReplyError):
        return error.status >= 500 or error.code == "NoSuchUpload"
    return error.cause in (Cause.RESET, Cause.STALLED, Cause.GARBLED, Cause.BAD_DIGEST)

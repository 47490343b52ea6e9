"""The life of a multipart upload, whatever its parts are made of.

Create, parts, Complete; or Abort, so that nothing is left to be paid for. A random mark in the
metadata settles what a lost reply to Complete leaves open.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import anyio

from sealift.checksums import combine
from sealift.errors import (
    Cause,
    IntegrityError,
    NotSealedError,
    ObjectError,
    ReplyError,
    SealiftError,
)
from sealift.metadata import FileFacts
from sealift.model import Job, Location, PartDone
from sealift.resources import Resources
from sealift.retry import Retrier
from sealift.wire.bucket import BucketClient, MultipartStart
from sealift.wire.operations import Headers, not_sealed_message

# How long a cancelled run, or a failed object, may take to abort an upload; what is left then stays
# on the server.
CANCELLED_ABORT_TIME = 1.5
FAILED_ABORT_TIME = 10.0
# How long the removal of an unsealed object is tried, whatever else happens.
REMOVAL_TIME = 30.0


@dataclass(slots=True)
class Multipart:
    """An upload under way. `keeps_crc`: the server keeps the CRC64NVME of the whole.

    `in_place` says that it replaces the object that its bytes come from.
    """

    job: Job
    upload_id: str
    marker: str
    keeps_crc: bool
    in_place: bool = False
    done: list[PartDone] = field(default_factory=list)

    def crc(self) -> int | None:
        """The CRC64NVME of all parts in their order; None when the server copied some."""
        pieces = [(part.crc, part.size) for part in sorted(self.done, key=_number)]
        known = [(crc, size) for crc, size in pieces if crc is not None]
        return combine(known) if len(known) == len(pieces) else None


class Multiparts:
    """Creates, completes and aborts uploads to one bucket."""

    def __init__(self, resources: Resources) -> None:
        self._objects = resources.objects
        self._retrier = resources.retrier

    async def create(
        self,
        job: Job,
        content_type: str | None,
        facts: FileFacts,
        carried: Headers | None = None,
        *,
        whole_crc: bool,
    ) -> Multipart:
        """Create an upload of `job`; with `whole_crc` the server is asked to keep that."""
        marker = secrets.token_hex(16)
        start = await self._retrier.run(
            job.location.name, self._create_once, job.location.name, content_type,
            facts._replace(marker=marker), carried, whole_crc,
        )  # fmt: skip
        return Multipart(job, start.upload_id, marker, start.whole_crc)

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
        """A block that sends parts and completes; an error in it says what is left, if anything."""
        try:
            yield
        except BaseException as error:
            if not await self._abort(upload, error) and isinstance(error, ObjectError):
                error.hint = _joined(error.hint, _left_open(upload))
            upload.job.moved = 0
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
            return True
        return False

    # The end

    async def complete(self, upload: Multipart) -> None:
        """Complete; an object that proves unsealed is removed before NotSealedError is raised."""
        name = upload.job.location.name
        upload.job.crc = crc = upload.crc()
        kept = crc if upload.keeps_crc else None
        try:
            sealed = await self._retrier.run(name, self._complete_once, upload, kept)
            if not sealed:
                await self._retrier.run(name, self._confirm_once, upload)
        except NotSealedError as error:
            await remove_unsealed(
                self._objects, self._retrier, upload.job.location, error, in_place=upload.in_place
            )
            raise

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


async def remove_unsealed(
    objects: BucketClient,
    retrier: Retrier,
    location: Location,
    unsealed: NotSealedError,
    *,
    in_place: bool = False,
) -> None:
    """What the server took of ours without the customer key must not stay there.

    An interrupt waits for it, though not for long. What was written `in_place` of its own source
    is the only copy now: it stays, unless a versioned bucket has the source still.
    """
    if in_place and unsealed.version_id in (None, "null"):
        raise NotSealedError(
            f"{location} is stored UNENCRYPTED, and stays: there is no other copy",
            hint="copy it to a place of your own, then remove it",
        ) from None
    reason = "no answer in time"
    with anyio.move_on_after(REMOVAL_TIME, shield=True):
        try:
            await retrier.run(
                location.name, objects.delete_object, location.name, unsealed.version_id
            )
        except ObjectError as error:
            reason = str(error)
        else:
            return
    raise NotSealedError(
        f"{location} is stored UNENCRYPTED and could not be removed",
        hint=f"remove it yourself ({reason})",
    ) from None


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

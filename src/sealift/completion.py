"""The end of a multipart upload: Complete, and what it left when its reply was lost or bad.

A lost reply, an error after the fact, a second Complete of a finished upload and a body that is no
success look alike. The random mark in the metadata settles it: no other upload has it.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from sealift.checksums import combine
from sealift.conditions import Conditions, is_refusal, overtaken
from sealift.errors import (
    Cause,
    IntegrityError,
    NotSealedError,
    ObjectError,
    ReplyError,
    UploadGoneError,
)
from sealift.model import Job, PartDone, bare_etag
from sealift.records import Ended, UploadCompleting, UploadRecord
from sealift.resources import Resources
from sealift.unsealed import remove_unsealed
from sealift.wire.failures import not_sealed_message


@dataclass(slots=True)
class Multipart:
    """An upload under way. `keeps_crc`: the server keeps the CRC64NVME of the whole, else the
    metadata have it as `whole_crc`.

    `in_place` says that it replaces the object that its bytes come from. `there` are parts that an
    earlier run has sent, by number; `is_done` says that it has even completed the upload. `lost` is
    that of a Create whose reply was lost before this one: it may have made an upload too.
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
    lost: UploadRecord | None = None
    done: list[PartDone] = field(default_factory=list)
    there: dict[int, PartDone] = field(default_factory=dict)

    def crc(self) -> int | None:
        """The CRC64NVME of all parts in their order; None when the server copied some."""
        pieces = [(part.crc, part.size) for part in sorted(self.done, key=_number)]
        known = [(crc, size) for crc, size in pieces if crc is not None]
        return combine(known) if len(known) == len(pieces) else None


# A Complete that is refused for these may succeed later.
_PASSING = (Cause.THROTTLED, Cause.EXPIRED, Cause.SKEWED)


class Completion:
    """Completes uploads to one bucket."""

    def __init__(self, resources: Resources, conditions: Conditions) -> None:
        self._objects = resources.objects
        self._retrier = resources.retrier
        self._ledger = resources.ledger
        self._conditions = conditions

    async def complete(self, upload: Multipart) -> None:
        """Complete; an object that proves unsealed is removed before NotSealedError is raised.

        OvertakenError when something else stands there than the job expects.
        """
        name = upload.job.location.name
        upload.job.crc = crc = upload.crc()
        kept = crc if upload.keeps_crc else None
        await self._conditions.check(upload.job)
        await self._ledger.note(UploadCompleting(upload.marker))
        try:
            sealed = await self._complete_as_expected(upload, kept)
            if not sealed:
                await self._retrier.run(name, self._confirm_once, upload)
        except NotSealedError as error:
            await self._remove(upload, error)
            raise
        except ObjectError as error:
            if _may_be_done(error) and await self._is_gone(upload):
                raise _gone() from None
            if isinstance(error, ReplyError) and error.cause not in _PASSING:
                upload.is_resumable = False  # what is refused now will be refused to a later run
            raise
        await self._ledger.note(Ended(upload.marker))

    async def confirm(self, upload: Multipart) -> bool:
        """Whether the object is there that an earlier run may have completed; see `complete`."""
        try:
            return await self._retrier.run(upload.job.location.name, self._confirm_once, upload)
        except NotSealedError as error:
            await self._remove(upload, error)
            raise

    async def _remove(self, upload: Multipart, error: NotSealedError) -> None:
        await remove_unsealed(
            self._objects, self._retrier, upload.job.location, error, in_place=upload.in_place
        )

    async def _complete_as_expected(self, upload: Multipart, kept: int | None) -> bool:
        name = upload.job.location.name
        try:
            return await self._retrier.run(name, self._complete_once, upload, kept)
        except ReplyError as error:
            if error.code == "InvalidPart":
                if not await self._has_later_parts(upload):
                    raise
            elif not is_refusal(error, upload.job):
                raise
            elif not self._conditions.are_unknown(error):
                raise overtaken(upload.job) from None
        return await self._retrier.run(name, self._complete_once, upload, kept)

    async def _has_later_parts(self, upload: Multipart) -> bool:
        """Whether the server has parts under other ETags than it told; these are taken.

        A part that was sent twice has the ETag of what came last, which may be the request that was
        given up. Both had the same bytes.
        """
        name = upload.job.location.name
        listed = await self._retrier.run(name, self._objects.list_parts, name, upload.upload_id)
        there = {part.number: part for part in listed or ()}
        latest = [
            replace(done, etag=part.etag)
            if (part := there.get(done.number)) is not None
            and (part.size, part.crc or done.crc) == (done.size, done.crc)
            and bare_etag(part.etag) != bare_etag(done.etag)
            else done
            for done in upload.done
        ]
        is_later = latest != upload.done
        upload.done[:] = latest
        return is_later

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
                upload.job.location.name,
                upload.upload_id,
                parts,
                kept,
                self._conditions.headers(upload.job),
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


def _number(part: PartDone) -> int:
    return part.number


def _may_be_done(error: ObjectError) -> bool:
    """Whether a failed Complete may have completed all the same."""
    if isinstance(error, ReplyError):
        return error.status >= 500 or error.status == 412 or error.code == "NoSuchUpload"
    return error.cause in (Cause.RESET, Cause.STALLED, Cause.GARBLED, Cause.BAD_DIGEST)

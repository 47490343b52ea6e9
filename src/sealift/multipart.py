"""The life of a multipart upload, whatever its parts are made of.

Create, parts, Complete (see `completion`); or Abort, so that nothing is left to be paid for.

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
from typing import NamedTuple

import anyio

from sealift.completion import Completion, Multipart
from sealift.conditions import Conditions
from sealift.errors import (
    Cause,
    ObjectError,
    ReplyError,
    SealiftError,
    WrongCustomerKeyError,
)
from sealift.ledger import KEPT, is_resumable
from sealift.metadata import FileFacts
from sealift.model import Job, PartDone
from sealift.records import (
    Ended,
    FileIdentity,
    PartAdded,
    UploadCreated,
    UploadPlanned,
    UploadRecord,
    UploadState,
)
from sealift.resources import Resources
from sealift.uploads_left import abort_left, usable_parts
from sealift.wire.operations import Headers
from sealift.wire.uploads import MultipartStart

# How long a cancelled run, or a failed object, may take to abort an upload; what is left then stays
# on the server.
CANCELLED_ABORT_TIME = 1.5
FAILED_ABORT_TIME = 10.0


class Origin(NamedTuple):
    """What an upload's bytes come from, as the journal has it; see `records.UploadRecord`."""

    path: str
    identity: FileIdentity | None
    part_size: int


class Multiparts:
    """Creates, completes and aborts uploads to one bucket."""

    def __init__(self, resources: Resources, conditions: Conditions) -> None:
        self._objects = resources.objects
        self._retrier = resources.retrier
        self._ledger = resources.ledger
        self._conditions = conditions
        self._completion = Completion(resources, conditions)

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
        """Create an upload of `job`; with `whole_crc` the server is asked to keep that.

        OvertakenError when something else stands there than the job expects.
        """
        await self._conditions.check(job)
        name, marker = job.location.name, secrets.token_hex(16)
        record = UploadRecord(
            marker,
            self._ledger.run.scope,
            name,
            origin.path,
            origin.identity,
            job.size,
            origin.part_size,
            self._objects.seal_id,
            facts.crc,
            time.time(),
        )
        await self._ledger.note(UploadPlanned(record))
        is_lost = False

        async def create_once() -> MultipartStart:
            nonlocal is_lost
            try:
                return await self._create_once(
                    name, content_type, facts._replace(marker=marker), carried, whole_crc
                )
            except ObjectError as error:
                is_lost |= _may_be_made(error)
                raise

        try:
            start = await self._retrier.run(name, create_once)
        except ReplyError:
            if not is_lost:
                self._ledger.add(Ended(marker))
            raise
        if is_lost:  # before the id is noted: until then the journal knows of all
            await self._abort_twins(record, start.upload_id)
        await self._ledger.note(UploadCreated(marker, start.upload_id, start.whole_crc))
        return Multipart(
            job,
            start.upload_id,
            marker,
            start.whole_crc,
            origin.part_size,
            facts.crc,
            is_resumable=origin.identity is not None,
            lost=record if is_lost else None,
        )

    async def _abort_twins(self, record: UploadRecord, upload_id: str = "") -> None:
        """Abort what a Create made whose reply was lost; `upload_id` is that of the one that is
        known."""
        with suppress(ReplyError):  # no right to list uploads, say
            alive = await self._ledger.alive() | {upload_id}
            await abort_left(self._objects, self._retrier, record, alive)

    async def resume(self, job: Job, origin: Origin) -> Multipart | None:
        """The upload of `job` that a dead run began, if there is one to go on with.

        Else what it left is aborted, and so is what runs before it left of the same object.
        """
        records = await self._ledger.take_uploads(job.location.name)
        if not records:
            return None
        record, upload = records[-1], None
        for earlier in records:
            if earlier.marker != record.marker:
                with suppress(ObjectError):  # it stays in the journal
                    await self.undo(earlier)
        fits = (
            record.upload_id
            and record.path == origin.path
            and _is_same(record.identity, origin.identity)
            and (record.key_id, record.size) == (self._objects.seal_id, job.size)
        )
        try:
            if not fits:
                await self.undo(record)
            else:
                upload = await self._take_over(job, record)
                await self._ledger.release(record.marker)
        except ReplyError:  # no right to list, say: it stays in the journal, and a new one is begun
            return None
        return upload

    async def undo(self, record: UploadRecord) -> None:
        """Abort what a dead run left of an upload. Raises ObjectError."""
        await abort_left(self._objects, self._retrier, record, await self._ledger.alive())
        await self._ledger.release(record.marker)

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
            try:
                upload.is_done = await self._completion.confirm(upload)
            except ReplyError as error:
                if error.status != 404 and not isinstance(error, WrongCustomerKeyError):
                    raise  # else it was removed since, or replaced under another key
            upload.done.extend(record.parts)
            whole = sum(part.size for part in upload.done) == job.size
            job.crc = upload.crc() if whole else None
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

    async def complete(self, upload: Multipart) -> None:
        """Complete; see `Completion.complete`."""
        await self._completion.complete(upload)
        if upload.lost is not None:  # a server may have been slow with it
            await self._abort_twins(upload.lost)

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


def _is_same(there: FileIdentity | None, here: FileIdentity | None) -> bool:
    """Whether a file is as it was; its device may have another number since a restart."""
    return there is not None and here is not None and there[1:] == here[1:]


def _left_open(upload: Multipart) -> str:
    return f"the unfinished upload {upload.upload_id} is still on the server"


def _joined(*hints: str) -> str:
    return "; ".join(filter(None, hints))


def _may_be_made(error: ObjectError) -> bool:
    """Whether a failed Create may have made an upload, whose id is lost then."""
    return error.cause in (Cause.STALE, Cause.RESET, Cause.STALLED, Cause.GARBLED, Cause.SERVER)

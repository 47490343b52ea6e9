"""A look at one server: what was opened for it, and what was put there and must go again."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

import anyio

from sealift.checksums import Digest
from sealift.errors import IntegrityError, ObjectError, ReplyError, SealiftError
from sealift.metadata import FileFacts
from sealift.model import Location, PartDone
from sealift.retry import Retrier
from sealift.session import Session
from sealift.wire.bucket import BucketClient
from sealift.wire.operations import Headers, Stored
from sealift.wire.uploads import MultipartStart

T = TypeVar("T")

# Seconds: how long an interrupt waits for a request that may leave something, and all clean-up for
# its own.
LAST_REPLY_TIME = 5.0
CLEAN_UP_TIME = 30.0
# The probe is written fewer times.
MAX_VERSION_COUNT = 20

CONTENT = b"sealift doctor was here: this object can be removed\n"


@dataclass
class Visit:
    """`place` is where probe objects go below, if a bucket is named.

    `learned` is what the server was found to be capable of, by the names of `Capabilities`.
    `clock_offset` is how many seconds its clock is ahead of this machine's. `versioning` is as
    GetBucketVersioning says it, None where that is not known.
    """

    session: Session
    place: Location | None
    learned: dict[str, bool] = field(default_factory=dict)
    certificate: Mapping[str, object] = field(default_factory=dict)
    clock_offset: float | None = None
    versioning: str | None = None
    client: BucketClient | None = None
    names: set[str] = field(default_factory=set)
    uploads: set[str] = field(default_factory=set)
    may_have_uploads: bool = False
    may_abort: bool = True
    has_removed: bool = False

    def __post_init__(self) -> None:
        prefix = self.place.name if self.place else ""
        if prefix and not prefix.endswith("/"):
            prefix += "/"
        self.name = f"{prefix}.sealift-doctor-{secrets.token_hex(8)}"

    @property
    def retrier(self) -> Retrier:
        return self.session.brief_retrier()

    @property
    def bucket(self) -> str:
        assert self.place is not None
        return self.place.bucket

    @property
    def objects(self) -> BucketClient:
        """The client of the bucket; the check `bucket` comes before whatever asks for it."""
        assert self.client is not None
        return self.client

    async def put(self, digest: Digest | None = None, condition: Headers | None = None) -> Stored:
        """PutObject of the probe, one attempt; by `digest` it may say something else of it."""
        self.names.add(self.name)
        chosen = digest or Digest(CONTENT, with_md5=True)
        size, facts = len(CONTENT), FileFacts()
        body = memoryview(CONTENT)
        return await _to_the_end(
            self.objects.put_object(self.name, body, size, chosen, None, facts, None, condition)
        )

    async def create(self) -> MultipartStart:
        """CreateMultipartUpload of the probe, one attempt."""
        self.may_have_uploads = True
        return await _to_the_end(self._create())

    async def _create(self) -> MultipartStart:
        start = await self.objects.create_multipart_upload(
            self.name, None, FileFacts(), whole_crc=True
        )
        self.uploads.add(start.upload_id)
        return start

    async def send_part(self, start: MultipartStart) -> PartDone:
        """UploadPart, the only one."""
        digest = Digest(CONTENT, with_md5=True)
        stored = await self.objects.upload_part(
            self.name, start.upload_id, 1, memoryview(CONTENT), len(CONTENT), digest, None
        )
        return PartDone(1, len(CONTENT), stored.etag, digest.crc)

    async def complete(
        self, start: MultipartStart, part: PartDone, condition: Headers | None
    ) -> None:
        """CompleteMultipartUpload. A reply that names no ETag will do: Ceph 16 sends such."""
        self.names.add(self.name)
        crc = part.crc if start.whole_crc else None
        with suppress(IntegrityError):
            await _to_the_end(
                self.objects.complete_multipart_upload(
                    self.name, start.upload_id, [part], crc, condition
                )
            )
        self.uploads.discard(start.upload_id)

    async def abort(self, start: MultipartStart) -> None:
        """AbortMultipartUpload."""
        await self.objects.abort_multipart_upload(self.name, start.upload_id)
        self.uploads.discard(start.upload_id)

    async def copy(self, condition: Headers | None) -> None:
        """CopyObject of the probe to the name of `copied`, under the same customer key."""
        self.names.add(self.copied)
        await _to_the_end(
            self.objects.copy_object(
                self.copied, self.objects, Location(self.bucket, self.name), condition
            )
        )

    @property
    def copied(self) -> str:
        """The name of the probe's copy."""
        return f"{self.name}-copy"

    async def clean_up(self) -> list[str]:
        """Remove all that was put there; what could not be, in words. An interrupt waits for it."""
        with anyio.move_on_after(CLEAN_UP_TIME, shield=True):
            return await self._remove_all()
        return ["the server gave no answer in time"]

    async def _remove_all(self) -> list[str]:
        left = []
        for upload_id in sorted(await self._all_uploads()):
            try:
                await self.objects.abort_multipart_upload(self.name, upload_id)
            except SealiftError as error:
                left.append(f"the upload {upload_id} of {self.name}: {error.message}")
            else:
                self.uploads.discard(upload_id)
        for name in sorted(self.names):
            try:
                await self._remove(name)
            except SealiftError as error:
                left.append(f"{name}: {error.message}")
            else:
                self.names.discard(name)
        self.may_have_uploads = bool(self.uploads)
        return left

    async def _all_uploads(self) -> set[str]:
        """Those that are known, and what a lost reply may have left: no other has such a name."""
        found = set(self.uploads)
        if self.may_have_uploads:
            with suppress(ObjectError):
                found.update(
                    upload.upload_id for upload in await self.objects.list_uploads(self.name)
                )
        return found

    async def _remove(self, name: str) -> None:
        """Remove an object, in a versioned bucket each version of it, the latest first."""
        objects, retrier = self.objects, self.retrier
        for _ in range(MAX_VERSION_COUNT):
            try:
                head = await retrier.run(name, partial(objects.head_object, check_echo=False), name)
            except ReplyError as error:
                if error.status == 404:
                    return
                break
            if head.version_id is None:
                break
            await retrier.run(name, objects.delete_object, name, head.version_id)
            self.has_removed = True
        await retrier.run(name, objects.erase_object, name)
        self.has_removed = True
        if self.versioning == "Enabled":
            raise ObjectError("hidden by a delete marker, and what its versions are is not known")


async def _to_the_end(request: Awaitable[T]) -> T:
    """Await a request; when cancelled, await its reply for a while all the same.

    What it makes must be there, and known, before it can be removed.
    """
    asking: asyncio.Future[Any] = asyncio.ensure_future(request)
    try:
        return await asyncio.shield(asking)
    except asyncio.CancelledError:
        with anyio.move_on_after(LAST_REPLY_TIME, shield=True), suppress(SealiftError):
            await asking
        raise

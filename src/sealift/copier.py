"""One object from S3 to S3: by the server itself where it can, else streamed through memory.

A server is asked once whether it can, if `doctor` has not found that it cannot. Ceph 16 has no
CopyObject of sealed objects (501), stores a plain source as plaintext under a 200, and reads the
source of UploadPartCopy under the wrong key: what it says, or does not echo, is believed for the
rest of the run, and no plaintext stays.

A streamed object is verified as an upload is, and against the checksum that its source has.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import anyio

from sealift.checksums import Digest
from sealift.completion import Multipart
from sealift.conditions import Conditions, is_refusal, overtaken
from sealift.describing import Described
from sealift.errors import (
    IntegrityError,
    NotSealedError,
    ObjectChangedError,
    ObjectError,
    OvertakenError,
    ReplyError,
    WrongCustomerKeyError,
)
from sealift.fetching import fetch_range
from sealift.metadata import FileFacts
from sealift.model import (
    Job,
    Location,
    MiB,
    Part,
    PartDone,
    cut_parts,
    part_size_for,
)
from sealift.multipart import Multiparts, Origin
from sealift.refusals import READS
from sealift.resources import Explained, Resources, Settle
from sealift.retry import Retrier
from sealift.tagging import Tagging, tags_of_copy
from sealift.unsealed import remove_unsealed
from sealift.ways import Way, choose_way, is_beyond
from sealift.wire.bucket import BucketClient, HeadFacts
from sealift.wire.heads import carried_headers
from sealift.wire.operations import Headers, Stored
from sealift.wire.tagging import tagging_header

# What the server copies by itself takes no memory here; so many parts are still some at once.
COPIED_PART_SIZE = 256 * MiB
# Parts of streamed objects are held in memory; those of 150 GiB and more must be larger.
MAX_STREAMED_PART_SIZE = 16 * MiB
# How often an object is begun anew when it is replaced meanwhile, or its bytes do not add up.
START_COUNT = 3


class Source(NamedTuple):
    """The bucket that is read; `same_server` says that the other one's server can reach it.

    `explained` is as in `Resources`, for what goes wrong there. `under` gives what reads objects
    under the customer key of an id; None: all have one.
    """

    objects: BucketClient
    retrier: Retrier
    same_server: bool
    explained: Explained
    under: Callable[[str], BucketClient] | None = None

    def client(self, job: Job) -> BucketClient:
        """What reads the source of `job`."""
        key_id = job.source_key_id
        return self.objects if key_id is None or self.under is None else self.under(key_id)


class Copier:
    """Copies objects between two buckets; shared by all workers of a run.

    With `if_absent` an object that is there is left as it is.
    """

    def __init__(
        self, resources: Resources, part_size: int, source: Source, *, if_absent: bool = False
    ) -> None:
        self._objects = resources.objects
        self._memory = resources.memory
        self._retrier = resources.retrier
        self._conditions = Conditions(resources.objects, resources.retrier, if_absent=if_absent)
        self._multiparts = Multiparts(resources, self._conditions)
        self._tagging = Tagging(resources.objects, resources.retrier)
        self._spread = resources.spread
        self._note_done = resources.note_done
        self._explained = resources.explained
        self._recall = resources.recall
        self._source = source
        self._part_size = min(part_size, MAX_STREAMED_PART_SIZE)
        self._checks_crc = False
        self._refused = set() if source.same_server else {Way.OBJECT, Way.PARTS}
        self._has_recalled = not source.same_server
        self._recalling = anyio.Lock()

    async def move(self, jobs: Sequence[Job], settle: Settle) -> None:
        """Copy the objects of `jobs` one after the other; `settle` hears how each ended."""
        self._conditions.expect(jobs)
        if not self._has_recalled:
            await self._recall_refused()
        for job in jobs:
            try:
                checked = await self._copy(job)
            except OvertakenError as error:
                settle(job, self._conditions.outcome(error))
            except ObjectError as error:
                is_read = isinstance(error, ReplyError) and error.operation in READS
                explained = self._source.explained if is_read else self._explained
                settle(job, await explained(error, job))
            else:
                settle(job, checked)

    async def copy_by(self, way: Way, job: Job, head: HeadFacts, described: Described) -> bool:
        """Copy the version `head` of the object of `job` in this one way, described so.

        Whoever calls sees to the tags. Returns whether a checksum of every byte was compared.
        Raises ObjectError.
        """
        job.moved, job.size = 0, head.size
        match way:
            case Way.OBJECT:
                await self._copy_object(job, head, described)
            case Way.PARTS:
                await self._copy_parts(job, head, described)
            case Way.STREAM:
                return await self._stream(job, head, described)
        return False

    async def _recall_refused(self) -> None:
        """Leave out what the server is known to refuse; all workers wait for that."""
        async with self._recalling:
            if not self._has_recalled and (await self._recall()).copies_sealed is False:
                self._refused.add(Way.OBJECT)
            self._has_recalled = True

    async def _copy(self, job: Job) -> bool:
        """Copy the object of `job`; returns whether a checksum of every byte was compared.

        Raises ObjectError; then nothing of ours is left there unless the error says so.
        """
        for start in range(1, START_COUNT + 1):
            try:
                return await self._copy_once(job)
            except (ObjectChangedError, IntegrityError) as error:
                if start == START_COUNT or isinstance(error, NotSealedError):
                    raise
                job.moved = 0
                job.size = (await self._head(job)).size
        raise AssertionError

    async def _copy_once(self, job: Job) -> bool:
        way = choose_way(job.size, self._refused)
        if way is Way.STREAM:
            return await self._stream(job)
        try:
            if way is Way.OBJECT:
                await self._copy_object(job)
            else:
                await self._copy_parts(job)
        except ObjectError as error:
            if not is_beyond(error, in_place=self._is_in_place(job)):
                raise
            if not isinstance(error, WrongCustomerKeyError):
                self._refused.add(way)
        else:
            return False
        checked = await self._stream(job)
        self._refused.add(way)  # the keys are right, so the server was wrong
        return checked

    def _is_in_place(self, job: Job) -> bool:
        return self._source.same_server and job.source == job.location

    async def _head(self, job: Job) -> HeadFacts:
        name = _source(job).name
        return await self._source.retrier.run(name, self._source.client(job).head_object, name)

    async def _tags(self, job: Job, described: Described | None) -> dict[str, str] | None:
        if described is not None:
            return None
        side = self._source
        return await tags_of_copy(self._objects, side.objects, side.retrier, _source(job))

    async def _ensure_tags(self, operation: str, job: Job, tags: dict[str, str] | None) -> None:
        if tags is not None:
            await self._tagging.ensure(operation, job.location.name, tags)

    # On the server

    async def _copy_object(
        self, job: Job, head: HeadFacts | None = None, described: Described | None = None
    ) -> None:
        location = job.location
        headers = dict(self._conditions.headers(job) or {})
        if head is not None:
            headers |= {"x-amz-copy-source-if-match": head.etag}
        if self._conditions.if_absent:  # not every server looks at the condition of a copy
            await self._conditions.check(job)
        source = self._source.client(job)
        tags = retagged = await self._tags(job, described)
        if described is not None:
            headers |= described.kept
            retagged = described.tags if described.is_retagged else None
        try:
            job.etag = await self._retrier.run(
                location.name, self._objects.copy_object,
                location.name, source, _source(job), headers, retagged,
            )  # fmt: skip
        except NotSealedError as error:
            error.stays = self._is_in_place(job)  # it is all there is, as plain as it was or not
            if not error.stays:
                await remove_unsealed(self._objects, self._retrier, location, error)
            raise
        except ReplyError as error:
            if error.status != 412 or not is_refusal(error, job):
                raise
            raise overtaken(job) from None  # nobody here has seen the bytes to know them again
        await self._ensure_tags(Way.OBJECT.value, job, tags)
        job.moved = job.size
        self._note_done()

    async def _copy_parts(
        self, job: Job, head: HeadFacts | None = None, described: Described | None = None
    ) -> None:
        head = head or await self._head(job)
        job.size = head.size
        part_size = part_size_for(job.size, COPIED_PART_SIZE)
        tags = await self._tags(job, described)
        carried = _carried(head, tags, described)
        upload = await self._create(job, head, part_size, carried, whole_crc=False)
        async with self._multiparts.aborted_on_failure(upload):
            await self._spread(
                cut_parts(job.size, part_size),
                partial(self._copy_part, upload, head.etag),
            )
            await self._multiparts.complete(upload)
        await self._ensure_tags("CreateMultipartUpload", job, tags)

    async def _copy_part(self, upload: Multipart, etag: str, part: Part) -> None:
        job = upload.job
        part_etag = await self._retrier.run(
            job.location.name, self._objects.copy_part, job.location.name, upload.upload_id, part,
            self._source.client(job), _source(job), etag,
        )  # fmt: skip
        job.moved += part.span.size
        part_done = PartDone(part.number, part.span.size, part_etag, None)
        self._multiparts.add_part(upload, part_done)

    async def _create(
        self,
        job: Job,
        head: HeadFacts,
        part_size: int,
        carried: Headers,
        *,
        whole_crc: bool,
    ) -> Multipart:
        origin = Origin(str(_source(job)), None, part_size)
        await self._multiparts.resume(job, origin)
        facts = FileFacts(None, head.facts.crc)
        upload = await self._multiparts.create(
            job, origin, None, facts, carried, whole_crc=whole_crc
        )
        upload.in_place = self._is_in_place(job)
        return upload

    # Streamed

    async def _stream(
        self, job: Job, head: HeadFacts | None = None, described: Described | None = None
    ) -> bool:
        if job.size > self._part_size:
            return await self._stream_parts(job, head, described)
        async with self._memory.buffer(job.size) as room:
            received = await self._source.retrier.run(
                _source(job).name, self._source.client(job).get_object,
                _source(job).name, room, None, None if head is None else head.etag, None,
            )  # fmt: skip
            if received.size != job.size:
                raise ObjectChangedError("the object is shorter than planned: it was replaced")
            digest = Digest(room, with_md5=not self._checks_crc)
            received.facts.check(digest.crc)
            tags = await self._tags(job, described)
            if described is None:
                carried = carried_headers(received.head) | tagging_header(tags or {})
            else:
                carried = described.carried
            await self._put(job, room, digest, carried)
        await self._ensure_tags("PutObject", job, tags)
        self._note_done()
        return True

    async def _put(
        self, job: Job, room: memoryview, digest: Digest, carried: dict[str, str]
    ) -> None:
        location = job.location
        job.crc = digest.crc

        async def put_once() -> Stored:
            return await self._objects.put_object(
                location.name, room, job.size, digest, None, FileFacts(None, digest.crc), job,
                carried | (self._conditions.headers(job) or {}),
            )  # fmt: skip

        try:
            stored = await self._conditions.write(job, put_once)
        except NotSealedError as error:
            await remove_unsealed(
                self._objects, self._retrier, location, error, in_place=self._is_in_place(job)
            )
            raise
        if stored is None:
            return
        job.etag, job.version_id = stored.etag, stored.version_id
        self._checks_crc = self._checks_crc or stored.checked

    async def _stream_parts(
        self, job: Job, head: HeadFacts | None, described: Described | None
    ) -> bool:
        head = head or await self._head(job)
        job.size = head.size
        part_size = part_size_for(job.size, self._part_size)
        tags = await self._tags(job, described)
        carried = _carried(head, tags, described)
        upload = await self._create(job, head, part_size, carried, whole_crc=True)
        async with self._multiparts.aborted_on_failure(upload):
            await self._spread(
                cut_parts(job.size, part_size),
                partial(self._stream_part, upload, head),
            )
            crc = upload.crc()
            assert crc is not None
            head.facts.check(crc)
            await self._multiparts.complete(upload)
        await self._ensure_tags("CreateMultipartUpload", job, tags)
        return True

    async def _stream_part(self, upload: Multipart, head: HeadFacts, part: Part) -> None:
        job, span = upload.job, part.span
        async with self._memory.buffer(span.size) as room:
            await fetch_range(
                self._source.client(job), self._source.retrier, _source(job).name, head, span, room
            )
            digest = Digest(room, with_md5=not self._checks_crc)
            stored = await self._retrier.run(
                job.location.name, self._objects.upload_part, job.location.name, upload.upload_id,
                part.number, room, span.size, digest, job,
            )  # fmt: skip
        self._checks_crc = self._checks_crc or stored.checked
        part_done = PartDone(part.number, span.size, stored.etag, digest.crc)
        self._multiparts.add_part(upload, part_done)


def _carried(head: HeadFacts, tags: dict[str, str] | None, described: Described | None) -> Headers:
    """What begins a multipart upload of the version `head`."""
    if described is not None:
        return described.for_parts()
    return head.carried | tagging_header(tags or {})


def _source(job: Job) -> Location:
    assert job.source is not None
    return job.source

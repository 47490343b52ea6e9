"""Writes that replace only what was seen to stand at their name, or only nothing.

A job that `expects` something sends If-Match or If-None-Match along (RFC 9110 section 13.1,
https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html). What servers make of
it differs: Ceph 16 takes an ETag without its quotes only, refuses also the right one in a versioned
bucket, and overwrites all the same on Complete, so that LIST is asked before; others answer 501,
and LIST is all there is.

A write that was refused may have been made all the same: by an earlier attempt whose reply was
lost. What stands there tells.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from sealift.errors import NotSealedError, ObjectError, OvertakenError, ReplyError
from sealift.model import ABSENT, Job, bare_etag
from sealift.retry import Retrier
from sealift.wire.bucket import BucketClient
from sealift.wire.operations import Headers

T = TypeVar("T")

IF_ABSENT: Headers = {"if-none-match": "*"}


def is_refusal(error: ObjectError, job: Job) -> bool:
    """Whether a write was refused for what stands at its name, or as one on a condition."""
    if job.expects is None or not isinstance(error, ReplyError):
        return False
    return error.status in (412, 501) or (error.code == "NoSuchKey" and job.expects != ABSENT)


class Conditions:
    """Of all writes of a run to one bucket; with `if_absent` each expects nothing to be there."""

    def __init__(self, objects: BucketClient, retrier: Retrier, *, if_absent: bool) -> None:
        self._objects = objects
        self._retrier = retrier
        self.if_absent = if_absent
        self._is_supported = True

    def headers(self, job: Job) -> Headers | None:
        """The header of the condition that the write of `job` is under, if any."""
        if job.expects is None or not self._is_supported:
            return None
        return IF_ABSENT if job.expects == ABSENT else {"if-match": job.expects}

    def expect(self, jobs: Sequence[Job]) -> None:
        """Have `jobs` expect nothing, where all do."""
        if self.if_absent:
            for job in jobs:
                job.expects = ABSENT

    def outcome(self, error: OvertakenError) -> OvertakenError | None:
        """How a job ends that was overtaken: with `if_absent` there was nothing to do."""
        return None if self.if_absent else error

    async def write(
        self, job: Job, write_once: Callable[[], Awaitable[T]], failed: ObjectError | None = None
    ) -> T | None:
        """Make a write of `job`; None: an earlier attempt had made it.

        OvertakenError when something else stands there. `failed` is the error of a first attempt
        that was made already.
        """
        name = job.location.name
        try:
            return await self._retrier.run(name, write_once, failed=failed)
        except ReplyError as error:
            if not is_refusal(error, job):
                raise
            if await self._settle(job, error):
                return None
        return await self._retrier.run(name, write_once)

    async def check(self, job: Job) -> None:
        """OvertakenError when LIST shows something else than `job` expects."""
        if job.expects is None:
            return
        name = job.location.name
        page = await self._retrier.run(name, self._objects.list_page, name, None, "", 1)
        found = page.objects[0] if page.objects and page.objects[0].name == name else None
        if (ABSENT if found is None else bare_etag(found.etag)) != job.expects:
            raise overtaken(job)

    async def _is_as_expected(self, job: Job) -> bool:
        """Whether LIST shows at the name of a refused write what the job expects there."""
        try:
            await self.check(job)
        except OvertakenError:
            return False
        return True

    def are_unknown(self, error: ReplyError) -> bool:
        """Whether the server knows no conditions; then none are sent any more."""
        if error.status == 501:
            self._is_supported = False
        return error.status == 501

    async def _settle(self, job: Job, error: ReplyError) -> bool:
        """Whether the refused write of `job` was made; False: make it again, without a condition.

        OvertakenError when something else stands there.
        """
        if self.are_unknown(error):
            await self.check(job)
            return False
        if job.expects != ABSENT and await self._is_as_expected(job):
            job.expects = None
            return False
        if self.if_absent and error.attempts == 1:  # nothing of ours can be there
            raise overtaken(job)
        name = job.location.name
        try:
            head = await self._retrier.run(name, self._objects.head_object, name)
        except (ReplyError, NotSealedError):  # there is none, or it is sealed otherwise
            raise overtaken(job) from None
        is_same = job.crc is not None and (head.size, head.facts.crc) == (job.size, job.crc)
        if not is_same or job.mtime_ns not in (None, head.facts.mtime_ns):
            raise overtaken(job)
        job.etag, job.version_id = head.etag, head.version_id
        return True


def overtaken(job: Job) -> OvertakenError:
    """The error of a write that was refused for good."""
    if job.expects == ABSENT:
        return OvertakenError("an object of this name is there", hint="it was left as it is")
    return OvertakenError(
        "the object was replaced or removed since it was listed",
        hint="it was left as it is; run the same command again",
    )

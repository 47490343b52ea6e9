"""Looks at an object that was written anew in its place: it is whole, sealed as it should be, and
the key that it had opens it no more."""

from __future__ import annotations

from sealift.errors import Cause, IntegrityError, NotSealedError, ObjectError, OvertakenError
from sealift.keyfinder import is_about_key
from sealift.model import ByteRange, Job, bare_etag
from sealift.retry import Retrier
from sealift.wire.bucket import BucketClient, HeadFacts


async def read_back(
    objects: BucketClient, retrier: Retrier, job: Job, before: HeadFacts, *, is_copied: bool
) -> HeadFacts:
    """What HEAD says of the object that `job` has written in the place of `before`.

    Where the server copied it, a byte of it is read too. OvertakenError when somebody else has
    replaced it since; IntegrityError when it is not what it should be.
    """
    name = job.location.name
    head: HeadFacts = await retrier.run(name, objects.head_object, name)
    if bare_etag(head.etag) != bare_etag(job.etag):
        raise OvertakenError("the object was replaced just after it was rekeyed")
    if not head.sealed:
        raise NotSealedError("HeadObject: the object is not encrypted as it was asked for")
    if head.size != before.size:
        raise _damaged(f"has {head.size} bytes instead of {before.size}")
    wanted = before.facts.crc if job.crc is None else job.crc
    if before.facts.crc is not None and head.facts.crc is None:
        raise _damaged("has lost its checksum")
    if wanted is not None and head.facts.crc not in (None, wanted):
        raise _damaged("has another checksum")
    if is_copied:
        await _read_byte(objects, retrier, name, head)
    return head


async def check_refused(
    objects: BucketClient, retrier: Retrier, name: str, head: HeadFacts
) -> None:
    """IntegrityError when the client `objects`, under the old key, still gets the object."""
    try:
        await _read_byte(objects, retrier, name, head)
    except ObjectError as error:
        if is_about_key(error):
            return
        raise
    raise _damaged("can still be read as before it was rekeyed")


async def _read_byte(objects: BucketClient, retrier: Retrier, name: str, head: HeadFacts) -> None:
    room = memoryview(bytearray(1))
    span = ByteRange(0, 1) if head.size else None
    await retrier.run(name, objects.get_object, name, room, span, head.etag, None)


def _damaged(what: str) -> IntegrityError:
    return IntegrityError(f"the object {what}", cause=Cause.PERMANENT)

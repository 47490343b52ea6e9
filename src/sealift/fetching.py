"""One range of one version of an object, into memory."""

from __future__ import annotations

from sealift.errors import NetworkError, ObjectChangedError
from sealift.model import ByteRange
from sealift.retry import Retrier
from sealift.wire.bucket import BucketClient, HeadFacts
from sealift.wire.operations import REPLACED, Received


async def fetch_range(
    objects: BucketClient,
    retrier: Retrier,
    name: str,
    head: HeadFacts,
    span: ByteRange,
    room: memoryview,
) -> None:
    """Fill `room` with the bytes `span` of the version `head`. Raises ObjectError.

    When a connection breaks, the next attempt asks for what is missing.
    """
    filled = 0

    async def fetch_once() -> None:
        nonlocal filled
        rest = ByteRange(span.start + filled, span.end)
        if not rest.size:  # all of it came, but not the end of the reply
            return
        try:
            received = await objects.get_object(name, room[filled:], rest, head.etag, None)
        except NetworkError as error:
            filled += error.received
            raise
        check_version(received, head)

    await retrier.run(name, fetch_once)


def check_version(received: Received, head: HeadFacts) -> None:
    """ObjectChangedError when the bytes are not of the version `head`."""
    if received.etag != head.etag or received.total != head.size:
        raise ObjectChangedError(REPLACED)

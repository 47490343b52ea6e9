"""Lets a bucket take objects under customer keys; see `control.rules` for what is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sealift.doctor.findings import Finding, failure, ok
from sealift.errors import ObjectError
from sealift.session import Session

if TYPE_CHECKING:
    from sealift.control.rules import Encryption


async def read_encryption(session: Session, bucket: str) -> Encryption:
    """The default encryption of a bucket. Raises SealiftError."""
    await session.objects(bucket)  # finds its region
    settings = await session.settings(bucket)
    return await session.brief_retrier().run(bucket, settings.encryption)


async def allow_customer_keys(session: Session, bucket: str, seen: Encryption) -> Finding:
    """Set what `seen` becomes when it blocks no customer keys; then read it back.

    Raises ObjectError when the bucket has another setting by now.
    """
    retrier = session.brief_retrier()
    if await read_encryption(session, bucket) != seen:
        raise ObjectError(
            "the bucket's encryption was changed by somebody else meanwhile",
            hint="nothing was changed; look again",
        )
    settings = await session.settings(bucket)
    wanted = seen.allowing_customer_keys()
    await retrier.run(bucket, settings.set_encryption, wanted)
    found = await retrier.run(bucket, settings.encryption)
    if found.blocks_customer_keys or str(found) != str(wanted):
        return failure(
            f"the bucket has another encryption than was set: {found}",
            "look at it: aws s3api get-bucket-encryption --bucket " + bucket,
        )
    return ok(f"s3://{bucket} takes objects under customer keys; default encryption: {found}")

"""Asks by HEAD whether objects are as a manifest says; see `manifest` for what it holds."""

from __future__ import annotations

from collections.abc import Sequence

from sealift.errors import Cause, IntegrityError, ObjectError
from sealift.model import Job
from sealift.remote import Remote
from sealift.resources import Settle
from sealift.wire.bucket import HeadFacts


async def verify(remote: Remote, jobs: Sequence[Job], settle: Settle) -> None:
    """Settle each job: True where its CRC64NVME was compared, False where it had none."""
    for job in jobs:
        try:
            check_unchanged(job, await remote.head(job.location))
        except ObjectError as error:
            settle(job, error)
        else:
            settle(job, job.crc is not None)


def check_unchanged(job: Job, head: HeadFacts) -> None:
    """IntegrityError when an object is not what the manifest's `job` says."""
    if head.size != job.size:
        raise _altered(f"has {head.size} bytes, the manifest says {job.size}")
    if job.crc is not None and head.facts.crc is None:
        raise _altered("has no CRC64NVME any more: it was replaced")
    if job.crc is not None and head.facts.crc != job.crc:
        raise _altered("has another CRC64NVME than the manifest says")
    if job.version_id is not None and head.version_id != job.version_id:
        raise _altered("has another version than the manifest says")


def _altered(what: str) -> IntegrityError:
    return IntegrityError(f"the object {what}", cause=Cause.PERMANENT)

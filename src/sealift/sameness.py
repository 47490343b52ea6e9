"""Answers what the table of `compare` leaves open: whether two things of one name are the same.

By the CRC64NVME of their bytes, that of an object from the catalogue or by HEAD under its customer
key. What is the same is noted in its job, with that key, for the catalogue.
"""

from __future__ import annotations

from sealift.errors import NotSealedError, WrongCustomerKeyError
from sealift.files.disk import Disk
from sealift.files.source import CHUNK_SIZE, file_crc
from sealift.files.walk import FileEntry
from sealift.keyring import Keyring
from sealift.memory import Memory
from sealift.model import UNSEALED, Direction, Job, Known
from sealift.remote import Remote
from sealift.wire.bucket import HeadFacts


class Sameness:
    """`remote` has the objects that files are compared with, and the destinations of copies."""

    def __init__(self, remote: Remote, disk: Disk, memory: Memory, keyring: Keyring) -> None:
        self._remote = remote
        self._disk = disk
        self._memory = memory
        self._keyring = keyring

    async def of_file(self, job: Job, file: FileEntry, known: Known | None) -> bool:
        """Whether a file and an object are the same.

        `known` has the object's CRC64NVME; without, it is asked for. An object without one is
        different.
        """
        if known is not None:
            etag, crc, job.version_id = known.etag, known.crc, known.version_id
        else:
            head = await self._seen(job)
            if head is None:
                return False
            etag, crc = head.etag, head.facts.crc
            job.version_id = head.version_id
            is_sealed = head.sealed or job.direction is Direction.DOWN
            if crc is None or head.size != file.size or not is_sealed:
                return False
        async with self._memory.buffer(CHUNK_SIZE) as room:
            if await self._disk.run(file_crc, file.path, room) != crc:
                return False
        job.etag, job.crc, job.mtime_ns = etag, crc, file.mtime_ns
        if known is not None:
            job.key_id = known.key_id or UNSEALED
        return True

    async def of_copy(self, job: Job, there: Remote) -> bool:
        """Whether two objects are the same, by what is stored with each; `there` has the source."""
        ours = (await there.open(job.read_from, job)).head
        theirs = await self._seen_today(job)
        if theirs is None:
            return False
        crc = theirs.facts.crc
        if crc is None or (crc, ours.size) != (ours.facts.crc, theirs.size) or not theirs.sealed:
            return False
        job.etag, job.crc, job.version_id = theirs.etag, crc, theirs.version_id
        return True

    async def _seen(self, job: Job) -> HeadFacts | None:
        if job.direction is Direction.DOWN:
            return (await self._remote.open(job.location, job)).head
        return await self._seen_today(job)

    async def _seen_today(self, job: Job) -> HeadFacts | None:
        """What is to be replaced, as the key tells that it gets; None: it is under another one."""
        job.key_id = self._keyring.rule_for(job.location)
        try:
            return await self._remote.head(job.location, job.key_id)
        except (WrongCustomerKeyError, NotSealedError):
            return None

"""What dead runs left on the server: uploads to go on with, or to abort."""

from __future__ import annotations

from collections.abc import Sequence

from sealift.model import PartDone, bare_etag, cut_parts
from sealift.records import UploadRecord
from sealift.retry import Retrier
from sealift.wire.bucket import BucketClient
from sealift.wire.multipart import ServerPart

# Seconds: an upload of unknown id was created so long after it was planned at most, and, for clocks
# that are not quite the same, so long before. Uploads of others may be of the same name.
LONGEST_CREATE_TIME = 1000.0
CLOCK_TOLERANCE = 60.0


def usable_parts(record: UploadRecord, listed: Sequence[ServerPart]) -> dict[int, PartDone]:
    """The parts, by number, that the server has and whose CRC64NVME is known.

    Either the server tells it, or the record has it, with the same size and ETag. Whether the bytes
    of the file still have it is for the caller to see. Pure.
    """
    known = {part.number: part for part in record.parts}
    sizes = {part.number: part.span.size for part in cut_parts(record.size, record.part_size)}
    usable = {}
    for part in listed:
        if part.size != sizes.get(part.number):
            continue
        ours = known.get(part.number)
        crc = part.crc
        if crc is None and ours is not None and _is_same(ours, part):
            crc = ours.crc
        if crc is not None:
            usable[part.number] = PartDone(part.number, part.size, part.etag, crc)
    return usable


def _is_same(ours: PartDone, part: ServerPart) -> bool:
    return (ours.size, bare_etag(ours.etag)) == (part.size, bare_etag(part.etag))


async def abort_left(
    objects: BucketClient, retrier: Retrier, record: UploadRecord, alive: frozenset[str]
) -> int:
    """Abort what is left of an upload; returns how many uploads that were.

    When its id never came back, those of the same name count that were begun when it was and have
    no part, but for the uploads `alive`, which somebody is busy with. Raises ObjectError.
    """
    name = record.name
    if record.upload_id:
        ids = [record.upload_id] if record.upload_id not in alive else []
    else:
        found = await retrier.run(name, objects.list_uploads, name)
        first, last = record.planned_at - CLOCK_TOLERANCE, record.planned_at + LONGEST_CREATE_TIME
        ids = [
            upload.upload_id
            for upload in found
            if first <= upload.initiated <= last
            and upload.upload_id not in alive
            and not await retrier.run(name, objects.list_parts, name, upload.upload_id)
        ]
    for upload_id in ids:
        await retrier.run(name, objects.abort_multipart_upload, name, upload_id)
    return len(ids)

"""What is checked by doing it: may objects be written, read, listed and removed."""

from __future__ import annotations

from sealift.doctor.findings import Check, Finding, failure, ok, skipped, warning
from sealift.doctor.visit import CONTENT, Visit
from sealift.errors import IntegrityError, NotSealedError, ObjectError, ReplyError


async def _list(visit: Visit) -> Finding:
    prefix = visit.place.name if visit.place else ""
    try:
        await visit.retrier.run(prefix, visit.objects.list_page, prefix, None, "", 1)
    except ReplyError as error:
        if error.status != 403:
            raise
        return warning(
            "objects may not be listed: sync, restore of a prefix and ls cannot work",
            "that needs s3:ListBucket",
        )
    return ok("objects may be listed")


async def _put(visit: Visit) -> Finding:
    try:
        stored = await visit.retrier.run(visit.name, visit.put)
    except NotSealedError as error:
        return failure(error.message, "do not trust this server with what must be sealed")
    except ObjectError as error:
        raise await visit.session.explained(error, visit.bucket, visit.name) from None
    visit.learned["checks_crc"] = stored.checked
    return ok("an object may be written, and the reply confirms the customer key")


async def _head(visit: Visit) -> Finding:
    try:
        head = await visit.retrier.run(visit.name, visit.objects.head_object, visit.name)
    except ObjectError as error:
        raise await visit.session.explained(error, visit.bucket, visit.name) from None
    if head.size != len(CONTENT):
        raise IntegrityError(f"HEAD says {head.size} bytes of {len(CONTENT)} that were written")
    return ok("what was written may be looked at")


async def _get(visit: Visit) -> Finding:
    room = memoryview(bytearray(len(CONTENT)))
    try:
        received = await visit.retrier.run(
            visit.name, visit.objects.get_object, visit.name, room, None, None, None
        )
    except ObjectError as error:
        raise await visit.session.explained(error, visit.bucket, visit.name) from None
    if received.size != len(CONTENT) or bytes(room) != CONTENT:
        raise IntegrityError("other bytes came back than were written", hint="use another server")
    return ok("what was written may be read, and is the same")


async def _multipart(visit: Visit) -> Finding:
    try:
        start = await visit.create()
        visit.learned["keeps_whole_crc"] = start.whole_crc
        await visit.send_part(start)
    except ObjectError as error:
        raise await visit.session.explained(error, visit.bucket, visit.name) from None
    try:
        await visit.retrier.run(visit.name, visit.abort, start)
    except ReplyError as error:
        if error.status != 403:
            raise
        visit.may_abort = False
        return warning(
            "an upload in parts may be begun, and not be aborted: what is cut off is paid for",
            "that needs s3:AbortMultipartUpload",
        )
    return ok("an upload in parts may be begun and aborted")


async def remove_probes(visit: Visit) -> Finding:
    """Remove what was written, whatever became of the checks; whether that may be done."""
    left = await visit.clean_up()
    if left:
        return failure(
            f"what doctor wrote could not be removed: {'; '.join(left)}",
            "remove it yourself; sync --delete and rm need s3:DeleteObject",
        )
    if not visit.has_removed:
        return skipped("there was nothing to remove")
    return ok("objects may be removed; nothing of doctor's is left")


RIGHTS: tuple[Check[Visit], ...] = (
    Check("list", _list, ("bucket",)),
    Check("put", _put, ("bucket", "customer-key")),
    Check("head", _head, ("put",)),
    Check("get", _get, ("put",)),
    Check("multipart", _multipart, ("put",)),
)

"""What is checked by trying to break it: seals, checksums, conditions, copies.

What a server proves capable of here is learned for the runs to come; see `capabilities`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from sealift.checksums import Digest
from sealift.conditions import IF_ABSENT
from sealift.doctor.findings import Check, Finding, failure, ok, warning
from sealift.doctor.visit import CONTENT, Visit
from sealift.errors import IntegrityError, NotSealedError, ReplyError
from sealift.keys import CustomerKey
from sealift.model import bare_etag

_OTHER_ETAG = "0" * 32


class _WrongCrc(Digest):
    """The CRC64NVME of other bytes, and no MD5 that would give them away first."""

    def __init__(self) -> None:
        super().__init__(CONTENT + b"x", with_md5=False)


class _WrongMd5(Digest):
    """The MD5 of other bytes beside the right CRC64NVME."""

    def __init__(self) -> None:
        super().__init__(CONTENT, with_md5=True)

    @property
    def content_md5(self) -> str | None:
        return Digest(CONTENT + b"x", with_md5=True).content_md5


async def _sealing(visit: Visit) -> Finding:
    """Without the key, and under another one, nobody may read."""
    for words, customer_key in (
        ("without any key", None),
        ("under another key", CustomerKey.generate()),
    ):
        try:
            await visit.objects.under(customer_key).read_first_byte(visit.name)
        except ReplyError as error:
            if error.status not in (400, 403):
                raise
        else:
            return failure(
                f"the server gives the object out {words}: it is not sealed",
                "do not trust this server with what must be sealed",
            )
    return ok("without the customer key, and under another one, nothing is given out")


async def _checksum(visit: Visit) -> Finding:
    refused, echoed = await _is_refused(visit, _WrongCrc())
    visit.learned["checks_crc"] = refused
    if refused:
        return ok("a wrong CRC64NVME is refused")
    if echoed:
        return failure(
            "the server confirms a CRC64NVME that it has not compared",
            "do not trust this server's checksums; report it to who runs it",
        )
    return ok("CRC64NVME is not looked at: Content-MD5 goes along with each request")


async def _md5(visit: Visit) -> Finding:
    refused, _ = await _is_refused(visit, _WrongMd5())
    visit.learned["checks_md5"] = refused
    if refused:
        return ok("a wrong Content-MD5 is refused")
    if visit.learned.get("checks_crc"):
        return ok("Content-MD5 is not looked at, and CRC64NVME is")
    return failure(
        "the server looks at no checksum: bytes that change on their way to its disk go unnoticed",
        "use another server, or read back what was written: sealift verify",
    )


async def _is_refused(visit: Visit, digest: Digest) -> tuple[bool, bool]:
    """Whether bytes with a wrong digest are refused, else whether it was confirmed."""
    try:
        stored = await visit.put(digest)
    except ReplyError as error:
        if error.status != 400:
            raise
        return True, False
    except NotSealedError:
        raise
    except IntegrityError:  # the reply has the checksum of what is there now
        return False, False
    return False, stored.checked


async def _conditions(visit: Visit) -> Finding:
    """The object is there, so that If-None-Match must fail, and so must a wrong If-Match."""
    learned = visit.learned
    learned["put_if_absent"] = await _fails(lambda: visit.put(None, IF_ABSENT))
    learned["put_if_match"] = await _fails(lambda: visit.put(None, {"if-match": _OTHER_ETAG}))
    etag = (await visit.retrier.run(visit.name, visit.put)).etag
    takes_right = not await _fails(lambda: visit.put(None, {"if-match": bare_etag(etag)}))
    if visit.may_abort:  # else what is refused would stay
        learned["complete_if_absent"] = await _fails(lambda: _complete_if_absent(visit))
    lacking = [
        words
        for name, words in (
            ("put_if_absent", "PutObject with If-None-Match"),
            ("put_if_match", "PutObject with If-Match"),
            ("complete_if_absent", "CompleteMultipartUpload with If-None-Match"),
        )
        if learned.get(name) is False
    ]
    if not takes_right:
        return warning(
            "a right ETag in If-Match is refused too, as Ceph 16 does in a versioned bucket",
            "sync asks LIST before it replaces an object: two more requests for each",
        )
    if lacking:
        return warning(
            f"no heed is paid to {', '.join(lacking)}",
            "where others write to the bucket meanwhile, LIST is all that --if-absent and sync "
            "have to go by",
        )
    return ok("writes on a condition are refused when it does not hold")


async def _complete_if_absent(visit: Visit) -> None:
    start = await visit.create()
    await visit.complete(start, await visit.send_part(start), IF_ABSENT)


async def _copy(visit: Visit) -> Finding:
    try:
        await visit.copy(None)
        room = memoryview(bytearray(len(CONTENT)))
        await visit.objects.get_object(visit.copied, room, None, None, None)
    except NotSealedError:
        visit.learned["copies_sealed"] = False
        return warning("a copy on the server is stored unsealed", _STREAMED)
    except ReplyError as error:
        if error.status not in (405, 501):
            raise await visit.session.explained(error, visit.bucket, visit.name) from None
        visit.learned["copies_sealed"] = False
        return warning(f"the server copies no sealed objects ({error.status})", _STREAMED)
    if bytes(room) != CONTENT:
        raise IntegrityError("a copy on the server has other bytes", hint="use another server")
    visit.learned["copies_sealed"] = True
    visit.learned["copy_if_absent"] = await _fails(lambda: visit.copy(IF_ABSENT))
    return ok("the server copies objects under the customer key")


_STREAMED = "copies from S3 to S3 take longer: their bytes come through this machine"


async def _fails(write: Callable[[], Awaitable[object]]) -> bool:
    """Whether a write is refused for its condition."""
    try:
        await write()
    except ReplyError as error:
        if error.status == 412:
            return True
        if error.status == 501:
            return False
        raise
    return False


PROMISES: tuple[Check[Visit], ...] = (
    Check("sealing", _sealing, ("put",)),
    Check("checksum", _checksum, ("put",)),
    Check("content-md5", _md5, ("checksum",)),
    Check("conditions", _conditions, ("put", "multipart")),
    Check("copy", _copy, ("put", "get")),
)

"""Whether the content of an object is that of a file, or what a manifest says.

By a CRC64NVME of all bytes: the one stored with the object, as the server tells it, where there is
one and it agrees. Else the object is read, so that it is known which of the three is wrong: the
file, the object or what is stored with it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

import anyio

from sealift.errors import ObjectError, ReplyError
from sealift.keyfinder import Sealing, is_about_key
from sealift.model import UNSEALED, Job
from sealift.retry import Retrier
from sealift.verify.findings import Finding, How, Noticed
from sealift.verify.proving import Keyed, hidden
from sealift.verify.reading import FileReader, ObjectReader
from sealift.wire.bucket import BucketClient, HeadFacts

T = TypeVar("T")


@dataclass(slots=True)
class Subject:
    """What the object of a job is held against: the file `path`, or, as `is_line`, a manifest.

    `recorded` is the key id that the catalogue or the manifest says; `noticed` is what was found
    before the object was asked about. Without `compares` only its sealing is looked at, of an older
    version the `version_id`.
    """

    path: str | None = None
    is_line: bool = False
    compares: bool = True
    recorded: str | None = None
    version_id: str | None = None
    noticed: list[Noticed] = field(default_factory=list)


class Judged(NamedTuple):
    """By `how` the content is right, or what is wrong with it; `checked`: also against the stored
    checksum."""

    how: How | None
    checked: bool
    noticed: tuple[Noticed, ...] = ()


class HiddenError(Exception):
    """The key of an object was not to be found, or no byte of it to be had."""

    def __init__(self, noticed: Noticed) -> None:
        super().__init__(noticed.text)
        self.noticed = noticed


class _Seen(NamedTuple):
    """What the server told of an object; `crc` is that of its bytes, if they came along."""

    size: int
    stored: int | None
    version_id: str | None
    crc: int | None
    head: HeadFacts | None


class Comparer:
    """Compares contents; `is_deep`: by the object's bytes, whatever is stored with them."""

    def __init__(
        self, retrier: Retrier, files: FileReader, objects: ObjectReader, *, is_deep: bool
    ) -> None:
        self._retrier = retrier
        self._files = files
        self._objects = objects
        self._is_deep = is_deep

    async def compare(
        self, keyed: Keyed, job: Job, subject: Subject, key_id: str | None, crc: int | None
    ) -> tuple[Judged, str]:
        """The verdict, and the id of the key that the object is under, or UNSEALED.

        `key_id` is that, if it is known; `crc` is that of a small file. Raises ObjectError, also
        for the file, and HiddenError.
        """
        reading: asyncio.Future[int] | None = None
        if subject.path is not None and crc is None:  # meanwhile: it is large
            counts = not self._is_deep
            reading = asyncio.ensure_future(self._files.crc(subject.path, job, counts=counts))
        try:
            seen, key_id = await self._look(keyed, job, subject, key_id)
            if seen.size != job.size:
                return Judged(None, False, (differing_size(seen.size, job.size, subject),)), key_id
            if subject.is_line and job.version_id not in (None, seen.version_id):
                return Judged(None, False, (_altered("has another version than"),)), key_id
            known = job.crc if subject.path is None else crc
            if reading is not None:
                known = await reading
            read = seen.crc
            if read is None and self._must_read(subject, known, seen.stored):
                assert seen.head is not None
                job.moved = 0
                objects = keyed.clients.under(key_id)
                read = await self._objects.ranges(objects, job, seen.head)
        finally:
            if reading is not None:
                await _end(reading)
        return judge(known, seen.stored, read, is_line=subject.is_line), key_id

    def _must_read(self, subject: Subject, known: int | None, stored: int | None) -> bool:
        return self._is_deep or (not subject.is_line and stored != known)

    async def _look(
        self, keyed: Keyed, job: Job, subject: Subject, key_id: str | None
    ) -> tuple[_Seen, str]:
        """HEAD, or where the bytes are wanted and few, GET: it tells the same, and has them."""

        async def head(objects: BucketClient) -> _Seen:
            name = job.location.name
            facts: HeadFacts = await self._retrier.run(name, objects.head_object, name)
            return _Seen(facts.size, facts.facts.crc, facts.version_id, None, facts)

        async def get(objects: BucketClient) -> _Seen:
            crc, got = await self._objects.whole(objects, job)
            return _Seen(got.size, got.facts.crc, got.version_id, crc, None)

        ask = get if self._is_deep and job.size <= self._objects.range_size else head
        if key_id is not None:
            return await ask(keyed.clients.under(key_id)), key_id
        return await _under_its_key(keyed, job, subject.recorded, ask)


async def _end(reading: asyncio.Future[int]) -> None:
    """Wait for what reads a file to be over, whatever came of it; nobody wants it any more."""
    reading.cancel()
    with anyio.CancelScope(shield=True):
        await asyncio.wait([reading])
    if not reading.cancelled():
        reading.exception()


async def _under_its_key(
    keyed: Keyed, job: Job, recorded: str | None, ask: Callable[[BucketClient], Awaitable[T]]
) -> tuple[T, str]:
    """Ask under the key that is the most likely one, or else under the one that is found."""
    name = job.location.name
    guess = keyed.finder.guess(name, recorded)
    if guess is None:
        guess = keyed.default
    try:
        answer = await ask(keyed.clients.under(guess))
    except ObjectError as error:
        bare = isinstance(error, ReplyError) and not error.code and error.status in (400, 403)
        if not (is_about_key(error) or bare):
            raise
    else:
        if guess != UNSEALED:
            keyed.finder.note_fit(guess)
        return answer, guess
    found = await keyed.finder.find(name, job.size, recorded, {guess})
    if found.sealing not in (Sealing.KEY, Sealing.NONE) or found.key_id is None:
        raise HiddenError(hidden(found))
    return await ask(keyed.clients.under(found.key_id)), found.key_id


def judge(known: int | None, stored: int | None, read: int | None, *, is_line: bool) -> Judged:
    """The verdict on the CRC64NVME that is `known` of the file or from the manifest, if it is, the
    one `stored` with the object, and that of the bytes `read` of it, if they were. Pure."""
    if read is None:
        if known is None:
            return Judged(How.SIZE, False)
        if stored == known:
            return Judged(How.CHECKSUM, True)
        if stored is None:
            return Judged(
                None, False, (_altered("has no CRC64NVME any more: it was replaced", ""),)
            )
        return Judged(None, False, (_altered("has another CRC64NVME than"),))
    noticed = []
    if known is not None and read != known:
        text = "its bytes are not those of the file"
        noticed.append(
            _altered("has other bytes than") if is_line else Noticed(Finding.CONTENT, text)
        )
    if stored is not None and read != stored:
        text = "the CRC64NVME stored with the object is not that of its bytes"
        noticed.append(Noticed(Finding.CHECKSUM, text))
    if noticed:
        return Judged(None, stored is not None, tuple(noticed))
    is_held = known is not None or stored is not None  # else the bytes were held against nothing
    return Judged(How.READING if is_held else How.SIZE, stored is not None)


def differing_size(there: int, here: int, subject: Subject) -> Noticed:
    """The object has another size than the file, or than the manifest says."""
    if subject.is_line:
        return _altered(f"has {there} bytes, the manifest says {here}", "")
    return Noticed(Finding.SIZE, f"the object has {there} bytes, the file {here}")


def _altered(what: str, says: str = " the manifest says") -> Noticed:
    return Noticed(Finding.ALTERED, f"the object {what}{says}")

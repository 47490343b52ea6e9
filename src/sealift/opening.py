"""HEAD of one object under its customer key, which is found with few requests."""

from __future__ import annotations

from typing import NamedTuple

from sealift.errors import NotSealedError, ObjectError, UnsealedError
from sealift.key_hints import KeyHints
from sealift.keyfinder import KeyFinder, Sealed, Sealing, is_about_key, tells_of_a_key, told
from sealift.model import UNSEALED, Job
from sealift.retry import Retrier
from sealift.wire.bucket import HeadFacts


class Opened(NamedTuple):
    """An object whose key was found. `key_id` None: as the run has it; `found_by` says how."""

    head: HeadFacts
    key_id: str | None
    found_by: str = ""


class Opener:
    """Of one bucket."""

    def __init__(self, hints: KeyHints, finder: KeyFinder, retrier: Retrier) -> None:
        self._hints = hints
        self._finder = finder
        self._retrier = retrier

    async def open(self, name: str, job: Job | None = None) -> Opened:
        """HEAD of the object `name` under its key; `job` is a planned one that reads it.

        Raises ObjectError.
        """
        key_id, found_by = None if job is None else job.read_key_id, ""
        if key_id is None and self._hints.chooses:
            key_id, found_by = await self._likely_key(name)
        try:
            head = await self._head(name, key_id)
        except ObjectError as error:
            if not is_about_key(error):
                raise
            found = await self._found(name, job, error, key_id)
            head = await self._head(name, found)
            key_id, found_by = found, "trying"
        if job is not None:
            job.read_key_id = key_id
        return Opened(head, key_id, found_by)

    async def _head(self, name: str, key_id: str | None) -> HeadFacts:
        return await self._retrier.run(name, self._hints.client(key_id).head_object, name)

    async def _likely_key(self, name: str) -> tuple[str, str]:
        """A HEAD that is refused costs two requests: so the tag comes before a mere guess."""
        known = await self._hints.known_by_name(name)
        key_id = None if known is None else known.key_id or UNSEALED
        if key_id is not None and self._hints.is_usable(key_id):
            return key_id, "the catalogue"
        key_id = self._hints.rule_for(name)
        if key_id is not None:
            return key_id, "a rule"
        key_id = await self._hints.read_tag(name)
        if key_id is not None and self._hints.is_usable(key_id):
            return key_id, "its tag"
        key_id = self._finder.guess(name, None)
        return (self._hints.first if key_id is None else key_id), "trying"

    async def _found(
        self, name: str, job: Job | None, error: ObjectError, refused: str | None
    ) -> str:
        """The key of an object whose HEAD was refused with `error`; raises that when none fits."""
        tried = {self._hints.first if refused is None else refused}
        if tells_of_a_key(error):
            tried.add(UNSEALED)
        recorded = None
        if job is not None:
            recorded = (await self._hints.recorded([job])).get(job)
        if isinstance(error, UnsealedError | NotSealedError):
            sealed = Sealed(Sealing.NONE, UNSEALED)
        else:
            size = None if job is None else job.size
            sealed = await self._finder.find(name, size, recorded, tried)
        if sealed.sealing is Sealing.UNKNOWN and job is None:
            sealed = await self._hints.missing_by_record(name) or sealed
        if sealed.key_id is None or not self._hints.opens(sealed) or sealed.key_id in tried:
            raise told(error, sealed) from None
        return sealed.key_id

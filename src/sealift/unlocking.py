"""Finds the customer key of each object that is read, around whoever reads it.

A guess costs no request, and the move itself is the try: what the catalogue says of an object that
LIST shows unchanged, the key that fit last in its directory, the rule, the key that fit last of
all. Only what is refused costs more: `keyfinder` finds its key, and it is moved again. A run with
one key has nothing to guess, and pays nothing.

One number decides whether tags are read before the move. That costs a request an object; a wrong
guess costs two or three more than a right one. So tags come first while more than two guesses of
five are wrong, and objects have tags.

What is under no customer key is not read unless that is allowed: whoever could replace an object
by a plain one would have it restored.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from sealift.catalogue import Catalogue
from sealift.errors import (
    CatalogueError,
    NotSealedError,
    ObjectError,
    Obstacle,
    ReplyError,
    UnsealedError,
    WrongCustomerKeyError,
)
from sealift.events import Noted, OlderKey, Reporter
from sealift.files.disk import Disk
from sealift.keyed import Move, Plan
from sealift.keyfinder import KeyFinder, Sealed, Sealing, is_about_key
from sealift.keyring import Keyring
from sealift.model import UNSEALED, Job, Known, Location, bare_etag
from sealift.resources import Settle
from sealift.retry import Retrier
from sealift.session import Session
from sealift.wire.bucket import BucketClient, HeadFacts
from sealift.wire.tagging import KEY_ID_TAG

# How far guesses are doubted: a wrong one adds, a right one takes away, within the bounds; from the
# limit on tags are read first. An object without a tag takes all doubt away, and more.
MISS, HIT, MOST_DOUBT, DOUBT_LIMIT, NO_TAG = 3, 2, 12, 7, -30

_KEY_ID = re.compile("[0-9a-f]{16}")
_USE = "use the key that the object was sealed with"


class Opened(NamedTuple):
    """An object whose key was found. `key_id` None: as the run has it; `found_by` says how."""

    head: HeadFacts
    key_id: str | None
    found_by: str = ""


class Unlocker:
    """Of one bucket that is read, under the keys of `keyring`; shared by all workers of a run."""

    def __init__(
        self,
        objects: BucketClient,
        keyring: Keyring,
        retrier: Retrier,
        catalogue: Catalogue,
        disk: Disk,
        reporter: Reporter,
        bucket: str,
        *,
        allows_unsealed: bool,
    ) -> None:
        self._objects = objects
        self._keyring = keyring
        self._retrier = retrier
        self._catalogue = catalogue
        self._disk = disk
        self._reporter = reporter
        self._bucket = bucket
        self._finder = KeyFinder(objects, keyring, retrier, bucket, self._read_tag)
        own = objects.key_id
        triable = [key.key_id for key in keyring.triable_in(bucket)]
        self._first = own or (triable[0] if triable else UNSEALED)
        self._allows_unsealed = allows_unsealed or not len(keyring)
        self._chooses = len(keyring) + allows_unsealed > (0 if own is None else 1)
        self._clients = {own or UNSEALED: objects}
        self._reads_tags = True
        self._doubt = 0

    def client(self, key_id: str | None) -> BucketClient:
        """What reads objects under a key; None: as the run has it."""
        if key_id is None:
            return self._objects
        client = self._clients.get(key_id)
        if client is None:
            client = self._clients[key_id] = self._objects.under(self._keyring.select(key_id))
        return client

    # Many objects

    def guessed(self, plan: Plan) -> Plan:
        """`plan` with the keys that the catalogue knows, as far as LIST agrees with it."""
        return self._recalled(plan) if self._chooses else plan

    async def _recalled(self, plan: Plan) -> Plan:
        async for jobs in plan:
            recorded = await self._recorded(jobs)
            for job in jobs:
                key_id = recorded.get(job)
                if key_id is not None and self._is_usable(key_id):
                    job.read_key_id = key_id
            yield jobs

    def around(self, move: Move) -> Move:
        """The same move, of objects under any key at hand."""

        async def unlock(jobs: Sequence[Job], settle: Settle) -> None:
            refused: list[tuple[Job, ObjectError]] = []

            def note(job: Job, outcome: bool | ObjectError | None) -> None:
                if not isinstance(outcome, ObjectError):
                    if self._chooses and outcome is not None:
                        self._note_read(job)
                    settle(job, outcome)
                elif is_about_key(outcome):
                    refused.append((job, outcome))
                else:
                    settle(job, classed(outcome))

            if self._chooses:
                await self._guess(jobs)
            await move(jobs, note)
            search = _Search()
            while refused:
                some = refused[:]
                refused.clear()
                again = await self._search(search, some, settle)
                if again:
                    await move(again, note)

        return unlock

    async def _guess(self, jobs: Sequence[Job]) -> None:
        for job in jobs:
            if job.read_key_id is not None:
                continue
            name = job.read_from.name
            guess = self._finder.guess(name, None)
            if guess is None:
                guess = self._first
            if self._doubt >= DOUBT_LIMIT and self._reads_tags:
                guess = await self._better_guess(name, guess)
            job.read_key_id = guess

    async def _better_guess(self, name: str, guess: str) -> str:
        try:
            tagged = await self._read_tag(name)
        except ObjectError:  # the move will tell
            return guess
        if tagged is None:
            self._doubt = NO_TAG
        elif tagged == guess:
            self._doubt -= HIT
        else:
            self._note_miss()
        return guess if tagged is None or not self._is_usable(tagged) else tagged

    def _note_miss(self) -> None:
        self._doubt = min(self._doubt + MISS, MOST_DOUBT)

    def _note_read(self, job: Job) -> None:
        name, key_id = job.read_from.name, job.read_key_id
        if key_id is None:
            return
        self._finder.note_fit(key_id, name)
        if self._doubt > 0:
            self._doubt -= HIT
        if key_id not in (UNSEALED, self._key_id_of_today(name)):
            self._reporter.emit(OlderKey(job))

    async def _search(
        self, search: _Search, refused: Sequence[tuple[Job, ObjectError]], settle: Settle
    ) -> list[Job]:
        """Those of `refused` to be moved again, under other keys; the others are settled.

        What is found for one of them is the next guess for all: each may be found itself but once.
        """
        again = []
        likely = None
        for job, error in refused:
            tried = search.tried.setdefault(job, set())
            tried.add(self._first if job.read_key_id is None else job.read_key_id)
            if job in search.found:
                settle(job, error)
                continue
            if len(tried) == 1:
                self._note_miss()
            if _tells_of_a_key(error):
                tried.add(UNSEALED)
            if likely is not None and likely not in tried and job.source is None:
                job.read_key_id = likely
                again.append(job)
                continue
            try:
                sealed = await self._find(job, error, tried)
            except ObjectError as reason:
                settle(job, classed(reason))
                continue
            key_id = sealed.key_id
            if not self._opens(sealed) or key_id is None or key_id in tried:
                settle(job, told(error, sealed))
                continue
            search.found.add(job)
            job.read_key_id = likely = key_id
            again.append(job)
        return again

    async def _find(self, job: Job, error: ObjectError, tried: Collection[str]) -> Sealed:
        name = job.read_from.name
        recorded = (await self._recorded([job])).get(job)
        if job.source is None:
            if isinstance(error, UnsealedError | NotSealedError):
                return Sealed(Sealing.NONE, UNSEALED)
            return await self._finder.find(name, job.size, recorded, tried)
        # What was refused may have been the copy: then the key that was tried is the right one.
        if recorded is None or self._is_usable(recorded):
            recorded = self._first if job.read_key_id is None else job.read_key_id
        return await self._finder.find(name, job.size, recorded)

    # One object

    async def open(self, name: str, job: Job | None = None) -> Opened:
        """HEAD of the object `name` under its key; `job` is a planned one that reads it.

        Raises ObjectError.
        """
        key_id, found_by = None if job is None else job.read_key_id, ""
        if key_id is None and self._chooses:
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
        return await self._retrier.run(name, self.client(key_id).head_object, name)

    async def _likely_key(self, name: str) -> tuple[str, str]:
        """A HEAD that is refused costs two requests: so the tag comes before a mere guess."""
        known = await self._known_by_name(name)
        key_id = None if known is None else known.key_id or UNSEALED
        if key_id is not None and self._is_usable(key_id):
            return key_id, "the catalogue"
        key_id = self._keyring.rule_for(Location(self._bucket, name))
        if key_id is not None and self._is_usable(key_id):
            return key_id, "a rule"
        key_id = await self._read_tag(name)
        if key_id is not None and self._is_usable(key_id):
            return key_id, "its tag"
        key_id = self._finder.guess(name, None)
        return (self._first if key_id is None else key_id), "trying"

    async def _found(
        self, name: str, job: Job | None, error: ObjectError, refused: str | None
    ) -> str:
        """The key of an object whose HEAD was refused with `error`; raises that when none fits."""
        tried = {self._first if refused is None else refused}
        if _tells_of_a_key(error):
            tried.add(UNSEALED)
        recorded = None
        if job is not None:
            recorded = (await self._recorded([job])).get(job)
        if isinstance(error, UnsealedError | NotSealedError):
            sealed = Sealed(Sealing.NONE, UNSEALED)
        else:
            size = None if job is None else job.size
            sealed = await self._finder.find(name, size, recorded, tried)
        if sealed.sealing is Sealing.UNKNOWN and job is None:
            sealed = await self._missing_by_record(name) or sealed
        if sealed.key_id is None or not self._opens(sealed) or sealed.key_id in tried:
            raise told(error, sealed) from None
        return sealed.key_id

    async def _missing_by_record(self, name: str) -> Sealed | None:
        """The key that is not at hand, by an entry of the catalogue that LIST agrees with."""
        known = await self._known_by_name(name)
        if known is None or known.key_id is None or self._is_usable(known.key_id):
            return None
        try:
            page = await self._retrier.run(name, self._objects.list_page, name, None, "", 1, "")
        except ObjectError:
            return None
        for found in page.objects:
            if found.name == name and _agree(known, found.size, found.etag):
                return Sealed(Sealing.MISSING, known.key_id)
        return None

    async def _known_by_name(self, name: str) -> Known | None:
        return next(iter(await self._look_up([name])), None)

    # What is known and allowed

    async def _recorded(self, jobs: Sequence[Job]) -> Mapping[Job, str]:
        """The key ids by the catalogue, of jobs whose objects are as it says."""
        if not jobs:
            return {}
        known = {row.name: row for row in await self._look_up([job.read_from.name for job in jobs])}
        return {
            job: row.key_id or UNSEALED
            for job in jobs
            if (row := known.get(job.read_from.name)) and _agree(row, job.size, job.listed_etag)
        }

    async def _look_up(self, names: Sequence[str]) -> list[Known]:
        try:
            return await self._disk.run(self._catalogue.look_up, self._objects.scope, names)
        except CatalogueError as error:
            self._reporter.emit(Noted(str(error)))
            return []

    async def _read_tag(self, name: str) -> str | None:
        """The key id in the object's tag; what may not or cannot be read is not asked again."""
        if not self._reads_tags:
            return None
        try:
            tags = await self._retrier.run(name, self._objects.get_object_tagging, name)
        except ReplyError as error:
            if error.status in (403, 405, 501) and self._reads_tags:
                self._reads_tags = False
                self._reporter.emit(Noted(f"tags do not tell of customer keys here: {error}"))
            return None
        key_id = tags.get(KEY_ID_TAG, "")
        return key_id if _KEY_ID.fullmatch(key_id) else None

    def _is_usable(self, key_id: str) -> bool:
        if key_id == UNSEALED:
            return self._allows_unsealed
        return self._keyring.get(key_id) is not None

    def _opens(self, sealed: Sealed) -> bool:
        if sealed.sealing is Sealing.NONE:
            return self._allows_unsealed
        return sealed.sealing is Sealing.KEY

    def _key_id_of_today(self, name: str) -> str:
        rule = self._keyring.rule_for(Location(self._bucket, name))
        return self._first if rule is None else rule


class _Search:
    """For the refused jobs of a batch: the keys that each was `tried` under, and whose keys were
    `found`."""

    def __init__(self) -> None:
        self.tried: dict[Job, set[str]] = {}
        self.found: set[Job] = set()


class Unlockers:
    """Those of the buckets that are reached over one session."""

    def __init__(
        self,
        session: Session,
        keyring: Keyring,
        catalogue: Catalogue,
        disk: Disk,
        reporter: Reporter,
        *,
        allows_unsealed: bool,
    ) -> None:
        self._session = session
        self._keyring = keyring
        self._catalogue = catalogue
        self._disk = disk
        self._reporter = reporter
        self._allows_unsealed = allows_unsealed
        self._made: dict[str, Unlocker] = {}

    async def of(self, bucket: str) -> Unlocker:
        """That of a bucket; the first call asks the server whether the settings hold."""
        objects = await self._session.objects(bucket)
        made = self._made.get(bucket)
        if made is None:
            made = self._made[bucket] = Unlocker(
                objects,
                self._keyring,
                self._session.retrier,
                self._catalogue,
                self._disk,
                self._reporter,
                bucket,
                allows_unsealed=self._allows_unsealed,
            )
        return made


def told(error: ObjectError, sealed: Sealed) -> ObjectError:
    """The error of an object that no key at hand opens, with what is known of it by now."""
    match sealed.sealing:
        case Sealing.NONE:
            error.obstacle = Obstacle.PLAIN
            error.hint = (
                "the object is not sealed with a customer key; "
                "if it is to be taken as it is, add --allow-unsealed"
            )
        case Sealing.MISSING:
            error.obstacle = Obstacle.MISSING_KEY
            error.key_id = sealed.key_id
            error.hint = f"{_USE}, {sealed.key_id}: it is not at hand, see sealift key list"
        case Sealing.UNKNOWN if isinstance(error, WrongCustomerKeyError):
            error.obstacle = Obstacle.UNKNOWN_KEY
            error.hint = f"{_USE}: none at hand fits, see sealift key list"
        case Sealing.ARCHIVED:
            error.obstacle = Obstacle.ARCHIVED
            error.hint = "the object is archived; restore it from the archive first"
    return error


def classed(error: ObjectError) -> ObjectError:
    """An error that is not about keys; one of an archived object says so."""
    if isinstance(error, ReplyError) and error.code == "InvalidObjectState":
        error.obstacle = Obstacle.ARCHIVED
    return error


def _tells_of_a_key(error: ObjectError) -> bool:
    """Whether the object is under a customer key for sure, though another one."""
    return isinstance(error, WrongCustomerKeyError) and not isinstance(error, UnsealedError)


def _agree(known: Known, size: int, etag: str) -> bool:
    return known.size == size and known.etag == bare_etag(etag)

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

from collections.abc import Collection, Sequence

from sealift.catalogue import Catalogue
from sealift.errors import NotSealedError, ObjectError, ReplyError, UnsealedError
from sealift.events import OlderKey, Reporter
from sealift.files.disk import Disk
from sealift.key_hints import KeyHints
from sealift.keyed import Move, Plan
from sealift.keyfinder import (
    KeyFinder,
    Sealed,
    Sealing,
    classed,
    is_about_key,
    tells_of_a_key,
    told,
)
from sealift.keyring import Keyring
from sealift.model import UNSEALED, Job, Location
from sealift.opening import Opened, Opener
from sealift.resources import Settle
from sealift.session import Session
from sealift.wire.bucket import BucketClient

# How far guesses are doubted: a wrong one adds, a right one takes away, within the bounds; from the
# limit on tags are read first. An object without a tag takes all doubt away, and more.
MISS, HIT, MOST_DOUBT, DOUBT_LIMIT, NO_TAG = 3, 2, 12, 7, -30


class Unlocker:
    """Of one bucket that is read; shared by all workers of a run."""

    def __init__(
        self, hints: KeyHints, finder: KeyFinder, opener: Opener, reporter: Reporter
    ) -> None:
        self._hints = hints
        self._finder = finder
        self._opener = opener
        self._reporter = reporter
        self._doubt = 0

    def client(self, key_id: str | None) -> BucketClient:
        """What reads objects under a key; None: as the run has it."""
        return self._hints.client(key_id)

    async def read_tag(self, name: str) -> str | None:
        """The key id in an object's tag; see `KeyHints`."""
        return await self._hints.read_tag(name)

    async def open(self, name: str, job: Job | None = None) -> Opened:
        """HEAD of one object; see `Opener`."""
        return await self._opener.open(name, job)

    def guessed(self, plan: Plan) -> Plan:
        """`plan` with the keys that the catalogue knows, as far as LIST agrees with it."""
        return self._recalled(plan) if self._hints.chooses else plan

    async def _recalled(self, plan: Plan) -> Plan:
        async for jobs in plan:
            recorded = await self._hints.recorded(jobs)
            for job in jobs:
                key_id = recorded.get(job)
                if key_id is not None and self._hints.is_usable(key_id):
                    job.read_key_id = key_id
            yield jobs

    def around(self, move: Move) -> Move:
        """The same move, of objects under any key at hand."""

        async def unlock(jobs: Sequence[Job], settle: Settle) -> None:
            refused: list[tuple[Job, ObjectError]] = []

            def note(job: Job, outcome: bool | ObjectError | None) -> None:
                if not isinstance(outcome, ObjectError):
                    if self._hints.chooses and outcome is not None:
                        self._note_read(job)
                    settle(job, outcome)
                elif is_about_key(outcome):
                    refused.append((job, outcome))
                else:
                    settle(job, classed(outcome))

            if self._hints.chooses:
                ahead = self._scouts(jobs)
                if ahead and len(ahead) < len(jobs):
                    await unlock(ahead, settle)
                    jobs = [job for job in jobs if job not in ahead]
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

    def _scouts(self, jobs: Sequence[Job]) -> list[Job]:
        """One for each directory whose key is but guessed: else a batch may be refused."""
        scouts: dict[str, Job] = {}
        for job in jobs:
            directory = self._finder.new_directory(job.read_from.name)
            if job.read_key_id is None and directory is not None:
                scouts.setdefault(directory, job)
        return list(scouts.values())

    async def _guess(self, jobs: Sequence[Job]) -> None:
        for job in jobs:
            if job.read_key_id is not None:
                continue
            name = job.read_from.name
            guess = self._finder.guess(name, None)
            if guess is None:
                guess = self._hints.first
            if self._doubt >= DOUBT_LIMIT and self._hints.reads_tags:
                guess = await self._better_guess(name, guess)
            job.read_key_id = guess

    async def _better_guess(self, name: str, guess: str) -> str:
        try:
            tagged = await self._hints.read_tag(name)
        except ObjectError:  # the move will tell
            return guess
        if tagged is None:
            self._doubt = NO_TAG
        elif tagged == guess:
            self._doubt -= HIT
        else:
            self._note_miss()
        return guess if tagged is None or not self._hints.may_try(tagged) else tagged

    def _note_miss(self) -> None:
        self._doubt = min(self._doubt + MISS, MOST_DOUBT)

    def _note_read(self, job: Job) -> None:
        name, key_id = job.read_from.name, job.read_key_id
        if key_id is None:
            return
        self._finder.note_fit(key_id, name)
        if self._doubt > 0:
            self._doubt -= HIT
        if key_id != UNSEALED and not self._hints.is_of_today(name, key_id):
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
            tried.add(self._hints.first if job.read_key_id is None else job.read_key_id)
            if job in search.found:
                settle(job, error)
                continue
            if tells_of_a_key(error):
                tried.add(UNSEALED)
            if likely is not None and likely not in tried and job.source is None:
                self._note_miss()
                job.read_key_id = likely
                again.append(job)
                continue
            try:
                sealed = await self._find(job, error, tried)
            except ObjectError as reason:
                settle(job, classed(reason))
                continue
            key_id = sealed.key_id
            if not self._hints.opens(sealed) or key_id is None or key_id in tried:
                settle(job, told(error, sealed))
                continue
            self._note_miss()
            search.found.add(job)
            job.read_key_id = likely = key_id
            again.append(job)
        return again

    async def _find(self, job: Job, error: ObjectError, tried: Collection[str]) -> Sealed:
        name = job.read_from.name
        recorded = (await self._hints.recorded([job])).get(job)
        operation = error.operation if isinstance(error, ReplyError) else ""
        if job.source is None or operation == "GetObject":
            if isinstance(error, UnsealedError | NotSealedError):
                return Sealed(Sealing.NONE, UNSEALED)
            # HEAD took two requests to know that the only key is wrong: that is to be enough,
            # unless tags are known to help.
            hints = self._hints
            reads_tag = hints.chooses or hints.has_seen_tag or operation != "HeadObject"
            return await self._finder.find(name, job.size, recorded, tried, reads_tag=reads_tag)
        # What was refused may have been the copy: then the key that was tried is the right one.
        if recorded is None or self._hints.is_usable(recorded):
            recorded = self._hints.first if job.read_key_id is None else job.read_key_id
        return await self._finder.find(name, job.size, recorded)


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
            made = self._made[bucket] = self._make(objects, bucket)
        return made

    async def read_tag(self, location: Location) -> str | None:
        """The key id in an object's tag, if it has one that may be read."""
        return await (await self.of(location.bucket)).read_tag(location.name)

    def _make(self, objects: BucketClient, bucket: str) -> Unlocker:
        retrier = self._session.retrier
        hints = KeyHints(
            objects,
            self._keyring,
            retrier,
            self._catalogue,
            self._disk,
            self._reporter,
            bucket,
            allows_unsealed=self._allows_unsealed,
        )
        finder = KeyFinder(objects, self._keyring, retrier, bucket, hints.read_tag)
        return Unlocker(hints, finder, Opener(hints, finder, retrier), self._reporter)

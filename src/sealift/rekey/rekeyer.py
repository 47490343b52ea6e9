"""Writes each object anew in its place, under another key.

    find what it is under -> decide -> copy on the server, or stream -> read back -> record

At every moment either the old or the new object stands there whole: a PutObject, a CopyObject and
a Complete each replace an object at once, and only the version that was looked at (see
`conditions`). The server copies only what a `rehearsal` has shown it to seal.

A write whose reply was lost, and one that somebody else came before, look alike: the object is
looked at again, and is done, or begun anew.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import NamedTuple

from sealift.copier import Copier, Source
from sealift.describing import Described, describe
from sealift.errors import (
    NotSealedError,
    ObjectError,
    OvertakenError,
    ReplyError,
    SealiftError,
    UsageError,
)
from sealift.events import Reporter, Would
from sealift.keyfinder import KeyFinder, Sealing, is_about_key
from sealift.keyring import Keyring
from sealift.model import UNSEALED, Job, Location, bare_etag
from sealift.rekey.failures import archived, has_same_bytes, is_bare, is_worth_another, locked, told
from sealift.rekey.readback import check_refused, read_back
from sealift.rekey.rehearsal import Rehearsal
from sealift.rekey.seals import RekeyOptions, Seal, Verdict, decide, first_guess, not_taken
from sealift.resources import Resources, Settle
from sealift.ways import Way, choose_way, is_beyond
from sealift.wire.bucket import NULL_VERSION, BucketClient, HeadFacts
from sealift.wire.tagging import KEY_ID_TAG

# How often an object is begun anew when it was replaced meanwhile.
START_COUNT = 3


class Found(NamedTuple):
    """An object as it is: what it is under, who reads it, and its head."""

    seal: Seal
    reader: BucketClient
    head: HeadFacts


@dataclass(slots=True)
class Outcome:
    """What became of an object, for the report; None where that is not known.

    One that was `interrupted` stands there whole, under its old key or the new one.
    """

    job: Job
    outcome: str = "interrupted"
    seal: Seal | None = None
    way: Way | None = None
    crc: int | None = None
    old_version_id: str | None = None
    version_id: str | None = None
    error: SealiftError | None = None

    def fail(self, error: SealiftError) -> None:
        """It ended by `error`; what was rekeyed before stays so."""
        self.error = error
        if self.outcome == "interrupted":
            self.outcome = "failed"


# Hears of each object; awaited now and then.
Report = Callable[[Sequence[Outcome]], Awaitable[None]]


class Rekeyer:
    """Of one run; shared by all its workers. `prefix` begins the names of all objects."""

    def __init__(
        self,
        resources: Resources,
        keyring: Keyring,
        options: RekeyOptions,
        part_size: int,
        prefix: Location,
        reporter: Reporter,
        report: Report,
    ) -> None:
        self._options = options
        self._target = options.target
        self._keyring = keyring
        self._part_size = part_size
        self._reporter = reporter
        self._report = report
        self._retrier = resources.retrier
        self._writer = self._client(resources.objects, options.target)
        self._resources = replace(resources, objects=self._writer)
        self._finder = KeyFinder(
            self._writer, keyring, self._retrier, prefix.bucket, self._read_tag
        )
        self._rehearsal = Rehearsal(
            self._writer,
            options.target,
            self._retrier,
            prefix,
            resources.ledger.run.token,
            reporter,
        )
        self._copiers: dict[Seal, Copier] = {}
        self._last: str | None = None
        self._seen_refused: set[tuple[Way, Seal]] = set()
        self.old_version_count = 0
        """How many versions under their old keys stay of what was rekeyed."""

    @property
    def dead_tokens(self) -> frozenset[str]:
        """The tokens of runs that were killed."""
        return self._resources.ledger.dead_tokens()

    async def move(self, jobs: Sequence[Job], settle: Settle) -> None:
        """Rekey the objects of `jobs` one after the other; `settle` hears how each ended."""
        ended = []
        try:
            for job in jobs:
                entry = Outcome(job)
                ended.append(entry)
                try:
                    checked = await self._rekey(entry)
                except ObjectError as error:
                    failure = await self._resources.explained(error, job)
                    entry.fail(failure)
                    settle(job, failure)
                except SealiftError as error:  # no more objects are tried
                    entry.fail(error)
                    raise
                else:
                    settle(job, checked)
        finally:
            await self._report(ended)

    async def foresee(self, jobs: Sequence[Job], settle: Settle) -> None:
        """Say what would be done to the objects of `jobs`; nothing is written."""
        ended = []
        try:
            for job in jobs:
                entry = Outcome(job)
                ended.append(entry)
                try:
                    await self._foresee(entry, settle)
                except ObjectError as error:
                    entry.fail(error)
                    settle(job, error)
        finally:
            await self._report(ended)

    async def _foresee(self, entry: Outcome, settle: Settle) -> None:
        job = entry.job
        found = await self._find(job)
        self._resources.note_done()
        if self._decide(entry, found) is Verdict.SAME:
            entry.outcome = "unchanged"
            settle(job, None)
            return
        entry.outcome, entry.way = "would", choose_way(found.head.size, ())
        to = f"{self._target.text} from {found.seal.text}, by {entry.way.value}, or streamed"
        self._reporter.emit(Would("rekey", str(job.location), to, job.size, job))

    async def _rekey(self, entry: Outcome) -> bool | None:
        """Rekey one object; see `Settle` for what is returned. Raises ObjectError."""
        job, before, torn = entry.job, None, None
        for start in range(1, START_COUNT + 1):
            found = await self._find(job)
            if before is not None and not has_same_bytes(before.head, found.head, torn):
                before = None  # it is somebody else's now
            try:
                verdict = self._decide(entry, found, before)
            except ObjectError:
                if torn is not None:
                    raise torn from None
                raise
            if verdict is Verdict.SAME:
                await self._keep(entry, found)
                if before is None:
                    return None
                entry.seal, entry.outcome = before.seal, "rekeyed"  # the reply was lost
                await self._end_old_version(entry, before.head.version_id)
                return False
            try:
                return await self._write(entry, found)
            except ObjectError as error:
                if start == START_COUNT or not is_worth_another(error):
                    raise told(error) from None
                if isinstance(error, NotSealedError) and error.stays:
                    torn = error
            before = found
        raise AssertionError

    def _decide(self, entry: Outcome, found: Found, before: Found | None = None) -> Verdict:
        """What becomes of the object. ObjectError when it is none of the two.

        What is plain, and was not `before` it was written here, is sealed whatever is taken.
        """
        entry.seal, entry.old_version_id = found.seal, found.head.version_id
        entry.crc = found.head.facts.crc
        verdict = decide(found.seal, self._options)
        if verdict is not Verdict.OTHER:
            return verdict
        if before is not None and not found.seal.key_id:
            return Verdict.MOVE
        raise not_taken(found.seal)

    # What it is under

    async def _find(self, job: Job) -> Found:
        name, recorded = job.location.name, job.key_id
        at_hand = [held.key.key_id for held in self._keyring]
        guess = first_guess(recorded, self._last, self._options.source, at_hand)
        refused = []
        if guess is not None:
            try:
                return await self._head(name, guess)
            except ObjectError as error:
                if not (is_about_key(error) or is_bare(error)):
                    raise
            refused.append(guess)
        sealed = await self._finder.find(name, job.size, recorded, refused)
        if sealed.sealing in (Sealing.KEY, Sealing.NONE):
            return await self._head(name, sealed.key_id or UNSEALED)
        raise archived() if sealed.sealing is Sealing.ARCHIVED else locked(sealed.key_id)

    async def _head(self, name: str, key_id: str) -> Found:
        reader = self._reader(Seal(key_id))
        head: HeadFacts = await self._retrier.run(name, reader.head_object, name)
        self._last = key_id
        seal = Seal(key_id, None if key_id else head.encryption)
        return Found(seal, reader if key_id else self._reader(seal), head)

    def _reader(self, seal: Seal) -> BucketClient:
        return self._client(self._writer, seal)

    def _client(self, objects: BucketClient, seal: Seal) -> BucketClient:
        return objects.under(self._keyring.select(seal.key_id), seal.encryption)

    async def _read_tag(self, name: str) -> str | None:
        try:
            return (await self._tags(name)).get(KEY_ID_TAG)
        except ObjectError:
            return None

    async def _tags(self, name: str) -> dict[str, str]:
        """The tags of an object; none on a server that knows no tags."""
        try:
            tags: dict[str, str] = await self._retrier.run(
                name, self._writer.get_object_tagging, name
            )
        except ReplyError as error:
            if error.status not in (405, 501):
                raise
            return {}
        return tags

    # As it is to be

    async def _keep(self, entry: Outcome, found: Found) -> None:
        """An object that is as wanted: its tags may be missing, where a run was killed."""
        job, head = entry.job, found.head
        if head.noted_tags:
            await self._set_tags(job.location.name, head.noted_tags, only_missing=True)
        job.size = head.size
        job.etag, job.version_id, job.crc = head.etag, head.version_id, head.facts.crc
        job.key_id = self._target.key_id
        entry.outcome, entry.version_id = "unchanged", head.version_id

    async def _write(self, entry: Outcome, found: Found) -> bool:
        """Write the object anew, and read it back. Raises ObjectError."""
        job, head, seal = entry.job, found.head, found.seal
        name = job.location.name
        await self._rehearsal.check_target()
        copier = self._copier(found)
        way = choose_way(head.size, ())
        if not await self._rehearsal.can(way, seal, found.reader, copier):
            way = Way.STREAM
        entry.way = way
        tags = await self._tags(name) if head.tag_count or not self._rehearsal.tells_tags else {}
        described = describe(head.carried, head.kept, tags, self._target.key_id, datetime.now(UTC))
        job.source, job.expects, job.crc = job.location, bare_etag(head.etag), None
        try:
            checked = await copier.copy_by(way, job, head, described)
        except ObjectError as error:
            if way is not Way.STREAM and is_beyond(error, in_place=True):
                self._rehearsal.refuse(way, seal)
            raise
        after = await self._confirm(entry, found, described)
        job.etag, job.version_id, job.key_id = after.etag, after.version_id, self._target.key_id
        job.crc = job.crc if job.crc is not None else after.facts.crc
        entry.outcome, entry.crc, entry.version_id = "rekeyed", job.crc, after.version_id
        await self._end_old_version(entry, head.version_id)
        return checked

    def _copier(self, found: Found) -> Copier:
        copier = self._copiers.get(found.seal)
        if copier is None:
            source = Source(
                found.reader, self._retrier, same_server=True, explained=self._resources.explained
            )
            copier = Copier(self._resources, self._part_size, source)
            self._copiers[found.seal] = copier
        return copier

    async def _confirm(self, entry: Outcome, found: Found, described: Described) -> HeadFacts:
        job, way, seal = entry.job, entry.way, found.seal
        assert way is not None
        name = job.location.name
        if not job.etag:  # the reply was lost, and HEAD told of the object
            raise OvertakenError("the object was written by an earlier attempt")
        after = await read_back(
            self._writer, self._retrier, job, found.head, is_copied=way is not Way.STREAM
        )
        is_copied = way is not Way.STREAM
        may_lack = described.tags and (is_copied or not self._rehearsal.keeps_tags)
        if after.noted_tags or may_lack or (is_copied and described.is_retagged):
            await self._set_tags(name, described.tags)
        if (way, seal) not in self._seen_refused and (seal.key_id or self._target.key_id):
            await check_refused(found.reader, self._retrier, name, after)
            self._seen_refused.add((way, seal))
        return after

    async def _set_tags(
        self, name: str, tags: dict[str, str], *, only_missing: bool = False
    ) -> None:
        there = await self._tags(name)
        if there != tags and not (only_missing and there):
            await self._retrier.run(name, self._writer.put_object_tagging, name, tags)

    async def _end_old_version(self, entry: Outcome, old: str | None) -> None:
        """Remove the version that was read, where that is asked for and it is there still."""
        name = entry.job.location.name
        entry.old_version_id = old
        old = old or NULL_VERSION
        if old == (entry.version_id or NULL_VERSION):  # there is one, and it was replaced
            return
        if not self._options.remove_old_versions:
            self.old_version_count += 1
            return
        try:
            await self._retrier.run(name, self._writer.delete_object, name, old)
        except ObjectError as error:
            raise ObjectError(
                f"the object is rekeyed, its old version {old} could not be removed: "
                f"{error.message}",
                hint=error.hint,
            ) from None


def check_usable(options: RekeyOptions, keyring: Keyring) -> None:
    """UsageError for keys that are not at hand, or a rekey onto the same key."""
    keyring.select(options.target.key_id)
    if options.source.key_id:
        keyring.require(options.source.key_id)
        if options.source.key_id == options.target.key_id:
            raise UsageError("the two keys are the same", hint="there is nothing to do")

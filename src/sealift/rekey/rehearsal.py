"""Tries on objects of our own what is about to be done to those of others.

A copy in place that the server answers 200 to has replaced its source, also where it stored it
as plaintext (Ceph 16 does, of plain sources). So each way is tried once a run before it is
taken, on an object of a random name beside those that are meant, which is removed at once. That of
a run which was killed meanwhile is known by the run's token and removed by a later one.
"""

from __future__ import annotations

import re
import secrets
from datetime import UTC, datetime

import anyio

from sealift.checksums import Digest
from sealift.copier import Copier
from sealift.describing import describe
from sealift.errors import (
    IntegrityError,
    NotSealedError,
    ObjectError,
    SettingsError,
)
from sealift.events import Noted, Reporter
from sealift.metadata import FileFacts
from sealift.model import Direction, Job, Location, bare_etag
from sealift.rekey.readback import check_refused, read_back
from sealift.rekey.seals import Seal
from sealift.retry import Retrier
from sealift.ways import Way
from sealift.wire.bucket import BucketClient, HeadFacts
from sealift.wire.operations import Headers, Stored
from sealift.wire.tagging import tagging_header

_NAME = re.compile(r"\.sealift-probe-([0-9a-f]{16})")
_TAGS = {"sealift-probe": "1"}
# Seconds that the removal of a probe may take, whatever else happens.
REMOVAL_TIME = 30.0


def probe_token(name: str) -> str | None:
    """The token of the run that an object was a probe of; None: it is none."""
    found = _NAME.search(name[-len(".sealift-probe-") - 16 :])
    return found[1] if found else None


class Rehearsal:
    """Of one run, named by `token`; objects are to come under `target`, and `prefix` begins their
    names."""

    def __init__(
        self,
        objects: BucketClient,
        target: Seal,
        retrier: Retrier,
        prefix: Location,
        token: str,
        reporter: Reporter,
    ) -> None:
        self._objects = objects
        self._target = target
        self._retrier = retrier
        self._reporter = reporter
        self._location = prefix.child(f".sealift-probe-{token}")
        self._lock = anyio.Lock()
        self._is_checked = False
        self._able: dict[tuple[Way, Seal], bool] = {}
        self.tells_tags = False
        """Whether HEAD tells of an object that it has tags."""
        self.keeps_tags = False
        """Whether PutObject is known to keep those that come with it."""

    async def check_target(self) -> None:
        """SettingsError when the server does not take objects as they are to be.

        What it does with tags is seen by the way.
        """
        async with self._lock:
            if self._is_checked:
                return
            versions: list[str | None] = []
            try:
                _, job, stored = await self._put(self._objects, versions)
                job.etag = stored.etag
                await read_back(self._objects, self._retrier, job, stored, is_copied=True)
                await self._look_at_tags(versions)
            except ObjectError as error:
                text = f"the server does not put an object under {self._target.text}"
                raise SettingsError(
                    f"{text}: {error.message}", hint=error.hint or "nothing was touched"
                ) from None
            finally:
                await self._remove(versions)
            self._is_checked = True

    async def can(self, way: Way, seal: Seal, reader: BucketClient, copier: Copier) -> bool:
        """Whether the server copies in this `way` what is under `seal`, which `reader` reads."""
        kind = way, seal
        async with self._lock:
            if kind not in self._able:
                self._able[kind] = await self._try(way, reader, copier, seal)
            return self._able[kind]

    def refuse(self, way: Way, seal: Seal) -> None:
        """It turned out that it does not."""
        self._able[way, seal] = False

    async def _try(self, way: Way, reader: BucketClient, copier: Copier, seal: Seal) -> bool:
        versions: list[str | None] = []
        try:
            body, job, before = await self._put(reader, versions)
            described = describe(
                before.carried, before.kept, {}, self._target.key_id, datetime.now(UTC)
            )
            await copier.copy_by(way, job, before, described)
            after = await read_back(self._objects, self._retrier, job, before, is_copied=True)
            versions.append(after.version_id)
            room = memoryview(bytearray(len(body)))
            name = job.location.name
            await self._retrier.run(
                name, self._objects.get_object, name, room, None, after.etag, None
            )
            if bytes(room) != body:
                return False
            if self._target.key_id or seal.key_id:
                await check_refused(reader, self._retrier, name, after)
        except NotSealedError as error:
            versions.append(error.version_id)
            return False
        except ObjectError:
            return False
        finally:
            await self._remove(versions)
        return True

    async def _look_at_tags(self, versions: list[str | None]) -> None:
        name = self._location.name
        try:
            _, _, head = await self._put(self._objects, versions, tagging_header(_TAGS))
            self.tells_tags = head.tag_count == len(_TAGS)
            there = await self._retrier.run(name, self._objects.get_object_tagging, name)
        except ObjectError:  # no right to write tags, or to read them
            self.tells_tags = False
            return
        self.keeps_tags = there == _TAGS
        self.tells_tags = self.tells_tags and self.keeps_tags

    async def _put(
        self,
        objects: BucketClient,
        versions: list[str | None],
        headers: Headers | None = None,
    ) -> tuple[bytes, Job, HeadFacts]:
        """Put the probe; `versions` hears of what is to be removed, as soon as there may be any."""
        body, location = secrets.token_bytes(64), self._location
        name = location.name
        digest = Digest(body, with_md5=True)
        versions.append(None)

        async def put_once() -> Stored:
            return await objects.put_object(
                name, memoryview(body), len(body), digest, None, FileFacts(None, digest.crc), None,
                headers,
            )  # fmt: skip

        try:
            stored: Stored = await self._retrier.run(name, put_once)
        except NotSealedError as error:
            versions.append(error.version_id)
            raise
        versions.append(stored.version_id)
        head: HeadFacts = await self._retrier.run(name, objects.head_object, name)
        if bare_etag(head.etag) != bare_etag(stored.etag) or head.facts.crc != digest.crc:
            raise IntegrityError("the server holds another object than was put")
        job = Job(
            Direction.REKEY,
            location,
            name,
            len(body),
            source=location,
            expects=bare_etag(head.etag),
        )
        return body, job, head

    async def _remove(self, versions: list[str | None]) -> None:
        """Remove all versions of the probe that are known; what cannot be is left to later runs."""
        known = {version for version in versions if version is not None}
        name = self._location.name
        with anyio.move_on_after(REMOVAL_TIME, shield=True):
            try:
                for version in known:
                    await self._retrier.run(name, self._objects.delete_object, name, version)
                if versions and not known:
                    await self._retrier.run(name, self._objects.erase_object, name)
            except ObjectError as error:
                text = f"{self._location}, made to try the server, could not be removed"
                self._reporter.emit(Noted(f"{text}: {error}"))

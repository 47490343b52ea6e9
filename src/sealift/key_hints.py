"""What is known of the customer key of an object before its server is asked under one.

The catalogue's entry of it, its tag, and what the keyring and the options allow.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from sealift.catalogue import Catalogue
from sealift.errors import CatalogueError, ObjectError, ReplyError
from sealift.events import Noted, Reporter
from sealift.files.disk import Disk
from sealift.keyfinder import Sealed, Sealing
from sealift.keyring import Keyring
from sealift.model import UNSEALED, Job, Known, Location, bare_etag
from sealift.retry import Retrier
from sealift.wire.bucket import BucketClient
from sealift.wire.tagging import KEY_ID_TAG

_KEY_ID = re.compile("[0-9a-f]{16}")


class KeyHints:
    """Of one bucket that is read, under the keys of `keyring`.

    `first` is the id of the key that the run has, or else of the first that may be tried. `chooses`
    says that there is a choice of keys, `reads_tags` that nothing speaks against reading tags yet,
    `has_seen_tag` that one has told of a key.
    """

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
        own = objects.key_id
        triable = [key.key_id for key in keyring.triable_in(bucket)]
        self.first = own or (triable[0] if triable and not allows_unsealed else UNSEALED)
        self.chooses = len(keyring) + allows_unsealed > (0 if own is None else 1)
        self._allows_unsealed = allows_unsealed or not len(keyring)
        self._triable = {*triable, *(() if own is None else (own,))}
        self._clients = {own or UNSEALED: objects}
        self.reads_tags = True
        self.has_seen_tag = False

    def client(self, key_id: str | None) -> BucketClient:
        """What reads objects under a key; None: as the run has it."""
        if key_id is None:
            return self._objects
        client = self._clients.get(key_id)
        if client is None:
            client = self._clients[key_id] = self._objects.under(self._keyring.select(key_id))
        return client

    # What may be read under what

    def is_usable(self, key_id: str) -> bool:
        """Whether objects may be read under a key: it is at hand, or UNSEALED and that allowed."""
        if key_id == UNSEALED:
            return self._allows_unsealed
        return self._keyring.get(key_id) is not None

    def may_try(self, key_id: str) -> bool:
        """The same of a key that a tag names: whoever may write there can name any key.

        So the server gets to see none that rules name for other buckets only.
        """
        return key_id in self._triable

    def opens(self, sealed: Sealed) -> bool:
        """Whether an object that is sealed so can be read, and may be."""
        if sealed.sealing is Sealing.NONE:
            return self._allows_unsealed
        return sealed.sealing is Sealing.KEY

    def rule_for(self, name: str) -> str | None:
        """The id of the key at hand that a rule names for an object."""
        key_id = self._keyring.rule_for(Location(self._bucket, name))
        return None if key_id is None or not self.is_usable(key_id) else key_id

    def is_of_today(self, name: str, key_id: str) -> bool:
        """Whether a new object of this name would get the key, or none is said to be the one."""
        today = self._keyring.rule_for(Location(self._bucket, name)) or self._objects.key_id
        return today is None or key_id == today

    # The catalogue

    async def recorded(self, jobs: Sequence[Job]) -> Mapping[Job, str]:
        """The key ids by the catalogue, of jobs whose objects are as it says."""
        if not jobs:
            return {}
        known = {row.name: row for row in await self._look_up([job.read_from.name for job in jobs])}
        return {
            job: row.key_id or UNSEALED
            for job in jobs
            if (row := known.get(job.read_from.name)) and _agree(row, job.size, job.listed_etag)
        }

    async def known_by_name(self, name: str) -> Known | None:
        """The entry of an object, which need not be as it says any more."""
        return next(iter(await self._look_up([name])), None)

    async def missing_by_record(self, name: str) -> Sealed | None:
        """The key that is not at hand, by an entry of the catalogue that LIST agrees with."""
        known = await self.known_by_name(name)
        if known is None or known.key_id is None or self.is_usable(known.key_id):
            return None
        try:
            page = await self._retrier.run(name, self._objects.list_page, name, None, "", 1, "")
        except ObjectError:
            return None
        for found in page.objects:
            if found.name == name and _agree(known, found.size, found.etag):
                return Sealed(Sealing.MISSING, known.key_id)
        return None

    async def _look_up(self, names: Sequence[str]) -> list[Known]:
        try:
            return await self._disk.run(self._catalogue.look_up, self._objects.scope, names)
        except CatalogueError as error:
            self._reporter.emit(Noted(str(error)))
            return []

    # The tag

    async def read_tag(self, name: str) -> str | None:
        """The key id in the object's tag; what may not or cannot be read is not asked again."""
        if not self.reads_tags:
            return None
        try:
            tags = await self._retrier.run(name, self._objects.get_object_tagging, name)
        except ReplyError as error:
            if error.status in (403, 405, 501) and self.reads_tags:
                self.reads_tags = False
                self._reporter.emit(Noted(f"tags do not tell of customer keys here: {error}"))
            return None
        key_id = tags.get(KEY_ID_TAG, "")
        if not _KEY_ID.fullmatch(key_id):
            return None
        self.has_seen_tag = True
        return key_id


def _agree(known: Known, size: int, etag: str) -> bool:
    return known.size == size and known.etag == bare_etag(etag)

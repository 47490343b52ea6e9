"""Sees to it that objects have the tag that tells their customer key, whatever the server does.

The tag goes along with the write. MiniStack and Ceph 16 lose what CreateMultipartUpload was given,
Ceph 16 does not replace the tags of a copy. So a run looks once for each kind of write whether the
server keeps them, and writes them by a request of their own where it does not.
"""

from __future__ import annotations

from collections.abc import Mapping

from sealift.errors import ObjectError, ReplyError
from sealift.model import Location
from sealift.retry import Retrier
from sealift.wire.bucket import BucketClient

Tags = Mapping[str, str]


class Tagging:
    """Of all that a run writes to one bucket under one customer key."""

    def __init__(self, objects: BucketClient, retrier: Retrier) -> None:
        self._objects = objects
        self._retrier = retrier
        self._keeps: dict[str, bool] = {}
        self.is_on = bool(objects.tags)

    async def ensure(
        self, operation: str, name: str, tags: Tags | None = None, *, came_along: bool = True
    ) -> None:
        """The object that `operation` wrote has `tags`, by default that of the key.

        `came_along` False: the write did not have them. Raises ObjectError; the object is there.
        """
        wanted = self._objects.tags if tags is None else tags
        try:
            if came_along and await self._are_kept(operation, name, wanted):
                return
            await self._retrier.run(name, self._objects.put_object_tagging, name, wanted)
        except ObjectError as error:
            there = "the object is there, and may lack the tag of its customer key"
            error.hint = f"{error.hint}; {there}" if error.hint else there
            raise

    async def _are_kept(self, operation: str, name: str, wanted: Tags) -> bool:
        keeps = self._keeps.get(operation)
        if keeps is None:
            try:
                there = await self._retrier.run(name, self._objects.get_object_tagging, name)
            except ReplyError as error:
                if error.status != 403:
                    raise
                return False  # no right to look, but maybe to write
            keeps = self._keeps[operation] = wanted.items() <= there.items()
        return keeps


async def tags_of_copy(
    objects: BucketClient, source: BucketClient, retrier: Retrier, location: Location
) -> dict[str, str] | None:
    """The tags that a copy of `location` gets besides its own, None: those of the source, which the
    server copies. `source` reads it, by `retrier`."""
    if not objects.tags:
        return None
    name = location.name
    try:
        found = await retrier.run(name, source.get_object_tagging, name)
    except ReplyError as error:
        if error.status not in (405, 501):
            raise
        found = {}
    return found | objects.tags

"""What a run stores, and its removal: all of it below one random prefix `.sealift-bench-<hex>/`.

Names are used over and over, so that what is stored stays small however long a run is. What a run
could not remove, for it was killed, the next one on the same place finds by the prefix.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import anyio

from sealift.bench.cells import Group, short_size
from sealift.errors import IntegrityError, ObjectError
from sealift.model import Location, MiB, RemoteObject
from sealift.retry import Retrier
from sealift.wire.bucket import BucketClient
from sealift.wire.deletion import MAX_COUNT
from sealift.wire.multipart import OpenUpload
from sealift.wire.versions import Version

PREFIX = ".sealift-bench-"
# Bytes and objects of one size that are there at once; two objects at least.
STORED_SIZE = 512 * MiB
STORED_COUNT = 4096
# A prefix that is older is of a run that died; in seconds.
LEFTOVER_AGE = 24 * 3600.0
_TOKEN_SIZE = 8
_DELETES_AT_ONCE = 16
# A request whose connection was dropped may still be carried out by the server.
_LATE_ROUNDS = 3
_LATE_WAIT = 0.3
# The version ids of what has no versions.
_UNVERSIONED = (None, "null")


class Stored:
    """The objects of one run, below `root`, a prefix that ends with `/` or is empty."""

    def __init__(self, objects: BucketClient, retrier: Retrier, root: Location) -> None:
        self.prefix = root.child(f"{PREFIX}{secrets.token_hex(_TOKEN_SIZE)}/")
        self._objects = objects
        self._retrier = retrier
        self._begun: set[str] = set()
        self._is_versioned = False
        self._complete: dict[Location, None] = {}
        self._uploads: dict[str, str] = {}
        self._creating: set[str] = set()

    def names(self, group: Group) -> list[Location]:
        """The objects that the cells of `group` write."""
        count = max(2, min(STORED_COUNT, STORED_SIZE // group.size))
        part = "" if group.part_size is None else f"-{short_size(group.part_size)}"
        directory = f"{short_size(group.size)}{part}"
        return [self.prefix.child(f"{directory}/{number:06}") for number in range(count)]

    @property
    def complete(self) -> list[Location]:
        """The objects that are there."""
        return list(self._complete)

    def note_begun(self, name: str) -> None:
        """The object is about to be written."""
        self._begun.add(name)

    def note_done(self, location: Location, version_id: str | None) -> None:
        """The object is there; `version_id` is that which the server told."""
        self._complete[location] = None
        self._is_versioned = self._is_versioned or version_id not in _UNVERSIONED

    def note_creating(self, name: str) -> None:
        """An upload is about to be created."""
        self._begun.add(name)
        self._creating.add(name)

    def note_upload(self, name: str, upload_id: str) -> None:
        """An upload was created."""
        self._creating.discard(name)
        self._uploads[upload_id] = name

    def note_completed(self, upload_id: str) -> None:
        """An upload is none any more."""
        self._uploads.pop(upload_id, None)

    async def abort_uploads(self) -> None:
        """Abort all unfinished uploads of the run. Raises ObjectError."""
        for upload_id, name in list(self._uploads.items()):
            await self._retrier.run(name, self._objects.abort_multipart_upload, name, upload_id)
            self.note_completed(upload_id)
        if self._creating:  # the reply to a Create was not waited for
            await _abort(self._objects, self._retrier, self.prefix.name)
            self._creating.clear()

    async def clear(self) -> None:
        """Remove what was written since the last time. Raises ObjectError."""
        await self.abort_uploads()
        if self._is_versioned:
            await _remove_versions(self._objects, self._retrier, self.prefix.name)
        else:
            await _remove(self._objects, self._retrier, sorted(self._begun))
        self._begun.clear()
        self._complete.clear()

    async def clear_all(self) -> int:
        """Remove everything and look whether it is gone; how many objects still show up."""
        await self.clear()
        for _ in range(_LATE_ROUNDS):
            left = await self._left()
            if not left:
                return 0
            await _remove(self._objects, self._retrier, left)
            await self.abort_uploads()
            await anyio.sleep(_LATE_WAIT)
        return len(await self._left())

    async def _left(self) -> list[str]:
        pages = _pages(self._objects, self._retrier, self.prefix.name)
        return [found.name async for page in pages for found in page]


@dataclass(slots=True)
class Leftover:
    """What another run left below `prefix`; `newest` in seconds since the epoch."""

    prefix: str
    names: list[str] = field(default_factory=list)
    upload_count: int = 0
    size: int = 0
    newest: float = 0.0

    def is_old(self, now: float) -> bool:
        """Whether its run must have ended long ago."""
        return now - self.newest > LEFTOVER_AGE


async def leftovers(objects: BucketClient, retrier: Retrier, root: Location) -> list[Leftover]:
    """What other runs left directly below `root`.

    Raises ObjectError. Of a server that does not list uploads it finds objects only.
    """
    start = root.name + PREFIX
    pattern = re.compile(rf"{re.escape(start)}[0-9a-f]{{{2 * _TOKEN_SIZE}}}/")
    found: dict[str, Leftover] = {}

    def of(name: str) -> Leftover | None:
        match = pattern.match(name)
        return None if match is None else found.setdefault(match[0], Leftover(match[0]))

    async for page in _pages(objects, retrier, start):
        for entry in page:
            leftover = of(entry.name)
            if leftover is not None:
                leftover.names.append(entry.name)
                leftover.size += entry.size
                leftover.newest = max(leftover.newest, entry.modified)
    uploads: list[tuple[str, OpenUpload]] = []
    with suppress(ObjectError):
        uploads = await retrier.run(start, objects.list_uploads_below, start)
    for name, upload in uploads:
        leftover = of(name)
        if leftover is not None:
            leftover.upload_count += 1
            leftover.newest = max(leftover.newest, upload.initiated)
    return sorted(found.values(), key=lambda each: each.newest)


async def remove_leftover(objects: BucketClient, retrier: Retrier, leftover: Leftover) -> None:
    """Remove what another run left. Raises ObjectError."""
    if leftover.upload_count:
        await _abort(objects, retrier, leftover.prefix)
    removed = 0
    with suppress(ObjectError):  # a server that lists no versions has none
        removed = await _remove_versions(objects, retrier, leftover.prefix)
    if not removed:  # or delete markers would stand for what is gone
        await _remove(objects, retrier, leftover.names)


async def _pages(
    objects: BucketClient, retrier: Retrier, prefix: str
) -> AsyncIterator[list[RemoteObject]]:
    """All objects whose names start with `prefix`, in pages."""
    after = ""
    while True:
        page = await retrier.run(prefix, objects.list_page, prefix, None, "", MAX_COUNT, after)
        yield page.objects
        if page.next_token is None or not page.objects:
            return
        if page.objects[-1].name <= after:
            raise IntegrityError(f"the listing of {prefix} goes round in circles")
        after = page.objects[-1].name


async def _abort(objects: BucketClient, retrier: Retrier, prefix: str) -> None:
    for name, upload in await retrier.run(prefix, objects.list_uploads_below, prefix):
        await retrier.run(name, objects.abort_multipart_upload, name, upload.upload_id)


async def _remove(objects: BucketClient, retrier: Retrier, names: Sequence[str]) -> None:
    async def remove_some(some: Sequence[str]) -> None:
        failures = await objects.delete_objects(some)
        for error in failures.values():
            raise error

    for start in range(0, len(names), MAX_COUNT):
        some = names[start : start + MAX_COUNT]
        await retrier.run(some[0], remove_some, some)


async def _remove_versions(objects: BucketClient, retrier: Retrier, prefix: str) -> int:
    """Remove all versions below `prefix` for good, and count them; none without versioning."""
    count = 0
    following: tuple[str, str] | None = None
    while True:
        page = await retrier.run(prefix, objects.list_versions, prefix, following)
        versions = [one for one in page.versions if one.version_id not in _UNVERSIONED]
        count += len(versions)
        rest = iter(versions)
        failures: list[ObjectError] = []

        async def remove_some(
            rest: Iterator[Version] = rest, failures: list[ObjectError] = failures
        ) -> None:
            for one in rest:
                try:
                    await retrier.run(one.name, objects.delete_object, one.name, one.version_id)
                except ObjectError as error:
                    failures.append(error)

        async with anyio.create_task_group() as group:
            for _ in range(_DELETES_AT_ONCE):
                group.start_soon(remove_some)
        if failures:
            raise failures[0]
        following = page.following
        if following is None:
            return count

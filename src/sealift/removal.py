"""Objects going away: names in, DeleteObjects out, several requests in flight. And files.

In a versioned bucket this hides the objects behind delete markers, as S3 defines it; no version is
removed.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import dataclass, field

import anyio

from sealift.errors import Cause, LocalFileError, ObjectError, ReplyError
from sealift.events import Failed, Removed, Reporter
from sealift.files.directories import Identity
from sealift.files.names import split_name
from sealift.files.target import Target
from sealift.retry import Retrier
from sealift.wire.bucket import BucketClient
from sealift.wire.deletion import MAX_COUNT

REQUESTS_AT_ONCE = 8


@dataclass(slots=True)
class _Batch:
    """What is `left` of the names of one request, and why, as the last reply told."""

    left: list[str]
    errors: dict[str, ReplyError] = field(default_factory=dict)


class Remover:
    """Removes objects of one bucket and reports each: Removed or Failed, never both."""

    def __init__(self, objects: BucketClient, retrier: Retrier, reporter: Reporter) -> None:
        self._objects = objects
        self._retrier = retrier
        self._reporter = reporter

    async def remove(self, batches: AsyncIterator[Sequence[str]]) -> None:
        """Remove all names of `batches`; takes the next batch when a request can begin.

        When `batches` fails, the requests in flight end, none is begun, then its error is raised.
        """
        failure: Exception | None = None
        slots = anyio.Semaphore(REQUESTS_AT_ONCE)
        async with anyio.create_task_group() as group:
            try:
                async for names in batches:
                    for start in range(0, len(names), MAX_COUNT):
                        await slots.acquire()
                        batch = _Batch(list(names[start : start + MAX_COUNT]))
                        group.start_soon(self._remove, batch, slots)
            except Exception as error:  # noqa: BLE001 - raised again below
                failure = error
        if failure is not None:
            raise failure

    async def _remove(self, batch: _Batch, slots: anyio.Semaphore) -> None:
        about = batch.left[0] if len(batch.left) == 1 else f"{len(batch.left)} objects"
        try:
            await self._retrier.run(about, self._remove_once, batch)
        except ObjectError as error:
            for name in batch.left:
                self._reporter.emit(Failed(name, batch.errors.get(name, error)))
        finally:
            slots.release()

    async def _remove_once(self, batch: _Batch) -> None:
        """One attempt: what is gone or will not go is reported, the rest left for the next one."""
        batch.errors.clear()
        errors = await self._objects.delete_objects(batch.left)
        left = []
        for name in batch.left:
            error = errors.get(name)
            if error is None:
                self._reporter.emit(Removed(name))
            elif error.cause is Cause.PERMANENT:
                self._reporter.emit(Failed(name, error))
            else:
                left.append(name)
        batch.left = left
        batch.errors = errors
        if left:
            raise errors[left[0]]


def remove_files(
    directory: str, names: Sequence[str], was: Identity | None, kept: Collection[str]
) -> list[LocalFileError | None]:
    """Remove files below `directory`, which must be what it `was`; returns the error of each.

    Directories that this leaves empty go too, but for those `kept`, as `a/b/`.
    """
    target = Target(directory)
    try:
        if target.identity != was:
            raise ObjectError(
                f"the directory {directory} was replaced by another one",
                hint="nothing was removed from it; run the same command again",
            )
        stay = {tuple(name.split("/")[:-1]) for name in kept}
        return target.remove_each([split_name(name) for name in names], stay)
    finally:
        target.close()

"""Undoes what dead runs left: uploads on the server, temporary files below their roots.

That is done when it is asked for (`clean_run`), and when the same command has come to its end and
had no use for it (`drop_unclaimed`): its object was there already, or is not wanted any more. Only
what the journal names is touched: uploads whose id it has, or whose name and hour fit a
Create that it has and whose reply never came; temporary files of the run's own token.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import NamedTuple

from sealift.errors import ObjectError, SealiftError
from sealift.files.disk import Disk
from sealift.files.target import Target
from sealift.journal import DeadRun
from sealift.ledger import Ledger
from sealift.model import token_of
from sealift.records import UploadRecord
from sealift.retry import Retrier
from sealift.uploads_left import abort_left
from sealift.wire.bucket import BucketClient


class Cleaned(NamedTuple):
    """Something was undone, or, with `error`, could not be: then the run stays in the journal."""

    text: str
    error: SealiftError | None = None


async def clean_run(
    dead: DeadRun,
    objects_of: Callable[[str], Awaitable[BucketClient]],
    retrier: Retrier,
    alive: frozenset[str],
) -> AsyncIterator[Cleaned]:
    """Undo what `dead` left, then forget it. `objects_of` gives the client of a bucket."""
    is_clean = True
    for record in dead.uploads:
        try:
            count = await _abort(record, objects_of, retrier, alive)
        except SealiftError as error:
            is_clean = False
            yield Cleaned(f"cannot abort the upload of {record.name}", error)
        else:
            dead.forget(record.marker)
            if count:
                yield Cleaned(f"aborted the upload of {record.name}")
    try:
        count = _remove_temporary(dead)
    except ObjectError as error:
        is_clean = False
        yield Cleaned(f"cannot look for temporary files below {dead.run.root}", error)
    else:
        if count:
            yield Cleaned(f"removed {count} temporary files below {dead.run.root}")
    if is_clean:
        dead.remove()


async def _abort(
    record: UploadRecord,
    objects_of: Callable[[str], Awaitable[BucketClient]],
    retrier: Retrier,
    alive: frozenset[str],
) -> int:
    objects = await objects_of(record.scope.rsplit("/", 1)[-1])
    if objects.scope != record.scope:
        raise ObjectError(
            f"it is at {record.scope}, and the settings lead to {objects.scope}",
            hint="give its --endpoint-url",
        )
    return await abort_left(objects, retrier, record, alive)


async def drop_unclaimed(
    ledger: Ledger, objects: BucketClient, retrier: Retrier, disk: Disk, target: Target | None
) -> None:
    """Undo what dead runs of the command that ends here left; what fails is left to `clean`."""
    uploads, downloads = await ledger.unclaimed()
    for upload in uploads:
        with suppress(ObjectError):
            await abort_left(objects, retrier, upload, await ledger.alive())
            await ledger.release(upload.marker)
    if not downloads or target is None:
        return
    unclaimed = {download.temporary for download in downloads}
    _, kept = ledger.stale_tokens()
    await disk.run(target.sweep, set(map(token_of, unclaimed)), kept - unclaimed)
    for name in unclaimed:
        await ledger.release(name)


def _remove_temporary(dead: DeadRun) -> int:
    root = dead.run.root
    if root is None or not os.path.isdir(root):
        return 0
    target = Target(root)
    try:
        return target.sweep(_tokens(dead), ())
    finally:
        target.close()


def _tokens(dead: DeadRun) -> set[str | None]:
    """Of its own temporary files, and of those that it took over from runs before it."""
    return {dead.run.token} | {token_of(record.temporary) for record in dead.downloads}

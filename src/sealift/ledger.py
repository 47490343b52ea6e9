"""The journal as transfers see it: what is under way is noted, what dead runs left is handed over.

`note` returns when its changes outlive a power cut: for what must be known before an act. Notes
that meet are made by one write. `add` is for what may be lost: it goes along with the next note, or
once a span. A journal that fails ends itself, not the run: there is nothing to go on with then.
"""

from __future__ import annotations

import os.path
from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol, TypeVar

import anyio

from sealift.errors import Cause, IntegrityError, JournalError, ObjectError
from sealift.events import Noted, Reporter
from sealift.files.disk import Disk
from sealift.records import Change, DownloadRecord, RunRecord, Store, UploadRecord

T = TypeVar("T")

# Seconds: what a crash may leave unrecorded of what was added.
INTERVAL = 1.0
# Seconds that the end of a run, also of one that was interrupted, waits for its last changes.
FINISH_TIME = 1.0


KEPT = "what was sent is kept: run the same command again to go on, or drop it by: sealift clean"


def is_resumable(error: BaseException) -> bool:
    """Whether a later run may succeed where this one failed, so that what is done is kept.

    An interrupt, a server or a network that is out of order, credentials that have ended.
    """
    if not isinstance(error, ObjectError):
        return not isinstance(error, Exception)
    return error.cause in _PASSING and not isinstance(error, IntegrityError)


_PASSING = frozenset(
    {
        Cause.CONNECT,
        Cause.NAME_LOOKUP,
        Cause.STALE,
        Cause.RESET,
        Cause.STALLED,
        Cause.THROTTLED,
        Cause.SERVER,
        Cause.EXPIRED,
        Cause.SKEWED,
    }
)


class Left(Protocol):
    """What dead runs on the same bucket left: uploads by (scope, name), downloads by (scope, root,
    path), of each the newest last; which of them, by marker or temporary file, runs of this very
    command left; what the user should know of damage."""

    @property
    def uploads(self) -> dict[tuple[str, str], list[UploadRecord]]: ...
    @property
    def downloads(self) -> dict[tuple[str, str, str], list[DownloadRecord]]: ...
    @property
    def ours(self) -> set[str]: ...
    @property
    def runs(self) -> list[RunRecord]: ...
    @property
    def damaged(self) -> list[str]: ...


class RunStore(Store, Protocol):
    """The journal of one run; calls block. Raises JournalError."""

    def open(self) -> None: ...
    def leftovers(self) -> Left: ...
    def alive(self) -> frozenset[str]: ...
    def release(self, name: str) -> None: ...
    def swept(self, token: str) -> None: ...
    def close(self, *, finished: bool) -> None: ...


class Ledger:
    """Of one run. With `resumes` False dead runs are left alone."""

    def __init__(
        self,
        store: RunStore,
        run: RunRecord,
        disk: Disk,
        reporter: Reporter,
        *,
        resumes: bool = True,
    ) -> None:
        self.run = run
        self._store = store
        self._is_kept = True
        self._disk = disk
        self._reporter = reporter
        self._resumes = resumes
        self._lock = anyio.Lock()
        self._is_open = False
        self._left: Left | None = None
        self._pending: list[Change] = []
        self._added = 0
        self._written = 0

    @property
    def is_kept(self) -> bool:
        """Whether what is noted here will be found by a later run."""
        return self._is_kept

    async def open(self) -> None:
        """Begin the journal, and see what dead runs left."""
        async with self._lock:
            await self._open()

    async def note(self, *changes: Change) -> None:
        """Write `changes`, and what was added before; they are durable when this returns."""
        self.add(*changes)
        mine = self._added
        async with self._lock:
            if self._written < mine:
                await self._write(durable=True)

    def add(self, *changes: Change) -> None:
        """Have `changes` written before long."""
        self._pending += changes
        self._added += len(changes)

    async def keep_writing(self) -> None:
        """Write what was added from time to time, for ever.

        The first time it is made durable that there is this run, if it writes below a root: else
        after a power cut nobody would know its temporary files.
        """
        await self.open()
        is_known = self.run.root is None
        while True:
            await anyio.sleep(INTERVAL)
            async with self._lock:
                await self._write(durable=not is_known)
            is_known = True

    async def finish(self, *, finished: bool) -> None:
        """Write the rest and end the journal; `finished`: there is nothing to go on with."""
        with anyio.move_on_after(FINISH_TIME, shield=True):
            async with self._lock:
                await self._write(durable=False)
                self._is_kept = False
                if self._is_open:  # also of a store that failed: it has a lock still
                    await self._disk.run(partial(self._store.close, finished=finished))

    # What dead runs left

    async def take_uploads(self, name: str) -> list[UploadRecord]:
        """Unfinished uploads of the object `name`, the newest last.

        Whoever takes them ends them by `release`.
        """
        await self.open()
        return [] if self._left is None else self._left.uploads.pop((self.run.scope, name), [])

    async def take_downloads(self, path: str) -> list[DownloadRecord]:
        """Unfinished downloads of the file `path` below this run's root; see `take_uploads`."""
        await self.open()
        if self._left is None or self.run.root is None:
            return []
        return self._left.downloads.pop((self.run.scope, self.run.root, path), [])

    async def unclaimed(self) -> tuple[list[UploadRecord], list[DownloadRecord]]:
        """What dead runs of this very command left, and this one had no use for.

        It is done, or not wanted any more.
        """
        await self.open()
        if self._left is None:
            return [], []
        uploads = [one for found in self._left.uploads.values() for one in found]
        downloads = [one for found in self._left.downloads.values() for one in found]
        ours = self._left.ours
        return (
            [record for record in uploads if record.marker in ours],
            [record for record in downloads if record.temporary in ours],
        )

    async def alive(self) -> frozenset[str]:
        """The ids of the uploads that living runs are busy with by now, this one among them."""
        return await self._call(lambda store: store.alive(), frozenset())

    async def release(self, name: str) -> None:
        """A dead run's upload or download is over, or noted here by now."""
        await self._call(lambda store: store.release(name), None)

    def stale_tokens(self) -> tuple[set[str], set[str]]:
        """Dead runs that wrote below this run's root, and the temporary files not to remove."""
        if self._left is None:
            return set(), set()
        tokens = {run.token for run in self._left.runs if run.root == self.run.root}
        return tokens, {found[-1].temporary for found in self._left.downloads.values()}

    def dead_tokens(self) -> frozenset[str]:
        """The tokens of dead runs on the same bucket."""
        return frozenset(run.token for run in self._left.runs) if self._left else frozenset()

    def gap_since(self) -> float | None:
        """When dead runs began to write below this run's root, or, without one, to the bucket.

        The catalogue may lack what they have moved. In seconds since the epoch, None: no run.
        """
        runs = self._left.runs if self._left else []
        return min([run.started_at for run in runs if _meet(run.root, self.run.root)], default=None)

    async def swept(self, tokens: Sequence[str]) -> None:
        """Nothing of these dead runs' temporary files is left, but for those of downloads."""
        for token in tokens:
            await self._call(partial(_swept, token=token), None)

    # The store

    async def _open(self) -> None:
        if self._is_open:
            return
        with anyio.CancelScope(shield=True):  # brief, and half of it is of no use
            self._is_open = True
            await self._call(lambda store: store.open(), None)
            if self._resumes:
                self._left = await self._call(lambda store: store.leftovers(), None)
        for text in self._left.damaged if self._left else ():
            self._reporter.emit(Noted(text))

    async def _write(self, *, durable: bool) -> None:
        if not self._pending and not durable:
            return
        await self._open()
        # Kept until they are written: a cancelled call may not have begun, and again does no harm.
        changes, written = tuple(self._pending), self._added
        await self._call(lambda store: store.write(changes, durable=durable), None)
        del self._pending[: len(changes)]
        self._written = written

    async def _call(self, work: Callable[[RunStore], T], otherwise: T) -> T:
        if not self._is_kept:
            return otherwise
        try:
            return await self._disk.run(work, self._store)
        except JournalError as error:
            self._is_kept = False
            self._reporter.emit(Noted(f"nothing can go on with this run later: {error}"))
            return otherwise


def _meet(one: str | None, other: str | None) -> bool:
    """Whether two roots are the same, or one is inside the other; None is none."""
    if one is None or other is None:
        return one is other
    return os.path.commonpath((one, other)) in (one, other)


def _swept(store: RunStore, token: str) -> None:
    store.swept(token)

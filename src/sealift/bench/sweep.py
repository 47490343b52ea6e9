"""All cells of a plan, one after the other, on one bucket; whatever happens, nothing is left."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from typing import Protocol

import anyio

from sealift.bench.cells import Cell, Group, Plan, Way, short_size
from sealift.bench.load import Load
from sealift.bench.objects import Leftover, Stored, leftovers, remove_leftover
from sealift.bench.results import Result
from sealift.bench.watch import Watch
from sealift.console.text import count, size
from sealift.errors import ObjectError
from sealift.files.disk import Disk
from sealift.memory import Memory
from sealift.model import Location
from sealift.options import Options
from sealift.schedule import first_error
from sealift.session import Session
from sealift.wire.bucket import BucketClient
from sealift.wire.timed import TimedConnection

# Seconds: how long an object to bring down may take to be stored where none was in its cells, and
# how long removing everything may take.
STORE_LIMIT = 60.0
CLEAN_LIMIT = 120.0


class Display(Protocol):
    """Hears how a run gets on."""

    def reached(self, scope: str) -> None:
        """The bucket is there, as `https://host/bucket`."""

    def begin(self, cell: Cell) -> None:
        """A cell is about to be measured."""

    def end(self, result: Result) -> None:
        """A cell was measured."""

    def note(self, text: str) -> None:
        """Something the user should know."""


async def sweep(
    options: Options,
    root: Location,
    plan: Plan,
    display: Display,
    *,
    is_lasting: bool = True,
    now: Callable[[], float] = time.time,
) -> list[Result]:
    """Measure all cells of `plan` with objects below `root`. Raises SealiftError.

    At the end nothing of it is left; of a server that is not `is_lasting` that is left to its own
    end. `now` is in seconds since the epoch; by it leftovers of other runs are told to be old.
    """
    watch = Watch()
    memory = Memory.for_process(options.memory)
    disk = Disk()
    try:
        async with Session(options, watch, TimedConnection) as session:
            objects = await session.objects(root.bucket)
            display.reached(objects.scope)
            try:
                found = await leftovers(objects, session.retrier, root)
            except ObjectError as error:
                display.note(f"cannot look for what earlier runs left: {error}")
                found = []
            for left in found:
                await _tidy(objects, session, left, now(), display)
            stored = Stored(objects, session.retrier, root)
            load = Load(session, objects, memory, disk, watch, stored)
            results: list[Result] = []
            try:
                async with anyio.create_task_group() as group:
                    group.start_soon(session.keep_credentials)
                    await _measure(load, stored, plan, display, results)
                    group.cancel_scope.cancel()
            except BaseExceptionGroup as failed:
                raise first_error(failed) from None
            finally:
                if is_lasting:
                    await _clear(stored, display)
            return results
    finally:
        disk.close()


async def _measure(
    load: Load, stored: Stored, plan: Plan, display: Display, results: list[Result]
) -> None:
    for group in plan.groups():
        names = stored.names(group)
        for way in Way:
            if way is Way.DOWN:
                if not stored.complete:
                    await _store(load, group, names[0])
                names = stored.complete
            if not names:
                display.note(
                    f"objects of {short_size(group.size)} take too long to store: "
                    "they are not brought down"
                )
                break
            chosen = itertools.cycle(names)
            for cell in group.cells:
                if cell.way is way:
                    await load.settle()
                    display.begin(cell)
                    results.append(await load.run(cell, chosen, plan.warm_up(cell), plan.seconds))
                    display.end(results[-1])
                    await stored.abort_uploads()
        await stored.clear()


async def _store(load: Load, group: Group, name: Location) -> None:
    """Store an object to bring down, if that takes not too long; none of the cells got so far."""
    with anyio.move_on_after(STORE_LIMIT):
        await load.store(group.size, group.part_size, name)


async def _tidy(
    objects: BucketClient, session: Session, left: Leftover, now: float, display: Display
) -> None:
    """Name what another run left, and remove it if that run must have ended long ago."""
    about = f"{left.prefix}: {count(len(left.names), 'object')}, {size(left.size)}"
    if left.upload_count:
        about += f", {count(left.upload_count, 'unfinished upload')}"
    if not left.is_old(now):
        display.note(f"{about}: of another run, less than a day ago; left alone")
        return
    try:
        await remove_leftover(objects, session.retrier, left)
    except ObjectError as error:
        display.note(f"{about}: of a run that died, and cannot be removed: {error}")
    else:
        display.note(f"{about}: of a run that died; removed")


async def _clear(stored: Stored, display: Display) -> None:
    """Remove all that the run has stored, also while it is being cancelled."""
    problem = "it took too long"
    with anyio.CancelScope(shield=True), anyio.move_on_after(CLEAN_LIMIT):
        try:
            if not await stored.clear_all():
                return
            problem = "the server still lists objects"
        except ObjectError as error:
            problem = str(error)
    display.note(
        f"not everything could be removed: {problem}; run: sealift rm --recursive {stored.prefix}"
    )

"""Runs that must not meet: one between the same two places at a time."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
from anyio.to_thread import run_sync

from sealift.cli.wording import command_line
from sealift.engine import Engine
from sealift.events import Noted
from sealift.model import Location
from sealift.pair_lock import PairHeldError, PairLock
from sealift.plan import contents

# Seconds between two looks at a lock that is waited for.
_LOOK_EVERY = 0.5


@asynccontextmanager
async def alone(
    engine: Engine, *sides: str, source_endpoint: str | None = None, wait: float = 0.0
) -> AsyncIterator[None]:
    """Hold the lock of the places `sides`, as typed; the first may be on another endpoint.

    Waits up to `wait` seconds for the run that holds it. PairHeldError. Where no lock can be had
    the run goes on, and says so.
    """
    try:
        endpoints = [source_endpoint, *[None] * len(sides)]
        places = [await _place(engine, *each) for each in zip(sides, endpoints, strict=False)]
        lock = PairLock(places, command_line(sys.argv[1:]))
        await _take(lock, wait)
    except OSError as reason:
        text = f"no lock can be had ({reason.strerror or reason}): another run between the same "
        engine.emit(Noted(f"{text}places would not be noticed"))
        yield
        return
    try:
        yield
    finally:
        lock.release()


async def _take(lock: PairLock, wait: float) -> None:
    deadline = time.monotonic() + wait
    while True:
        try:
            await run_sync(lock.take)
        except PairHeldError as error:
            if time.monotonic() >= deadline:
                if wait:
                    raise PairHeldError(error.message, hint="it has not ended in time") from None
                raise
            await anyio.sleep(_LOOK_EVERY)
        else:
            return


async def _place(engine: Engine, side: str, endpoint: str | None) -> str:
    """The one name of a directory or prefix."""
    if not side.startswith("s3://"):
        return f"file:{await run_sync(os.path.realpath, side)}"
    location = contents(Location.parse(side))
    if endpoint is not None:
        return f"{endpoint.rstrip('/')}/{location.bucket}/{location.name}"
    client = await engine.bucket_client(location.bucket)
    return f"{client.scope}/{location.name}"

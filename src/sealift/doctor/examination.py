"""The order of all checks, from this machine to what the server promises."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress

from sealift.capabilities import Capabilities, remember
from sealift.doctor.findings import Finding, Round, failure, ok, skipped
from sealift.doctor.machine import CHECKS, Machine
from sealift.doctor.promises import PROMISES
from sealift.doctor.rights import RIGHTS, remove_probes
from sealift.doctor.server import BUCKET_CHECKS, SERVER_CHECKS
from sealift.doctor.visit import Visit
from sealift.errors import SettingsError
from sealift.events import Silent
from sealift.model import Location
from sealift.options import Options
from sealift.session import Session


async def examine(
    options: Options,
    place: Location | None,
    machine: Machine,
    hear: Callable[[str, Finding], None],
) -> None:
    """Make all checks; `hear` gets each finding. Without a `place` those that need no bucket.

    What is written below `place` is removed again, also when this is cancelled.
    """
    checks = Round(hear)
    await checks.make(CHECKS, machine)
    async with AsyncExitStack() as stack:
        session = Session(options, Silent())
        try:
            await stack.enter_async_context(session)
        except SettingsError as error:
            checks.note("settings", failure(error.message, error.hint))
        else:
            checks.note("settings", ok("they can be read"))
        visit = Visit(session, place)
        await checks.make(SERVER_CHECKS, visit)
        if place is None:
            none = "no bucket is named, so none was looked at"
            checks.note("bucket", skipped(none, "give an s3:// URI or set BUCKET_NAME in .env"))
            return
        await checks.make(BUCKET_CHECKS, visit)
        try:
            for table in (RIGHTS, PROMISES):
                await checks.make(table, visit)
        finally:
            checks.note("delete", await remove_probes(visit))
        if visit.client is not None and visit.learned:
            learned = Capabilities(**visit.learned)
            with suppress(OSError):  # the check `state` has told of it
                await machine.disk.run(
                    remember, options.state_directory, visit.client.scope, learned, time.time()
                )

"""Jobs under several customer keys: each goes to who moves those of its key.

Nearly all runs have one key. Then this costs them a comparison an object.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import replace

from sealift.errors import CustomerKeyError, ObjectError
from sealift.keyring import Keyring
from sealift.model import UNSEALED, Job
from sealift.resources import Resources, Settle

Plan = AsyncIterator[list[Job]]
Move = Callable[[Sequence[Job], Settle], Awaitable[None]]


def by_key(
    resources: Resources,
    keyring: Keyring,
    make: Callable[[Resources], Move],
    *,
    writes: bool = True,
) -> Move:
    """A move of jobs under any key of `keyring`; `make` makes that of one key, when it is needed.

    A job that names no key gets that of `resources`; if it `writes`, the one that a rule names.
    """
    movers: dict[str | None, Move] = {}
    own_key_id = resources.objects.key_id or UNSEALED
    has_rules = writes and bool(keyring.rules)

    async def move(jobs: Sequence[Job], settle: Settle) -> None:
        if has_rules:
            for job in jobs:
                if job.key_id is None:
                    job.key_id = keyring.rule_for(job.location)
        first = jobs[0].key_id
        if first is None and all(job.key_id is None for job in jobs):
            await (movers.get(None) or _mover(None))(jobs, settle)
            return
        for key_id in dict.fromkeys([job.key_id for job in jobs]):
            some = [job for job in jobs if job.key_id == key_id]
            try:
                mover = _mover(key_id)
            except CustomerKeyError as error:
                for job in some:
                    settle(job, ObjectError(error.message, hint=error.hint))
            else:
                await mover(some, settle)

    def _mover(key_id: str | None) -> Move:
        if key_id == own_key_id:
            key_id = None
        mover = movers.get(key_id)
        if mover is None:
            used = resources
            if key_id is not None:
                used = replace(resources, objects=resources.objects.under(keyring.select(key_id)))
            mover = movers[key_id] = make(used)
        return mover

    return move

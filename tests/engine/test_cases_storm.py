"""A storm of 503 SlowDown (case 6): a run gets slow in it, and no object fails."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from tests.faults import Delay, Match, Status
from tests.faults.messages import Request

from sealift import pace as pace_module
from sealift import session as session_module
from sealift.errors import Cause
from sealift.options import Options
from sealift.retry import DEFAULT_RULES, Policy, Rule

from .conftest import Site, assert_one_object, count

pytestmark = pytest.mark.anyio


def storm(site: Site, operation: str, after: int, seconds: float) -> Callable[[Request], bool]:
    """Whether a request falls into the storm that begins with one of them."""
    seen = 0
    ends = float("inf")

    def is_in_it(request: Request) -> bool:
        nonlocal seen, ends
        if request.operation != operation:
            return False
        seen += 1
        if seen == after:
            ends = time.monotonic() + seconds
        return seen >= after and time.monotonic() < ends

    return is_in_it


async def test_case_06_a_storm_slows_a_run_and_fails_nothing(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a minute of it under the default policy, at a fortieth of its length."""
    monkeypatch.setattr(pace_module, "THROTTLE_REST", 0.3)
    wait = Rule(None, 0.05)
    policy = Policy(8.0, 0.4, rules={**DEFAULT_RULES, Cause.THROTTLED: wait})
    names = [f"{number:03}" for number in range(400)]
    for name in names:
        site.file(f"tree/{name}", name.encode())
    is_in_it = storm(site, "PutObject", 100, 1.5)
    limits: list[int] = []

    async with site.engine(policy=policy) as engine:

        def observed(request: Request) -> bool:
            limits.append(engine._runner._pace.limit)
            return is_in_it(request)

        refused = site.server.script(
            Match(operation="PutObject", times=None, where=observed), Status(503, "SlowDown")
        )
        site.server.script(Match(operation="PutObject", times=None), Delay(0.004))
        await engine.copy(f"{site.directory}/tree/", "s3://bucket/")

    assert site.record.finished == set(names)
    assert not site.record.failed
    assert {name: site.body(name) for name in names} == {name: name.encode() for name in names}
    # Concurrency falls, and comes back.
    assert (limits[0], min(limits)) == (8, 1)
    assert max(limits[limits.index(1) :]) > 1
    # Eight workers, a fifth of a second between two attempts at last; each refusal is one of them.
    waits = [(event.attempt, event.delay) for event in site.record.retries]
    assert 8 < refused.used == len(waits) < 200
    assert count(site, "PutObject") == (len(names) + refused.used,)
    for attempt, delay in waits:
        assert delay <= min(wait.base * 2.0 ** (attempt - 1), policy.longest_wait)
    assert len({delay for _, delay in waits}) > len(waits) * 0.9, "jitter"


async def test_case_06_a_run_may_begin_in_a_storm(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session_module, "FIRST_CONTACT_BUDGET", 0.1)
    site.server.script(
        Match(operation="ListObjectsV2", times=None, where=storm(site, "ListObjectsV2", 1, 0.5)),
        Status(503, "SlowDown"),
    )
    await site.put("x", b"small")
    assert_one_object(site, b"small")


def test_case_06_the_budget_is_longer_than_a_storm_of_a_minute() -> None:
    policy = Options(None).policy
    assert policy.budget == 900.0
    assert policy.rules[Cause.THROTTLED].attempts is None

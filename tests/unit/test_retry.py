"""The retry policy as a table, and the retrier on a clock, a sleep and a chance of its own."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest

from sealift.errors import Cause, NetworkError, ObjectError, SealiftError
from sealift.retry import DEFAULT_RULES, PROGRESS_SIZE, Policy, Retrier, Rule

POLICY = Policy(budget=900.0, longest_wait=20.0)


def failure(cause: Cause, retry_after: float | None = None) -> ObjectError:
    error = ObjectError("no", cause=cause)
    error.retry_after = retry_after
    return error


# The policy


def test_every_cause_has_a_rule() -> None:
    assert set(DEFAULT_RULES) == set(Cause)


@pytest.mark.parametrize(
    ("cause", "attempt", "elapsed", "chance", "expected"),
    [
        (Cause.PERMANENT, 1, 0, 1.0, None),
        (Cause.RESET, 1, 0, 1.0, 0.2),
        (Cause.RESET, 1, 0, 0.5, 0.1),
        (Cause.RESET, 4, 0, 1.0, 1.6),
        (Cause.RESET, 50, 0, 1.0, 20.0),
        (Cause.RESET, 100_000, 0, 1.0, 20.0),
        (Cause.RESET, 1, 899.8, 1.0, 0.2),
        (Cause.RESET, 1, 899.9, 1.0, None),
        (Cause.THROTTLED, 1, 0, 1.0, 1.0),
        (Cause.THROTTLED, 1000, 800, 1.0, 20.0),
        (Cause.SERVER, 7, 0, 1.0, 20.0),
        (Cause.SERVER, 8, 0, 1.0, None),
        (Cause.GARBLED, 3, 0, 1.0, 2.0),
        (Cause.GARBLED, 4, 0, 1.0, None),
        (Cause.BAD_DIGEST, 2, 0, 1.0, 0.2),
        (Cause.BAD_DIGEST, 3, 0, 1.0, None),
        (Cause.CONFLICT, 4, 0, 1.0, None),
        (Cause.SKEWED, 1, 0, 1.0, 0.0),
        (Cause.SKEWED, 2, 0, 1.0, None),
        (Cause.EXPIRED, 1, 0, 1.0, 0.0),
        (Cause.EXPIRED, 2, 0, 1.0, None),
    ],
)
def test_waits(
    cause: Cause, attempt: int, elapsed: float, chance: float, expected: float | None
) -> None:
    found = POLICY.wait(failure(cause), attempt, elapsed, chance, idempotent=True)
    assert found == (None if expected is None else pytest.approx(expected))


@pytest.mark.parametrize(
    ("retry_after", "chance", "elapsed", "expected"),
    [
        (5.0, 0.0, 0, 5.0),
        (5.0, 1.0, 0, 5.0),
        (0.5, 1.0, 0, 1.0),
        (60.0, 1.0, 0, 60.0),  # the server knows better than our longest wait
        (901.0, 1.0, 0, None),
        (60.0, 1.0, 850, None),
    ],
)
def test_retry_after_is_the_least_wait(
    retry_after: float, chance: float, elapsed: float, expected: float | None
) -> None:
    error = failure(Cause.THROTTLED, retry_after)
    assert POLICY.wait(error, 1, elapsed, chance, idempotent=True) == expected


@pytest.mark.parametrize("cause", list(Cause))
def test_what_may_have_happened_is_not_repeated_unless_it_may_be(cause: Cause) -> None:
    unseen = {Cause.STALE, Cause.RESET, Cause.STALLED, Cause.GARBLED, Cause.SERVER}
    repeated = POLICY.wait(failure(cause), 1, 0, 0.5, idempotent=False) is not None
    assert repeated == (cause not in unseen and cause is not Cause.PERMANENT)


# The retrier


@dataclass
class World:
    """Time passes only by sleeping, and by what an attempt takes."""

    policy: Policy = POLICY
    chance: float = 1.0
    takes: float = 0.0
    now: float = 1000.0
    slept: list[float] = field(default_factory=list)
    repaired: list[Cause] = field(default_factory=list)
    heard: list[tuple[str, int, float]] = field(default_factory=list)
    calls: int = 0

    def __post_init__(self) -> None:
        self.retrier = Retrier(
            self.policy,
            clock=lambda: self.now,
            sleep=self._sleep,
            chance=lambda: self.chance,
            repair=self._repair,
            on_retry=lambda name, attempt, delay, _: self.heard.append((name, attempt, delay)),
        )

    async def _sleep(self, delay: float) -> None:
        self.slept.append(delay)
        self.now += delay

    async def _repair(self, error: ObjectError, began: float) -> None:
        assert began <= self.now
        self.repaired.append(error.cause)

    def run(
        self,
        *outcomes: Cause | None,
        idempotent: bool = True,
        failed: ObjectError | None = None,
    ) -> str:
        """Run an operation whose attempts end so (None: success; the last one for ever)."""
        self.calls = 0

        async def attempt_once(argument: str) -> str:
            cause = outcomes[min(self.calls, len(outcomes) - 1)]
            self.calls += 1
            self.now += self.takes
            if cause is not None:
                raise failure(cause)
            return argument

        return asyncio.run(
            self.retrier.run("name", attempt_once, "result", idempotent=idempotent, failed=failed)
        )


def test_a_success_costs_nothing() -> None:
    world = World()
    assert world.run(None) == "result"
    assert (world.calls, world.slept, world.heard) == (1, [], [])


def test_failures_are_told_with_attempt_and_wait() -> None:
    world = World()
    assert world.run(Cause.RESET, Cause.RESET, None) == "result"
    assert world.heard == [("name", 1, 0.2), ("name", 2, 0.4)]
    assert world.slept == [0.2, 0.4]


def test_each_cause_has_a_count_of_its_own() -> None:
    world = World()
    mixed = (Cause.BAD_DIGEST, Cause.RESET, Cause.BAD_DIGEST, Cause.RESET, Cause.RESET)
    assert world.run(*mixed, None) == "result"
    assert world.slept == pytest.approx([0.1, 0.2, 0.2, 0.4, 0.8])


@pytest.mark.parametrize("cause", [Cause.SKEWED, Cause.EXPIRED])
def test_a_repair_is_tried_once(cause: Cause) -> None:
    world = World()
    assert world.run(cause, None) == "result"
    assert world.repaired == [cause]
    with pytest.raises(ObjectError) as caught:
        world.run(cause)
    assert world.calls == caught.value.attempts == 2
    assert world.repaired == [cause, cause]


def test_other_causes_repair_nothing() -> None:
    world = World()
    world.run(Cause.RESET, Cause.THROTTLED, Cause.SERVER, None)
    assert world.repaired == []


def test_a_permanent_failure_is_raised_at_once() -> None:
    world = World()
    with pytest.raises(ObjectError) as caught:
        world.run(Cause.PERMANENT)
    assert (world.calls, caught.value.attempts, world.slept) == (1, 1, [])


def test_the_budget_ends_what_no_count_does() -> None:
    world = World(Policy(budget=60.0))
    with pytest.raises(ObjectError) as caught:
        world.run(Cause.RESET)
    assert world.now <= 1060.0
    assert caught.value.attempts == world.calls > 5


def test_a_long_attempt_is_made_again() -> None:
    """A part on a slow line may take longer than the budget, and be lost at its end."""
    world = World(takes=2000.0)
    assert world.run(Cause.RESET, None) == "result"
    world.run(Cause.RESET, None)
    assert world.calls == 2


def test_a_server_that_is_gone_is_found_out_once() -> None:
    world = World(Policy(budget=60.0), takes=10.0)
    with pytest.raises(ObjectError):
        world.run(Cause.CONNECT)
    assert world.calls > 1
    with pytest.raises(ObjectError):
        world.run(Cause.CONNECT)
    assert world.calls == 1
    world.run(None)
    with pytest.raises(ObjectError):
        world.run(Cause.CONNECT)
    assert world.calls > 1


# A first attempt that was made elsewhere


def test_an_attempt_made_before_is_the_first() -> None:
    world = World()
    assert world.run(None, failed=failure(Cause.RESET)) == "result"
    assert (world.calls, world.slept, world.heard) == (1, [0.2], [("name", 1, 0.2)])


def test_an_attempt_made_before_is_among_those_allowed() -> None:
    world = World()
    with pytest.raises(ObjectError) as caught:
        world.run(Cause.SERVER, failed=failure(Cause.SERVER))
    assert (world.calls, caught.value.attempts) == (7, 8)


def test_an_attempt_made_before_asks_for_its_wait() -> None:
    world = World()
    world.run(None, failed=failure(Cause.THROTTLED, retry_after=7.0))
    assert world.slept == [7.0]


@pytest.mark.parametrize("cause", [Cause.SKEWED, Cause.EXPIRED])
def test_what_an_attempt_made_before_needs_is_repaired_once(cause: Cause) -> None:
    world = World()
    with pytest.raises(ObjectError):
        world.run(cause, failed=failure(cause))
    assert (world.calls, world.repaired) == (1, [cause])


def test_a_permanent_failure_made_before_is_raised_itself() -> None:
    world, failed = World(), failure(Cause.PERMANENT)
    with pytest.raises(ObjectError) as caught:
        world.run(None, failed=failed)
    assert caught.value is failed
    assert (world.calls, failed.attempts) == (0, 1)


def test_a_failure_that_may_have_worked_is_not_repeated() -> None:
    world = World()
    with pytest.raises(ObjectError):
        world.run(None, idempotent=False, failed=failure(Cause.STALLED))
    assert world.calls == 0


def test_the_budget_runs_from_an_attempt_made_before() -> None:
    world = World(Policy(budget=60.0))
    with pytest.raises(ObjectError) as caught:
        world.run(Cause.RESET, failed=failure(Cause.RESET))
    assert world.now <= 1060.0
    assert caught.value.attempts == world.calls + 1
    world.now += 61.0
    with pytest.raises(ObjectError):
        world.run(None, failed=failure(Cause.RESET))
    assert world.calls == 0, "the server is gone"
    world.retrier.note_success()
    assert world.run(None, failed=failure(Cause.RESET)) == "result"


def test_other_errors_pass() -> None:
    world = World()

    async def attempt_once() -> None:
        world.calls += 1
        raise SealiftError("no fault of an object")

    with pytest.raises(SealiftError, match="no fault"):
        asyncio.run(world.retrier.run("name", attempt_once))
    assert world.calls == 1


def test_a_rule_may_be_replaced() -> None:
    rules = {**DEFAULT_RULES, Cause.SERVER: Rule(2, 0.0)}
    world = World(Policy(rules=rules))
    with pytest.raises(ObjectError):
        world.run(Cause.SERVER)
    assert (world.calls, world.slept) == (2, [0.0])


def test_errors_have_the_cause_of_their_kind() -> None:
    assert NetworkError("x").cause is Cause.RESET
    assert NetworkError("x", cause=Cause.STALLED).cause is Cause.STALLED


def test_a_rest_between_two_operations_is_no_failure() -> None:
    """An engine may be kept open and idle for longer than the budget."""
    world = World()
    assert world.run(None) == "result"
    world.now += 2000.0
    assert world.run(Cause.RESET, None) == "result"
    assert world.calls == 2


# Progress


@pytest.mark.parametrize(
    ("received", "waits"),
    [(PROGRESS_SIZE, [0.2] * 9), (PROGRESS_SIZE - 1, [0.2 * 2**n for n in range(7)] + [20.0] * 2)],
)
def test_attempts_that_bring_something_begin_the_count_anew(
    received: int, waits: list[float]
) -> None:
    world = World()
    calls = 0

    async def attempt_once() -> int:
        nonlocal calls
        calls += 1
        if calls < 10:
            error = NetworkError("broke off")
            error.received = received
            raise error
        return calls

    assert asyncio.run(world.retrier.run("name", attempt_once)) == 10
    assert world.slept == pytest.approx(waits)


@pytest.mark.parametrize("received", [PROGRESS_SIZE, 0])
def test_the_budget_runs_from_the_last_progress(received: int) -> None:
    world = World(takes=500.0)
    calls = 0

    async def attempt_once() -> int:
        nonlocal calls
        calls += 1
        world.now += world.takes
        if calls < 10:
            error = NetworkError("broke off")
            error.received = received
            raise error
        return calls

    if received:
        assert asyncio.run(world.retrier.run("name", attempt_once)) == 10
    else:
        with pytest.raises(NetworkError):
            asyncio.run(world.retrier.run("name", attempt_once))
        assert calls == 3

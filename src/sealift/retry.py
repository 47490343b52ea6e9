"""When an attempt is made again. The policy is data; clock, sleep and chance are passed in.

Each cause has a rule: how many attempts, and how long the first wait is. All waits are drawn
between zero and the doubled last bound ("full jitter",
https://aws.amazon.com/builders-library/timeouts-retries-and-backoff-with-jitter/), never less than
the server's Retry-After. Attempts end when their count or the time budget of the operation does.

The budget runs from the first failure: an attempt that took long before it failed, as a large part
on a slow line does, is made again all the same. An attempt that brought something before it failed
counts as the first: a line that breaks again and again is slow, not dead.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TypeVar, TypeVarTuple

from sealift.errors import Cause, NetworkError, ObjectError
from sealift.model import KiB

# So many bytes are progress; fewer at a time would be no end of attempts.
PROGRESS_SIZE = 64 * KiB

Ts = TypeVarTuple("Ts")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Rule:
    """At most `attempts` in all (None: only the budget ends them), first wait below `base` s.

    `repair` says that something is put right between attempts (clock, credentials), once a run of
    attempts; `needs_idempotence` that the act may have happened already, unseen.
    """

    attempts: int | None
    base: float = 0.2
    repair: bool = False
    needs_idempotence: bool = False


DEFAULT_RULES: Mapping[Cause, Rule] = MappingProxyType(
    {
        Cause.CONNECT: Rule(None, 0.5),
        Cause.NAME_LOOKUP: Rule(None, 0.5),
        Cause.STALE: Rule(None, 0.0, needs_idempotence=True),
        Cause.RESET: Rule(None, 0.2, needs_idempotence=True),
        Cause.STALLED: Rule(None, 0.2, needs_idempotence=True),
        Cause.GARBLED: Rule(4, 0.5, needs_idempotence=True),
        Cause.THROTTLED: Rule(None, 1.0),
        Cause.SERVER: Rule(8, 0.5, needs_idempotence=True),
        Cause.CONFLICT: Rule(4, 0.5),
        Cause.BAD_DIGEST: Rule(3, 0.1),
        Cause.SKEWED: Rule(2, 0.0, repair=True),
        Cause.EXPIRED: Rule(2, 0.0, repair=True),
        Cause.PERMANENT: Rule(1),
    }
)


@dataclass(frozen=True, slots=True)
class Policy:
    """`budget` and `longest_wait` in seconds; restic too goes on for 15 minutes."""

    budget: float = 900.0
    longest_wait: float = 20.0
    rules: Mapping[Cause, Rule] = field(default_factory=lambda: DEFAULT_RULES)

    def wait(
        self, error: ObjectError, attempt: int, elapsed: float, chance: float, *, idempotent: bool
    ) -> float | None:
        """Seconds to wait before the next attempt, or None to give up.

        `attempt` counts from 1 and is the one that failed, `elapsed` is the time in seconds since
        the first one failed, `chance` is drawn evenly from 0 to 1.
        """
        rule = self.rules[error.cause]
        if rule.needs_idempotence and not idempotent:
            return None
        if rule.attempts is not None and attempt >= rule.attempts:
            return None
        bound = min(rule.base * 2.0 ** min(attempt - 1, 30), self.longest_wait)
        delay = max(bound * chance, error.retry_after or 0.0)
        return delay if elapsed + delay <= self.budget else None


class Retrier:
    """Runs operations under a policy.

    `repair` is awaited with the error, and when the attempt began that had it, before an attempt
    that needs the clock or the credentials put right. `on_retry` hears of every further attempt.
    When an attempt fails that began after a whole budget of failures, with no success between, it
    is the last: the server is gone, and 10,000 objects need not each find that out.
    """

    def __init__(
        self,
        policy: Policy,
        *,
        clock: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]],
        chance: Callable[[], float],
        repair: Callable[[ObjectError, float], Awaitable[None]],
        on_retry: Callable[[str, int, float, ObjectError], None],
    ) -> None:
        self._policy = policy
        self._clock = clock
        self._sleep = sleep
        self._chance = chance
        self._repair = repair
        self._on_retry = on_retry
        self._failing_since: float | None = None

    async def run(
        self,
        name: str,
        attempt_once: Callable[[*Ts], Awaitable[T]],
        *args: *Ts,
        idempotent: bool = True,
        failed: ObjectError | None = None,
    ) -> T:
        """Await `attempt_once(*args)` until it succeeds or the policy ends it.

        `name` tells `on_retry` what it is about. The error raised carries the count of attempts.
        `failed` is the error of a first attempt that was made already.
        """
        counts: dict[Cause, int] = {}
        attempt = 0
        failed_at: float | None = None
        while True:
            attempt += 1
            began = self._clock()
            error, failed = failed, None
            if error is None:
                try:
                    result = await attempt_once(*args)
                except ObjectError as reason:
                    error = reason
                else:
                    self.note_success()
                    return result
            if isinstance(error, NetworkError) and error.received >= PROGRESS_SIZE:
                counts.clear()
                failed_at = None
                self.note_success()
            cause_count = counts[error.cause] = counts.get(error.cause, 0) + 1
            error.attempts = attempt
            now = self._clock()
            if failed_at is None:
                failed_at = now
            if self._failing_since is None:
                self._failing_since = now
            delay = self._policy.wait(
                error, cause_count, now - failed_at, self._chance(), idempotent=idempotent
            )
            if delay is None or began - self._failing_since > self._policy.budget:
                raise error
            if self._policy.rules[error.cause].repair:
                await self._repair(error, began)
            self._on_retry(name, attempt, delay, error)
            await self._sleep(delay)

    def note_success(self) -> None:
        """An operation succeeded: the server is there. For attempts that are not made here."""
        self._failing_since = None

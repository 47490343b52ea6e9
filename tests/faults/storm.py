"""Faults by chance, the same for the same seed: which request meets which fault.

The draw depends on what a request is (operation, object, part, range) and how often it came, not
on the order in which concurrent requests arrive. A kind meets the same request once at most until
`begin` is called, so that a client with a bounded number of attempts for each cause must get
through; only a missing echo, which must fail its object, is drawn at a rate of its own.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from .messages import Reply, Request
from .plan import Fault, Plan
from .scripts import (
    ApplyThenReset,
    Complete200Error,
    CutReply,
    Delay,
    FlipObject,
    FlipRequest,
    NoEcho,
    ResetBeforeAct,
    ResetRequest,
    Skewed,
    Stall,
    Status,
    WrongRange,
)

_SEALED = frozenset({"PutObject", "GetObject", "HeadObject", "CreateMultipartUpload", "UploadPart"})
_BODIES = frozenset({"PutObject", "UploadPart"})
# The clocks of both servers allow 15 minutes.
_LARGEST_SKEW = 300.0

Identity = tuple[object, ...]


def identity(request: Request) -> Identity:
    """What a request is, whichever attempt it is and whichever upload it belongs to."""
    query = sorted(pair for pair in request.query.items() if pair[0] != "uploadId")
    return request.operation, request.name, *query, request.headers.get("range", "")


class Met(NamedTuple):
    """A fault, and what its kind is called."""

    kind: str
    fault: Fault


class Storm:
    """Lets `rate` of all requests meet a fault; `unsealed_rate` of those with an echo lose that.

    A stall lasts `stall` seconds: as long as the client's patience needs to end, or a bit less.
    """

    def __init__(self, seed: int, rate: float, *, stall: float, unsealed_rate: float = 0.0) -> None:
        self.rate = rate
        self.unsealed_rate = unsealed_rate
        self.unsealed: dict[str, set[str]] = {}
        """Objects whose echo was taken out of good replies since `begin`, and to which requests."""
        self._seed = seed
        self._stall = stall
        self._round = 0
        self._counts: Counter[Identity] = Counter()
        self._met: set[tuple[Identity, str]] = set()

    def begin(self) -> None:
        """Begin a new round: what was met is forgotten."""
        self._round += 1
        self._counts.clear()
        self._met.clear()
        self.unsealed.clear()

    def draw(self, request: Request) -> Met | None:
        """What this request is to meet."""
        what = identity(request)
        self._counts[what] += 1
        chance = random.Random(f"{self._seed} {self._round} {what} {self._counts[what]}")
        if request.operation in _SEALED and chance.random() < self.unsealed_rate:
            return Met("no echo", Unsealed(request, self.unsealed))
        if chance.random() >= self.rate:
            return None
        open_kinds = [
            kind
            for kind in sorted(_KINDS)
            if _KINDS[kind].can_meet(request) and (what, kind) not in self._met
        ]
        if not open_kinds:
            return None
        kind = chance.choice(open_kinds)
        self._met.add((what, kind))
        return Met(kind, _KINDS[kind].make(request, chance, self._stall))


@dataclass(frozen=True, slots=True)
class Unsealed:
    """No echo in a good reply, which is noted in `met`."""

    request: Request
    met: dict[str, set[str]]

    def shape(self, plan: Plan) -> None:
        def note(reply: Reply) -> Reply:
            if reply.status < 300:
                self.met.setdefault(self.request.name, set()).add(self.request.operation)
            return reply

        plan.reshape.append(note)
        NoEcho().shape(plan)


@dataclass(frozen=True, slots=True)
class _Kind:
    can_meet: Callable[[Request], bool]
    make: Callable[[Request, random.Random, float], Fault]


def _any(_: Request) -> bool:
    return True


def _sends(request: Request) -> bool:
    return request.operation in _BODIES and request.body_length > 0


def _gets(request: Request) -> bool:
    return request.operation == "GetObject"


def _gets_range(request: Request) -> bool:
    return _gets(request) and "range" in request.headers


def _completes(request: Request) -> bool:
    return request.operation == "CompleteMultipartUpload"


def _place(request: Request, chance: random.Random) -> int:
    return chance.randrange(max(request.body_length, 1))


def _stall(request: Request, chance: random.Random, seconds: float) -> Fault:
    seconds *= chance.uniform(0.5, 1.5)
    where = chance.choice(["request", "before_head", "reply"])
    if where == "request":
        return Stall("request", _place(request, chance), seconds)
    if where == "reply":
        return Stall("reply", chance.randrange(4096), seconds)
    return Stall("before_head", 0, seconds)


_KINDS = {
    "reset before": _Kind(_any, lambda *_: ResetBeforeAct()),
    "lost reply": _Kind(_any, lambda *_: ApplyThenReset()),
    "reset up": _Kind(_sends, lambda asked, chance, _: ResetRequest(_place(asked, chance))),
    "reset down": _Kind(_gets, lambda _, chance, __: CutReply(chance.random())),
    "truncated": _Kind(_gets, lambda _, chance, __: CutReply(chance.random(), clean=True)),
    "stall": _Kind(_any, _stall),
    "flip up": _Kind(_sends, lambda asked, chance, _: FlipRequest(_place(asked, chance))),
    "flip down": _Kind(_gets, lambda _, chance, __: FlipObject(chance.random())),
    "slow down": _Kind(_any, lambda *_: Status(503, "SlowDown")),
    "error": _Kind(_any, lambda *_: Status(500, "InternalError")),
    "complete with error": _Kind(
        _completes, lambda _, chance, __: Complete200Error(applied=chance.random() < 0.5)
    ),
    "wrong range": _Kind(_gets_range, lambda *_: WrongRange()),
    "delay": _Kind(_any, lambda _, chance, __: Delay(chance.uniform(0.05, 0.5))),
    "skew": _Kind(_any, lambda _, chance, __: Skewed(chance.uniform(0, _LARGEST_SKEW))),
}

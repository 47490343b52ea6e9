"""What one exchange may do (`Plan`), and which requests get which faults (`Match`, `Script`).

A `Plan` with every field at its default is a normal exchange. A fault (see `scripts`) says only
how it departs from that, so faults combine, and neither the socket code nor the S3 has a branch
for a fault by name.

The order of an exchange: head read, `early`, body read up to `request_break`, `replace`,
`alter`, the act or `answer`, `reshape`, `reply_wait`, `prelude`, head, body up to `reply_break`.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from .messages import Reply, Request

if TYPE_CHECKING:
    from .scripts import ReplaceObject


class End(enum.Enum):
    """How a connection ends."""

    CLOSE = enum.auto()  # TLS close_notify and FIN
    RESET = enum.auto()  # RST
    DROP = enum.auto()  # closed with bytes unread, which the kernel turns into a RST


class Framing(enum.Enum):
    """How the length of a reply body is told."""

    LENGTH = enum.auto()
    CHUNKED = enum.auto()
    HTTP10 = enum.auto()  # by closing


@dataclass(frozen=True, slots=True)
class Break:
    """After that many body bytes: wait, then end the connection or go on."""

    after: int
    wait: float = 0.0
    end: End | None = None


@dataclass(slots=True)
class Plan:
    """How one exchange goes."""

    early: Reply | None = None
    request_break: Break | None = None
    replace: ReplaceObject | None = None
    alter: list[Callable[[Request], Request]] = field(default_factory=list)
    answer: Reply | None = None
    act: bool = True
    reshape: list[Callable[[Reply], Reply]] = field(default_factory=list)
    reply_wait: Break | None = None
    prelude: bytes = b""
    garbage: bytes | None = None
    framing: Framing = Framing.LENGTH
    bytes_per_second: float = math.inf
    reply_break: Break | None = None
    close: bool = False
    idle_close: float | None = None


class Fault(Protocol):
    """Anything that can shape a plan."""

    def shape(self, plan: Plan) -> None: ...


# -- which requests


@dataclass(frozen=True, slots=True)
class Match:
    """Which requests: every criterion that is not None must hold.

    The first `after` such requests pass untouched; then the script's faults are used one a
    request, the whole sequence `times` times (None: for ever).
    """

    method: str | None = None
    operation: str | None = None
    bucket: str | None = None
    name: str | None = None
    part: int | None = None
    where: Callable[[Request], bool] | None = None
    times: int | None = 1
    after: int = 0

    def __call__(self, request: Request) -> bool:
        criteria = ("method", "operation", "bucket", "name", "part")
        wanted = ((getattr(self, name), getattr(request, name)) for name in criteria)
        same = all(value is None or value == actual for value, actual in wanted)
        return same and (self.where is None or self.where(request))


@dataclass(slots=True)
class Script:
    """A match, its faults, and how many of them were used."""

    match: Match
    faults: tuple[Fault | tuple[Fault, ...], ...]
    seen: int = 0
    used: int = 0

    @property
    def total(self) -> float:
        """How many faults there are to use."""
        times = self.match.times
        return math.inf if times is None else times * len(self.faults)

    def take(self, request: Request) -> tuple[Fault, ...]:
        """The faults for this request, none when the script has nothing to say about it."""
        if self.used >= self.total or not self.match(request):
            return ()
        self.seen += 1
        if self.seen <= self.match.after:
            return ()
        chosen = self.faults[self.used % len(self.faults)]
        self.used += 1
        return chosen if isinstance(chosen, tuple) else (chosen,)

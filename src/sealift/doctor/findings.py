"""What a check finds, and the order in which checks are made. Pure."""

from __future__ import annotations

import enum
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

from sealift.errors import SealiftError

T = TypeVar("T")

_ASK = "ask who runs the server: this is what it says"


class Status(enum.StrEnum):
    """How a check ended. A failure keeps a command from its work, a warning does not."""

    OK = "ok"
    WARNING = "warning"
    FAILURE = "failure"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Finding:
    """`text` says what is, `advice` what to do about it, if anything."""

    status: Status
    text: str
    advice: str = ""


def ok(text: str, advice: str = "") -> Finding:
    """All is well."""
    return Finding(Status.OK, text, advice)


def warning(text: str, advice: str) -> Finding:
    """Commands work, and something could be better."""
    return Finding(Status.WARNING, text, advice)


def failure(text: str, advice: str) -> Finding:
    """Some command cannot work, or what it promises does not hold."""
    return Finding(Status.FAILURE, text, advice)


def skipped(text: str, advice: str = "") -> Finding:
    """Nothing is known."""
    return Finding(Status.SKIPPED, text, advice)


class Check(NamedTuple, Generic[T]):
    """One row: what `run` finds out about a T; not made unless all that it `needs` ended well."""

    name: str
    run: Callable[[T], Awaitable[Finding]]
    needs: tuple[str, ...] = ()


class Round:
    """Makes checks in their order; `hear` gets each one's name and finding."""

    def __init__(self, hear: Callable[[str, Finding], None]) -> None:
        self._hear = hear
        self._lacking: dict[str, str] = {}

    async def make(self, checks: Sequence[Check[T]], what: T) -> None:
        """Make the checks of a table. An error that a check does not expect is its finding."""
        for check in checks:
            root = next((self._lacking[name] for name in check.needs if name in self._lacking), "")
            if root:
                self.note(check.name, skipped(f"needs {root}"), root)
                continue
            try:
                finding = await check.run(what)
            except SealiftError as error:
                finding = failure(error.message, error.hint or _ASK)
            self.note(check.name, finding)

    def note(self, name: str, finding: Finding, root: str = "") -> None:
        """Take a finding; what needs a check that did not end well is skipped, for its `root`."""
        if finding.status in (Status.FAILURE, Status.SKIPPED):
            self._lacking[name] = root or name
        self._hear(name, finding)

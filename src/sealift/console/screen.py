"""What all consoles share: `emit` adds up and queues, a thread of its own does the rest.

The event loop only ever pays for a `Tally` update and an append. Formatting and writing happen on
the console's thread, so a terminal that does not take output (Ctrl-S, a slow pipe) does not hold
up transfers. The one exception keeps memory bounded: a reader `MAX_BEHIND` lines behind makes
`emit` wait.

A terminal or pipe that goes away silences the console; it does not end the run.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import ClassVar, Self

from sealift.console.meter import Peak
from sealift.console.summary import Outcome, Status
from sealift.console.text import escape
from sealift.errors import Interrupted, SealiftError
from sealift.events import Event, Failed, Finished, Noted, Tally
from sealift.model import Job

MAX_BEHIND = 100_000

Clock = Callable[[], float]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A consistent look at the tally."""

    moved_size: int
    left_size: int
    left_count: int
    done_count: int
    planned_count: int
    planned_size: int
    plan_complete: bool
    planned_removal_count: int
    removed_count: int
    failed_count: int
    skipped_count: int
    retry_count: int
    active: list[Job]

    @property
    def only_removes(self) -> bool:
        """Whether nothing is moved, so that there are no bytes to go by."""
        return bool(self.planned_removal_count and not self.planned_count)


def progress(look: Snapshot) -> tuple[int, int]:
    """How much is done of how much: bytes, or objects of a run that only removes."""
    if look.only_removes:
        return look.removed_count, look.planned_removal_count
    return look.moved_size, look.planned_size


class Console(ABC):
    """Shows one run. Emit events to it while it is entered; leaving prints the summary."""

    INTERVAL: ClassVar[float] = 0.2
    """Seconds between two `_draw`."""

    def __init__(
        self, *, heading: str = "", key_id: str | None = None, clock: Clock = time.monotonic
    ) -> None:
        self.tally = Tally()
        self._heading = heading
        self._key_id = key_id
        self._clock = clock
        self._began = clock()
        self._peak = Peak(self._began)
        self._lock = threading.Lock()
        self._pending: deque[Event] = deque()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._gone = False

    def emit(self, event: Event) -> None:
        with self._lock:
            self.tally.emit(event)
        if self._keeps(event):
            while len(self._pending) >= MAX_BEHIND and self._is_drawing():
                time.sleep(0.01)
            if not self._gone:
                self._pending.append(event)

    def __enter__(self) -> Self:
        self._guard(self._open)
        self._thread = threading.Thread(target=self._work, name="sealift-console", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        thread, self._thread = self._thread, None
        self._stop.set()
        if thread is not None:
            thread.join()
        self._guard(lambda: self._draw(self._take()))
        elapsed = self._clock() - self._began
        status = _status(error, self.tally)
        message = error.message if isinstance(error, SealiftError) else ""
        outcome = Outcome(status, elapsed, self._heading, self._key_id, message, self._peak.rate)
        self._guard(lambda: self._close(outcome))

    def _is_drawing(self) -> bool:
        return not self._gone and self._thread is not None and self._thread.is_alive()

    def _work(self) -> None:
        while not self._stop.wait(self.INTERVAL):
            self._note_peak()
            self._guard(lambda: self._draw(self._take()))

    def _note_peak(self) -> None:
        now = self._clock()
        if self._peak.is_due(now):
            with self._lock:
                moved = self.tally.moved_size
            self._peak.sample(now, moved)

    def _guard(self, action: Callable[[], None]) -> None:
        if self._gone:
            return
        try:
            action()
        except (OSError, ValueError):  # hung up, or closed under us
            self._gone = True

    def _take(self) -> list[Event]:
        return [self._pending.popleft() for _ in range(len(self._pending))]

    def _look(self) -> Snapshot:
        with self._lock:
            tally = self.tally
            moved = tally.moved_size
            failed = sum(failure.job.size for failure in tally.failures if failure.job)
            return Snapshot(
                moved_size=moved,
                left_size=max(tally.planned_size - moved - failed, 0),
                left_count=tally.left_count,
                done_count=tally.done_count,
                planned_count=tally.planned_count,
                planned_size=tally.planned_size,
                plan_complete=tally.plan_complete,
                planned_removal_count=tally.planned_removal_count,
                removed_count=tally.removed_count,
                failed_count=tally.failed_count,
                skipped_count=sum(tally.skipped.values()),
                retry_count=tally.retry_count,
                active=list(tally.active.values()),
            )

    def _keeps(self, event: Event) -> bool:
        """Whether `event` is handed to `_draw`; most are not, they come by the million."""
        return isinstance(event, Failed | Noted) or (
            isinstance(event, Finished) and event.note != ""
        )

    def _open(self) -> None:
        """Start the clock and prepare the screen."""
        self._began = self._clock()
        self._peak = Peak(self._began)

    @abstractmethod
    def _draw(self, events: list[Event]) -> None:
        """Show `events`, the kept ones since the last time, and where the run stands."""

    @abstractmethod
    def _close(self, outcome: Outcome) -> None:
        """Give the screen back and show the summary."""


def drop_stdout() -> None:
    """Send what is still to come to nowhere: its last flush would fail the interpreter's exit.

    https://docs.python.org/3/library/signal.html#note-on-sigpipe
    """
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())
    os.close(null)


def announcement(event: Event) -> tuple[str, str] | None:
    """The word and the text of the line that people get for `event`, safe to show."""
    match event:
        case Failed(name, error):
            return "FAILED", f"{escape(name)}: {escape(str(error))}"
        case Noted(text):
            return "note", escape(text)
        case Finished(job, _, note) if note:
            return "note", f"{escape(job.path)}: {escape(note)}"
    return None


def _status(error: BaseException | None, tally: Tally) -> Status:
    if error is None:
        return Status.FAILED if tally.failed_count else Status.COMPLETE
    return Status.INTERRUPTED if _is_interrupt(error) else Status.STOPPED


def _is_interrupt(error: BaseException) -> bool:
    if isinstance(error, BaseExceptionGroup):
        return any(_is_interrupt(inner) for inner in error.exceptions)
    return isinstance(error, Interrupted | KeyboardInterrupt | asyncio.CancelledError)

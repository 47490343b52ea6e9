"""Lines on stderr for logs and pipes: what happens at once, where the run stands now and then."""

from __future__ import annotations

import sys
import time
from typing import TextIO

from sealift.console.meter import Meter
from sealift.console.screen import Clock, Console, Snapshot, announcement, pause, progress
from sealift.console.summary import Outcome, Status, is_empty, lines
from sealift.console.text import count, duration, escape, frequency, percent, rate, size
from sealift.events import Event, Skipped

PROGRESS_EVERY = 10.0


class PlainConsole(Console):
    """`progress` adds a line about the whole run every `PROGRESS_EVERY` seconds."""

    def __init__(
        self,
        *,
        heading: str = "",
        key_id: str | None = None,
        progress: bool = True,
        stream: TextIO | None = None,
        clock: Clock = time.monotonic,
    ) -> None:
        super().__init__(heading=heading, key_id=key_id, clock=clock)
        self._progress = progress
        self._stream = stream
        self._reasons: set[str] = set()
        self._meter = Meter(self._began)
        self._reported = self._began

    def _keeps(self, event: Event) -> bool:
        if isinstance(event, Skipped) and event.reason not in self._reasons:
            self._reasons.add(event.reason)
            return True
        return super()._keeps(event)

    def _open(self) -> None:
        super()._open()
        self._meter = Meter(self._began)
        self._reported = self._began
        if self._heading:
            self._write([escape(self._heading)])

    def _draw(self, events: list[Event]) -> None:
        self._write([line for event in events if (line := _line(event))])
        if not self._progress:
            return
        now = self._clock()
        look = self._look()
        self._meter.sample(now, look.moved_size, look.done_count + look.removed_count)
        if now - self._reported >= PROGRESS_EVERY:
            self._reported = now
            self._write([progress_line(look, self._meter, now)])

    def _close(self, outcome: Outcome) -> None:
        if outcome.status is Status.STOPPED and is_empty(self.tally):
            return
        self._write(lines(self.tally, outcome))

    def _write(self, text: list[str]) -> None:
        if text:
            stream = self._stream or sys.stderr
            stream.write("".join(f"{line}\n" for line in text))
            stream.flush()


def _line(event: Event) -> str | None:
    if isinstance(event, Skipped):
        name, reason = escape(event.name), escape(event.reason)
        return f"skipped {name}: {reason} (others like it are only counted)"
    found = announcement(event)
    return " ".join(found) if found else None


def progress_line(look: Snapshot, meter: Meter, now: float) -> str:
    """`12.3% 1.2 GiB of 9.8 GiB, 1,234 of 5,000 objects, 310.2 MiB/s, ETA 0:28, 2 failed`."""
    more = "" if look.plan_complete else "+"
    share = percent(*progress(look)) if look.plan_complete else "planning,"
    removed = f"{look.removed_count:,} of {look.planned_removal_count:,}{more} objects removed"
    if look.only_removes:
        parts = [f"{share} {removed}"]
    else:
        parts = [
            f"{share} {size(look.moved_size)} of {size(look.planned_size)}{more}",
            f"{look.done_count:,} of {look.planned_count:,}{more} objects",
        ]
        if look.planned_removal_count:
            parts.append(removed)
    stalled = meter.stalled(now)
    if stalled:
        parts.append(f"{pause(look)} for {duration(stalled)}")
    else:
        parts.append(frequency(meter.object_rate) if look.only_removes else rate(meter.rate))
        eta = meter.eta(now, look.left_size, look.left_count)
        if eta is not None:
            parts.append(f"ETA {duration(eta)}{more}")
    if look.failed_count:
        parts.append(f"{look.failed_count:,} failed")
    if look.retry_count:
        parts.append(count(look.retry_count, "retry", "retries"))
    if look.skipped_count:
        parts.append(f"{look.skipped_count:,} skipped")
    return ", ".join(parts)

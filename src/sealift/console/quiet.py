"""Failures only, on stderr; no summary."""

from __future__ import annotations

import sys

from sealift.console.screen import Console, announcement
from sealift.console.summary import Outcome
from sealift.events import Event, Failed


class QuietConsole(Console):
    def _keeps(self, event: Event) -> bool:
        return isinstance(event, Failed)

    def _draw(self, events: list[Event]) -> None:
        for event in events:
            if line := announcement(event):
                print(*line, file=sys.stderr)
        if events:
            sys.stderr.flush()

    def _close(self, outcome: Outcome) -> None:
        pass

"""The view of a run on a terminal: one block at the bottom, what happened scrolls by above it.

    restore s3://bucket/photos/ to tmp/                        0:24 elapsed
     46.2% ━━━━━━━━━━━━━━━━━━━━━━────────────────────  310.2 MiB/s  ETA 0:28
    4.5 GiB of 9.8 GiB, 1,234 of 5,000 objects (120/s), 2 failed, 3 retries
      photos/2024/…/img_0001.raw             45.0% of    2.7 GiB  84.1 MiB/s
      and 58 more in flight

The block is drawn by `frame`, which is pure. An object gets a line of its own when it is large and
has been moving for a moment, so that lines can be read before they go. Stuck objects come first,
then the largest, then the oldest, so that a line keeps its place.
"""

from __future__ import annotations

import time

from rich.console import Console as RichConsole
from rich.console import Group
from rich.live import Live
from rich.text import Text

from sealift.console.frame import Frame
from sealift.console.meter import Meter
from sealift.console.screen import Clock, Console, announcement
from sealift.console.summary import Outcome, Status, is_empty
from sealift.console.table import table
from sealift.events import Event

_STYLES = {"FAILED": "bold red", "note": "yellow"}


class LiveConsole(Console):
    def __init__(
        self,
        *,
        heading: str = "",
        key_id: str | None = None,
        console: RichConsole | None = None,
        clock: Clock = time.monotonic,
    ) -> None:
        super().__init__(heading=heading, key_id=key_id, clock=clock)
        self._console = console or RichConsole(stderr=True, highlight=False)
        self._frame = Frame(heading, Meter(self._began))
        # stdout is data and never redirected; log lines on stderr go above the block
        self._live = Live(
            console=self._console,
            auto_refresh=False,
            transient=True,
            redirect_stdout=False,
            vertical_overflow="crop",
        )

    def _open(self) -> None:
        super()._open()
        self._frame = Frame(self._heading, Meter(self._began))
        self._live.start()

    def _draw(self, events: list[Event]) -> None:
        happened = [
            Text(" ").join([Text(word, _STYLES[word]), Text(rest)])
            for word, rest in filter(None, map(announcement, events))
        ]
        if happened:
            # soft_wrap: the terminal folds long names, so that they can be copied whole
            self._console.print(Text("\n").join(happened), soft_wrap=True)
        width, height = self._console.size
        lines = self._frame.lines(self._look(), self._clock(), width, height)
        self._live.update(Group(*lines), refresh=True)

    def _close(self, outcome: Outcome) -> None:
        self._live.stop()
        if outcome.status is Status.STOPPED and is_empty(self.tally):
            return
        self._console.print(table(self.tally, outcome))

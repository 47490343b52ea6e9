"""How `bench` shows what it measures: a live table, plain lines, or JSON lines."""

from __future__ import annotations

import json
import os
import sys
from types import TracebackType
from typing import Any, Self

from sealift.bench.cells import Cell, Plan
from sealift.bench.results import Result, result_record
from sealift.bench.words import COLUMNS, heading, line, name, narrow, row
from sealift.console.text import duration, escape


class Display:
    """Keeps what it is told, for the file; says nothing. Others add the saying."""

    def __init__(self) -> None:
        self.records: list[dict[str, Any]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leave the screen as it is."""

    def record(self, record: dict[str, Any]) -> None:
        """A line of the JSON form that nobody reads as it comes."""
        self.records.append(record)

    def begin(self, cell: Cell) -> None:
        """A cell is about to be measured."""

    def end(self, result: Result) -> None:
        """A cell was measured."""
        self.record(result_record(result))

    def note(self, text: str) -> None:
        """Something the user should know, also when little is said."""
        self.record({"event": "noted", "text": text})
        print(f"note: {escape(text)}", file=sys.stderr)

    def say(self, lines: list[str]) -> None:
        """Lines of the answer."""
        for text in lines:
            print(text, flush=True)


class JsonDisplay(Display):
    """One JSON object a line."""

    def record(self, record: dict[str, Any]) -> None:
        super().record(record)
        print(json.dumps(record), flush=True)

    def note(self, text: str) -> None:
        self.record({"event": "noted", "text": text})

    def say(self, lines: list[str]) -> None:
        """Words are for people."""


class PlainDisplay(Display):
    """A line for each cell, as it was measured."""

    def end(self, result: Result) -> None:
        super().end(result)
        print(line(result), flush=True)


class LiveDisplay(Display):
    """A table that grows, one for each size and part size; finished ones scroll up.

    It is drawn between the cells only: drawing would cost what is measured.
    """

    def __init__(self, plan: Plan) -> None:
        from rich.console import Console
        from rich.live import Live

        super().__init__()
        self._left = plan.span()
        self._plan = plan
        self._count = len(plan.cells())
        self._number = 0
        self._screen = Console(stderr=True, highlight=False)
        self._live = Live(
            console=self._screen, auto_refresh=False, transient=True, redirect_stdout=False
        )
        self._shown: list[Result] = []
        self._group: tuple[int, int | None] | None = None

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._live.stop()
        self._finish()

    def begin(self, cell: Cell) -> None:
        group = (cell.size, cell.part_size)
        if self._group != group:
            self._finish()
            self._group = group
        self._number += 1
        self._draw(f"measuring {name(cell)}: {self._number} of {self._count}")
        self._left -= self._plan.warm_up(cell) + self._plan.seconds

    def end(self, result: Result) -> None:
        super().end(result)
        self._shown.append(result)
        self._draw("")

    def note(self, text: str) -> None:
        self.record({"event": "noted", "text": text})
        self._screen.print(f"note: {escape(text)}", style="yellow", markup=False)

    def _draw(self, doing: str) -> None:
        from rich.console import Group
        from rich.text import Text

        status = f"{doing}, {duration(self._left)} left" if doing else ""
        parts = [self._table(), Text(status, "dim")] if self._shown else [Text(status, "dim")]
        self._live.update(Group(*parts), refresh=True)

    def _finish(self) -> None:
        if self._shown:
            self._live.update("", refresh=True)
            self._screen.print(self._table())
            self._shown.clear()

    def _table(self) -> Any:
        from rich.table import Table

        assert self._group is not None
        table = Table(
            title=heading(*self._group), title_justify="left", title_style="bold", box=None,
            padding=(0, 1, 0, 0), header_style="dim",
        )  # fmt: skip
        wanted = narrow(self._screen.width)
        for column, keep in zip(COLUMNS, wanted, strict=True):
            if keep:
                left = not column.heading
                table.add_column(column.heading, justify="left" if left else "right")
        best = {
            way: max(each.rate for each in self._shown if each.cell.way is way)
            for way in {each.cell.way for each in self._shown}
        }
        for result in self._shown:
            cells = [text for text, keep in zip(row(result), wanted, strict=True) if keep]
            style = "bold green" if result.rate == best[result.cell.way] else ""
            table.add_row(*cells, style="red" if result.failed_count else style)
        return table


def open_display(*, as_json: bool, quiet: bool, progress: bool, plan: Plan) -> Display:
    """The display that fits the options and the terminal."""
    if as_json:
        return JsonDisplay()
    if quiet:
        return Display()
    if progress and sys.stderr.isatty() and os.environ.get("TERM") not in ("dumb", "unknown"):
        return LiveDisplay(plan)
    return PlainDisplay()

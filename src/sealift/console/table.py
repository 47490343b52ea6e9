"""The end of a run for a terminal. Only a live screen imports rich: it takes 25 ms."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from sealift.console.summary import Outcome, Status, failed_names, rows, title
from sealift.events import Tally


def table(tally: Tally, outcome: Outcome) -> RenderableType:
    """The summary for a terminal; the numbers come last, where the eye is."""
    parts: list[RenderableType] = []
    named = failed_names(tally)
    if named:
        parts.append(Text("failed objects", style="bold red"))
    for name, error in named:
        line = Text(name, style="bold" if error else "", overflow="fold")
        if error:
            line.append(f": {error}", style="not bold")
        parts.append(Padding(line, (0, 0, 0, 2)))
    bad = outcome.status is not Status.COMPLETE
    parts.append(Text(title(tally, outcome), style="bold red" if bad else "bold green"))
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(no_wrap=True, style="dim")
    grid.add_column(overflow="fold")
    for label, value in rows(tally, outcome):
        alarm = label == "failed" and tally.failed_count
        grid.add_row(Text(f"  {label}"), Text(value, style="bold red" if alarm else ""))
    parts.append(grid)
    return Group(*parts)

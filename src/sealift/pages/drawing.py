"""Pictures as SVG, to be put into a page that says what the colours are. Needs matplotlib.

Text stays text, and the colours are CSS variables, so that one picture does for light, dark and
print. Pictures are drawn for the width of a phone and grow with the page.
"""

from __future__ import annotations

import importlib.util
import io
import re
from typing import TYPE_CHECKING, Any, NamedTuple

from sealift.errors import UsageError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_WIDTH, _HEIGHT = 4.7, 2.9  # inches of 72 units
_INK, _MUTED, _GRID = "#010101", "#020202", "#030303"
UP, DOWN = "#040404", "#050505"
# What each colour of matplotlib's is called in the page.
_VARIABLES = {
    _INK: "var(--ink)", _MUTED: "var(--muted)", _GRID: "var(--grid)",
    UP: "var(--up)", DOWN: "var(--down)",
}  # fmt: skip
_FONT_SIZE = 10
SETTINGS: dict[str, Any] = {
    "svg.fonttype": "none",
    "font.size": _FONT_SIZE,
    "font.family": "sans-serif",
    "text.color": _INK,
    "axes.edgecolor": _GRID,
    "axes.labelcolor": _MUTED,
    "axes.labelsize": _FONT_SIZE,
    "xtick.color": _MUTED,
    "ytick.color": _MUTED,
    "xtick.labelsize": _FONT_SIZE,
    "ytick.labelsize": _FONT_SIZE,
    "grid.color": _GRID,
    "grid.linewidth": 0.6,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "legend.fontsize": _FONT_SIZE,
    "lines.linewidth": 1.8,
}


class Plot(NamedTuple):
    """A picture: `title` in words, `svg` an element."""

    title: str
    svg: str


def check_library() -> None:
    """Raises UsageError where pictures cannot be made."""
    if importlib.util.find_spec("matplotlib") is None:
        raise UsageError(
            "--report needs the package matplotlib", hint="pip install 'sealift[bench]'"
        )


def new_axes(x_label: str, y_label: str) -> tuple[Any, Axes]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(_WIDTH, _HEIGHT), layout="constrained")
    axes = figure.add_subplot()
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    axes.tick_params(length=0)
    return figure, axes


def add_legend(axes: Axes) -> None:
    axes.legend(
        loc="lower left", bbox_to_anchor=(0, 1.0), ncols=2, borderaxespad=0.2, handlelength=1.8,
        columnspacing=1.2, handletextpad=0.5,
    )  # fmt: skip


def svg(figure: Any, name: str, title: str) -> str:
    """An element for a page: its ids are its own, and its colours the page's."""
    from html import escape

    buffer = io.StringIO()
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    figure.savefig(buffer, format="svg", transparent=True, metadata=nothing)
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r'\bid="([^"]+)"', rf'id="{name}-\1"', text)
    text = re.sub(r'(url\(|href=")#([^")]+)', rf"\1#{name}-\2", text)
    for colour, variable in _VARIABLES.items():
        text = text.replace(colour, variable)
    text = re.sub(r"font: (\d+px) [^;\"]*", r"font-size: \1", text)
    head = f'<svg role="img" aria-label="{escape(title)}"'
    text = re.sub(r'^<svg ([^>]*?)(?:width|height)="[^"]*pt"', r"<svg \1", text)
    text = re.sub(r'^<svg ([^>]*?)(?:width|height)="[^"]*pt"', r"<svg \1", text)
    return text.replace("<svg", head, 1)

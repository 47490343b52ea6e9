"""Results as SVG, to be put into a page that says what the colours are. Needs matplotlib.

Text stays text, and the colours are CSS variables, so that one picture does for light, dark and
print. Pictures are drawn for the width of a phone and grow with the page.
"""

from __future__ import annotations

import importlib.util
import io
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from sealift.bench.advice import Advice, Curve, knee
from sealift.bench.cells import ADAPTIVE, Way, short_size
from sealift.bench.results import Result
from sealift.bench.samples import Quantiles
from sealift.errors import UsageError
from sealift.model import DEFAULT_PART_SIZE

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_WIDTH, _HEIGHT = 4.7, 2.9  # inches of 72 units
_INK, _MUTED, _GRID = "#010101", "#020202", "#030303"
_WAY = {Way.UP: "#040404", Way.DOWN: "#050505"}
# What each colour of matplotlib's is called in the page.
_VARIABLES = {
    _INK: "var(--ink)", _MUTED: "var(--muted)", _GRID: "var(--grid)",
    _WAY[Way.UP]: "var(--up)", _WAY[Way.DOWN]: "var(--down)",
}  # fmt: skip
_LINES = ("-", "--", "-.", ":")
_FONT_SIZE = 10
_SETTINGS: dict[str, Any] = {
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


def plots(results: Sequence[Result], advice: Advice | None) -> list[tuple[int, list[Plot]]]:
    """For each object size its pictures: throughput, distribution of times, throughput in time."""
    check_library()
    from matplotlib import rc_context

    sizes = dict.fromkeys(result.cell.size for result in results)
    found = []
    with rc_context(_SETTINGS):
        for size in sizes:
            ours = [result for result in results if result.cell.size == size]
            shown = typical(ours, advice)
            pictures = [_throughput(ours)]
            if any(result.request for result in shown):
                pictures.append(_times(shown))
            if any(any(result.rates) for result in shown):
                pictures.append(_in_time(shown))
            found.append((size, pictures))
    return found


def typical(results: Sequence[Result], advice: Advice | None) -> list[Result]:
    """Of one size, the cell each way that is nearest to the recommended settings. Pure."""
    wanted_part = advice.part_size if advice and advice.part_size else DEFAULT_PART_SIZE
    wanted = advice.concurrency if advice else None

    def distance(result: Result) -> tuple[float, float]:
        part = abs((result.cell.part_size or wanted_part) - wanted_part)
        number = result.cell.concurrency
        if wanted is None or number is None:
            return part, 0.0 if number is wanted else 1.0 / result.rate if result.rate else 2.0
        return part, float(abs(number - wanted))

    ways = [[result for result in results if result.cell.way is way] for way in Way]
    return [min(ours, key=distance) for ours in ways if ours]


def _throughput(results: Sequence[Result]) -> Plot:
    size = results[0].cell.size
    numbers = sorted({n for each in results if (n := each.cell.concurrency) is not None})
    places: dict[int | None, float] = {number: at for at, number in enumerate(numbers)}
    places[None] = len(numbers) - 0.2
    part_sizes = list(dict.fromkeys(result.cell.part_size for result in results))
    figure, axes = _axes("requests in flight", "MB/s")
    for way in Way:
        for index, part_size in enumerate(part_sizes):
            ours = [
                each for each in results if (each.cell.way, each.cell.part_size) == (way, part_size)
            ]
            if not ours:
                continue
            rates = {each.cell.concurrency: each.rate for each in ours}
            fixed = [number for number in numbers if number in rates]
            style: dict[str, Any] = {"color": _WAY[way], "linestyle": _LINES[index % len(_LINES)]}
            axes.plot(
                [places[number] for number in fixed],
                [rates[number] / 1e6 for number in fixed],
                label=_label(Curve(way, size, part_size)),
                marker="o",
                markersize=3.5,
                **style,
            )
            if None in rates:
                axes.plot(
                    places[None], rates[None] / 1e6, marker="D", markersize=6, color=_WAY[way],
                    fillstyle="full" if index == 0 else "none", linestyle="none",
                )  # fmt: skip
            found = knee(rates)
            if found is not None:
                axes.plot(
                    places[found.concurrency], found.rate / 1e6, marker="o", markersize=10,
                    color=_WAY[way], fillstyle="none", linestyle="none",
                )  # fmt: skip
    axes.set_xticks(
        list(places.values()), [ADAPTIVE if each is None else f"{each}" for each in places]
    )
    axes.set_ylim(0, 1.1 * max(each.rate for each in results) / 1e6 or 1)
    _legend(axes)
    title = f"Throughput of {short_size(size)} objects against requests in flight"
    return Plot(title, _svg(figure, f"throughput-{size}", title))


def _times(results: Sequence[Result]) -> Plot:
    size = results[0].cell.size
    figure, axes = _axes("milliseconds", "share of requests")
    for result in results:
        for style, times, what in (
            ("-", result.request, "whole request"),
            (":", result.first_byte, "first byte"),
        ):
            if times:
                axes.plot(
                    *_steps(times),
                    color=_WAY[result.cell.way],
                    linestyle=style,
                    label=f"{result.cell.way.value}, {what}",
                )
    axes.set_xscale("log")
    axes.set_ylim(0, 1.02)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value * 100:.0f} %")
    axes.set_yticks([0, 0.25, 0.5, 0.75, 0.95])
    _plain_logs(axes)
    _legend(axes)
    title = f"How long requests of {short_size(size)} objects take, {_flight(results)}"
    return Plot(title, _svg(figure, f"times-{size}", title))


def _in_time(results: Sequence[Result]) -> Plot:
    size = results[0].cell.size
    figure, axes = _axes("seconds", "MB/s")
    for result in results:
        if result.rates:
            step = result.seconds / len(result.rates)
            axes.stairs(
                [rate / 1e6 for rate in result.rates],
                [index * step for index in range(len(result.rates) + 1)],
                color=_WAY[result.cell.way],
                label=result.cell.way.value,
                linewidth=1.8,
                baseline=None,
            )
    axes.set_ylim(bottom=0)
    axes.set_xlim(left=0)
    _legend(axes)
    title = f"Throughput of {short_size(size)} objects in time, {_flight(results)}"
    return Plot(title, _svg(figure, f"in-time-{size}", title))


def _flight(results: Sequence[Result]) -> str:
    number = results[0].cell.concurrency
    return "without -j" if number is None else f"{number} in flight"


def _label(curve: Curve) -> str:
    return curve.way.value + (
        "" if curve.part_size is None else f", parts of {short_size(curve.part_size)}"
    )


def _steps(times: Quantiles) -> tuple[list[float], list[float]]:
    """The distribution's curve in milliseconds; what is 0 has no place on a logarithmic axis."""
    return [max(value * 1000, 1e-3) for _, value in times], [q for q, _ in times]


def _axes(x_label: str, y_label: str) -> tuple[Any, Axes]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(_WIDTH, _HEIGHT), layout="constrained")
    axes = figure.add_subplot()
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    axes.tick_params(length=0)
    return figure, axes


def _plain_logs(axes: Axes) -> None:
    """Ticks as 1, 10, 100, with steps between where the axis spans little."""
    from matplotlib.ticker import LogLocator, NullFormatter

    low, high = axes.get_xlim()
    wide = high / max(low, 1e-9) > 30
    axes.xaxis.set_major_locator(LogLocator(10, (1.0,) if wide else (1.0, 2.0, 5.0)))
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.xaxis.grid(visible=True, which="major")


def _legend(axes: Axes) -> None:
    axes.legend(
        loc="lower left", bbox_to_anchor=(0, 1.0), ncols=2, borderaxespad=0.2, handlelength=1.8,
        columnspacing=1.2, handletextpad=0.5,
    )  # fmt: skip


def _svg(figure: Any, name: str, title: str) -> str:
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

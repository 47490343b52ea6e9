"""The pictures of a benchmark. Needs matplotlib."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sealift.bench.advice import Advice, Curve
from sealift.bench.cells import ADAPTIVE, Way, short_size
from sealift.bench.results import Result
from sealift.bench.samples import Quantiles
from sealift.model import DEFAULT_PART_SIZE
from sealift.pages.drawing import (
    DOWN,
    SETTINGS,
    UP,
    Plot,
    add_legend,
    check_library,
    new_axes,
    svg,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_WAY = {Way.UP: UP, Way.DOWN: DOWN}
_LINES = ("-", "--", "-.", ":")


def plots(results: Sequence[Result], advice: Advice | None) -> list[tuple[int, list[Plot]]]:
    """For each object size its pictures: throughput, distribution of times, throughput in time."""
    check_library()
    from matplotlib import rc_context

    sizes = dict.fromkeys(result.cell.size for result in results)
    found = []
    with rc_context(SETTINGS):
        for size in sizes:
            ours = [result for result in results if result.cell.size == size]
            shown = typical(ours, advice)
            pictures = [_throughput(ours, advice)]
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


def _throughput(results: Sequence[Result], advice: Advice | None) -> Plot:
    size = results[0].cell.size
    numbers = sorted({n for each in results if (n := each.cell.concurrency) is not None})
    places: dict[int | None, float] = {number: at for at, number in enumerate(numbers)}
    places[None] = len(numbers) - 0.2
    part_sizes = list(dict.fromkeys(result.cell.part_size for result in results))
    figure, axes = new_axes("requests in flight", "MB/s")
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
            found = None if advice is None else advice.knees.get(Curve(way, size, part_size))
            if found is not None:
                axes.plot(
                    places[found.concurrency], found.rate / 1e6, marker="o", markersize=10,
                    color=_WAY[way], fillstyle="none", linestyle="none",
                )  # fmt: skip
    axes.set_xticks(
        list(places.values()), [ADAPTIVE if each is None else f"{each}" for each in places]
    )
    axes.set_ylim(0, 1.1 * max(each.rate for each in results) / 1e6 or 1)
    add_legend(axes)
    title = f"Throughput of {short_size(size)} objects against requests in flight"
    return Plot(title, svg(figure, f"throughput-{size}", title))


def _times(results: Sequence[Result]) -> Plot:
    size = results[0].cell.size
    figure, axes = new_axes("milliseconds", "share of requests")
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
    add_legend(axes)
    title = f"How long requests of {short_size(size)} objects take, {_flight(results)}"
    return Plot(title, svg(figure, f"times-{size}", title))


def _in_time(results: Sequence[Result]) -> Plot:
    size = results[0].cell.size
    figure, axes = new_axes("seconds", "MB/s")
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
    add_legend(axes)
    title = f"Throughput of {short_size(size)} objects in time, {_flight(results)}"
    return Plot(title, svg(figure, f"in-time-{size}", title))


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


def _plain_logs(axes: Axes) -> None:
    """Ticks as 1, 10, 100, with steps between where the axis spans little."""
    from matplotlib.ticker import LogLocator, NullFormatter

    low, high = axes.get_xlim()
    wide = high / max(low, 1e-9) > 30
    axes.xaxis.set_major_locator(LogLocator(10, (1.0,) if wide else (1.0, 2.0, 5.0)))
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.xaxis.grid(visible=True, which="major")

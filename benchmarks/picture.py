"""Draws the ratios of a report: `picture.py REPORT.json PICTURE.png...`.

Runs in an environment of its own, which has matplotlib, and imports nothing else.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
from matplotlib.ticker import FuncFormatter, NullFormatter

OURS = "sealift"
_COLOURS = ("#4477aa", "#66ccee", "#228833", "#ccbb44", "#ee6677", "#aa3377", "#bbbbbb")
_LIMIT_COLOUR = "#dddddd"
_BAR_HEIGHT = 0.22
_TICKS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)


def main(report_file: str, *pictures: str) -> None:
    with open(report_file) as file:
        report = json.load(file)
    blocks = [block for block in report["summary"] if OURS in block["rates"]]
    if not blocks:
        sys.exit("there is no run of sealift to compare with")
    figure = _draw(blocks, report["circumstances"])
    for picture in pictures:
        figure.savefig(picture, dpi=120)


def _draw(blocks: list[dict[str, Any]], circumstances: dict[str, Any]) -> Any:
    """A panel for each cell and way; a bar for each peer, to the right where it beats sealift."""
    peers = list(dict.fromkeys(name for block in blocks for name in block["rates"]))
    colours = {name: _COLOURS[at % len(_COLOURS)] for at, name in enumerate(_named(peers))}
    rows = -(-len(blocks) // 2)
    height = max(len(block["rates"]) for block in blocks) * _BAR_HEIGHT + 0.75
    figure, panels = plt.subplots(
        rows, 2, figsize=(11, rows * height + 0.9), squeeze=False, layout="constrained"
    )
    for panel in panels.flat[len(blocks) :]:
        panel.set_visible(False)
    for block, panel in zip(blocks, panels.flat, strict=False):
        _draw_panel(panel, block, colours)
    where = f"{circumstances['server']}, {circumstances['delay'] * 1000:.0f} ms added"
    figure.suptitle(
        f"Speed relative to sealift (1 = as fast, log scale); {where}, "
        f"median of {circumstances['rounds']} with range"
    )
    return figure


def _named(peers: list[str]) -> list[str]:
    return [name for name in peers if name != OURS]


def _draw_panel(panel: Any, block: dict[str, Any], colours: dict[str, str]) -> None:
    ours = block["rates"][OURS]["median"]
    rates = sorted(block["rates"].items(), key=lambda item: item[1]["median"])
    for at, (name, rate) in enumerate(rates):
        value = rate["median"] / ours
        spread = [[(rate["median"] - rate["low"]) / ours], [(rate["high"] - rate["median"]) / ours]]
        colour = "black" if name == OURS else colours[name]
        hatch = "//" if rate["is_limit"] else None
        panel.barh(
            at, value - 1, left=1, height=0.75, color=_LIMIT_COLOUR if rate["is_limit"] else colour,
            hatch=hatch, xerr=spread, error_kw={"elinewidth": 1, "ecolor": "#555555"},
        )  # fmt: skip
        text = f"{rate['median']:,.0f}" + (f"  ({value:.2f})" if name != OURS else "")
        edge = max(rate["high"] / ours, 1)
        panel.annotate(text, (edge, at), (4, 0), textcoords="offset points", va="center", size=8)
    panel.axvline(1, color="black", linewidth=0.8)
    panel.set_yticks(range(len(rates)), [_label(name, rate) for name, rate in rates], size=8)
    panel.set_xscale("log")
    low = min(rate["low"] for _, rate in rates) / ours * 0.8
    high = max(rate["high"] for _, rate in rates) / ours
    panel.set_xlim(low, high * 3)
    panel.set_xticks([tick for tick in _TICKS if low <= tick <= high * 3])
    panel.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    panel.xaxis.set_minor_formatter(NullFormatter())
    panel.tick_params(axis="x", labelsize=8)
    panel.set_title(f"{block['cell']} {block['way']}, {block['unit']}", size=10, loc="left")
    for side in ("top", "right"):
        panel.spines[side].set_visible(False)


def _label(name: str, rate: dict[str, Any]) -> str:
    return f"{name} (limit)" if rate["is_limit"] else name


if __name__ == "__main__":
    main(*sys.argv[1:])

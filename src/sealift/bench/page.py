"""Results as one HTML page: plots, tables, recommendation, environment."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from itertools import groupby

from sealift.bench.advice import Advice, words
from sealift.bench.changes import NOTE, Change
from sealift.bench.plots import plots
from sealift.bench.results import Result, Setting
from sealift.bench.words import (
    advice_lines,
    change_cells,
    flight,
    heading,
    number,
    short,
    times,
)
from sealift.console.text import size
from sealift.pages.document import document, facts, figures, moment

# Heading, unit, and whether a card gives it a line of its own.
_COLUMNS = (
    ("", "", False), ("MB/s", " MB/s", False), ("objects/s", "", False),
    ("CPU s/GiB", "", False), ("first byte ms p50 / p95 / p99", "", True),
    ("request ms p50 / p95 / p99", "", True), ("objects", "", False), ("bytes", "", False),
    ("retries / 503 / failed", "", True),
)  # fmt: skip

_PLOTS_NOTE = (
    "Circles: the fewest requests in flight that come near the best. "
    "Diamonds, at auto: what cp reaches without -j."
)
_CELLS_NOTE = (
    "Times in milliseconds: the median, then what 95 and 99 of 100 requests stay below. The first "
    "byte of a reply to an upload comes once all of it was taken. CPU is what this machine spent."
)


def page(
    setting: Setting,
    results: Sequence[Result],
    advice: Advice | None,
    changes: Sequence[Change] = (),
) -> str:
    """The whole page. Raises UsageError when the library that draws is missing."""
    where = "MiniStack, started on this machine" if setting.embedded else setting.endpoint
    parts = [
        "<h1>sealift bench</h1>",
        f'<p class="muted">{escape(where)}, {escape(moment(setting.date))}</p>',
        _advice(advice),
    ]
    for object_size, pictures in plots(results, advice):
        parts += [f"<h2>Objects of {size(object_size).replace('.0', '')}</h2>", figures(pictures)]
    parts += [_muted(_PLOTS_NOTE), "<h2>All cells</h2>", _muted(_CELLS_NOTE)]
    for key, group in groupby(results, lambda each: (each.cell.size, each.cell.part_size)):
        parts += [f"<h3>{escape(heading(*key))}</h3>", _table(list(group))]
    if changes:
        parts += ["<h2>Since the earlier run</h2>", _changes(changes)]
    parts += ["<h2>Environment</h2>", _facts(setting)]
    return document(f"sealift bench: {where}", parts)


def _muted(text: str) -> str:
    return f'<p class="muted">{_flags(text)}</p>'


def _flags(text: str) -> str:
    """For a page, with `-j` so that no line ends within it."""
    return escape(text).replace("-j", "<code>-j</code>")


def _advice(advice: Advice | None) -> str:
    first, *rest = advice_lines(advice)
    flags = words(advice) if advice else ""
    shown = f"<code>{escape(flags)}</code>" if flags else f"<strong>{escape(first)}</strong>"
    items = "".join(f"<li>{_flags(text.strip())}</li>" for text in rest)
    label = "<div>Recommended settings</div>" if flags else ""
    return f'<section class="advice">{label}{shown}<ul>{items}</ul></section>'


def _table(results: Sequence[Result]) -> str:
    best = {
        way: max(each.rate for each in results if each.cell.way is way)
        for way in {each.cell.way for each in results}
    }
    head = "".join(f'<th scope="col">{escape(text)}</th>' for text, _, _ in _COLUMNS)
    rows = "".join(_row(each, is_best=each.rate == best[each.cell.way]) for each in results)
    return f'<table class="cells"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>'


def _row(result: Result, *, is_best: bool) -> str:
    way = result.cell.way.value
    flying = flight(result.cell.concurrency, result.reached)
    cpu = result.cpu_per_gib
    values = (
        f'<span class="{way}">{way}</span> -j {escape(flying)}',
        number(result.rate / 1e6),
        number(result.object_rate),
        "-" if cpu is None else number(cpu),
        " / ".join(times(result.first_byte)),
        " / ".join(times(result.request)),
        f"{result.object_count:,}",
        short(result.size),
        f"{result.retry_count:,} / {result.throttle_count:,} / {result.failed_count:,}",
    )
    cells = ""
    for (label, unit, wide), value in zip(_COLUMNS, values, strict=True):
        more = ' class="wide"' if wide else ""
        cells += f'<td data-label="{escape(label)}" data-unit="{unit}"{more}>{value}</td>'
    kind = "failed" if result.failed_count else "best" if is_best else ""
    return f'<tr class="{kind}">{cells}</tr>' if kind else f"<tr>{cells}</tr>"


def _changes(changes: Sequence[Change]) -> str:
    columns = ("", "MB/s before", "MB/s now", "change", "noise", "request p50", "first byte p50")
    head = "".join(f'<th scope="col">{escape(text)}</th>' for text in columns)
    rows = ""
    for change in changes:
        cells = zip(columns, change_cells(change), strict=True)
        kind = ' class="best"' if change.counts else ""
        row = "".join(
            f'<td data-label="{escape(label)}">{escape(text)}</td>' for label, text in cells
        )
        rows += f"<tr{kind}>{row}</tr>"
    return (
        f'<table class="cells changes"><thead><tr>{head}</tr></thead>'
        f"<tbody>{rows}</tbody></table>" + _muted(NOTE)
    )


def _facts(setting: Setting) -> str:
    return facts(
        {
            "sealift": setting.sealift,
            "endpoint": setting.endpoint,
            "bucket": setting.bucket,
            "key id": setting.key_id or "no customer key",
            "date": moment(setting.date),
            "Python": setting.python,
            "system": setting.system,
            "CPUs": f"{setting.cpu_count}",
            "--memory": size(setting.memory),
            "seconds a cell": f"{setting.seconds:g}",
        }
    )

"""Results as one HTML page with everything in it: plots, tables, recommendation, environment.

It asks no other host for anything, and forbids the browser to. Narrow windows show each row of a
table as a card; on paper it is dark on light, whatever the screen has.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from itertools import groupby

from sealift.bench.advice import Advice, words
from sealift.bench.changes import NOTE, Change
from sealift.bench.plots import Plot, plots
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

_STYLE = """
:root { color-scheme: light dark; --paper: #fff; --ink: #1c2128; --muted: #59636e; --grid: #d9dee4;
  --up: #0b62c4; --down: #b3541e; --panel: #f4f6f8; --good: #1a6e37; --bad: #b3261e; }
@media (prefers-color-scheme: dark) { :root { --paper: #14171b; --ink: #e6e9ed; --muted: #9aa4af;
  --grid: #343b44; --up: #6fb1ff; --down: #f2a06b; --panel: #1d2228; --good: #6fce8d;
  --bad: #ff9d94; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 76rem; padding: 1rem; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.5rem; margin: 0 0 .2rem; }
h2 { font-size: 1.15rem; margin: 2rem 0 .6rem; }
h3 { font-size: 1rem; margin: 1.4rem 0 .4rem; }
p { margin: .4rem 0; }
.muted, figcaption, th { color: var(--muted); }
.advice { background: var(--panel); border-left: .3rem solid var(--good); padding: .7rem 1rem;
  margin: 1rem 0; }
.advice > code { font-size: 1.1rem; font-weight: 600; }
.advice ul { margin: .4rem 0 0; padding-left: 1.1rem; font-size: .9rem; }
.plots { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fit, minmax(18rem, 1fr)); }
figure { margin: 0; min-width: 0; }
figure svg { display: block; width: 100%; height: auto; max-width: 36rem; }
figcaption { font-size: .85rem; }
svg text { font-family: system-ui, sans-serif; }
table { border-collapse: collapse; width: 100%; font-size: .85rem;
  font-variant-numeric: tabular-nums; }
th { font-weight: 500; vertical-align: bottom; }
th, td { padding: .2rem .45rem; text-align: right; border-bottom: 1px solid var(--grid);
  overflow-wrap: normal; }
th:first-child, td:first-child, .facts td, .facts th { text-align: left; }
.cells td, code { white-space: nowrap; }
.facts { width: auto; }
.facts td { overflow-wrap: anywhere; }
.best td { font-weight: 700; }
.failed td { color: var(--bad); }
.up { color: var(--up); } .down { color: var(--down); }
@media (max-width: 44rem) {
  table.cells, .cells tbody, .cells tr, .cells td { display: block; }
  .cells thead { display: none; }
  .cells tr { display: grid; grid-template-columns: 1fr 1fr; column-gap: .8rem; padding: .5rem 0;
    border-bottom: 1px solid var(--grid); }
  .cells td { border: 0; padding: 0; text-align: left; white-space: normal; }
  .cells .best td { font-weight: 400; }
  .cells tr td:first-child, .cells .best td:nth-child(2) { font-weight: 700; }
  .cells td:first-child { font-size: .95rem; }
  .cells td:nth-child(2) { font-size: .95rem; text-align: right; }
  .cells td::before { content: attr(data-label) " "; color: var(--muted); }
  .cells td:nth-child(2)::before { content: ""; }
  .changes td:nth-child(2) { font-size: inherit; text-align: left; }
  .changes td:nth-child(2)::before { content: attr(data-label) " "; }
  .cells td::after { content: attr(data-unit); }
  .changes td:first-child, .wide { grid-column: 1 / -1; }
}
@media print {
  :root { color-scheme: light; --paper: #fff; --ink: #000; --muted: #444; --grid: #ccc;
    --up: #0b62c4; --down: #b3541e; --panel: #fff; --good: #1a6e37; --bad: #b3261e; }
  body { font-size: 10pt; max-width: none; padding: 0; }
  .plots { grid-template-columns: 1fr 1fr; }
  figure, tr, .advice { break-inside: avoid; }
  h2, h3 { break-after: avoid; }
  thead { display: table-header-group; }
  .advice { border: 1px solid var(--ink); }
  .cells { font-size: 7.5pt; }
  .cells th, .cells td { padding: .1rem .3rem; }
}
"""

# Heading, unit, and whether a card gives it a line of its own.
_COLUMNS = (
    ("", "", False), ("MB/s", " MB/s", False), ("objects/s", "", False),
    ("CPU s/GiB", "", False), ("first byte ms p50 / p95 / p99", "", True),
    ("request ms p50 / p95 / p99", "", True), ("objects", "", False), ("bytes", "", False),
    ("retries / 503 / failed", "", True),
)  # fmt: skip

_PLOTS_NOTE = (
    "Circles: the fewest requests in flight that come within 5 % of the best. "
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
        f'<p class="muted">{escape(where)}, {escape(_moment(setting.date))}</p>',
        _advice(advice),
    ]
    for object_size, pictures in plots(results, advice):
        parts += [f"<h2>Objects of {size(object_size).replace('.0', '')}</h2>", _figures(pictures)]
    parts += [_muted(_PLOTS_NOTE), "<h2>All cells</h2>", _muted(_CELLS_NOTE)]
    for key, group in groupby(results, lambda each: (each.cell.size, each.cell.part_size)):
        parts += [f"<h3>{escape(heading(*key))}</h3>", _table(list(group))]
    if changes:
        parts += ["<h2>Since the earlier run</h2>", _changes(changes)]
    parts += ["<h2>Environment</h2>", _facts(setting)]
    title = escape(f"sealift bench: {where}")
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
        "style-src 'unsafe-inline'\">\n"
        f"<title>{title}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        + "\n".join(parts)
        + "\n</body>\n</html>\n"
    )


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


def _figures(pictures: Sequence[Plot]) -> str:
    figures = "".join(
        f"<figure>{each.svg}<figcaption>{escape(each.title)}</figcaption></figure>"
        for each in pictures
    )
    return f'<div class="plots">{figures}</div>'


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


def _moment(date: str) -> str:
    """`2026-11-26 05:32 UTC` of a date as the JSON form has it."""
    return f"{date[:16].replace('T', ' ')} UTC"


def _facts(setting: Setting) -> str:
    facts = {
        "sealift": setting.sealift,
        "endpoint": setting.endpoint,
        "bucket": setting.bucket,
        "key id": setting.key_id or "no customer key",
        "date": _moment(setting.date),
        "Python": setting.python,
        "system": setting.system,
        "CPUs": f"{setting.cpu_count}",
        "--memory": size(setting.memory),
        "seconds a cell": f"{setting.seconds:g}",
    }
    rows = "".join(
        f'<tr><th scope="row">{escape(name)}</th><td>{escape(text)}</td></tr>'
        for name, text in facts.items()
    )
    return f'<table class="facts">{rows}</table>'

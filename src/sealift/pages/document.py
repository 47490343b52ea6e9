"""The frame of a page: one file that asks no other host for anything, and forbids browsers to.

Narrow windows show each row of a table as a card; on paper it is dark on light, whatever the screen
has.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from sealift.pages.drawing import Plot

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
.facts th, .facts td { overflow-wrap: anywhere; vertical-align: top; }
.facts th { min-width: 7rem; }
.best td { font-weight: 700; }
.failed td { color: var(--bad); }
.good { color: var(--good); } .bad { color: var(--bad); }
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


def document(title: str, parts: Sequence[str]) -> str:
    """The whole page; `title` as text, `parts` as HTML."""
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
        "style-src 'unsafe-inline'\">\n"
        f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        + "\n".join(parts)
        + "\n</body>\n</html>\n"
    )


def figures(pictures: Sequence[Plot]) -> str:
    """Pictures beside one another, each with its title below."""
    shown = "".join(
        f"<figure>{each.svg}<figcaption>{escape(each.title)}</figcaption></figure>"
        for each in pictures
    )
    return f'<div class="plots">{shown}</div>'


def facts(rows: Mapping[str, str] | Sequence[tuple[str, str]]) -> str:
    """A table of names and texts."""
    pairs = rows.items() if isinstance(rows, Mapping) else rows
    shown = "".join(
        f'<tr><th scope="row">{escape(name)}</th><td>{escape(text)}</td></tr>'
        for name, text in pairs
    )
    return f'<table class="facts">{shown}</table>'


def moment(date: str) -> str:
    """`2026-11-26 05:32 UTC` of a date as ISO 8601 has it."""
    return f"{date[:16].replace('T', ' ')} UTC"

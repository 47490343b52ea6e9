"""The page that `--report` of a transfer writes: what was done, how it went, what failed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from html import escape
from itertools import pairwise

from sealift.console.course import Sample
from sealift.console.summary import Outcome, Status, rows, title
from sealift.events import Tally
from sealift.pages.document import document, facts, figures
from sealift.pages.drawing import DOWN, SETTINGS, UP, Plot, add_legend, new_axes, svg

MIN_SAMPLES = 4
_SHORT = "It was over too soon for pictures of its course."

Value = Callable[[Sample, Sample], float]


def run_page(
    tally: Tally, outcome: Outcome, course: Sequence[Sample], setting: Mapping[str, str]
) -> str:
    """The whole page; `setting` tells where and by what it was run. Needs matplotlib."""
    head = title(tally, outcome)
    kind = "good" if outcome.status is Status.COMPLETE else "bad"
    parts = ["<h1>sealift</h1>", f'<p class="{kind}"><strong>{escape(head)}</strong></p>']
    if outcome.message:
        parts.append(f"<p>{escape(outcome.message)}</p>")
    parts.append(facts(rows(tally, outcome)))
    parts.append("<h2>Course</h2>")
    if len(course) < MIN_SAMPLES:
        parts.append(f'<p class="muted">{_SHORT}</p>')
    else:
        parts.append(figures(_plots(course)))
    if tally.failures:
        parts += ["<h2>Failed</h2>", _failures(tally)]
    parts += ["<h2>Environment</h2>", facts(setting)]
    return document(f"sealift: {head}", parts)


def _failures(tally: Tally) -> str:
    found = [(failed.name, str(failed.error)) for failed in tally.failures]
    if tally.failed_count > len(found):
        found.append((f"and {tally.failed_count - len(found):,} more", ""))
    return facts(found)


def _plots(course: Sequence[Sample]) -> list[Plot]:
    from matplotlib import rc_context

    with rc_context(SETTINGS):
        pictures = [
            _stairs(course, "Throughput", "MB/s", [("", _rate("moved", 1e-6))]),
            _stairs(course, "Objects done", "objects/s", [("", _rate("done"))]),
            _stairs(course, "Objects in flight", "objects", [("", _active)]),
        ]
        if course[-1].retries or course[-1].failed:
            both = [("retries", _rate("retries")), ("failures", _rate("failed"))]
            pictures.append(_stairs(course, "Retries and failures", "per second", both))
    return pictures


def _rate(name: str, unit: float = 1.0) -> Value:
    """How fast a sum grew between two samples; a failure may take back what it had moved."""

    def value(before: Sample, after: Sample) -> float:
        grown: int = getattr(after, name) - getattr(before, name)
        return max(grown, 0) * unit / max(after.seconds - before.seconds, 1e-9)

    return value


def _active(_: Sample, after: Sample) -> float:
    return after.active


def _stairs(
    course: Sequence[Sample], text: str, unit: str, curves: Sequence[tuple[str, Value]]
) -> Plot:
    figure, axes = new_axes("seconds", unit)
    edges = [sample.seconds for sample in course]
    for (label, value), colour in zip(curves, (UP, DOWN), strict=False):
        values = [value(before, after) for before, after in pairwise(course)]
        axes.stairs(values, edges, label=label, color=colour, linewidth=1.8, baseline=None)
    axes.set_ylim(bottom=0)
    axes.set_xlim(left=0)
    if len(curves) > 1:
        add_legend(axes)
    return Plot(text, svg(figure, text.replace(" ", "-").lower(), text))

"""What a run did as Prometheus metrics, for node_exporter's textfile collector. Pure.

https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format
Every series has the labels of its run: node_exporter puts all files together, and two series of
one name and the same labels are an error there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from sealift.events import Tally

FIRST_LINE = "# HELP sealift_run_info"
_SUCCESS = "sealift_run_last_success_timestamp_seconds"
_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})
# A file name that is no UTF-8 comes as lone surrogates.
_LONE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Ended:
    """A run that has ended; `began` and `ended` are seconds since the epoch.

    `labels` tell this run from others, `succeeded` is when it last did, 0 if never.
    """

    version: str
    labels: Mapping[str, str]
    began: float
    ended: float
    seconds: float
    exit_code: int
    succeeded: float
    tally: Tally = field(default_factory=Tally)


def render(run: Ended) -> str:
    """The file."""
    return "".join(f"{line}\n" for line in _lines(run))


def last_success(text: str, labels: Mapping[str, str]) -> float:
    """When the run of these labels last succeeded, as an earlier file tells; 0: it does not."""
    begin = f"{_SUCCESS}{_braced(labels)} "
    for line in text.splitlines():
        if line.startswith(begin):
            try:
                return float(line[len(begin) :])
            except ValueError:
                break
    return 0.0


def _lines(run: Ended) -> Iterator[str]:
    tally = run.tally
    done = "verified" if tally.verifies else "rekeyed" if tally.rekeys else "moved"
    objects = {
        done: tally.done_count,
        "unchanged": tally.unchanged_count,
        "skipped": sum(tally.skipped.values()),
        "removed": tally.removed_count,
        "failed": tally.failed_count,
    }
    sizes = {done: tally.done_size, "unchanged": tally.unchanged_size}

    def gauge(name: str, told: str, values: Mapping[str, float], label: str = "") -> Iterator[str]:
        yield f"# HELP {name} {told}"
        yield f"# TYPE {name} gauge"
        for value, number in values.items():
            labels = {**run.labels, label: value} if label else run.labels
            yield f"{name}{_braced(labels)} {_number(number)}"

    yield from gauge(
        "sealift_run_info", "The version of the last run.", {run.version: 1}, "version"
    )
    yield from gauge(
        "sealift_run_objects", "Objects of the last run by what became of them.", objects, "state"
    )
    yield from gauge(
        "sealift_run_bytes", "Bytes of the last run by what became of them.", sizes, "state"
    )
    single = (
        ("retries", "Requests of the last run that were made again.", tally.retry_count),
        ("duration_seconds", "How long the last run took.", run.seconds),
        ("start_timestamp_seconds", "When the last run began.", run.began),
        ("end_timestamp_seconds", "When the last run ended.", run.ended),
        ("last_success_timestamp_seconds", "When a run last ended with 0.", run.succeeded),
        (
            "exit_code",
            "Of the last run: 0 all done, 1 objects failed, 2 refused, 130 interrupted.",
            run.exit_code,
        ),
    )
    for name, told, number in single:
        yield from gauge(f"sealift_run_{name}", told, {"": number})


def _braced(labels: Mapping[str, str]) -> str:
    return "{" + ",".join(f'{name}="{_escaped(text)}"' for name, text in labels.items()) + "}"


def _escaped(text: str) -> str:
    return _LONE.sub("\ufffd", text).translate(_ESCAPES)


def _number(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.3f}"

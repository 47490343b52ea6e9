r"""A measured cell, and the JSON form of a whole run. Pure.

One object a line. Sizes are in bytes, times in seconds; readers must ignore events and fields that
they do not know. `version` grows when a field goes or changes its meaning.

    {"event": "bench", "version": 1, "sealift": str, "endpoint": str, "bucket": str,
     "embedded": bool, "key_id": str | null, "date": str, "python": str, "system": str,
     "cpu_count": int, "memory": int, "seconds": float, "cell_count": int}
    {"event": "cell", "way": "up" | "down", "size": int, "part_size": int | null,
     "concurrency": int | null, "reached": int, "seconds": float, "bytes": int,
     "bytes_per_second": float, "objects_per_second": float, "object_count": int,
     "request_count": int, "first_byte": TIMES, "request": TIMES,
     "cpu_seconds_per_gib": float | null, "retry_count": int, "throttle_count": int,
     "failed_count": int, "error": str, "rates": [float]}
    {"event": "advice", ...}    see `advice.record`
    {"event": "noted", "text": str}

TIMES is {"p50": float | null, "p95": ..., "p99": ..., "quantiles": [[q, seconds], ...]}.
`part_size` null: each object goes by one request. `concurrency` null: found by measuring, `reached`
is what that came to. `object_count` counts the objects that became complete, `request_count` the
requests that carried bytes. `first_byte` runs from when a request is sent to the first byte of its
reply; an upload has to be taken whole before that. `cpu_seconds_per_gib` is what this process
spent. `throttle_count` counts the retries after 503 and 429. `rates` are bytes a second in equal
steps of the span.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from sealift.bench.cells import Cell, Way
from sealift.bench.samples import Quantiles, quantile
from sealift.errors import UsageError

VERSION = 1


@dataclass(frozen=True, slots=True)
class Result:
    """One measured cell; see the JSON form for what its fields mean."""

    cell: Cell
    reached: int
    seconds: float
    size: int
    object_count: int
    request_count: int
    first_byte: Quantiles
    request: Quantiles
    cpu_seconds: float
    retry_count: int
    throttle_count: int
    failed_count: int
    error: str
    rates: tuple[float, ...]

    @property
    def rate(self) -> float:
        """Bytes a second."""
        return self.size / self.seconds if self.seconds else 0.0

    @property
    def object_rate(self) -> float:
        """Objects a second, those under way in part."""
        return self.rate / self.cell.size

    @property
    def cpu_per_gib(self) -> float | None:
        """CPU seconds of this process for each GiB."""
        return self.cpu_seconds * 2**30 / self.size if self.size else None


@dataclass(frozen=True, slots=True)
class Setting:
    """Where and with what a run was made."""

    sealift: str
    endpoint: str
    bucket: str
    embedded: bool
    key_id: str | None
    date: str
    python: str
    system: str
    cpu_count: int
    memory: int
    seconds: float
    cell_count: int


@dataclass(frozen=True, slots=True)
class Run:
    """What a file of an earlier run holds."""

    setting: Setting
    results: tuple[Result, ...]


def setting_record(setting: Setting) -> dict[str, Any]:
    """The first line."""
    return {"event": "bench", "version": VERSION} | asdict(setting)


def result_record(result: Result) -> dict[str, Any]:
    """The line of a cell."""
    cell = result.cell
    cpu = result.cpu_per_gib
    return {
        "event": "cell",
        "way": cell.way.value,
        "size": cell.size,
        "part_size": cell.part_size,
        "concurrency": cell.concurrency,
        "reached": result.reached,
        "seconds": round(result.seconds, 4),
        "bytes": result.size,
        "bytes_per_second": round(result.rate, 1),
        "objects_per_second": round(result.object_rate, 4),
        "object_count": result.object_count,
        "request_count": result.request_count,
        "first_byte": _times_record(result.first_byte),
        "request": _times_record(result.request),
        "cpu_seconds_per_gib": None if cpu is None else round(cpu, 4),
        "retry_count": result.retry_count,
        "throttle_count": result.throttle_count,
        "failed_count": result.failed_count,
        "error": result.error,
        "rates": [round(rate) for rate in result.rates],
    }


def read_run(lines: Iterable[str], source: str) -> Run:
    """What `--json` or `--save-json` wrote. Raises UsageError."""
    setting: Setting | None = None
    results = []
    try:
        for line in lines:
            record = json.loads(line)
            match record["event"]:
                case "bench":
                    if record["version"] != VERSION:
                        raise UsageError(
                            f"{source} is of version {record['version']}, and not {VERSION}",
                            hint="measure anew with this sealift",
                        )
                    setting = _setting(record)
                case "cell":
                    results.append(_result(record))
    except (ValueError, LookupError, TypeError, AttributeError, OverflowError, RecursionError):
        setting = None
    if setting is None:
        raise UsageError(
            f"{source} is not what sealift bench wrote", hint="give a file of --save-json"
        )
    return Run(setting, tuple(results))


def _setting(record: Mapping[str, Any]) -> Setting:
    values = {name: record[name] for name in Setting.__dataclass_fields__}
    for name in ("sealift", "endpoint", "bucket", "date", "python", "system"):
        if not isinstance(values[name], str):
            raise TypeError(name)
    return Setting(**values)


def _result(record: Mapping[str, Any]) -> Result:
    size = int(record["bytes"])
    part_size, concurrency = record["part_size"], record["concurrency"]
    return Result(
        cell=Cell(
            Way(record["way"]),
            int(record["size"]),
            None if part_size is None else int(part_size),
            None if concurrency is None else int(concurrency),
        ),
        reached=int(record["reached"]),
        seconds=_finite(record["seconds"]),
        size=size,
        object_count=int(record["object_count"]),
        request_count=int(record["request_count"]),
        first_byte=_times(record["first_byte"]),
        request=_times(record["request"]),
        cpu_seconds=_finite(record["cpu_seconds_per_gib"] or 0.0) * size / 2**30,
        retry_count=int(record["retry_count"]),
        throttle_count=int(record["throttle_count"]),
        failed_count=int(record["failed_count"]),
        error=str(record["error"]),
        rates=tuple(_finite(rate) for rate in record["rates"]),
    )


def _finite(value: Any) -> float:
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(value)
    return number


def _times_record(found: Quantiles) -> dict[str, Any]:
    named = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
    values = {name: quantile(found, q) for name, q in named.items()}
    return {
        **{name: None if value is None else round(value, 6) for name, value in values.items()},
        "quantiles": [[q, round(value, 6)] for q, value in found],
    }


def _times(record: Mapping[str, Any]) -> Quantiles:
    return tuple((_finite(q), _finite(value)) for q, value in record["quantiles"])

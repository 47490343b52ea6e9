from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from sealift.bench.cells import Cell, Way
from sealift.bench.results import Result, Setting
from sealift.bench.samples import quantiles

SETTING = Setting(
    sealift="0.1.0",
    endpoint="s3.example.com",
    bucket="bucket",
    embedded=False,
    key_id="0123456789abcdef",
    date="2026-11-26T05:00:00+00:00",
    python="3.11.7",
    system="Linux x86_64",
    cpu_count=2,
    memory=256 * 2**20,
    seconds=2.0,
    cell_count=8,
)


def make_result(
    way: Way = Way.UP,
    size: int = 16384,
    part_size: int | None = None,
    concurrency: int | None = 4,
    rate: float = 1e6,
    **changes: Any,
) -> Result:
    """A cell of two seconds at `rate` bytes a second."""
    fields: dict[str, Any] = {
        "cell": Cell(way, size, part_size, concurrency),
        "reached": concurrency or 48,
        "seconds": 2.0,
        "size": round(2 * rate),
        "object_count": 5,
        "request_count": 6,
        "first_byte": quantiles([0.01, 0.02, 0.03]),
        "request": quantiles([0.02, 0.03, 0.05]),
        "cpu_seconds": 0.5,
        "retry_count": 3,
        "throttle_count": 2,
        "failed_count": 0,
        "error": "",
        "rates": (rate * 0.9, rate, rate * 1.1, rate),
    }
    return Result(**fields | changes)


@pytest.fixture
def result() -> Callable[..., Result]:
    return make_result


@pytest.fixture
def setting() -> Setting:
    return SETTING

"""Results as people read them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sealift.bench.results import Result
from sealift.bench.words import COLUMNS, line, narrow, number, row, short


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"), (0.00123, "0.00123"), (0.0999, "0.0999"), (0.1, "0.10"), (1.234, "1.23"),
        (9.999, "10.0"), (12.34, "12.3"), (99.96, "100"), (1234.5, "1,234"),
    ],
)  # fmt: skip
def test_numbers_have_three_digits(value: float, text: str) -> None:
    assert number(value) == text


@pytest.mark.parametrize(
    ("size", "text"), [(999, "999 B"), (1000, "1.00 kB"), (2.5e6, "2.50 MB"), (1e11, "100 GB")]
)
def test_bytes_are_in_powers_of_1000(size: float, text: str) -> None:
    assert short(size) == text


def test_a_cell_on_a_line(result: Callable[..., Result]) -> None:
    text = line(result(concurrency=None, rate=5e6, failed_count=2, error="PutObject 500\x1b[31m"))
    assert text.startswith("up 16KiB, without -j: 5.00 MB/s, 305 objects/s, ")
    assert "first byte 20.0/29.0/29.8 ms, request 30.0/48.0/49.6 ms (p50/p95/p99)" in text
    assert "3 retries, 2 of them 503" in text
    assert text.endswith("2 failed: PutObject 500\\x1b[31m")


def test_a_narrow_terminal_gets_the_columns_that_matter(result: Callable[..., Result]) -> None:
    assert len(row(result())) == len(COLUMNS) == len(narrow(200))
    assert all(narrow(200))
    kept = [column for column, keep in zip(COLUMNS, narrow(80), strict=True) if keep]
    assert all(column.matters for column in kept)
    assert 8 < len(kept) < len(COLUMNS)

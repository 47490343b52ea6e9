"""The JSON form: what is written is read again, and nothing else is believed."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from sealift.bench.results import (
    VERSION,
    Result,
    Setting,
    read_run,
    result_record,
    setting_record,
)
from sealift.errors import UsageError


def lines_of(setting: Setting, *results: Result) -> list[str]:
    records = [setting_record(setting), *map(result_record, results), {"event": "later"}]
    return [json.dumps(record) + "\n" for record in records]


def test_a_run_is_read_as_it_was_written(setting: Setting, result: Callable[..., Result]) -> None:
    results = (result(), result(concurrency=None, part_size=8 << 20, size=64 << 20))
    lines = lines_of(setting, *results)
    run = read_run(lines, "old.json")
    assert run.setting == setting
    assert [found.cell for found in run.results] == [one.cell for one in results]
    assert [json.loads(line) for line in lines[1:3]] == list(map(result_record, run.results))


def test_the_numbers_of_a_cell(result: Callable[..., Result]) -> None:
    record = result_record(result(rate=2**29, size=2**20))
    assert record["bytes_per_second"] == 2**29
    assert record["objects_per_second"] == 512
    assert record["cpu_seconds_per_gib"] == 0.5
    assert (record["first_byte"]["p50"], record["request"]["p50"]) == (0.02, 0.03)
    assert (record["retry_count"], record["throttle_count"]) == (3, 2)


def test_a_cell_in_which_nothing_moved(setting: Setting, result: Callable[..., Result]) -> None:
    nothing = result(rate=0.0, first_byte=(), request=(), rates=())
    record = result_record(nothing)
    assert record["cpu_seconds_per_gib"] is None
    assert record["request"] == {"p50": None, "p95": None, "p99": None, "quantiles": []}
    assert read_run(lines_of(setting, nothing), "x").results[0].rate == 0


@pytest.mark.parametrize(
    "text",
    ["", "rubbish", "[]", "3", '"bench"', "{}", '{"event": "cell"}', '{"event": "bench"}',
     f'{{"event": "bench", "version": {VERSION}}}'],
)  # fmt: skip
def test_what_is_no_run(text: str) -> None:
    with pytest.raises(UsageError, match=r"old\.json is not what sealift bench wrote"):
        read_run([text] if text else [], "old.json")


def test_a_run_of_another_version(setting: Setting) -> None:
    later = setting_record(setting) | {"version": VERSION + 1}
    with pytest.raises(UsageError, match=f"version {VERSION + 1}, and not {VERSION}"):
        read_run([json.dumps(later)], "old.json")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("size", [1]),
        ("bytes", float("inf")),
        ("bytes", float("nan")),
        ("seconds", float("nan")),
        ("rates", ["fast"]),
        ("rates", [float("inf")]),
        ("request", {"quantiles": [[0.5, float("nan")]]}),
        ("cpu_seconds_per_gib", "much"),
        ("part_size", {}),
    ],
)
def test_a_cell_that_is_damaged(
    setting: Setting, result: Callable[..., Result], field: str, value: object
) -> None:
    lines = lines_of(setting)
    lines.append(json.dumps(result_record(result()) | {field: value}))
    with pytest.raises(UsageError, match=r"old\.json is not what sealift bench wrote"):
        read_run(lines, "old.json")


def test_nesting_without_end_is_no_run() -> None:
    with pytest.raises(UsageError, match="is not what sealift bench wrote"):
        read_run(["[" * 200_000], "old.json")


def test_words_of_a_setting_are_words(setting: Setting) -> None:
    record = setting_record(setting) | {"date": 3}
    with pytest.raises(UsageError, match="is not what sealift bench wrote"):
        read_run([json.dumps(record)], "old.json")

"""The hot path may not grow unseen: instructions of one object and one MiB against a baseline.

No clock is read, so a busy machine makes this slower and nothing else. Runs differ by less than
two hundredths (benchmarks/README.md); the room is a fifth.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from benchmarks.callgrind import read_dump
from benchmarks.instructions import (
    RECORD_COMMAND,
    complaints,
    count,
    minor_version,
    missing,
    read_baseline,
    versions,
)


def test_the_hot_path_is_as_long_as_recorded(tmp_path: Path) -> None:
    if reason := missing():
        pytest.skip(reason)
    entry = read_baseline().get(minor_version())
    if entry is None:
        pytest.skip(f"no figures for Python {minor_version()}; record them: {RECORD_COMMAND}")
    found = complaints({figure.name: figure.total for figure in count(tmp_path)}, entry)
    assert not found, "\n".join(found)


def _entry(**figures: int) -> dict[str, Any]:
    return {"versions": versions(), "instructions": figures}


@pytest.mark.parametrize("figure", [81, 100, 119])
def test_a_figure_near_the_baseline_is_kept(figure: int) -> None:
    assert complaints({"object": figure}, _entry(object=100)) == []


@pytest.mark.parametrize(("figure", "words"), [(121, "has grown"), (79, "unseen")])
def test_a_figure_a_fifth_off_is_named(figure: int, words: str) -> None:
    found = complaints({"object": figure, "MiB": 100}, _entry(object=100, MiB=100))
    assert len(found) == 2
    assert "one object" in found[0]
    assert words in found[0]
    assert RECORD_COMMAND in found[1]


def test_other_versions_are_named_as_a_possible_reason() -> None:
    entry = _entry(object=100) | {"versions": {"openssl": "another"}}
    assert "another" in "\n".join(complaints({"object": 150}, entry))
    assert complaints({"object": 100}, entry) == []


def test_a_figure_that_was_not_recorded_is_no_success() -> None:
    assert RECORD_COMMAND in complaints({"object": 1, "MiB": 1}, _entry(object=1))[0]


def test_calls_are_counted_once(tmp_path: Path) -> None:
    path = tmp_path / "callgrind.1"
    path.write_text(
        "desc: Trigger: Client Request: small\n"
        "ob=(1) /lib/libpython3.11.so\nfn=(1) evaluate\n10 100\n"
        "cob=(2) /lib/libcrypto.so.3\ncfn=(2) encrypt\ncalls=1 0\n10 50\n+1 5\n"
        "ob=(2)\nfn=(2)\n0 50\ntotals: 155\n"
    )
    label, counts = read_dump(path)
    assert label == "small"
    assert counts == {
        ("libpython3.11.so", "evaluate"): 105,
        ("libcrypto.so.3", "encrypt"): 50,
    }

"""The page of `bench`."""

from __future__ import annotations

import re
from pathlib import Path

from tests.chromium import Browser
from tests.report.samples import PLAN, SETTING, results

from sealift.bench.advice import advise
from sealift.bench.page import page
from sealift.bench.plots import plots, typical
from sealift.model import MiB


def test_everything_is_told(browser: Browser, report: Path) -> None:
    browser.open(report.as_uri(), 1280, 900)
    text = browser.evaluate("document.body.innerText")
    for told in ("Recommended settings", "MB/s", SETTING.endpoint, "2026-11-26 05:00 UTC", "3.11.7",
                 SETTING.bucket, "Since the earlier run", "12,345 / 12,345 / 7"):  # fmt: skip
        assert told in text
    rows = browser.evaluate("document.querySelectorAll('.cells:not(.changes) tbody tr').length")
    assert rows == len(PLAN.cells())
    ids = browser.evaluate("[...document.querySelectorAll('[id]')].map(each => each.id)")
    assert len(ids) == len(set(ids)) > 0


def test_pictures_are_text_and_colours_of_the_page(report: Path) -> None:
    text = report.read_text()
    assert ">requests in flight</text>" in text
    assert set(re.findall(r"(?:fill|stroke): (#\w+)", text)) <= {"#000000", "#ffffff"}
    for name in ("ink", "muted", "grid", "up", "down"):
        assert f"var(--{name})" in text


def test_a_run_in_which_nothing_moved() -> None:
    ours = [one for one in results() if not one.size]
    text = page(SETTING, ours, advise(ours))
    assert "there is nothing to recommend" in text
    assert text.count("<svg") == 1


def test_the_shown_cells_are_the_recommended_ones() -> None:
    ours = [one for one in results() if one.cell.size == 64 * MiB]
    advice = advise(results())
    assert advice is not None
    for one in typical(ours, advice):
        assert one.cell.concurrency == advice.concurrency
        assert one.cell.part_size == (advice.part_size or 8 * MiB)
    assert len(plots(ours, None)) == 1

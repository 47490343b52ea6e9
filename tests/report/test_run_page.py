"""The page of a transfer."""

from __future__ import annotations

from pathlib import Path

from tests.chromium import Browser
from tests.report.samples import run_of_everything

from sealift.pages.run import MIN_SAMPLES, run_page


def test_everything_is_told(browser: Browser, run_report: Path) -> None:
    browser.open(run_report.as_uri(), 1280, 900)
    text = browser.evaluate("document.body.innerText")
    for told in ("sync photos to s3://b/<b>: 6 objects failed", "peak", "123,456", "symbolic link",
                 "0123456789abcdef", "Throughput", "Retries and failures",
                 "<script>alert(600)</script>", "look & see"):  # fmt: skip
        assert told in text, told
    assert browser.evaluate("document.querySelectorAll('img, script').length") == 0


def test_a_short_run_has_no_pictures() -> None:
    tally, outcome, course, setting = run_of_everything()
    text = run_page(tally, outcome, course[: MIN_SAMPLES - 1], setting)
    assert "<svg" not in text
    assert "over too soon" in text


def test_the_first_failures_are_named_and_the_others_counted() -> None:
    tally, outcome, course, setting = run_of_everything()
    tally.failed_count += 2000
    assert "and 2,000 more" in run_page(tally, outcome, course[:2], setting)

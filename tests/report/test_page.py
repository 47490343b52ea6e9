"""The report in a browser: it fits a phone, has all its pictures, and asks nobody for anything."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.chromium import Browser, chromium, missing

from sealift.bench.advice import advise
from sealift.bench.cells import Plan
from sealift.bench.changes import changes
from sealift.bench.page import page
from sealift.bench.plots import plots, typical
from sealift.bench.results import Result, Run, Setting
from sealift.bench.samples import quantiles
from sealift.model import KiB, MiB

PLAN = Plan((16 * KiB, 64 * MiB), (1, 16, 128), (8 * MiB, 16 * MiB), 2.0)
SETTING = Setting(
    sealift="0.1.0",
    endpoint="a-very-long-name-of-an-endpoint-that-does-not-fit.s3.eu-central-1.example.com:9000",
    bucket='<script>alert("bucket")</script>',
    embedded=False,
    key_id="0123456789abcdef",
    date="2026-11-26T05:00:00+00:00",
    python="3.11.7",
    system="Linux x86_64",
    cpu_count=2,
    memory=256 * MiB,
    seconds=2.0,
    cell_count=18,
)
# Whether an element lies within the window, to a pixel.
WITHIN = "(box => box.left >= -1 && box.right <= innerWidth + 1)(each.getBoundingClientRect())"


def results() -> list[Result]:
    """A plan as a server might have answered it; one cell failed and one moved nothing."""
    found = []
    for number, cell in enumerate(PLAN.cells()):
        rate = min(cell.concurrency or 60, 50) * (1e5 if cell.part_size is None else 3e7)
        times = [0.001 * (number + 1) * step for step in range(1, 40)]
        works = number != 3
        found.append(
            Result(
                cell=cell,
                reached=cell.concurrency or 57,
                seconds=2.0,
                size=round(rate * 2) if works else 0,
                object_count=1_234_567,
                request_count=40,
                first_byte=quantiles(value / 2 for value in times) if works else (),
                request=quantiles(times) if works else (),
                cpu_seconds=1.0,
                retry_count=12_345,
                throttle_count=12_345,
                failed_count=7 if number == 5 else 0,
                error="PutObject 500" if number == 5 else "",
                rates=tuple(rate * (1 + step % 3 / 10) for step in range(20)) if works else (),
            )
        )
    return found


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("report") / "report.html"
    ours = results()
    found = changes(Run(SETTING, tuple(ours)), ours)
    path.write_text(page(SETTING, ours, advise(ours), found), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    if reason := missing():
        pytest.skip(reason)
    with chromium(tmp_path_factory.mktemp("chromium") / "profile") as browser:
        yield browser


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize(("width", "height"), [(360, 800), (1280, 900)])
def test_it_fits(browser: Browser, report: Path, width: int, height: int, dark: bool) -> None:
    browser.errors.clear()
    browser.requests.clear()
    browser.open(report.as_uri(), width, height, dark=dark)
    assert browser.evaluate("innerWidth") == width
    assert browser.evaluate("document.documentElement.scrollWidth") <= width
    outside = f"[...document.querySelectorAll('body *')].filter(each => !{WITHIN})"
    assert browser.evaluate(f"{outside}.map(each => each.outerHTML.slice(0, 200))") == []
    # Two sizes, and three pictures of each.
    sizes = browser.evaluate(
        "[...document.querySelectorAll('svg')].map(each => each.getBoundingClientRect())"
        ".map(box => [box.width, box.height])"
    )
    assert len(sizes) == 6
    assert all(wide > 250 and high > 150 for wide, high in sizes), sizes
    assert browser.errors == []
    assert browser.requests == [report.as_uri()]


def test_text_can_be_read(browser: Browser, report: Path) -> None:
    """On a phone no text is smaller than 9 pixels, and none has the colour of the paper."""
    browser.open(report.as_uri(), 360, 800)
    heights = browser.evaluate(
        "[...document.querySelectorAll('svg')].map(svg => parseFloat(getComputedStyle("
        "svg.querySelector('text')).fontSize) * svg.getBoundingClientRect().width"
        " / svg.viewBox.baseVal.width)"
    )
    assert all(height >= 9 for height in heights), heights
    for dark in (False, True):
        browser.open(report.as_uri(), 360, 800, dark=dark)
        paper = browser.evaluate("getComputedStyle(document.body).backgroundColor")
        inks = browser.evaluate(
            "[...new Set([...document.querySelectorAll('svg text')]"
            ".map(each => getComputedStyle(each).fill))]"
        )
        assert inks
        assert paper not in inks
        assert (paper == "rgb(255, 255, 255)") is not dark


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


def test_it_prints_dark_on_light(browser: Browser, report: Path, tmp_path: Path) -> None:
    browser.open(report.as_uri(), 1280, 900, dark=True)
    browser.call("Emulation.setEmulatedMedia", media="print")
    colours = browser.evaluate(
        "[document.body, document.querySelector('svg text')].map(each => getComputedStyle(each))"
        ".map(style => [style.backgroundColor, style.color, style.fill])"
    )
    assert colours[0][:2] == ["rgb(255, 255, 255)", "rgb(0, 0, 0)"]
    assert colours[1][2] in ("rgb(0, 0, 0)", "rgb(68, 68, 68)")
    browser.print_out(tmp_path / "report.pdf")
    assert (tmp_path / "report.pdf").read_bytes().startswith(b"%PDF")
    browser.call("Emulation.setEmulatedMedia", media="")


def test_nothing_of_it_is_elsewhere(report: Path) -> None:
    text = report.read_text()
    assert not re.search(r"""(src|href|data|poster)\s*=\s*["'](?!#)""", text)
    assert not re.search(r"url\((?!#)|@import", text)
    assert "<script" not in text
    names = {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}
    assert set(re.findall(r"https?://[^\s\"'<>]+", text)) <= names


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

"""Every page in a browser: it fits a phone, can be read and printed, asks nobody for anything."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.chromium import Browser

# Whether an element lies within the window, to a pixel.
WITHIN = "(box => box.left >= -1 && box.right <= innerWidth + 1)(each.getBoundingClientRect())"


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize(("width", "height"), [(360, 800), (1280, 900)])
def test_it_fits(browser: Browser, any_report: Path, width: int, height: int, dark: bool) -> None:
    browser.errors.clear()
    browser.requests.clear()
    browser.open(any_report.as_uri(), width, height, dark=dark)
    assert browser.evaluate("innerWidth") == width
    assert browser.evaluate("document.documentElement.scrollWidth") <= width
    outside = f"[...document.querySelectorAll('body *')].filter(each => !{WITHIN})"
    assert browser.evaluate(f"{outside}.map(each => each.outerHTML.slice(0, 200))") == []
    sizes = browser.evaluate(
        "[...document.querySelectorAll('svg')].map(each => each.getBoundingClientRect())"
        ".map(box => [box.width, box.height])"
    )
    assert len(sizes) == (6 if any_report.name == "report.html" else 4)
    assert all(wide > 250 and high > 150 for wide, high in sizes), sizes
    assert browser.errors == []
    assert browser.requests == [any_report.as_uri()]


def test_text_can_be_read(browser: Browser, any_report: Path) -> None:
    """On a phone no text is smaller than 9 pixels, and none has the colour of the paper."""
    browser.open(any_report.as_uri(), 360, 800)
    heights = browser.evaluate(
        "[...document.querySelectorAll('svg')].map(svg => parseFloat(getComputedStyle("
        "svg.querySelector('text')).fontSize) * svg.getBoundingClientRect().width"
        " / svg.viewBox.baseVal.width)"
    )
    assert all(height >= 9 for height in heights), heights
    for dark in (False, True):
        browser.open(any_report.as_uri(), 360, 800, dark=dark)
        paper = browser.evaluate("getComputedStyle(document.body).backgroundColor")
        inks = browser.evaluate(
            "[...new Set([...document.querySelectorAll('svg text')]"
            ".map(each => getComputedStyle(each).fill))]"
        )
        assert inks
        assert paper not in inks
        assert (paper == "rgb(255, 255, 255)") is not dark


def test_it_prints_dark_on_light(browser: Browser, any_report: Path, tmp_path: Path) -> None:
    browser.open(any_report.as_uri(), 1280, 900, dark=True)
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


def test_nothing_of_it_is_elsewhere(any_report: Path) -> None:
    text = any_report.read_text()
    assert not re.search(r"""(src|href|data|poster)\s*=\s*["'](?!#)""", text)
    assert not re.search(r"url\((?!#)|@import", text)
    assert "<script" not in text
    names = {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}
    assert set(re.findall(r"https?://[^\s\"'<>]+", text)) <= names

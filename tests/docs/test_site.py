"""The site is built without a warning, and each of its links leads to a page and place of it."""

from __future__ import annotations

import subprocess
import sys
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

DOCS = Path(__file__).parents[2] / "docs"


class Found(HTMLParser):
    """What a page leads to, and the places in it."""

    def __init__(self) -> None:
        super().__init__()
        self.targets: list[str] = []
        self.places: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        told = dict(attrs)
        if tag in ("a", "img", "link", "script"):
            self.targets += [each for name in ("href", "src") if (each := told.get(name))]
        self.places.add(told.get("id") or "")


@cache
def parsed(page: Path) -> Found:
    found = Found()
    found.feed(page.read_text(encoding="utf-8"))
    return found


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    built = tmp_path_factory.mktemp("site")
    ended = subprocess.run(
        [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "dirhtml",
         "-d", f"{built}-cache", DOCS, built],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (ended.returncode, ended.stderr) == (0, "")
    return built


def test_links_lead_to_a_page_and_a_place(site: Path) -> None:
    pages = sorted(site.rglob("*.html"))
    assert len(pages) > 20
    wrong = []
    for page in pages:
        for target in parsed(page).targets:
            parts = urlsplit(target)
            if parts.scheme or parts.netloc:
                continue
            path = (page.parent / unquote(parts.path)).resolve() if parts.path else page
            if path.is_dir():
                path /= "index.html"
            if not path.is_file() or (
                path.suffix == ".html"
                and unquote(parts.fragment)
                not in {
                    "",
                    *parsed(path).places,
                }
            ):
                wrong.append(f"{page.relative_to(site)}: {target}")
    assert wrong == []


def test_every_page_of_the_docs_is_in_it(site: Path) -> None:
    for page in DOCS.rglob("*.md"):
        if page.name != "index.md":
            built = site / page.relative_to(DOCS).with_suffix("") / "index.html"
            assert built.is_file(), page

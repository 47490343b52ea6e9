"""The site, by Sphinx: `make docs`. Its first page is README."""

from __future__ import annotations

import re
from importlib.metadata import version as version_of
from pathlib import Path

from sphinx.application import Sphinx

project = "sealift"
version = release = version_of("sealift")
extensions = ["myst_parser"]
exclude_patterns = ["_build", "man"]
myst_heading_anchors = 3
html_theme = "furo"
html_title = "sealift"
html_show_copyright = html_show_sphinx = False

_ROOT = Path(__file__).parents[1]
# Links, but no pictures, to what is no page: sources, programs.
_ELSEWHERE = re.compile(r"(?<!!)\[([^]]*)\]\(\.\./[^)]*\)")


def _as_page(_: Sphinx, name: str, source: list[str]) -> None:
    text = source[0]
    if name == "index":
        readme = (_ROOT / "README.md").read_text(encoding="utf-8")
        readme = re.sub(r"\]\((?!https?:|#|docs/[^)]*\.)", "](../", readme)
        text = readme.replace("](docs/", "](") + text
    source[0] = _ELSEWHERE.sub(r"\1", text)


def setup(app: Sphinx) -> None:
    app.connect("source-read", _as_page)

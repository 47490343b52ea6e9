"""What the pages name is there: options, commands, files and headings."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import typer.main

from sealift.cli.app import app

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
GROUP = typer.main.get_command(app)
# `[text](target)` outside of code.
_LINK = re.compile(r"\[[^]]*\]\(([^)\s]+)\)")
_CODE = re.compile(r"```.*?```|`[^`]*`", re.DOTALL)


def commands() -> dict[str, set[str]]:
    """The options of each command by its name."""
    found: dict[str, set[str]] = {}

    def add(prefix: str, group: object) -> None:
        for name, command in group.commands.items():  # type: ignore[attr-defined]
            words = f"{prefix} {name}".strip()
            found[words] = {
                one for each in command.params for one in (*each.opts, *each.secondary_opts)
            }
            if hasattr(command, "commands"):
                add(words, command)

    add("", GROUP)
    return found


COMMANDS = commands()
OPTIONS = set().union(*COMMANDS.values())


def anchors(page: Path) -> set[str]:
    """The headings of a page as GitHub and sites call them."""
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    heads = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_lead_somewhere(page: Path) -> None:
    for target in _LINK.findall(_CODE.sub("", page.read_text())):
        if target.startswith(("https://", "http://")):
            continue
        path, _, anchor = target.partition("#")
        found = (page.parent / path).resolve() if path else page
        assert found.exists(), target
        assert found.is_relative_to(ROOT)
        if anchor:
            assert anchor in anchors(found), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_commands_and_their_options_are_there(page: Path) -> None:
    lines = re.findall(r"(?:^\$ |`|^    )sealift ([^`\n#]*)", page.read_text(), re.MULTILINE)
    for line in lines:
        words = line.split()
        names = [" ".join(words[:count]) for count in (2, 1) if " ".join(words[:count]) in COMMANDS]
        given = re.findall(r"(?<!\S)--[a-z][a-z-]*", line)
        if not names:
            assert words[:1] == [] or words[0].startswith(("-", "...", "COMMAND")), line
            continue
        assert set(given) <= COMMANDS[names[0]] | {"--help"}, line


def test_options_that_stand_for_those_of_others_are_there() -> None:
    text = (ROOT / "docs/coming-from.md").read_text()
    rows = re.findall(r"^\| (.*) \| (.*) \|$", text, re.MULTILINE)
    assert len(rows) > 30
    for theirs, ours in rows:
        named = re.findall(r"--[a-z][a-z-]*", ours)
        if ours.startswith("the same"):
            named += re.findall(r"--[a-z][a-z-]*", theirs)
        assert set(named) <= OPTIONS, ours


def test_every_page_is_reached_from_the_readme() -> None:
    reached, new = set(), {ROOT / "README.md"}
    while new:
        page = new.pop()
        reached.add(page)
        for target in _LINK.findall(_CODE.sub("", page.read_text())):
            path = (page.parent / target.partition("#")[0]).resolve()
            if path.suffix == ".md" and path not in reached and path.exists():
                new.add(path)
    assert {
        page for page in PAGES if "design" not in page.parts and page.name != "index.md"
    } <= reached

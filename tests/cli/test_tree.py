"""The options of commands that move trees: the order of rules is that of the command line."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.cli.conftest import Ended
from tests.faults import FaultServer
from typer.testing import CliRunner

from sealift.cli.app import app
from sealift.cli.shared import Shared
from sealift.cli.tree import Tree
from sealift.options import WHOLE_TREE, TreeOptions

LINES = {"cp": ("cp", "src", "s3://b/"), "restore": ("restore", "s3://b/p/")}
OPTIONS = ("--include", "--exclude", "--links", "--preserve", "--markers")


def tree_in(arguments: Sequence[object]) -> Tree:
    """The group of a command's arguments that is about trees."""
    (tree,) = (each for each in arguments if isinstance(each, Tree))
    return tree


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Shared, TreeOptions]]:
    """What commands were given, in place of running them."""
    got: list[tuple[Shared, TreeOptions]] = []

    def take(shared: Shared, *arguments: Any) -> None:
        got.append((shared, tree_in(arguments).options()))

    for command in LINES:
        monkeypatch.setattr(f"sealift.cli.commands.{command}", take)
    return got


@pytest.mark.parametrize("command", LINES)
def test_every_option_is_explained(run: Callable[..., Ended], command: str) -> None:
    shown = run(command, "--help").stdout
    assert all(option in shown for option in OPTIONS)


@pytest.mark.parametrize("command", LINES)
def test_without_options_the_whole_tree_moves(
    run: Callable[..., Ended], parsed: list[tuple[Shared, TreeOptions]], command: str
) -> None:
    assert run(*LINES[command]).status == 0
    assert parsed == [(Shared(), WHOLE_TREE)]
    assert Tree().options() == WHOLE_TREE


@pytest.mark.parametrize("command", LINES)
def test_options_in_any_place(
    run: Callable[..., Ended], parsed: list[tuple[Shared, TreeOptions]], command: str
) -> None:
    name, first, *rest = LINES[command]
    words = (
        "--quiet", name, "--exclude", "*", first, "--include=*.jpg", "-j", "3", *rest,
        "--links", "follow", "--exclude", "--include", "--markers", "--include", "", "--preserve",
        "mode",
    )  # fmt: skip
    ended = run(*words)
    assert ended.status == 0, ended.stderr
    rules = ((False, "*"), (True, "*.jpg"), (False, "--include"), (True, ""))
    assert parsed == [
        (
            Shared(quiet=True, concurrency=3),
            TreeOptions(rules=rules, follow_links=True, preserve_mode=True, markers=True),
        )
    ]


@given(st.lists(st.tuples(st.booleans(), st.text("ab*[]?", min_size=1)), max_size=8))
def test_the_order_of_rules_is_kept(rules: list[tuple[bool, str]]) -> None:
    got: list[TreeOptions] = []
    words = ["cp", "src", "s3://b/"]
    for is_include, glob in rules:
        words += ["--include" if is_include else "--exclude", glob]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "sealift.cli.commands.cp", lambda *arguments: got.append(tree_in(arguments).options())
        )
        assert CliRunner().invoke(app, words).exit_code == 0
    assert got == [TreeOptions(rules=tuple(rules))]


@pytest.mark.parametrize(
    "words",
    [("--links", "copy"), ("--preserve", "owner"), ("--include",), ("--exclude", "a[b")],
)
def test_wrong_values_start_nothing(
    run: Callable[..., Ended], server: FaultServer, work: Path, words: tuple[str, ...]
) -> None:
    (work / "tree").mkdir()
    (work / "tree/a").write_text("a")
    ended = run("cp", "tree/", "s3://bucket/p/", *words)
    assert ended.status == 2
    assert words[-1] in ended.stderr
    assert not server.objects

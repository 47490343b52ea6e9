"""Completion of words by shells, and what is proposed for words that are misspelt."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.cli.conftest import Ended

COMMAND = "import sys; sys.argv[0] = 'sealift'; from sealift.__main__ import main; main()"


def completed(shell: str, *words: str) -> list[str]:
    """What the shell is told to propose for the last word."""
    environment = {
        "_SEALIFT_COMPLETE": f"complete_{shell}",
        "COMP_WORDS": " ".join(words),
        "COMP_CWORD": str(len(words) - 1),
        "_TYPER_COMPLETE_ARGS": " ".join(words),
        "_TYPER_COMPLETE_FISH_ACTION": "get-args",
    }
    ended = subprocess.run(
        [sys.executable, "-c", COMMAND],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ended.stderr == ""
    return ended.stdout.splitlines()


@pytest.mark.parametrize(
    ("words", "proposed"),
    [
        (["sealift", "s"], ["sync", "stat"]),
        (["sealift", "sync", "--d"], ["--delete", "--dry-run", "--durability"]),
        (["sealift", "restore", "--durability", ""], ["none", "file", "dir"]),
        (["sealift", "key", "n"], ["new"]),
    ],
)
def test_bash_is_told_what_fits(words: list[str], proposed: list[str]) -> None:
    assert completed("bash", *words) == proposed


def test_zsh_and_fish_are_told_with_the_help() -> None:
    (zsh,) = completed("zsh", "sealift", "resto")
    assert '"restore":"Bring back everything' in zsh
    (fish,) = completed("fish", "sealift", "resto")
    assert fish.startswith("restore\tBring back everything")


def test_the_script_for_bash_works_in_bash(tmp_path: Path) -> None:
    command = tmp_path / "sealift"
    command.write_text(
        f"#!{sys.executable}\nfrom sealift.__main__ import main\nmain()\n", encoding="utf-8"
    )
    command.chmod(0o755)
    script = (
        'eval "$(sealift --show-completion bash)"; COMP_WORDS=(sealift re); COMP_CWORD=1; '
        '_sealift_completion sealift; echo "${COMPREPLY[@]}"'
    )
    ended = subprocess.run(
        ["bash", "--norc", "-c", script],
        env={"PATH": f"{tmp_path}:/usr/bin:/bin"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (ended.stdout, ended.stderr) == ("restore rekey resume\n", "")


@pytest.mark.parametrize(
    ("words", "proposed"),
    [
        (["snyc", "a", "b"], "Did you mean 'sync'?"),
        (["sync", "a", "b", "--delet"], "--delete"),
        (["--jsn", "ls"], "--json"),
        (["key", "lst"], "Did you mean 'list'?"),
    ],
)
def test_what_is_misspelt_gets_a_proposal(
    run: Callable[..., Ended], words: list[str], proposed: str
) -> None:
    ended = run(*words)
    assert (ended.status, ended.stdout) == (2, "")
    assert proposed in " ".join(ended.stderr.split())


def test_help_has_panels_and_no_types_of_flags(run: Callable[..., Ended]) -> None:
    shown = run("--help").stdout
    for panel in ("Options of every command", "Move", "Look and remove", "Set up, measure"):
        assert f"─ {panel} ─" in shown
    flag = next(line for line in shown.splitlines() if "--json" in line)
    assert "bool" not in flag

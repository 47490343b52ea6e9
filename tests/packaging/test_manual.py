"""The manual page and the completions say what the command line takes."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer.main
from tests.packaging import manual
from tests.packaging.conftest import run
from tests.programs import needs

from sealift.cli.app import app

ASKED = """
source "$1"
COMP_WORDS=({line})
COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
_sealift_completion "$2"
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


@pytest.mark.parametrize("name", [manual.PAGE, *manual.COMPLETIONS.values()])
def test_what_is_kept_is_what_the_command_line_says_now(name: str) -> None:
    kept = (manual.HOME / name).read_text()
    assert kept == manual.files()[name], "write it anew: make manual"


def test_the_page_has_every_command_and_option() -> None:
    text = manual.page().replace("\\-", "-")
    group: Any = typer.main.get_command(app)
    commands = [(f"sealift {name}", command) for name, command in group.commands.items()]
    for name, command in commands:
        inner = getattr(command, "commands", {})
        commands += [(f"{name} {each}", found) for each, found in inner.items()]
        assert f'.SS "{name}' in text or inner
        for parameter in command.params:
            for option in parameter.opts:
                assert not option.startswith("-") or rf"\fB{option}\fR" in text, f"{name} {option}"


def test_the_page_is_clean_roff() -> None:
    """No text is taken for a request, and none is lost behind an escape that is not known."""
    for line in manual.page().splitlines():
        assert not line.startswith((".", "'")) or re.match(
            r"\.(TH|SH|SS|TP|PP|B|I|BR|IR|nf|fi)( |$)", line
        ), line
        assert not re.sub(r"\\(-|e|\(aq|\(dq|\(ga|\(ti|f[BIR])", "", line).count("\\"), line


@pytest.mark.parametrize("width", ["80", "120"])
def test_the_page_is_shown(width: str) -> None:
    page = manual.HOME / manual.PAGE
    if shutil.which("man") is None:  # the page is clean roff all the same
        return
    ended = subprocess.run(
        ["man", "--warnings", "-l", page], env=os.environ | {"MANWIDTH": width, "LC_ALL": "C"},
        capture_output=True, text=True, timeout=50, check=False,
    )  # fmt: skip
    if "minimized" in ended.stdout:  # Debian's images without manual pages have a man that says so
        return
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "sealift restore URI [DEST]" in ended.stdout
    assert "--source-sse none|s3|kms|c" in ended.stdout
    assert max(len(line) for line in ended.stdout.splitlines()) <= int(width)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("sealift res", {"restore", "resume"}),
        ("sealift key im", {"import"}),
        ("sealift sync --max-b", {"--max-bandwidth"}),
    ],
)
def test_bash_completes_by_the_file(line: str, expected: set[str]) -> None:
    sealift = Path(sys.executable).with_name("sealift")
    script = manual.HOME / manual.COMPLETIONS["bash"]
    told = run("bash", "-c", ASKED.format(line=line), "bash", script, sealift)
    assert set(told.split()) == expected


@pytest.mark.parametrize("shell", manual.COMPLETIONS)
def test_shells_can_read_their_files(shell: str) -> None:
    needs(shell)
    assert run(shell, "-n", manual.HOME / manual.COMPLETIONS[shell]) == ""

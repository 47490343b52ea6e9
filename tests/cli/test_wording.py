from __future__ import annotations

import base64
from typing import Any

import pytest
import typer.main

from sealift.cli.app import app
from sealift.cli.wording import VALUED, Spoken, command_line, spoken, value_of

SECRET = base64.b64encode(bytes(range(32))).decode()


def options(group: Any) -> set[str]:
    """The options of all commands that take a value."""
    found = {
        name
        for param in group.params
        if param.param_type_name == "option" and not (param.is_flag or param.count)
        for name in param.opts
    }
    return found.union(*map(options, getattr(group, "commands", {}).values()))


def test_all_options_that_take_a_value_are_known() -> None:
    assert options(typer.main.get_command(app)) == VALUED


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("sync a s3://b", ("sync", "a", "s3://b")),
        (
            "--quiet -j 4 sync --exclude *.tmp a --delete s3://b --log-file=x",
            ("sync", "a", "s3://b"),
        ),
        ("restore s3://b/p --names uuid", ("restore", "s3://b/p", "")),
        ("key list", ("key list", "", "")),
        ("key show ab", ("key show", "ab", "")),
        ("cp -- -a s3://b", ("cp", "-a", "s3://b")),
        ("sync a https://user:word@host/b", ("sync", "a", "https://***@host/b")),
        ("", ("", "", "")),
        ("--bogus", ("", "", "")),
    ],
)
def test_what_a_line_is_about(line: str, expected: tuple[str, str, str]) -> None:
    assert spoken(line.split()) == Spoken(*expected)


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("sync a b --log-file x", "x"),
        ("--log-file=x sync", "x"),
        ("--log-file x sync --log-file y", "y"),
        ("--include --log-file x", None),
        ("sync -- --log-file x", None),
        ("sync --log-file", None),
        ("sync", None),
    ],
)
def test_the_value_of_an_option(line: str, value: str | None) -> None:
    assert value_of(line.split(), "--log-file") == value


def test_no_secret_is_shown() -> None:
    line = command_line(
        ["--key-command", "pass word", "--key-command=pass word", "ls", SECRET, "a b"]
    )
    assert line.startswith("sealift --key-command '***' '--key-command=***' ls ")
    assert line.endswith(" 'a b'")
    assert SECRET not in line
    assert "word" not in line

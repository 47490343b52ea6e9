"""Writes docs/commands.md from the command line: `python -m tests.docs.reference`."""

from __future__ import annotations

import ast
import enum
import re
import typing
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import typer.main

from sealift.cli import exits
from sealift.cli.app import app
from sealift.cli.shared import Shared

FILE = Path(__file__).parents[2] / "docs/commands.md"

_SHARED = frozenset(Shared.__dataclass_fields__)
_TYPERS = frozenset({"help", "install_completion", "show_completion"})
_OPENING = """\
# Commands

Made from the command line by `make manual`; a test compares the two.

Options of every command go before or after the command's name. Flags go before the environment, the
environment before `.env`, and then comes the AWS configuration as boto3 reads it.
"""


def page() -> str:
    """The whole file."""
    group = typer.main.get_command(app)
    commands = list(_commands("sealift", group))
    parts = [_OPENING]
    for panel in dict.fromkeys(panel for panel, _, _ in commands):
        parts.append(f"## {panel}\n")
        parts += [_command(name, each) for of, name, each in commands if of == panel]
    everywhere = [each for each in group.params if each.name not in _TYPERS]
    parts += ["## Options of every command\n", _table(everywhere)]
    parts.append("`--help` shows all of this, `--install-completion` lets the shell complete it.\n")
    parts += ["## Exit statuses\n", _exits()]
    return "\n".join(parts)


def _commands(prefix: str, group: Any, panel: str = "") -> Iterator[tuple[str, str, Any]]:
    for name, command in group.commands.items():
        of = panel or command.rich_help_panel
        if getattr(command, "commands", None):
            yield from _commands(f"{prefix} {name}", command, of)
        else:
            yield of, f"{prefix} {name}", command


def _command(name: str, command: Any) -> str:
    arguments = [each for each in command.params if _is_argument(each)]
    line = " ".join([name, *(_bracketed(each) for each in arguments)])
    text = "\n\n".join(
        " ".join(each.split()) for each in re.split(r"\n\s*\n", command.help.strip())
    )
    own = [each for each in command.params if each.name not in _SHARED | _TYPERS]
    return f"### {name}\n\n    {line}\n\n{text}\n" + (f"\n{_table(own)}" if own else "")


def _table(parameters: Iterable[Any]) -> str:
    rows = "".join(f"| {_head(each)} | {_help(each)} |\n" for each in parameters)
    return f"| | |\n|---|---|\n{rows}"


def _help(parameter: Any) -> str:
    text = parameter.help
    if isinstance(parameter.default, str) and parameter.default and "default" not in text:
        text += f" (default: {parameter.default})"
    return text.replace("|", r"\|").replace("<", "&lt;")


def _is_argument(parameter: Any) -> bool:
    return not parameter.opts[0].startswith("-")


def _bracketed(parameter: Any) -> str:
    name = str(parameter.name).upper()
    return name if parameter.required else f"[{name}]"


def _head(parameter: Any) -> str:
    if _is_argument(parameter):
        return f"`{str(parameter.name).upper()}`"
    names = "`, `".join((*parameter.opts, *parameter.secondary_opts))
    value = r"\|".join(_choices(parameter)) or parameter.metavar or ""
    return f"`{names}`" if parameter.is_flag or not value else f"`{names} {value}`"


def _choices(parameter: Any) -> list[str]:
    kind = parameter.type_descriptor.annotation
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return [str(each.value) for each in kind]
    return list(typing.get_args(kind)) if typing.get_origin(kind) is typing.Literal else []


def _exits() -> str:
    """Each constant of `cli.exits` with the text below it."""
    body = ast.parse(Path(exits.__file__).read_text()).body[1:]
    rows = "| | |\n|---|---|\n| 0 | All done. |\n"
    for assigned, text in zip(body[::2], body[1::2], strict=True):
        assert isinstance(assigned, ast.Assign)
        assert isinstance(assigned.targets[0], ast.Name)
        assert isinstance(text, ast.Expr)
        assert isinstance(text.value, ast.Constant)
        told = " ".join(str(text.value.value).split())
        rows += f"| {getattr(exits, assigned.targets[0].id)} | {told} |\n"
    return rows


if __name__ == "__main__":
    FILE.write_text(page(), encoding="utf-8")

"""Adds groups of options to the commands that typer is shown."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from typing import Any, get_type_hints

import typer
from typer.core import TyperCommand
from typer.models import OptionInfo

from sealift.cli.shared import Shared

# Where `--help` lists a command, and the options that all have.
MOVE = "Move"
LOOK = "Look and remove"
PROVE = "Prove, rotate keys"
GO_ON = "Go on after a kill"
MEASURE = "Set up, measure"
_EVERYWHERE = "Options of every command"

_CONTEXT = "context"
# The field of a group that is no option: the names of its options that may be given several times,
# in the order in which they were.
_GIVEN = "given"
_GIVEN_KEY = "sealift.given"


class Command(TyperCommand):
    """A command that knows the order of its options; to be used where a group has `given`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        # Values come sorted by option: the parser alone sees them in line.
        _, _, order = self.make_parser(ctx).parse_args(args=list(args))
        ctx.meta[_GIVEN_KEY] = tuple(
            each.name for each in order if getattr(each, "multiple", False)
        )
        return super().parse_args(ctx, args)


def with_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add options to a command: for each parameter whose type is a dataclass, its fields.

    The first such parameter is the `Shared` one. A field is written as a parameter would be.
    """
    hints = get_type_hints(command, include_extras=True)
    own = inspect.signature(command).parameters.values()
    groups = {p.name: hints[p.name] for p in own if is_dataclass(hints[p.name])}
    added = {name: _parameters(group) for name, group in groups.items()}

    @functools.wraps(command)
    def wrapper(**arguments: Any) -> Any:
        context: typer.Context = arguments.pop(_CONTEXT)
        for name, group in groups.items():
            values = {each.name: arguments.pop(each.name) for each in added[name]}
            if _GIVEN in group.__dataclass_fields__:
                values[_GIVEN] = context.meta[_GIVEN_KEY]
            arguments[name] = group(**values)
            if group is Shared:
                arguments[name] = context.obj = arguments[name].over(context.obj or Shared())
        return command(**arguments)

    parameters = [
        parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY, annotation=hints[parameter.name])
        for parameter in own
        if parameter.name not in groups
    ]
    for parameter in parameters:
        _present(parameter.annotation, None)
    for group_parameters in reversed(added.values()):  # those of every command come last
        parameters += group_parameters
    context = inspect.Parameter(_CONTEXT, inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context)
    signature = inspect.Signature([context, *parameters])
    wrapper.__signature__ = signature  # type: ignore[attr-defined]
    wrapper.__annotations__ = {
        name: parameter.annotation for name, parameter in signature.parameters.items()
    }
    del wrapper.__wrapped__
    return wrapper


def _parameters(group: type[Any]) -> list[inspect.Parameter]:
    """A parameter for each option of a group, whose module does not load typer for itself."""
    names = vars(sys.modules[group.__module__]) | {"typer": typer}
    hints = get_type_hints(group, names, include_extras=True)
    for hint in hints.values():
        _present(hint, _EVERYWHERE if group is Shared else None)
    return [
        inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=field.default,
            annotation=hints[field.name],
        )
        for field in fields(group)
        if field.name != _GIVEN
    ]


def _present(hint: Any, panel: str | None) -> None:
    """Let `--help` show an option in `panel`, and no type for one that is on or off."""
    for option in getattr(hint, "__metadata__", ()):
        if isinstance(option, OptionInfo):
            option.rich_help_panel = panel
            if hint.__origin__ is bool:
                option.metavar = ""

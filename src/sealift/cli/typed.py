"""Adds the groups of options to the commands that typer is shown."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import fields
from typing import Annotated, Any, get_type_hints

import typer

from sealift.cli.shared import Shared, SourceSide

_CONTEXT = "context"


def with_shared(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the shared options to a command whose first parameter is a `Shared`.

    A parameter that is a `SourceSide` becomes the options of that group.
    """
    first, *own = inspect.signature(command).parameters.values()
    hints = get_type_hints(command, include_extras=True)
    groups = {parameter.name: hints[parameter.name] for parameter in own} | {first.name: Shared}
    groups = {name: group for name, group in groups.items() if group in (Shared, SourceSide)}
    added = [option for group in groups.values() for option in _options_of(group)]

    @functools.wraps(command)
    def wrapper(**arguments: Any) -> Any:
        context: typer.Context = arguments.pop(_CONTEXT)
        for name, group in groups.items():
            arguments[name] = group(
                **{option.name: arguments.pop(option.name) for option in _options_of(group)}
            )
        context.obj = arguments.pop(first.name).over(context.obj or Shared())
        return command(context.obj, **arguments)

    parameters = [
        parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY, annotation=hints[parameter.name])
        for parameter in own
        if parameter.name not in groups
    ]
    context = inspect.Parameter(_CONTEXT, inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context)
    signature = inspect.Signature([context, *parameters, *added])
    wrapper.__signature__ = signature  # type: ignore[attr-defined]
    wrapper.__annotations__ = {
        name: parameter.annotation for name, parameter in signature.parameters.items()
    }
    del wrapper.__wrapped__
    return wrapper


@functools.cache
def _options_of(group: type[Shared | SourceSide]) -> list[inspect.Parameter]:
    hints = get_type_hints(group, {"Annotated": Annotated, "typer": typer}, include_extras=True)
    return [
        inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=field.default,
            annotation=hints[field.name],
        )
        for field in fields(group)
    ]

"""Adds the shared options to the commands that typer is shown."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import fields
from typing import Annotated, Any, get_type_hints

import typer

from sealift.cli.shared import Shared

_CONTEXT = "context"


def with_shared(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the shared options to a command whose first parameter is a `Shared`."""
    own = list(inspect.signature(command).parameters.values())[1:]
    hints = get_type_hints(command, include_extras=True)
    shared_hints = get_type_hints(
        Shared, {"Annotated": Annotated, "typer": typer}, include_extras=True
    )
    added = [
        inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=field.default,
            annotation=shared_hints[field.name],
        )
        for field in fields(Shared)
    ]
    names = [parameter.name for parameter in added]

    @functools.wraps(command)
    def wrapper(**arguments: Any) -> Any:
        context: typer.Context = arguments.pop(_CONTEXT)
        shared = Shared(**{name: arguments.pop(name) for name in names})
        context.obj = shared.over(context.obj or Shared())
        return command(context.obj, **arguments)

    parameters = [
        parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY, annotation=hints[parameter.name])
        for parameter in own
    ]
    context = inspect.Parameter(_CONTEXT, inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context)
    signature = inspect.Signature([context, *parameters, *added])
    wrapper.__signature__ = signature  # type: ignore[attr-defined]
    wrapper.__annotations__ = {
        name: parameter.annotation for name, parameter in signature.parameters.items()
    }
    del wrapper.__wrapped__
    return wrapper

"""The options that every command takes, before or after its name.

They are the fields of `Shared`; `with_shared` adds them to a command's signature for typer, so each
is written once.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Annotated, Any, get_type_hints

import typer

_CONTEXT = "context"


@dataclass(frozen=True)
class Shared:
    """Options as typed; None and False mean "not given"."""

    endpoint_url: Annotated[
        str | None, typer.Option(metavar="URL", help="The S3 endpoint, https only.")
    ] = None
    profile: Annotated[
        str | None, typer.Option(metavar="NAME", help="Profile of the AWS configuration.")
    ] = None
    region: Annotated[str | None, typer.Option(metavar="NAME", help="Region of the bucket.")] = None
    ca_bundle: Annotated[
        str | None, typer.Option(metavar="FILE", help="Certificates to trust, as PEM.")
    ] = None
    env_file: Annotated[
        str | None, typer.Option(metavar="FILE", help="Settings file in place of ./.env.")
    ] = None
    key_file: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Customer key: 32 raw bytes or base64, mode 0600."),
    ] = None
    quiet: Annotated[bool, typer.Option("--quiet", help="Say nothing but failures.")] = False
    json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object a line on stdout.")
    ] = False
    no_progress: Annotated[
        bool, typer.Option("--no-progress", help="Show failures and the summary only.")
    ] = False
    log_level: Annotated[
        str | None, typer.Option(metavar="LEVEL", help="Log to stderr from this level on.")
    ] = None
    concurrency: Annotated[
        int | None,
        typer.Option(
            "--concurrency", "-j", metavar="N", help="Requests in flight (default: as measured)."
        ),
    ] = None
    part_size: Annotated[
        str | None, typer.Option(metavar="SIZE", help="Size of parts (default 8MiB).")
    ] = None
    memory: Annotated[
        str | None, typer.Option(metavar="SIZE", help="Memory to use at most (default 256MiB).")
    ] = None
    max_bandwidth: Annotated[
        str | None, typer.Option(metavar="RATE", help="Bytes per second at most, as 50MiB.")
    ] = None

    def over(self, earlier: Shared) -> Shared:
        """These options where they were given, else the `earlier` ones."""
        given = {
            field.name: value
            for field in fields(self)
            if (value := getattr(self, field.name)) != field.default
        }
        return replace(earlier, **given)


def with_shared(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the shared options to a command whose first parameter is a `Shared`."""
    own = list(inspect.signature(command).parameters.values())[1:]
    hints = get_type_hints(command, include_extras=True)
    shared_hints = get_type_hints(Shared, include_extras=True)
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

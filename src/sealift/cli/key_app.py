"""`sealift key` as typer is shown it; `keys` has what its commands do."""

from __future__ import annotations

from typing import Annotated

import typer

from sealift.cli.shared import Shared
from sealift.cli.typed import with_options

key_app = typer.Typer(
    no_args_is_help=True, context_settings={"help_option_names": ["-h", "--help"]}
)

_ID = Annotated[str, typer.Argument(metavar="ID", help="Id of the key, or how it begins.")]


@key_app.callback()
@with_options
def key(shared: Shared) -> None:
    """Make, import, list and check customer keys; S3 keeps none of them."""


@key_app.command()
@with_options
def new(
    shared: Shared,
    file: Annotated[
        str | None, typer.Argument(help="A new file. (default: in the key directory)")
    ] = None,
    label: Annotated[str, typer.Option(metavar="LABEL", help="What you call the key.")] = "",
    show: Annotated[bool, typer.Option("--show", help="Print the key, too.")] = False,
) -> None:
    """Make a customer key of 32 random bytes, in a file of mode 0600."""
    from sealift.cli import keys

    keys.new(shared, file, label, show)


@key_app.command(name="import")
@with_options
def import_(
    shared: Shared,
    file: Annotated[str, typer.Argument(help="32 raw bytes, base64 or .env lines; - is stdin.")],
    label: Annotated[str, typer.Option(metavar="LABEL", help="What you call the key.")] = "",
    to_os_keyring: Annotated[
        bool,
        typer.Option("--to-os-keyring", help="Into that of the system, not the key directory."),
    ] = False,
) -> None:
    """Take keys into the key directory, or into the keyring of the operating system."""
    from sealift.cli import keys

    keys.import_(shared, file, label, to_os_keyring)


@key_app.command(name="list")
@with_options
def list_(shared: Shared) -> None:
    """List the keys at hand, and those that objects are sealed under but that are missing."""
    from sealift.cli import keys

    keys.list_(shared)


@key_app.command()
@with_options
def show(
    shared: Shared,
    key_id: _ID,
    show: Annotated[bool, typer.Option("--show", help="Print the key itself, too.")] = False,
) -> None:
    """Show what is known of a key; the key itself only with --show."""
    from sealift.cli import keys

    keys.show(shared, key_id, show)


@key_app.command()
@with_options
def check(
    shared: Shared,
    uri: Annotated[str, typer.Argument(help="s3://BUCKET/NAME")],
    key: Annotated[
        str | None, typer.Option(metavar="ID", help="Try this key only. (default: all at hand)")
    ] = None,
) -> None:
    """Say which key an object is sealed under, by GETs of at most one byte.

    Exit code 0: it is that key, or one at hand; 1: it is not.
    """
    from sealift.cli import keys

    keys.check(shared, uri, key)

"""The commands. Each turns its arguments into one call of the engine.

Heavy imports wait until a command runs, so that `--help` and completion answer at once.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from sealift import __version__
from sealift.cli.shared import Shared, with_shared
from sealift.model import Location
from sealift.plan import Naming

if TYPE_CHECKING:
    from sealift.engine import Engine

app = typer.Typer(
    name="sealift",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def run() -> None:
    """Run the command line."""
    if sys.platform == "win32":
        sys.exit("sealift runs on Linux and macOS; on Windows use it in WSL")
    from sealift.cli.harden import keep_memory_private
    from sealift.descriptors import raise_limit

    keep_memory_private()
    raise_limit()
    app()


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"sealift {__version__}")
        raise typer.Exit


@app.callback()
@with_shared
def sealift(
    shared: Shared,
    *,
    version: Annotated[
        bool,
        typer.Option("--version", is_eager=True, callback=_print_version, help="Show the version."),
    ] = False,
) -> None:
    """Move directories to and from S3 under a customer key (SSE-C)."""


@app.command()
@with_shared
def put(
    shared: Shared,
    file: Annotated[str | None, typer.Argument(help="The file. (default: KEY)")] = None,
    uri: Annotated[
        str | None, typer.Argument(help="s3://BUCKET/NAME. (default: in BUCKET_NAME)")
    ] = None,
) -> None:
    """Upload one file; without arguments what .env names."""
    from sealift.cli.running import execute, usage_checked

    with usage_checked(shared) as settings:
        path = file or settings.require_key()
        default = Location(settings.require_bucket(), "" if file else path) if not uri else None
        location = default or Location.parse(uri or "")

    async def command(engine: Engine) -> None:
        await engine.put(path, location)

    execute(shared, settings, command, heading=f"put {path} to {location}")


@app.command()
@with_shared
def get(
    shared: Shared,
    uri: Annotated[
        str | None, typer.Argument(help="s3://BUCKET/NAME. (default: KEY in BUCKET_NAME)")
    ] = None,
    dest: Annotated[
        str | None, typer.Argument(help="File or directory. (default: tmp/<uuid4><suffix>)")
    ] = None,
) -> None:
    """Download one object and print where it is; without arguments what .env names."""
    from sealift.cli.running import execute, usage_checked

    with usage_checked(shared) as settings:
        if uri:
            location = Location.parse(uri)
        else:
            location = Location(settings.require_bucket(), settings.require_key())
    paths = []

    async def command(engine: Engine) -> None:
        paths.append(await engine.get(location, dest))

    execute(shared, settings, command, heading=f"get {location}", answer=paths)


@app.command()
@with_shared
def cp(
    shared: Shared,
    src: Annotated[str, typer.Argument(help="File, directory, object or prefix.")],
    dst: Annotated[str, typer.Argument(help="Where it goes; one of the two is an s3:// URI.")],
) -> None:
    """Copy a file, tree, object or prefix, up or down. A trailing / means "the contents"."""
    from sealift.cli.running import execute, usage_checked

    with usage_checked(shared) as settings:
        pass

    async def command(engine: Engine) -> None:
        await engine.copy(src, dst)

    execute(shared, settings, command, heading=f"cp {src} to {dst}")


@app.command()
@with_shared
def restore(
    shared: Shared,
    uri: Annotated[
        str, typer.Argument(help="s3://BUCKET/PREFIX; a trailing / means its contents.")
    ],
    dest: Annotated[str, typer.Argument(help="Directory to write below.")] = "tmp/",
    names: Annotated[
        Naming, typer.Option(help="Keep the objects' names, or make random ones.")
    ] = Naming.KEEP,
) -> None:
    """Bring back everything under a prefix: verified, durable, several at once."""
    from sealift.cli.running import execute, usage_checked

    with usage_checked(shared) as settings:
        location = Location.parse(uri)

    async def command(engine: Engine) -> None:
        await engine.restore(location, dest, names)

    execute(shared, settings, command, heading=f"restore {location} to {dest}")


@app.command()
@with_shared
def ls(
    shared: Shared,
    uri: Annotated[
        str | None, typer.Argument(help="s3://BUCKET/PREFIX. (default: BUCKET_NAME)")
    ] = None,
) -> None:
    """List objects and prefixes; needs no customer key."""
    from sealift.cli.listing import print_level
    from sealift.cli.running import execute_quietly, usage_checked

    with usage_checked(shared) as settings:
        location = Location.parse(uri) if uri else Location(settings.require_bucket())

    async def command(engine: Engine) -> None:
        await print_level(engine, location, as_json=shared.json)

    execute_quietly(shared, settings, command, sealed=False)


@app.command()
@with_shared
def stat(
    shared: Shared,
    uri: Annotated[
        str | None, typer.Argument(help="s3://BUCKET/NAME. (default: KEY in BUCKET_NAME)")
    ] = None,
) -> None:
    """Show an object's size, ETag, key id and checksum."""
    from sealift.cli.listing import print_stat
    from sealift.cli.running import execute_quietly, usage_checked

    with usage_checked(shared) as settings:
        if uri:
            location = Location.parse(uri)
        else:
            location = Location(settings.require_bucket(), settings.require_key())
        key_id = settings.require_customer_key().key_id

    async def command(engine: Engine) -> None:
        await print_stat(engine, location, key_id, as_json=shared.json)

    execute_quietly(shared, settings, command)


@app.command()
@with_shared
def demo(
    shared: Shared,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the files for a look.")] = False,
) -> None:
    """Show the whole thing on an S3 server started on this machine."""
    from sealift.cli.demo import run_demo

    run_demo(shared, keep=keep)

"""What each command does with its arguments: one call of the engine, then the exit code.

`app` declares the same functions for typer, with their helps; `quick` finds them without it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn

from sealift.cli.running import execute, execute_quietly, source_options, usage_checked
from sealift.cli.shared import SAME_SIDE, Shared, SourceSide
from sealift.engine import Engine
from sealift.model import Location
from sealift.plan import Naming


def put(shared: Shared, file: str | None = None, uri: str | None = None) -> NoReturn:
    """Upload one file."""
    with usage_checked(shared) as settings:
        path = file or settings.require_key()
        default = Location(settings.require_bucket(), "" if file else path) if not uri else None
        location = default or Location.parse(uri or "")

    async def command(engine: Engine) -> None:
        await engine.put(path, location)

    execute(shared, settings, command, heading=f"put {path} to {location}")


def get(shared: Shared, uri: str | None = None, dest: str | None = None) -> NoReturn:
    """Download one object and print where it is."""
    with usage_checked(shared) as settings:
        if uri:
            location = Location.parse(uri)
        else:
            location = Location(settings.require_bucket(), settings.require_key())
    paths: list[str] = []

    async def command(engine: Engine) -> None:
        paths.append(await engine.get(location, dest))

    execute(shared, settings, command, heading=f"get {location}", answer=paths)


def cp(shared: Shared, src: str, dst: str, side: SourceSide = SAME_SIDE) -> NoReturn:
    """Copy a file, tree, object or prefix, up, down or across."""
    with usage_checked(shared) as settings:
        source = source_options(side, shared, settings)

    async def command(engine: Engine) -> None:
        await engine.copy(src, dst)

    execute(shared, settings, command, heading=f"cp {src} to {dst}", source=source)


def restore(shared: Shared, uri: str, dest: str = "tmp/", names: Naming = Naming.KEEP) -> NoReturn:
    """Bring back everything under a prefix."""
    with usage_checked(shared) as settings:
        location = Location.parse(uri)

    async def command(engine: Engine) -> None:
        await engine.restore(location, dest, names)

    execute(shared, settings, command, heading=f"restore {location} to {dest}")


def ls(shared: Shared, uri: str | None = None) -> NoReturn:
    """List objects and prefixes."""
    from sealift.cli.listing import print_level

    with usage_checked(shared) as settings:
        location = Location.parse(uri) if uri else Location(settings.require_bucket())

    async def command(engine: Engine) -> None:
        await print_level(engine, location, as_json=shared.json)

    execute_quietly(shared, settings, command, sealed=False)


def stat(shared: Shared, uri: str | None = None) -> NoReturn:
    """Show an object's size, ETag, key id and checksum."""
    from sealift.cli.listing import print_stat

    with usage_checked(shared) as settings:
        if uri:
            location = Location.parse(uri)
        else:
            location = Location(settings.require_bucket(), settings.require_key())
        key_id = settings.require_customer_key().key_id

    async def command(engine: Engine) -> None:
        await print_stat(engine, location, key_id, as_json=shared.json)

    execute_quietly(shared, settings, command)


COMMANDS: dict[str, Callable[..., NoReturn]] = {
    "put": put,
    "get": get,
    "cp": cp,
    "restore": restore,
    "ls": ls,
    "stat": stat,
}

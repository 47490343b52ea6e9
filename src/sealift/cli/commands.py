"""What each command does with its arguments: one call of the engine, then the exit code.

`app` declares the same functions for typer, with their helps; `quick` finds them without it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from typing import NoReturn

from sealift.cli.engine_options import source_options
from sealift.cli.rekeying import Rekeying
from sealift.cli.running import (
    answer_of,
    execute,
    execute_quietly,
    fail,
    printing,
    usage_checked,
)
from sealift.cli.shared import SAME_SIDE, Shared, SourceSide
from sealift.cli.syncing import Syncing
from sealift.cli.tree import Tree
from sealift.engine import Engine
from sealift.errors import SealiftError, UsageError
from sealift.model import Direction, Location, parse_span
from sealift.plan import Naming, direction_of

_WHOLE = Tree()
_SYNCING = Syncing()


def put(
    shared: Shared,
    file: str | None = None,
    uri: str | None = None,
    if_absent: bool = False,
    tag_key_id: bool = False,
) -> NoReturn:
    """Upload one file."""
    with usage_checked(shared) as settings:
        path = file or settings.require_key()
        default = Location(settings.require_bucket(), "" if file else path) if not uri else None
        location = default or Location.parse(uri or "")

    async def command(engine: Engine) -> None:
        await engine.put(path, location, if_absent=if_absent)

    heading = f"put {path} to {location}"
    execute(shared, settings, command, heading=heading, tag_key_id=tag_key_id)


def get(
    shared: Shared,
    uri: str | None = None,
    dest: str | None = None,
    allow_unsealed: bool = False,
) -> NoReturn:
    """Download one object and print where it is."""
    with usage_checked(shared) as settings:
        if uri:
            location = Location.parse(uri)
        else:
            location = Location(settings.require_bucket(), settings.require_key())
    paths: list[str] = []

    async def command(engine: Engine) -> None:
        paths.append((await engine.get(location, dest)).path or "")

    execute(
        shared,
        settings,
        command,
        heading=f"get {location}",
        answer=paths,
        allow_unsealed=allow_unsealed,
        writes=False,
    )


def cp(
    shared: Shared,
    src: str,
    dst: str,
    tree: Tree = _WHOLE,
    side: SourceSide = SAME_SIDE,
    if_absent: bool = False,
    allow_unsealed: bool = False,
    tag_key_id: bool = False,
) -> NoReturn:
    """Copy a file, tree, object or prefix, up, down or across."""
    with usage_checked(shared) as settings:
        source = source_options(side, shared, settings, across=_is_across(src, dst))
        options = replace(tree.options(), if_absent=if_absent)

    async def command(engine: Engine) -> None:
        await engine.copy(src, dst, options)

    execute(
        shared,
        settings,
        command,
        heading=f"cp {src} to {dst}",
        report=tree.report,
        source=source,
        allow_unsealed=allow_unsealed,
        writes=_writes(dst),
        tag_key_id=tag_key_id,
    )


def restore(
    shared: Shared,
    uri: str,
    dest: str = "tmp/",
    names: Naming = Naming.KEEP,
    tree: Tree = _WHOLE,
    resume: bool = True,
    allow_unsealed: bool = False,
) -> NoReturn:
    """Bring back everything under a prefix."""
    with usage_checked(shared) as settings:
        location = Location.parse(uri)

    async def command(engine: Engine) -> None:
        from sealift.cli.alone import alone

        async with alone(engine, uri, dest):
            await engine.restore(location, dest, names, tree.options(), resume=resume)

    execute(
        shared,
        settings,
        command,
        heading=f"restore {location} to {dest}",
        report=tree.report,
        allow_unsealed=allow_unsealed,
        writes=False,
    )


def sync(
    shared: Shared,
    src: str,
    dst: str,
    tree: Tree = _WHOLE,
    syncing: Syncing = _SYNCING,
    side: SourceSide = SAME_SIDE,
    allow_unsealed: bool = False,
    tag_key_id: bool = False,
) -> NoReturn:
    """Move what differs, up, down or across."""
    with usage_checked(shared) as settings:
        options = syncing.options()
        lock_wait = parse_span(syncing.lock_wait)
        source = source_options(side, shared, settings, across=_is_across(src, dst))

    async def command(engine: Engine) -> None:
        guard = None
        if not options.dry_run:
            from sealift.cli.alone import alone

            guard = alone(
                engine, src, dst, source_endpoint=side.source_endpoint_url, wait=lock_wait
            )
        await engine.sync(src, dst, options, tree.options(), guard=guard)

    doing = "sync, dry run," if options.dry_run else "sync"
    execute(
        shared,
        settings,
        command,
        heading=f"{doing} {src} to {dst}",
        report=tree.report,
        dry_run=options.dry_run,
        source=source,
        allow_unsealed=allow_unsealed,
        writes=_writes(dst),
        tag_key_id=tag_key_id,
    )


def rekey(shared: Shared, uri: str, to_key: str, rekeying: Rekeying) -> NoReturn:
    """Write objects anew in place, under another key."""
    with usage_checked(shared) as settings:
        if shared.sse is not None:
            raise UsageError("rekey takes no --sse", hint="give --to-key s3, kms or a key id")
        location = Location.parse(uri)
        keyring = settings.keyring
        options = rekeying.options(to_key, keyring)
        tree = rekeying.tree()

    async def command(engine: Engine) -> None:
        if options.dry_run:
            await engine.rekey(location, options, tree)
            return
        from sealift.cli.alone import alone

        async with alone(engine, uri):
            await engine.rekey(location, options, tree)

    doing = "rekey, dry run," if options.dry_run else "rekey"
    execute(
        shared,
        settings,
        command,
        heading=f"{doing} {location} to {options.target.text}",
        dry_run=options.dry_run,
        sealed=False,
        keyring=keyring,
    )


def ls(
    shared: Shared,
    uri: str | None = None,
    recursive: bool = False,
    summarize: bool = False,
    human_readable: bool = False,
) -> NoReturn:
    """List objects and prefixes."""
    from sealift.cli.listing import Listing

    with usage_checked(shared) as settings:
        location = Location.parse(uri) if uri else Location(settings.require_bucket())

    async def command(engine: Engine) -> None:
        listing = Listing(location, as_json=shared.json, human_readable=human_readable)
        await (listing.print_all(engine) if recursive else listing.print_level(engine))
        if summarize:
            listing.print_summary()

    execute_quietly(shared, settings, command, sealed=False)


def stat(shared: Shared, uri: str | None = None, allow_unsealed: bool = False) -> NoReturn:
    """Show an object's size, ETag, key id and checksum."""
    from sealift.cli.listing import print_stat

    with usage_checked(shared) as settings:
        if uri:
            location = Location.parse(uri)
        else:
            location = Location(settings.require_bucket(), settings.require_key())

    async def command(engine: Engine) -> None:
        await print_stat(engine, location, as_json=shared.json)

    execute_quietly(shared, settings, command, allow_unsealed=allow_unsealed, writes=False)


def cat(shared: Shared, uri: str | None = None, allow_unsealed: bool = False) -> NoReturn:
    """Write the bytes of an object to stdout."""
    with usage_checked(shared) as settings:
        if uri:
            location = Location.parse(uri)
        else:
            location = Location(settings.require_bucket(), settings.require_key())

    async def command(engine: Engine) -> None:
        await engine.read(location, sys.stdout.fileno())

    execute_quietly(shared, settings, command, allow_unsealed=allow_unsealed, writes=False)


def rm(
    shared: Shared,
    uri: str,
    recursive: bool = False,
    yes: bool = False,
    dry_run: bool = False,
) -> NoReturn:
    """Remove an object, or all below a prefix."""
    from sealift.cli import removing

    with usage_checked(shared) as settings:
        location = Location.parse(uri)
        if not location.name and not recursive:
            raise UsageError(f"{uri} is a whole bucket", hint="to empty it add --recursive")
        below = recursive or location.name.endswith("/")
        ask = below and not (yes or dry_run)
        if ask and not removing.can_ask():
            raise removing.not_asked(location)

    if dry_run:
        execute_quietly(
            shared,
            settings,
            lambda engine: removing.print_removable(
                engine, location, recursive=below, as_json=shared.json
            ),
            sealed=False,
        )
    number: int | None = None
    if ask:
        found = answer_of(
            shared, settings, lambda engine: removing.measure(engine, location), sealed=False
        )
        if not removing.says_yes(location, *found):
            fail(UsageError("nothing was removed"))
        number = found[0]

    async def command(engine: Engine) -> None:
        if below:
            await engine.remove_tree(location, number)
        else:
            await engine.remove(location)

    execute(shared, settings, command, heading=f"rm {location}", sealed=False)


def _is_across(src: str, dst: str) -> bool:
    return direction_of(src, dst) is Direction.COPY


def jobs(shared: Shared) -> NoReturn:
    """List unfinished runs."""
    from sealift.cli.unfinished import print_jobs

    try:
        with printing():
            print_jobs(as_json=shared.json)
    except SealiftError as error:
        fail(error)
    raise SystemExit(0)


def resume(shared: Shared, token: str | None = None) -> NoReturn:
    """Go on with unfinished runs."""
    from sealift.cli.unfinished import run_resume

    del shared  # each command has its own options
    try:
        status = run_resume(token)
    except SealiftError as error:
        fail(error)
    raise SystemExit(status)


def clean(shared: Shared, token: str | None = None, older_than: str = "0s") -> NoReturn:
    """Undo what unfinished runs left."""
    from sealift.cli import unfinished

    with usage_checked(replace(shared, key_file=None)) as settings:  # what is lost is not needed
        age = parse_span(older_than)
    execute_quietly(
        shared,
        settings,
        lambda engine: unfinished.clean(engine, token, age, as_json=shared.json),
        sealed=False,
    )


def _writes(destination: str) -> bool:
    return destination.startswith("s3://")


COMMANDS: dict[str, Callable[..., NoReturn]] = {
    "put": put,
    "get": get,
    "cp": cp,
    "restore": restore,
    "sync": sync,
    "ls": ls,
    "stat": stat,
    "cat": cat,
    "rm": rm,
}

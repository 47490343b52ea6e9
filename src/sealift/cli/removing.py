"""What `rm` asks before it removes more than one object, and what a dry run prints."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

from sealift.console.text import count, escape, size
from sealift.errors import UsageError
from sealift.model import Location

if TYPE_CHECKING:
    from sealift.engine import Engine


def can_ask() -> bool:
    """Whether somebody sits at a terminal."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def not_asked(source: Location) -> UsageError:
    """Nobody can be asked, and nobody said yes before."""
    return UsageError(
        f"everything below {source} would be removed, and there is no terminal to ask at",
        hint="add --yes to remove it, or look with --dry-run; nothing was touched",
    )


async def measure(engine: Engine, source: Location) -> tuple[int, int]:
    """How many objects are below `source`, and their bytes."""
    number = total = 0
    async for page in engine.list_tree(source):
        number += len(page)
        total += sum(found.size for found in page)
        print(f"\rcounting: {count(number, 'object')}", end="", file=sys.stderr, flush=True)
    print("\r\x1b[K", end="", file=sys.stderr, flush=True)
    return number, total


def says_yes(source: Location, number: int, total: int) -> bool:
    """Ask at the terminal; anything but y or yes means no."""
    what = f"Remove {count(number, 'object')} ({size(total)}) below {escape(str(source))}? [y/N] "
    print(what, end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


async def print_removable(
    engine: Engine, source: Location, *, recursive: bool, as_json: bool
) -> None:
    """Print the name of each object that would be removed."""
    pages = engine.list_tree(source) if recursive else engine.list_one(source)
    async for page in pages:
        for found in page:
            if as_json:
                print(json.dumps({"event": "would_remove", "name": found.name}))
            else:
                print(f"would remove {escape(str(Location(source.bucket, found.name)))}")

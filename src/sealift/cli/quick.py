"""Reads plain command lines without typer, which takes 0.1 s to load.

Only what typer reads the same way is read here (tests/cli/test_quick.py compares the two); helps,
mistakes and everything out of the ordinary are typer's. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import fields
from typing import Any, NamedTuple

from sealift.cli.shared import Shared
from sealift.cli.syncing import Syncing
from sealift.cli.tree import Tree

# How many arguments each command takes, at least and at most.
_ARGUMENTS = {
    "put": (0, 2),
    "get": (0, 2),
    "cp": (2, 2),
    "restore": (1, 2),
    "sync": (2, 2),
    "ls": (0, 1),
    "stat": (0, 1),
    "cat": (0, 1),
    "rm": (1, 1),
}
_NAMES = {f"--{field.name.replace('_', '-')}": field.name for field in fields(Shared)} | {
    "-j": "concurrency"
}
_FLAGS = frozenset(field.name for field in fields(Shared) if field.default is False)
_SYNC_FLAGS = {
    f"--{field.name.replace('_', '-')}": field.name
    for field in fields(Syncing)
    if field.default is False
}
_NUMBER = re.compile(r"[1-9][0-9]{0,8}")
# Options of some commands that name a file which tells what was done.
_ACCOUNTS = frozenset(("--report", "--manifest"))


class Line(NamedTuple):
    """A command line that was read."""

    command: str
    shared: Shared
    arguments: list[Any]


def read(words: Sequence[str]) -> Line | None:
    """The command line in `words`, or None: then typer is to read it."""
    options: dict[str, str | int | bool] = {}
    syncing: dict[str, bool] = {}
    arguments: list[Any] = []
    rest = iter(words)
    for word in rest:
        if not word.startswith("-"):
            arguments.append(word)
            continue
        if word in _SYNC_FLAGS and arguments[:1] == ["sync"]:
            syncing[_SYNC_FLAGS[word]] = True
            continue
        name = _NAMES.get(word)
        if name is None:
            return None
        value: str | int | bool | None = True
        if name not in _FLAGS:
            value = _value(name, next(rest, ""))
        if value is None:
            return None
        options[name] = value
    least, most = _ARGUMENTS.get(arguments[0], (1, 0)) if arguments else (1, 0)
    if not least <= len(arguments) - 1 <= most or not all(map(_is_text, words)):
        return None
    if syncing:
        arguments += [Tree(), Syncing(**syncing)]  # type: ignore[arg-type]
    return Line(arguments[0], Shared(**options), arguments[1:])  # type: ignore[arg-type]


def aim(words: Sequence[str]) -> tuple[str, ...]:
    """`words` without the options that every command takes: what is moved, and not how.

    Nor where an account of it goes: another file is no other command.
    """
    kept = []
    rest = iter(words)
    for word in rest:
        if word in _ACCOUNTS:
            next(rest, None)
            continue
        if word.split("=", 1)[0] in _ACCOUNTS:
            continue
        name = _NAMES.get(word)
        if name is None:
            name = _NAMES.get(word.split("=", 1)[0]) if "=" in word else None
            if name is None and not re.fullmatch(r"-j\d+", word):
                kept.append(word)
        elif name not in _FLAGS:
            next(rest, None)
    return tuple(kept)


def _value(name: str, word: str) -> str | int | None:
    if not word or word.startswith("-"):
        return None
    if name == "concurrency":
        return int(word) if _NUMBER.fullmatch(word) else None
    return word


def _is_text(word: str) -> bool:
    """Whether it is UTF-8: what is not comes out of sys.argv as lone surrogates."""
    try:
        word.encode()
    except UnicodeEncodeError:
        return False
    return True

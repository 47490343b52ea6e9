"""Command lines as others may see them: in a log, a lock, a label. Pure."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import fields
from typing import Any, NamedTuple

from sealift.cli.rekeying import Rekeying
from sealift.cli.shared import Shared, SourceSide
from sealift.cli.syncing import Syncing
from sealift.cli.tree import Tree
from sealift.key_sources.files import without_keys

HIDDEN = "***"
# The arguments of a program that prints a key may be secrets.
_SECRET = frozenset(("--key-command",))
# Options with a value that belong to single commands; tests/cli/test_wording.py compares.
_OWN = (
    "--older-than", "--names", "--key", "--manifest", "--to-key", "--report", "--save-json",
    "--compare", "--label", "--target", "--sizes", "--concurrencies", "--part-sizes", "--seconds",
)  # fmt: skip
_GROUPS = (Shared, SourceSide, Tree, Syncing, Rekeying)
_USER = re.compile(r"(?<=://)[^/@\s]*@")


class Spoken(NamedTuple):
    """What a command line is about, as typed; empty where it does not say."""

    command: str
    source: str
    destination: str


def command_line(words: Sequence[str]) -> str:
    """`sealift` and its words, without what may be a secret."""
    shown = []
    hide = False
    for word in words:
        name, is_joined, _ = word.partition("=")
        if hide:
            shown.append(HIDDEN)
        elif is_joined and name in _SECRET:
            shown.append(f"{name}={HIDDEN}")
        else:
            shown.append(without_secrets(word))
        hide = not hide and word in _SECRET
    return shlex.join(["sealift", *shown])


def without_secrets(text: str) -> str:
    """`text` without what may be a customer key, and without the user of a URL."""
    return _USER.sub(f"{HIDDEN}@", without_keys(text))


def spoken(words: Sequence[str]) -> Spoken:
    """What is done, of what, to where."""
    plain = [without_secrets(word) for word in _plain(words)]
    if plain[:1] == ["key"]:
        plain[:2] = [" ".join(plain[:2])]
    return Spoken(*[*plain, "", "", ""][:3])


def value_of(words: Sequence[str], option: str) -> str | None:
    """The value of an option that every command takes: the last one given, as the parser does."""
    found = None
    rest = iter(words)
    for word in rest:
        if word == "--":
            break
        if word == option:
            found = next(rest, None)
        elif word.startswith(f"{option}="):
            found = word.partition("=")[2]
        elif word in VALUED:
            next(rest, None)
    return found


def _plain(words: Sequence[str]) -> Iterator[str]:
    """The words that are no options, nor values of any."""
    rest = iter(words)
    for word in rest:
        if word == "--":
            yield from rest
        elif word in VALUED:
            next(rest, None)
        elif not word.startswith("-"):
            yield word


def _valued(group: Any) -> Iterator[str]:
    for field in fields(group):
        if not isinstance(field.default, bool) and field.name != "given":
            yield f"--{field.name.replace('_', '-')}"


VALUED = frozenset((*_OWN, "-j", *(name for group in _GROUPS for name in _valued(group))))

"""What `sealift key` prints: facts of keys on stdout, for people or as JSON lines."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sealift.console.text import escape, size
from sealift.keyfinder import Sealed, Sealing
from sealift.keyring import HeldKey, Keyring
from sealift.model import Location

# How many objects, and their bytes, are under a key, by its id.
Used = Mapping[str, tuple[int, int]]

MISSING = "MISSING"
DEFAULT = "default"


@dataclass(frozen=True, slots=True)
class Fact:
    """What is known of a key; `source` None: it is not at hand.

    `created` in seconds since the epoch. `seals` says what new objects get the key: those below a
    prefix, and by DEFAULT all that no prefix names. `object_count` and `object_size` (bytes) are
    the catalogue's.
    """

    key_id: str
    label: str = ""
    source: str | None = None
    created: float | None = None
    seals: tuple[str, ...] = ()
    object_count: int = 0
    object_size: int = 0

    @classmethod
    def of(cls, held: HeldKey) -> Fact:
        return cls(held.key.key_id, held.label, held.source, held.created)


def facts_of(keyring: Keyring, used: Used) -> list[Fact]:
    """The keys at hand, then those that rules or the catalogue know and that are missing."""
    known = [Fact.of(held) for held in keyring]
    named = {rule.key_id for rule in keyring.rules} | set(used)
    known += [Fact(key_id) for key_id in sorted(named) if keyring.get(key_id) is None]
    return [_completed(fact, keyring, used) for fact in known]


def print_fact(fact: Fact, *, as_json: bool, secret: str | None = None) -> None:
    """Print one key; `secret` are its `.env` lines, where they were asked for."""
    if as_json:
        print(json.dumps(_as_json(fact) | ({} if secret is None else {"env_lines": secret})))
        return
    for name, text in _words(fact):
        if text:
            print(f"{name:<8} {escape(text)}")
    if secret is not None:
        print(secret, end="")


def print_facts(facts: Sequence[Fact], *, as_json: bool) -> None:
    """Print a line for each key; on a terminal a table."""
    if as_json:
        for fact in facts:
            print(json.dumps(_as_json(fact)))
    elif not facts:
        return
    elif sys.stdout.isatty():
        _print_table(facts)
    else:
        for fact in facts:
            columns = dict(_words(fact))
            print(*(escape(text) or "-" for text in columns.values()), sep="\t")


def print_sealed(
    location: Location, keyring: Keyring, sealed: Sealed | None, *, as_json: bool
) -> None:
    """Print how an object is sealed, as far as the keys of `keyring` can tell."""
    key_id = None if sealed is None else sealed.key_id or None
    if as_json:
        line = {
            "bucket": location.bucket,
            "name": location.name,
            "sealing": "absent" if sealed is None else sealed.sealing.name.lower(),
            "key_id": key_id,
        }
        print(json.dumps(line))
        return
    print(escape(f"{location} {_sealing(keyring, sealed)}"))


def _sealing(keyring: Keyring, sealed: Sealed | None) -> str:
    if sealed is None:
        return "is not there"
    match sealed.sealing:
        case Sealing.KEY:
            (held,) = (one for one in keyring if one.key.key_id == sealed.key_id)
            label = f" ({held.label})" if held.label else ""
            return f"is under the customer key {sealed.key_id}{label}"
        case Sealing.NONE:
            return "is under no customer key"
        case Sealing.MISSING:
            return f"is under the customer key {sealed.key_id}, which is not at hand"
        case Sealing.ARCHIVED:
            return "is archived: which key it is under cannot be told before it is brought back"
        case Sealing.UNKNOWN:
            if len(keyring) == 1:
                (held,) = keyring
                return f"is not under the customer key {held.key.key_id}"
            return f"is under none of the {len(keyring)} customer keys at hand"


def _completed(fact: Fact, keyring: Keyring, used: Used) -> Fact:
    default = keyring.default
    seals = [DEFAULT] if default is not None and default.key_id == fact.key_id else []
    seals += [str(rule.prefix) for rule in keyring.rules if rule.key_id == fact.key_id]
    return Fact(
        fact.key_id,
        fact.label,
        fact.source,
        fact.created,
        tuple(seals),
        *used.get(fact.key_id, (0, 0)),
    )


def _words(fact: Fact) -> Iterator[tuple[str, str]]:
    yield "key id", fact.key_id
    yield "label", fact.label
    yield "created", "" if fact.created is None else _date(fact.created)
    yield "objects", f"{fact.object_count:,}" if fact.object_count else ""
    yield "size", size(fact.object_size) if fact.object_count else ""
    yield "seals", ", ".join(fact.seals)
    yield "source", MISSING if fact.source is None else fact.source


def _print_table(facts: Sequence[Fact]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, 2, 0, 0))
    for name, _ in _words(facts[0]):
        right = name in ("objects", "size")
        table.add_column(
            name,
            justify="right" if right else "left",
            overflow="fold",
            no_wrap=name in ("key id", "created", "size"),
        )
    for fact in facts:
        style = "bold red" if fact.source is None else ""
        table.add_row(*(Text(escape(text), style=style) for _, text in _words(fact)))
    Console(highlight=False).print(table)


def _date(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, tz=UTC):%Y-%m-%d %H:%M:%SZ}"


def _as_json(fact: Fact) -> dict[str, Any]:
    return {
        "key_id": fact.key_id,
        "label": fact.label,
        "created": fact.created,
        "source": fact.source,
        "missing": fact.source is None,
        "seals": list(fact.seals),
        "object_count": fact.object_count,
        "object_size": fact.object_size,
    }

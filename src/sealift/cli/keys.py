"""What `sealift key` does: make, import, list, show and check customer keys.

A key itself is printed by `--show` alone.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import suppress
from getpass import getpass
from typing import NoReturn

from sealift.catalogue import Catalogue
from sealift.cli.exits import EXIT_FAILED, EXIT_USAGE
from sealift.cli.key_facts import Fact, facts_of, print_fact, print_facts, print_sealed
from sealift.cli.running import answer_of, printing, shown, usage_checked
from sealift.cli.shared import Shared
from sealift.console.text import escape
from sealift.engine import Engine
from sealift.errors import (
    CatalogueError,
    CustomerKeyError,
    ObjectChangedError,
    ReplyError,
    UsageError,
)
from sealift.key_sources.files import (
    MAX_CONTENT_SIZE,
    SUFFIX,
    check_label,
    key_directory_files,
    key_text,
    keys_in,
    make_key_directory,
    new_key,
    read_directory_file,
    read_key_file,
    write_key_file,
)
from sealift.key_sources.os_keyring import SOURCE, store_in_os_keyring
from sealift.keyfinder import KeyFinder, Sealed, Sealing
from sealift.keyring import HeldKey, Keyring
from sealift.model import Location


def new(shared: Shared, file: str | None, label: str, show: bool) -> NoReturn:
    """Make a key in a file."""
    with usage_checked(shared) as settings:
        if file == "-":
            raise UsageError("a key is made in a file", hint="add --show to print it too")
        held = new_key(check_label(label) if label else "")
        path = file or _new_path(settings.keys.key_directory(), held)
        write_key_file(path, held)
    with printing():
        secret = key_text(held) if show else None
        print_fact(Fact.of(held._replace(source=path)), as_json=shared.json, secret=secret)
    _tell(shared, f"{path} is the only copy of this key: back it up now, in another place.")
    _tell(shared, "S3 keeps no customer key: what is sealed under it is lost with it.")
    _tell(
        shared, f'To seal what is new under it: default-key = "{held.key.key_id}" in sealift.toml'
    )
    raise SystemExit(0)


def import_(shared: Shared, file: str, label: str, to_os_keyring: bool) -> NoReturn:
    """Take the keys of a file, or of stdin, over."""
    with usage_checked(shared) as settings:
        found = keys_in(_read_stdin(), "stdin", "stdin") if file == "-" else read_key_file(file)
        if label and len(found) > 1:
            raise UsageError(f"{file} holds {len(found)} keys", hint="leave --label out")
        found = [one._replace(label=label or one.label) for one in found]
        for label in {one.label for one in found} - {""}:
            check_label(label)
        store = _into_os_keyring if to_os_keyring else _into(settings.keys.key_directory())
        stored = [store(one) for one in found]
    with printing():
        for one in stored:
            print_fact(Fact.of(one), as_json=shared.json)
    raise SystemExit(0)


def list_(shared: Shared) -> NoReturn:
    """List the keys at hand and those that are missing; then what is wrong with others."""
    with usage_checked(shared) as settings:
        keyring, problems = settings.keys.survey()
    facts = facts_of(keyring, _used())
    with printing():
        print_facts(facts, as_json=shared.json)
    for problem in problems:
        print(f"sealift: {shown(problem)}", file=sys.stderr)
    if not (facts or problems):
        _tell(shared, "there is no customer key; make one: sealift key new")
    raise SystemExit(EXIT_USAGE if problems else 0)


def show(shared: Shared, key_id: str, show: bool) -> NoReturn:
    """Show what is known of a key."""
    with usage_checked(shared) as settings:
        keyring = settings.keyring
        held = keyring.named(key_id)
    (fact,) = (one for one in facts_of(keyring, _used()) if one.key_id == held.key.key_id)
    with printing():
        print_fact(fact, as_json=shared.json, secret=key_text(held) if show else None)
    raise SystemExit(0)


def check(shared: Shared, uri: str, key_id: str | None) -> NoReturn:
    """Say which key an object is under."""
    with usage_checked(shared) as settings:
        location = Location.parse(uri)
        if not location.name:
            raise UsageError(f"{uri} names no object", hint="write s3://BUCKET/NAME")
        keyring = settings.keyring
        if key_id is not None:
            keyring = Keyring([keyring.named(key_id)])

    async def command(engine: Engine) -> Sealed | None:
        return await _find(engine, location, keyring, use_catalogue=key_id is None)

    sealed = answer_of(shared, settings, command, sealed=False)
    with printing():
        print_sealed(location, keyring, sealed, as_json=shared.json)
    is_found = sealed is not None and sealed.sealing is Sealing.KEY
    raise SystemExit(0 if is_found else EXIT_FAILED)


def _tell(shared: Shared, text: str) -> None:
    if not shared.quiet:
        print(escape(text), file=sys.stderr)


# Where keys go


def _new_path(directory: str, held: HeldKey) -> str:
    make_key_directory(directory)
    return os.path.join(directory, (held.label or held.key.key_id) + SUFFIX)


def _into(directory: str) -> Callable[[HeldKey], HeldKey]:
    """What puts a key into a key directory, unless it is there."""
    make_key_directory(directory)
    there: dict[str, HeldKey] = {}
    for path in key_directory_files(directory):
        with suppress(CustomerKeyError):
            there |= {one.key.key_id: one for one in read_directory_file(path)}

    def store(held: HeldKey) -> HeldKey:
        if held.key.key_id in there:
            return there[held.key.key_id]
        path = _new_path(directory, held)
        write_key_file(path, held)
        return held._replace(source=path)

    return store


def _into_os_keyring(held: HeldKey) -> HeldKey:
    store_in_os_keyring(held)
    return held._replace(source=SOURCE)


def _read_stdin() -> bytes:
    if sys.stdin.isatty():
        return getpass("customer key in base64: ").encode()
    return sys.stdin.buffer.read(MAX_CONTENT_SIZE + 1)


# What the catalogue knows


def _used() -> dict[str, tuple[int, int]]:
    """Objects and bytes under each key, by its id; nothing where there is no catalogue."""
    catalogue = Catalogue()
    try:
        return catalogue.by_key()
    except CatalogueError as error:
        print(f"sealift: {shown(error)}", file=sys.stderr)
        return {}
    finally:
        catalogue.close()


def _recorded(scope: str, name: str) -> str | None:
    """The id of the key that an object was under when it was last moved."""
    catalogue = Catalogue()
    with suppress(CatalogueError):
        for known in catalogue.known(scope, name, limit=1):
            if known.name == name:
                return known.key_id
    return None


async def _find(
    engine: Engine, location: Location, keyring: Keyring, *, use_catalogue: bool
) -> Sealed | None:
    """How an object is sealed; None: it is not there."""
    objects = await engine.bucket_client(location.bucket)
    finder = KeyFinder(objects, keyring, engine.retrier, location.bucket)
    recorded = _recorded(objects.scope, location.name) if use_catalogue else None
    try:
        try:
            return await finder.find(location.name, 1, recorded)
        except ObjectChangedError:  # it is empty: it has no first byte to ask for
            return await finder.find(location.name, 0, recorded)
    except ReplyError as error:
        if error.status == 404:
            return None
        raise

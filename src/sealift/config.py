"""What `sealift.toml` says: which key seals what, the program that gives keys, how to transfer.

    default-key = "3f1c0a9b8d7e6f50"
    key-command = "pass show sealift"     # in the user's own file only

    [[key]]
    prefix = "s3://bucket/finance/"
    id = "90ab12cd34ef5678"

    [transfer]                            # what -j and --part-size are by default
    concurrency = 64
    part-size = "16MiB"

`./sealift.toml` is read, else the one in the user's configuration directory. What lies in a
directory of data may say which key is used there, never which program is run.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple

from sealift.errors import SettingsError, UsageError
from sealift.keyring import Rule
from sealift.model import Location, parse_size
from sealift.state import config_directory

FILE_NAME = "sealift.toml"
_KEY_ID = re.compile("[0-9a-f]{16}")


class Transfer(NamedTuple):
    """Settings that flags go before; `part_size` in bytes, None: as without them."""

    concurrency: int | None = None
    part_size: int | None = None


class Config(NamedTuple):
    """What was read; `source` is the path of the file, empty where there is none."""

    source: str = ""
    default_key: str | None = None
    key_command: str | None = None
    rules: tuple[Rule, ...] = ()
    transfer: Transfer = Transfer()


def read_config(path: str | None) -> Config:
    """Read `path`, else the first of `./sealift.toml` and the user's own; SettingsError.

    The key command is always that of the user's own file.
    """
    directory = config_directory()
    own_path = None if directory is None else os.path.join(directory, FILE_NAME)
    own = Config() if own_path is None else _read_file(own_path, must_exist=False, is_own=True)
    chosen = path or FILE_NAME
    if own_path is not None and _is_same(chosen, own_path):
        return own
    config = _read_file(chosen, must_exist=path is not None)
    return config._replace(key_command=own.key_command) if config.source else own


def parse_config(text: str, source: str) -> Config:
    """Read the text of the file `source`; SettingsError names every field that is not known."""
    import tomllib  # here: few runs have such a file

    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{source} is not TOML: {error}", hint="correct it") from None
    _only(document, _FIELDS, source)
    found = {
        name: read(document[name], source) for name, read in _FIELDS.items() if name in document
    }
    return Config(
        source=source,
        default_key=found.get("default-key"),
        key_command=found.get("key-command"),
        rules=found.get("key", ()),
        transfer=found.get("transfer", Transfer()),
    )


def _read_file(path: str, *, must_exist: bool, is_own: bool = False) -> Config:
    try:
        with open(path, encoding="utf-8") as file:
            mode = os.fstat(file.fileno()).st_mode
            owner = os.fstat(file.fileno()).st_uid
            text = file.read()
    except OSError as reason:
        if not must_exist and isinstance(reason, FileNotFoundError | NotADirectoryError):
            return Config()
        raise SettingsError(
            f"cannot read {path}: {os.strerror(reason.errno or 0)}", hint="check --config"
        ) from None
    except UnicodeDecodeError:
        raise SettingsError(f"{path} is not UTF-8", hint="save it as text") from None
    config = parse_config(text, path)
    if config.key_command is not None:
        if not is_own:
            raise SettingsError(
                f"{path}: a key-command is taken only from your own configuration",
                hint=f"write it to {_own_place()}, or give --key-command",
            )
        if mode & 0o022 or owner not in (os.geteuid(), 0):
            raise SettingsError(
                f"{path} names a program to run, and others can change it",
                hint=f"run: chmod go-w {path}",
            )
    return config


def _is_same(one: str, other: str) -> bool:
    with suppress(OSError):
        return os.path.samefile(one, other)
    return False


def _own_place() -> str:
    directory = config_directory()
    return FILE_NAME if directory is None else os.path.join(directory, FILE_NAME)


# Fields: each reader takes the value and the path of the file.


def _text(value: object, where: str) -> str:
    if not isinstance(value, str) or not value:
        raise SettingsError(f"{where} is no text", hint='write it as "..."')
    return value


def _key_id(value: object, where: str) -> str:
    text = _text(value, where)
    if not _KEY_ID.fullmatch(text):
        raise SettingsError(
            f"{where} is no key id", hint="give the 16 digits that sealift key list shows"
        )
    return text


def _rules(value: object, source: str) -> tuple[Rule, ...]:
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        raise SettingsError(f"{source}: key is no list of tables", hint="write [[key]]")
    rules: dict[Location, Rule] = {}
    for number, table in enumerate(value, 1):
        where = f"{source}: [[key]] number {number}"
        _only(table, ("prefix", "id"), where)
        for name in ("prefix", "id"):
            if name not in table:
                raise SettingsError(f"{where} has no {name}", hint="give prefix and id")
        try:
            prefix = Location.parse(_text(table["prefix"], f"{where}: prefix"))
        except UsageError as error:
            raise SettingsError(f"{where}: {error.message}", hint=error.hint) from None
        if prefix in rules:
            raise SettingsError(f"{where}: {prefix} is there already", hint="name each prefix once")
        rules[prefix] = Rule(prefix, _key_id(table["id"], f"{where}: id"))
    return tuple(rules.values())


def _transfer(value: object, source: str) -> Transfer:
    where = f"{source}: [transfer]"
    if not isinstance(value, dict):
        raise SettingsError(f"{source}: transfer is no table", hint="write [transfer]")
    _only(value, ("concurrency", "part-size"), where)
    concurrency, part_size = value.get("concurrency"), value.get("part-size")
    if concurrency is not None and (type(concurrency) is not int or concurrency < 1):
        raise SettingsError(f"{where}: concurrency is no number above 0", hint="write 64")
    if part_size is not None:
        try:
            part_size = parse_size(_text(part_size, f"{where}: part-size"))
        except UsageError as error:
            raise SettingsError(f"{where}: {error.message}", hint=error.hint) from None
    return Transfer(concurrency, part_size)


def _only(table: dict[str, Any], known: object, where: str) -> None:
    names = list(known)  # type: ignore[call-overload]
    unknown = [name for name in table if name not in names]
    if unknown:
        raise SettingsError(
            f"{where}: unknown {', '.join(unknown)}", hint=f"known are {', '.join(names)}"
        )


_FIELDS: dict[str, Callable[[object, str], Any]] = {
    "default-key": lambda value, source: _key_id(value, f"{source}: default-key"),
    "key-command": lambda value, source: _text(value, f"{source}: key-command"),
    "key": _rules,
    "transfer": _transfer,
}

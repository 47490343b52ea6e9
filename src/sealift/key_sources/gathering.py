"""Gathers the customer keys from everywhere they may be, and says which is the default.

In this order, and the first that has one decides on the default key: `--key-file`; the environment;
`.env`; the key command; then `default-key` of sealift.toml; then the only key there is. The key
directory and the OS keyring come last and name no default.

Nothing is read before it is asked for: commands that need no key must work without, and must not
run the key command.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress

from sealift.config import Config, read_config
from sealift.errors import CustomerKeyError, SealiftError, SettingsError
from sealift.key_sources.files import (
    KEY_MD5_NAME,
    KEY_NAME,
    has_key,
    is_key_name,
    key_directory_files,
    keys_in,
    labelled_keys,
    plain_key,
    read_directory_file,
    read_key_file,
)
from sealift.key_sources.os_keyring import read_os_keyring
from sealift.keyring import HeldKey, Keyring
from sealift.keys import CustomerKey, Secret
from sealift.state import config_directory

KEY_COMMAND_NAME = "SEALIFT_KEY_COMMAND"
KEY_DIRECTORY_NAME = "SEALIFT_KEY_DIR"
DIRECTORY_NAME = "keys"


class KeySources:
    """Where keys are looked for. `file` are the variables of `.env`, which is at `env_path`.

    Of the environment it keeps what it needs, so that the keys may be taken out of it.
    """

    def __init__(
        self,
        environ: Mapping[str, str],
        file: Mapping[str, str],
        *,
        env_path: str = ".env",
        key_file: str | None = None,
        key_directory: str | None = None,
        key_command: str | None = None,
        config: str | None = None,
    ) -> None:
        self._environ = {name: Secret(environ[name]) for name in environ if is_key_name(name)}
        self._file = dict(file)
        self._env_path = env_path
        self._from_key_file = [] if key_file is None else read_key_file(key_file)
        self._directory = key_directory or environ.get(KEY_DIRECTORY_NAME) or None
        self._command = key_command or environ.get(KEY_COMMAND_NAME) or None
        self._config_path = config
        self._config: Config | None = None
        self._keyring: Keyring | None = None

    @property
    def config(self) -> Config:
        """What sealift.toml says. Raises SettingsError."""
        if self._config is None:
            self._config = read_config(self._config_path)
        return self._config

    @property
    def keyring(self) -> Keyring:
        """All keys at hand, read once. Raises CustomerKeyError and SettingsError."""
        if self._keyring is None:
            self._keyring = self._gather(None)
        return self._keyring

    def survey(self) -> tuple[Keyring, list[SealiftError]]:
        """The keys that can be read, and what is wrong with the others."""
        problems: list[SealiftError] = []
        return self._gather(problems), problems

    def require_default(self) -> CustomerKey:
        """The default key; SettingsError and CustomerKeyError say why there is none."""
        keyring = self.keyring
        if keyring.default is not None:
            return keyring.default
        named = self.config.default_key
        if named is not None:
            raise CustomerKeyError(
                f"the customer key {named}, default-key of {self.config.source}, is not at hand",
                hint="look with: sealift key list",
            )
        if len(keyring):
            raise SettingsError(
                f"{len(keyring)} customer keys are at hand, and none of them is the default",
                hint='name it in sealift.toml: default-key = "ID"; see: sealift key list',
            )
        raise SettingsError(
            "there is no customer key",
            hint=f"set {KEY_NAME} in .env, give --key-file, or make one: sealift key new; "
            "--sse none, s3 or kms do without",
        )

    def key_directory(self) -> str:
        """Where new keys are put. CustomerKeyError without a home directory."""
        directory = self._directory or _own_directory()
        if directory is None:
            raise CustomerKeyError(
                "there is no home directory to keep keys in", hint="give --key-dir or set HOME"
            )
        return directory

    # Each source gives its keys, the one that may become the default first.

    def _gather(self, problems: list[SealiftError] | None) -> Keyring:
        """Read all sources; what is wrong is added to `problems`, or raised where that is None."""
        config = Config()
        with _noted(problems):
            config = self.config
        held = list(self._from_key_file)
        default = _first(held)
        is_decided = default is not None
        for values, md5, where in (
            (self._environ, None, "the environment"),
            (self._file, self._environ.get(KEY_MD5_NAME), self._env_path),
        ):
            # A key that another one overrides is welcome, but does not have to be right.
            with suppress(CustomerKeyError) if is_decided else _noted(problems):
                plain = plain_key(values, where, None if is_decided else md5)
                if plain is not None:
                    held.append(plain)
                    default = default if is_decided else plain.key
            is_decided = is_decided or has_key(values)
        for values, where in ((self._environ, "the environment"), (self._file, self._env_path)):
            with _noted(problems):
                held += labelled_keys(values, where)
        with _noted(problems):
            from_command = self._from_command(config)
            held += from_command
            if not is_decided:
                default = _first(from_command)
        with _noted(problems):
            for path in self._directory_files():
                with _noted(problems):
                    held += read_directory_file(path)
        with _noted(problems):
            held += read_os_keyring()
        merged = _merged(held)
        if default is None and not is_decided:
            named = config.default_key
            if named is not None:
                default = _first(one for one in merged if one.key.key_id == named)
            elif len(merged) == 1:
                default = merged[0].key
        return Keyring(merged, config.rules, default)

    def _from_command(self, config: Config) -> list[HeldKey]:
        command = self._command or config.key_command
        if command is None:
            return []
        from sealift.key_sources.command import run_key_command  # here, as what few runs need

        return keys_in(run_key_command(command), "what the key command printed", "key command")

    def _directory_files(self) -> list[str]:
        if self._directory is not None:
            return key_directory_files(self._directory)
        own = _own_directory()
        return [] if own is None or not os.path.isdir(own) else key_directory_files(own)


def _own_directory() -> str | None:
    directory = config_directory()
    return None if directory is None else os.path.join(directory, DIRECTORY_NAME)


def _first(held: Iterable[HeldKey]) -> CustomerKey | None:
    return next((one.key for one in held), None)


def _merged(held: Iterable[HeldKey]) -> list[HeldKey]:
    """Each key once, with all its places, and what any of them knows of it."""
    merged: dict[str, HeldKey] = {}
    for one in held:
        before = merged.setdefault(one.key.key_id, one)
        if before is not one:
            merged[one.key.key_id] = HeldKey(
                before.key,
                f"{before.source}, {one.source}",
                before.label or one.label,
                one.created if before.created is None else before.created,
            )
    return list(merged.values())


@contextmanager
def _noted(problems: list[SealiftError] | None) -> Iterator[None]:
    try:
        yield
    except SealiftError as error:
        if problems is None:
            raise
        problems.append(error)

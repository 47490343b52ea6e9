"""Where settings come from: flags over the environment over `.env`; then the AWS configuration.

`.env` is read from the working directory, or from `--env-file`. The customer keys in it never enter
the environment of this process, which its children would inherit; `key_sources` has those and all
others.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field

from sealift.errors import SettingsError
from sealift.key_sources.files import is_key_name
from sealift.key_sources.gathering import KeySources
from sealift.keyring import Keyring
from sealift.keys import CustomerKey, Secret

# What lies in a directory of data says which key is used. It never says what is run, as these do by
# `credential_process`, nor which file is read and sent to a server that it names, too.
_NOT_UNASKED = {
    "AWS_CONFIG_FILE": "name programs to run",
    "AWS_SHARED_CREDENTIALS_FILE": "name programs to run",
    "AWS_WEB_IDENTITY_TOKEN_FILE": "have any file sent away",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": "have any file sent away",
}


@dataclass(frozen=True, slots=True)
class Settings:
    """What `.env` and the environment say; None where neither does.

    `aws` are the variables of `.env` that boto reads from the environment, such as AWS_REGION.
    `keys` are read when they are first asked for: what asks raises CustomerKeyError, SettingsError.
    `notes` are sentences for the user.
    """

    bucket_name: str | None
    key: str | None
    profile: str | None
    aws: Mapping[str, str] = field(repr=False)
    keys: KeySources = field(repr=False)
    notes: tuple[str, ...] = ()

    def require_bucket(self) -> str:
        if not self.bucket_name:
            raise SettingsError(
                "no bucket is named", hint="give an s3:// URI or set BUCKET_NAME in .env"
            )
        return self.bucket_name

    def require_key(self) -> str:
        if not self.key:
            raise SettingsError("no object is named", hint="give it as argument or set KEY in .env")
        return self.key

    @property
    def keyring(self) -> Keyring:
        """All customer keys at hand."""
        return self.keys.keyring

    @property
    def customer_key(self) -> CustomerKey | None:
        """The default key, None where there is none."""
        return self.keyring.default

    def require_customer_key(self) -> CustomerKey:
        return self.keys.require_default()


def read_settings(
    env_file: str | None,
    key_file: str | None,
    environ: Mapping[str, str],
    *,
    key_directory: str | None = None,
    key_command: str | None = None,
    config: str | None = None,
) -> Settings:
    """Read `.env` and the environment. Raises SettingsError and CustomerKeyError.

    A `--key-file` is read at once, all other keys later; a `config` that is named must exist.
    """
    file = _read_env_file(env_file)
    if config is not None and not os.path.isfile(config):
        raise SettingsError(f"there is no file {config}", hint="check --config")
    return Settings(
        bucket_name=environ.get("BUCKET_NAME") or file.get("BUCKET_NAME") or None,
        key=environ.get("KEY") or file.get("KEY") or None,
        profile=environ.get("PROFILE")
        or (None if environ.get("AWS_PROFILE") else file.get("PROFILE") or None),
        aws={name: value for name, value in file.items() if _is_for_boto(name)},
        keys=KeySources(
            environ,
            file,
            env_path=env_file or ".env",
            key_file=key_file,
            key_directory=key_directory,
            key_command=key_command,
            config=config,
        ),
        notes=_notes(env_file or ".env", file),
    )


def _read_env_file(path: str | None) -> dict[str, str]:
    chosen = path or ".env"
    if path is not None and not os.path.isfile(path):
        raise SettingsError(f"there is no file {path}", hint="check --env-file")
    # It says where the key goes, so in a directory of all users it must not be anybody's.
    facts = _facts(chosen)
    if facts is None:
        return {}
    if path is None and facts.st_uid not in (os.geteuid(), 0):
        raise SettingsError(
            ".env belongs to another user", hint="if you trust it, name it: --env-file .env"
        )
    values = _parsed(chosen)
    if isinstance(values, SettingsError):
        raise values
    for name, harm in _NOT_UNASKED.items():
        if path is None and values.get(name):
            raise SettingsError(
                f".env sets {name}, which may {harm}",
                hint="set it in the environment; or, if you trust .env: --env-file .env",
            )
    return values


def _parsed(path: str) -> dict[str, str] | SettingsError:
    """What a file says, or what is wrong with it: an error raised here would hold its text."""
    from dotenv import dotenv_values  # here: many a run has no such file

    try:
        found = dotenv_values(path, interpolate=False)
    except OSError:
        return SettingsError(f"cannot read {path}", hint="check its permissions")
    except UnicodeDecodeError:
        return SettingsError(f"{path} is not UTF-8", hint="save it as text")
    values = {
        name: Secret(value) if is_key_name(name) or _is_for_boto(name) else value
        for name, value in found.items()
        if value is not None
    }
    if any("\0" in text for entry in values.items() for text in entry):
        return SettingsError(f"{path} holds a NUL byte", hint="save it as text")
    return values


def _facts(path: str) -> os.stat_result | None:
    try:
        return os.stat(path)
    except OSError:
        return None


def _notes(path: str, values: Mapping[str, str]) -> tuple[str, ...]:
    """What to say of a file that holds a key and that others may read."""
    facts = _facts(path) if any(map(is_key_name, values)) else None
    if facts is None or not (stat.S_ISREG(facts.st_mode) and facts.st_mode & 0o077):
        return ()
    return (f"the customer key in {path} can be read by others; run: chmod 600 {path}",)


def _is_for_boto(name: str) -> bool:
    return name.startswith("AWS_") or name.upper() in ("HTTPS_PROXY", "NO_PROXY")

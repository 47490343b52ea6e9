"""Where settings come from: flags over the environment over `.env`; then the AWS configuration.

`.env` is read from the working directory, or from `--env-file`. The customer key in it never enters
the environment of this process, which its children would inherit.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field

from dotenv import dotenv_values

from sealift.errors import SettingsError
from sealift.keys import CustomerKey, Secret

KEY_NAME = "SSE_CUSTOMER_KEY_BASE64"
KEY_MD5_NAME = "SSE_CUSTOMER_KEY_MD5"


@dataclass(frozen=True, slots=True)
class Settings:
    """What `.env` and the environment say; None where neither does.

    `aws` are the variables of `.env` that boto reads from the environment, such as AWS_REGION.
    """

    bucket_name: str | None
    key: str | None
    profile: str | None
    aws: Mapping[str, str] = field(repr=False)
    customer_key: CustomerKey | None

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

    def require_customer_key(self) -> CustomerKey:
        if self.customer_key is None:
            raise SettingsError(
                "there is no customer key", hint=f"set {KEY_NAME} in .env or give --key-file"
            )
        return self.customer_key


def read_settings(
    env_file: str | None, key_file: str | None, environ: Mapping[str, str]
) -> Settings:
    """Read `.env` and the environment. Raises SettingsError and CustomerKeyError.

    With `--key-file` the other customer keys are not read, nor their MD5.
    """
    file = _read_env_file(env_file)

    return Settings(
        bucket_name=environ.get("BUCKET_NAME") or file.get("BUCKET_NAME") or None,
        key=environ.get("KEY") or file.get("KEY") or None,
        profile=environ.get("PROFILE")
        or (None if environ.get("AWS_PROFILE") else file.get("PROFILE") or None),
        aws={name: value for name, value in file.items() if _is_for_boto(name)},
        customer_key=_customer_key(key_file, environ, file),
    )


def read_key_file(path: str) -> CustomerKey:
    """The customer key in a file of its own. Raises CustomerKeyError."""
    return CustomerKey.from_file(path)


def _read_env_file(path: str | None) -> dict[str, str]:
    chosen = path or ".env"
    if path is not None and not os.path.isfile(path):
        raise SettingsError(f"there is no file {path}", hint="check --env-file")
    values = _parsed(chosen)
    if isinstance(values, SettingsError):
        raise values
    return values


def _parsed(path: str) -> dict[str, str] | SettingsError:
    """What a file says, or what is wrong with it: an error raised here would hold its text."""
    try:
        found = dotenv_values(path, interpolate=False)
    except OSError:
        return SettingsError(f"cannot read {path}", hint="check its permissions")
    except UnicodeDecodeError:
        return SettingsError(f"{path} is not UTF-8", hint="save it as text")
    values = {
        name: Secret(value) if name == KEY_NAME or _is_for_boto(name) else value
        for name, value in found.items()
        if value is not None
    }
    if any("\0" in text for entry in values.items() for text in entry):
        return SettingsError(f"{path} holds a NUL byte", hint="save it as text")
    return values


def _is_for_boto(name: str) -> bool:
    return name.startswith("AWS_") or name.upper() in ("HTTPS_PROXY", "NO_PROXY")


def _customer_key(
    key_file: str | None, environ: Mapping[str, str], file: Mapping[str, str]
) -> CustomerKey | None:
    if key_file is not None:
        return CustomerKey.from_file(key_file)
    for source in (environ, file):
        text = source.get(KEY_NAME)
        if text:
            md5 = environ.get(KEY_MD5_NAME) or source.get(KEY_MD5_NAME)
            return CustomerKey.from_base64(text, md5, source=KEY_NAME)
    return None

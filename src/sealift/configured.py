"""The options that the command line would take in this directory, for programs."""

from __future__ import annotations

import logging
import os

from sealift.keyring import Keyring
from sealift.model import DEFAULT_PART_SIZE
from sealift.options import Options
from sealift.settings import read_settings


def load_options(
    *,
    env_file: str | None = None,
    key_file: str | None = None,
    key_directory: str | None = None,
    key_command: str | None = None,
    config: str | None = None,
    sealed: bool = True,
) -> Options:
    """Options from `.env`, the environment and `sealift.toml`, as the command line reads them.

    Change them by `dataclasses.replace`. Where AWS_... of `.env` are not in the environment yet
    they are put there, as boto looks for them; a customer key never is. Without a customer key
    there are no options, lest objects be stored unsealed: say so by `sealed=False`.
    Raises SettingsError and CustomerKeyError.
    """
    settings = read_settings(
        env_file,
        key_file,
        os.environ,
        key_directory=key_directory,
        key_command=key_command,
        config=config,
    )
    customer_key = settings.require_customer_key() if sealed else None
    for note in settings.notes:
        logging.getLogger("sealift").warning(note)
    for name, value in settings.aws.items():
        os.environ.setdefault(name, value)
    transfer = settings.keys.config.transfer
    return Options(
        customer_key=customer_key,
        keyring=settings.keyring if sealed else Keyring(),
        profile=settings.profile,
        concurrency=transfer.concurrency,
        part_size=transfer.part_size or DEFAULT_PART_SIZE,
    )

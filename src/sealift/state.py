"""Where the user's state is kept (the catalogue, the journal), and the user's configuration."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress


def state_directory() -> str | None:
    """The user's state directory, by the rules of the system; None without a home."""
    import platformdirs  # here: it takes 5 ms

    return _absolute(platformdirs.user_state_dir)


def config_directory() -> str | None:
    """The user's configuration directory, by the rules of the system; None without a home."""
    import platformdirs

    return _absolute(platformdirs.user_config_dir)


def _absolute(find: Callable[[str], str]) -> str | None:
    directory = ""
    with suppress(RuntimeError):  # newer versions say so that there is no home, older ones by `~`
        directory = find("sealift")
    return directory if os.path.isabs(directory) else None


def working_directory() -> str:
    """Empty when it is gone: then nobody can run the command there again."""
    try:
        return os.getcwd()
    except OSError:
        return ""

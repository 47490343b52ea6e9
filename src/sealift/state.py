"""Where the user's state is kept: the catalogue and the journal."""

from __future__ import annotations

import os
from contextlib import suppress


def state_directory() -> str | None:
    """The user's state directory, by the rules of the system; None without a home."""
    import platformdirs  # here: it takes 5 ms

    directory = ""
    with suppress(RuntimeError):  # newer versions say so that there is no home, older ones by `~`
        directory = platformdirs.user_state_dir("sealift")
    return directory if os.path.isabs(directory) else None

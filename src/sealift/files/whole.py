"""Small files that are whole at any time: written beside their place, then renamed."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress

from sealift.errors import LocalFileError, UsageError


def check_writable(path: str) -> None:
    """UsageError when `write_whole` could not write there."""
    if os.path.isdir(path):
        raise UsageError(f"{path} is a directory", hint="name a file in it")
    try:
        fd, temporary = _beside(path)
        os.close(fd)
        os.unlink(temporary)
    except OSError as reason:
        error = LocalFileError("write", path, reason)
        raise UsageError(error.message, hint="name a file that can be written") from None


def write_whole(path: str, text: str) -> None:
    """Replace what is at `path`, durably; as readable as the umask lets it be. LocalFileError."""
    temporary = ""
    try:
        fd, temporary = _beside(path)
        with open(fd, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(text)
            file.flush()
            os.fsync(fd)
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)
        os.replace(temporary, os.path.realpath(path))
    except OSError as reason:
        with suppress(OSError):
            os.unlink(temporary)
        raise LocalFileError("write", path, reason) from None


def _beside(path: str) -> tuple[int, str]:
    """A new file in the directory of `path`, which may be a link."""
    directory = os.path.dirname(os.path.realpath(path))
    return tempfile.mkstemp(prefix=".sealift-", suffix=".tmp", dir=directory)

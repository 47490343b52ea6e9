"""Keeps two runs between the same two places apart, in either direction.

A kernel lock on a file in the user's state directory: it is gone when its process is. The file
tells who holds it; one that a killed process has left is taken over.
"""

from __future__ import annotations

import hashlib
import json
import os
import socket
import time
from collections.abc import Collection
from contextlib import suppress
from datetime import datetime

from sealift.errors import UsageError
from sealift.locks import take_lock
from sealift.state import state_directory

_DIRECTORY = "locks"
# A lock whose file its holder was just removing is tried again at once.
_TRIES = 10


class PairHeldError(UsageError):
    """Another run is going on between the same places."""


class PairLock:
    """That of `sides`, which name each place in one way only; `command` is shown to others.

    `other` is what its holder is called. In `directory`, by default the user's state directory.
    Calls block for the time of a few file operations.
    """

    def __init__(
        self,
        sides: Collection[str],
        command: str,
        directory: str | None = None,
        *,
        other: str = "another run between the same places",
    ) -> None:
        name = hashlib.sha256("\0".join(sorted(sides)).encode("utf-8", "surrogateescape"))
        self._command = command
        self._other = other
        self._directory = directory
        self._name = f"{name.hexdigest()[:32]}.lock"
        self._path = ""
        self._fd = -1

    def take(self) -> None:
        """Take the lock. PairHeldError; OSError where there can be none."""
        root = self._directory or state_directory()
        if root is None:
            raise FileNotFoundError("there is no home directory")
        directory = os.path.join(root, _DIRECTORY)
        os.makedirs(directory, 0o700, exist_ok=True)
        path = os.path.join(directory, self._name)
        tries = (take_lock(path) for _ in range(_TRIES))
        fd = next((fd for fd in tries if fd is not None), None)
        if fd is None:
            raise PairHeldError(
                f"{self._other} is going on{_holder(path)}",
                hint="wait for its end",
            )
        self._path, self._fd = path, fd
        record = {
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "since": time.time(),
            "command": self._command,
        }
        with suppress(OSError):  # a full disk: the lock holds all the same
            os.ftruncate(fd, 0)
            os.pwrite(fd, json.dumps(record).encode(), 0)

    def release(self) -> None:
        """Give it up, if it was taken."""
        if self._fd < 0:
            return
        with suppress(OSError):
            os.unlink(self._path)
        os.close(self._fd)
        self._fd = -1


def _holder(path: str) -> str:
    """Who holds the lock, as far as that can be read: others may be just writing it."""
    try:
        with open(path, encoding="ascii") as file:
            record = json.load(file)
        began = datetime.fromtimestamp(record["since"]).astimezone()
        where = "" if record["host"] == socket.gethostname() else f" on {record['host']}"
        since = began.strftime("%Y-%m-%d %H:%M:%S")
        return f": process {record['pid']}{where}, since {since} ({record['command']})"
    except (OSError, ValueError, KeyError, TypeError, OverflowError):
        return ""

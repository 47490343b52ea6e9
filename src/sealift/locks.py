"""Kernel locks on files that come and go: held by a process, and gone when it dies.

Whoever held a lock may have removed its file before the lock was taken here: a lock counts only
while its file is still the one of that name. Raises OSError where the file system has no locks.
"""

from __future__ import annotations

import fcntl
import os


def is_locked_in_place(fd: int, path: str, *, wait: bool = False) -> bool:
    """Lock an open file; whether it is still the one at `path`. BlockingIOError: it is held."""
    fcntl.flock(fd, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    try:
        return os.path.samestat(os.fstat(fd), os.lstat(path))
    except FileNotFoundError:
        return False


def take_lock(path: str) -> int | None:
    """The locked file at `path`, made if there is none; None while another process holds it.

    Also None when its holder was just removing it. Closing the descriptor gives the lock up.
    """
    fd = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        if is_locked_in_place(fd, path):
            return fd
    except BlockingIOError:
        pass
    except OSError:
        os.close(fd)
        raise
    os.close(fd)
    return None

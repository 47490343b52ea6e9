"""How many files and sockets the process may have open, and how many workers that is enough for."""

from __future__ import annotations

import contextlib
import resource

# Enough for `options.MAX_CONCURRENCY` workers.
WANTED = 4096
# Idle directories of a target, connections of the control plane, the interpreter and its libraries.
_OWN = 64 + 64 + 32
# A worker's connection, its file, and the directory that the file is in.
_PER_WORKER = 3


def raise_limit() -> None:
    """Raise the soft limit towards `WANTED`; shells give 1024, those of macOS 256."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = WANTED if hard == resource.RLIM_INFINITY else min(WANTED, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def worker_limit() -> int | None:
    """How many workers can run without one that finds no descriptor left; None: any number."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return None
    return max(1, (soft - _OWN) // _PER_WORKER)


def files_at_once(workers: int, threads: int) -> int:
    """How many files, each in a directory of its own, each of `threads` may have open at once."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        soft = WANTED
    return 1 + max(0, soft - _OWN - _PER_WORKER * workers) // (2 * threads)


def idle_directories(wanted: int) -> int:
    """How many directories of a target may be open beside those in use, `wanted` at most.

    Where few files may be open they would take what connections need.
    """
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return wanted if soft == resource.RLIM_INFINITY else min(wanted, soft // 8)

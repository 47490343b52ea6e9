"""What is checked of this machine: the customer key and who can read it, the limits, the disk."""

from __future__ import annotations

import os
import shutil
import stat
import statistics
import tempfile
import time
from dataclasses import dataclass

from sealift.console.text import size
from sealift.descriptors import worker_limit
from sealift.doctor.findings import Check, Finding, failure, ok, skipped, warning
from sealift.durable import sync
from sealift.errors import SealiftError
from sealift.files.disk import Disk
from sealift.model import GiB
from sealift.options import ADAPTIVE_CEILING
from sealift.state import state_directory

LITTLE_SPACE = GiB
# Seconds: a disk of spinning rust takes some 15 ms; what takes longer is a share, or overloaded.
SLOW_SYNC = 0.05
SYNC_COUNT = 15
_BLOCK = bytes(4096)


@dataclass(frozen=True)
class Machine:
    """`key_ids` of all customer keys at hand, the default one's in `key_id`.

    `key_problems` are what was wrong with sources of keys, `key_paths` the files that hold keys,
    `target` is the directory that downloads go to.
    """

    key_id: str | None
    key_ids: tuple[str, ...]
    key_problems: tuple[SealiftError, ...]
    key_paths: tuple[str, ...]
    target: str
    disk: Disk


async def _customer_key(machine: Machine) -> Finding:
    if machine.key_problems:
        problems = machine.key_problems
        what = "; ".join(problem.message for problem in problems)
        advice = "; ".join(dict.fromkeys(filter(None, (problem.hint for problem in problems))))
        return (failure if machine.key_id is None else warning)(what, advice)
    if machine.key_id is None and machine.key_ids:
        return failure(
            f"{len(machine.key_ids)} are at hand, and none of them is the default",
            'name it in sealift.toml: default-key = "ID"; see: sealift key list',
        )
    if machine.key_id is None:
        return failure(
            "there is none",
            "set SSE_CUSTOMER_KEY_BASE64 in .env, give --key-file, or make one: sealift key new",
        )
    others = len(machine.key_ids) - 1
    more = f", and {others} more are at hand" if others else ""
    return ok(f"there is one, its id is {machine.key_id}{more}")


async def _key_files(machine: Machine) -> Finding:
    if not machine.key_paths:
        return skipped("no file holds the customer key")
    open_paths = [path for path in machine.key_paths if await machine.disk.run(_is_open, path)]
    if open_paths:
        names = " ".join(open_paths)
        return warning(f"others can read the customer key in {names}", f"run: chmod 600 {names}")
    return ok(f"nobody else can read {', '.join(machine.key_paths)}")


def _is_open(path: str) -> bool:
    """Whether others than its owner, who is to be this user, can read a file."""
    try:
        facts = os.stat(path)
    except OSError:
        return False
    return bool(facts.st_mode & (stat.S_IRWXG | stat.S_IRWXO)) or (
        facts.st_uid not in (os.geteuid(), 0)
    )


async def _state(machine: Machine) -> Finding:
    directory = state_directory()
    if directory is None:
        return warning("there is no home for what sealift remembers", "set HOME or XDG_STATE_HOME")
    return await machine.disk.run(_state_in, directory)


def _state_in(directory: str) -> Finding:
    try:
        os.makedirs(directory, 0o700, exist_ok=True)
        with tempfile.TemporaryFile(dir=directory):
            pass
    except OSError as reason:
        return warning(
            f"nothing can be remembered in {directory}: {os.strerror(reason.errno or 0)}",
            "without it no run can go on where one was cut off; check the permissions",
        )
    return ok(f"catalogue and journal are kept in {directory}")


async def _open_files(_: Machine) -> Finding:
    possible = worker_limit()
    if possible is None or possible >= ADAPTIVE_CEILING:
        return ok(f"the limit of open files allows {possible or 'any number of'} requests at once")
    return warning(
        f"the limit of open files allows only {possible} requests at once", "raise it: ulimit -n"
    )


async def _disk_space(machine: Machine) -> Finding:
    try:
        free = (await machine.disk.run(shutil.disk_usage, machine.target)).free
    except OSError as reason:
        return failure(
            f"cannot look at {machine.target}: {os.strerror(reason.errno or 0)}", "check --target"
        )
    if free < LITTLE_SPACE:
        return warning(f"{size(free)} are free in {machine.target}", "make room, or give --target")
    return ok(f"{size(free)} are free in {machine.target}")


async def _disk_sync(machine: Machine) -> Finding:
    try:
        span = await machine.disk.run(_sync_span, machine.target)
    except OSError as reason:
        return failure(_refused(machine.target, reason), "check the permissions, or give --target")
    shown = f"{span * 1000:.1f}" if span >= 0.0001 else "less than 0.1"
    text = f"a small file is safe on the disk of {machine.target} after {shown} ms"
    if span > SLOW_SYNC:
        return warning(text, "for many small files --durability file or none is faster")
    return ok(text)


def _sync_span(directory: str) -> float:
    """How long a small write and its fsync take, as a median, in seconds."""
    spans = []
    with tempfile.TemporaryFile(dir=directory, prefix=".sealift-doctor-") as file:
        for _ in range(SYNC_COUNT):
            began = time.perf_counter()
            os.write(file.fileno(), _BLOCK)
            sync(file.fileno())
            spans.append(time.perf_counter() - began)
    return statistics.median(spans)


def _refused(directory: str, reason: OSError) -> str:
    return f"cannot write in {directory}: {os.strerror(reason.errno or 0)}"


CHECKS: tuple[Check[Machine], ...] = (
    Check("customer-key", _customer_key),
    Check("key-files", _key_files),
    Check("state", _state),
    Check("open-files", _open_files),
    Check("disk-space", _disk_space),
    Check("disk-sync", _disk_sync, ("disk-space",)),
)

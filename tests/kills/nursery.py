"""Runs command lines in processes that need not load the program: forks of one that has.

`Nursery` starts such a process, `python -m tests.kills.nursery`, whose children run the program's
own `main`; some 0.1 s instead of 0.3 s each.
"""

from __future__ import annotations

import ctypes
import importlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.kills.boundaries import be_supervised, supervise

TIME_LIMIT = 30.0
_PARENT_DEATH_SIGNAL = 1
_LOADED = (
    "sealift.cli.commands", "sealift.cli.start", "sealift.cli.unfinished", "sealift.console",
    "sealift.present", "sealift.sync", "sqlite3", "uvloop", "encodings.idna", "stringprep",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Ended:
    """A process that has ended; `calls` are those that were counted."""

    status: int
    stdout: str
    stderr: str
    calls: list[str]

    @property
    def is_killed(self) -> bool:
        return self.status == -9


class Nursery:
    """Runs one command after the other; use it as a context manager."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        self._channel = ours.makefile("rw")
        ours.close()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.kills.nursery", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                cwd=Path(__file__).parents[2],
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._channel.close()
        self._process.wait(TIME_LIMIT)

    def run(
        self,
        words: Sequence[str],
        directory: Path,
        environment: Mapping[str, str],
        kill_at: int = 0,
        settings: Mapping[str, float] | None = None,
    ) -> Ended:
        """Run `sealift words` in `directory / "work"`; `kill_at` as for `supervise`, 0: never.

        `settings` are constants of modules, as "sealift.ranged.NOTE_INTERVAL", to change.
        """
        order = {
            "words": list(words),
            "directory": str(directory),
            "environment": dict(environment),
            "kill_at": kill_at,
            "settings": dict(settings or {}),
        }
        self._channel.write(json.dumps(order) + "\n")
        self._channel.flush()
        answer = json.loads(self._channel.readline())
        out, err = ((directory / name).read_text() for name in ("stdout", "stderr"))
        if "error" in answer:
            raise TimeoutError(f"{words}: {answer['error']}; {err[-500:]}")
        return Ended(answer["status"], out, err, answer["calls"])


def _serve(channel: socket.socket) -> None:
    """Carry out orders until there are no more; children return from here."""
    _end_with_parent()
    for name in _LOADED:
        importlib.import_module(name)
    orders = channel.makefile("rw")
    while line := orders.readline():
        order = json.loads(line)
        here, there = socket.socketpair()
        pid = os.fork()
        if not pid:
            here.close()
            os.close(channel.detach())
            _end_with_parent()
            _become(order)
            if order["kill_at"]:
                be_supervised(there)
            there.detach()  # closed with the process
            return
        there.close()
        answer: dict[str, Any] = {"calls": []}
        try:
            if order["kill_at"]:
                answer["calls"] = supervise(
                    pid, here, order["kill_at"], order["directory"], TIME_LIMIT
                )
            _wait(pid)
        except TimeoutError as error:
            answer["error"] = str(error)
        here.close()
        answer["status"] = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        orders.write(json.dumps(answer) + "\n")
        orders.flush()
    os._exit(0)


def _wait(pid: int) -> None:
    """Wait until a child has ended; TimeoutError, and it is killed, when that takes too long."""
    descriptor = os.pidfd_open(pid)
    try:
        if not select.select([descriptor], [], [], TIME_LIMIT)[0]:
            os.kill(pid, signal.SIGKILL)
            raise TimeoutError("the process did not end")
    finally:
        os.close(descriptor)


def _end_with_parent() -> None:
    """Have this process killed when its parent ends (prctl(2))."""
    ctypes.CDLL(None).prctl(_PARENT_DEATH_SIGNAL, signal.SIGKILL)


def _become(order: Mapping[str, Any]) -> None:
    """Let this process be as one that was started for `order`."""
    for number, name in ((1, "stdout"), (2, "stderr")):
        fd = os.open(os.path.join(order["directory"], name), os.O_CREAT | os.O_TRUNC | os.O_WRONLY)
        os.dup2(fd, number)
        os.close(fd)
    os.chdir(os.path.join(order["directory"], "work"))
    os.environ.clear()
    os.environ.update(order["environment"])
    time.tzset()
    for name, value in order["settings"].items():
        module, _, constant = name.rpartition(".")
        setattr(importlib.import_module(module), constant, value)
    sys.argv = ["sealift", *order["words"]]


if __name__ == "__main__":
    from sealift.__main__ import main

    _serve(socket.socket(fileno=int(sys.argv[1])))
    main()

"""Somebody at a terminal, who is asked a question."""

from __future__ import annotations

import contextlib
import os
import pty
import subprocess
import sys
from collections.abc import Callable

Answer = Callable[[int, "subprocess.Popen[bytes]"], object]


def typed(text: str) -> Answer:
    """What is typed as soon as the question is there."""
    return lambda terminal, _: os.write(terminal, text.encode())


def at_terminal(answer: Answer, *words: str) -> tuple[int, str]:
    """Run a command line at a terminal, answer its question; status and screen."""
    master, slave = pty.openpty()
    screen = b""
    with subprocess.Popen(
        [sys.executable, "-m", "sealift", *words],
        stdin=slave, stdout=subprocess.DEVNULL, stderr=slave,
    ) as child:  # fmt: skip
        os.close(slave)
        with contextlib.suppress(OSError):  # the terminal was closed by its last user
            while seen := os.read(master, 4096):
                if b"[y/N]" not in screen and b"[y/N]" in screen + seen:
                    answer(master, child)
                screen += seen
        os.close(master)
    return child.returncode, screen.decode()

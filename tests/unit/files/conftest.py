from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

NOBODY = 65534
OPEN = 0o005


@pytest.fixture
def as_nobody(tmp_path: Path) -> Callable[..., Any]:
    """Runs a function as an unprivileged user, in a child; returns what it returned, as text.

    The way to `tmp_path` is open to that user.
    """
    for above in (tmp_path, *tmp_path.parents):
        if above.stat().st_mode & OPEN != OPEN:
            above.chmod(0o755)

    def run(work: Callable[[], object]) -> str:
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            status = 1
            try:
                os.close(reading)
                if os.geteuid() == 0:
                    os.setgroups([])
                    os.setgid(NOBODY)
                    os.setuid(NOBODY)
                os.write(writing, str(work()).encode("utf-8", "surrogateescape"))
                status = 0
            finally:
                os._exit(status)
        os.close(writing)
        with open(reading, "rb") as pipe:
            text = pipe.read().decode("utf-8", "surrogateescape")
        _, status = os.waitpid(child, 0)
        assert status == 0
        return text

    return run

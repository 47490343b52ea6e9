"""A virtual environment for each peer, made on first use below the user's cache directory."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
from functools import cache
from pathlib import Path

import platformdirs

PINS_FILE = Path(__file__).with_name("peers.txt")
_INSTALL_TIMEOUT = 600.0
_ASK_TIMEOUT = 60.0
_TAIL_SIZE = 600


class InstallError(Exception):
    """A peer's environment could not be made."""


@cache
def pins() -> dict[str, list[str]]:
    """The requirements of each environment by its name."""
    environments = {}
    for line in PINS_FILE.read_text().splitlines():
        requirements = line.split("#")[0].split()
        if requirements:
            environments[requirements[0].split("==")[0]] = requirements
    return environments


@cache
def environment(name: str) -> Path:
    """The `bin` directory of the environment `name`; installs it if these pins are not there yet.

    The marker is written last, so half an environment is begun anew; the lock keeps others off.
    """
    wanted = json.dumps(pins()[name])
    python = f"py{sys.version_info.major}.{sys.version_info.minor}"
    root = platformdirs.user_cache_path("sealift") / "benchmarks" / f"{name}-{python}"
    marker = root / "installed.json"
    root.parent.mkdir(parents=True, exist_ok=True)
    with root.with_name(f"{root.name}.lock").open("w") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        if not (marker.exists() and marker.read_text() == wanted):
            print(f"installing {' '.join(pins()[name])}", file=sys.stderr)
            shutil.rmtree(root, ignore_errors=True)
            pip = [str(root / "bin" / "python"), "-m", "pip", "--disable-pip-version-check"]
            run_tool([sys.executable, "-m", "venv", str(root)], timeout=_INSTALL_TIMEOUT)
            install = [*pip, "--no-input", "--quiet", "install", "--only-binary=:all:"]
            run_tool([*install, *pins()[name]], timeout=_INSTALL_TIMEOUT)
            marker.write_text(wanted)
    return root / "bin"


def run_tool(command: list[str], *, timeout: float = _ASK_TIMEOUT) -> str:
    """Run a tool to its end and return what it prints; its group ends with this call."""
    child = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    try:
        output, _ = child.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        raise InstallError(f"{command[0]} took more than {timeout:.0f} s") from None
    finally:
        if child.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            child.wait()
    if child.returncode != 0:
        raise InstallError(f"{' '.join(command)}: {output[-_TAIL_SIZE:].strip()}")
    return output

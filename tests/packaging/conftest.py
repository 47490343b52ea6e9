"""The archives, built once a session from a clean copy of the project."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# What an sdist is made of, but for what is generated.
PARTS = [
    "CHANGELOG.md", "MANIFEST.in", "Makefile", "README.md", "benchmarks", "docs", "examples",
    "pyproject.toml", "requirements-dev.lock", "requirements.lock", "src", "tests",
]  # fmt: skip
_GENERATED = shutil.ignore_patterns("__pycache__", "*.egg-info", ".env")


@dataclass(frozen=True)
class Archives:
    """What is given away, and the copy that it was built from."""

    source: Path
    wheel: Path
    sdist: Path


@pytest.fixture(scope="session")
def archives(tmp_path_factory: pytest.TempPathFactory) -> Archives:
    """The wheel is built from the sdist, so that who has that only can build it, too."""
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:  # its own is below that of all workers
        shared = shared.parent
    source, built = shared / "source", shared / "dist"
    with (shared / "dist.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not built.exists():
            _build(source, built)
    (wheel,) = built.glob("*.whl")
    (sdist,) = built.glob("*.tar.gz")
    return Archives(source, wheel, sdist)


def _build(source: Path, built: Path) -> None:
    source.mkdir()
    for name in PARTS:
        part = ROOT / name
        if part.is_dir():
            shutil.copytree(part, source / name, ignore=_GENERATED)
        else:
            shutil.copy(part, source)
    aside = source.with_name("building")
    run(sys.executable, "-m", "build", "--outdir", aside, source)
    aside.rename(built)


def run(*command: object, **options: object) -> str:
    """What a command prints to stdout; it must end well."""
    ended = subprocess.run(  # type: ignore[call-overload]
        [str(word) for word in command],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=250, check=False,
        **options,
    )  # fmt: skip
    assert ended.returncode == 0, f"{command}: {ended.stdout[-2000:]}{ended.stderr[-4000:]}"
    return str(ended.stdout)

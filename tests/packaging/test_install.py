"""The wheel in a bare environment of each Python that is installed here, and by pipx."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from pathlib import Path

import pytest
from tests.packaging.conftest import ROOT, Archives, run

import sealift

LOCK = ROOT / "requirements.lock"
VERSION = f"sealift {sealift.__version__}\n"


def pythons() -> dict[str, str]:
    """An executable of each Python from 3.11 on, the running one and those of pyenv and PATH."""
    found = {f"3.{sys.version_info.minor}": getattr(sys, "_base_executable", sys.executable)}
    versions = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"), "versions")
    for minor in range(11, 15):
        name = f"3.{minor}"
        candidates = [str(path) for path in versions.glob(f"{name}.[0-9]*/bin/python")]
        on_path = shutil.which(f"python{name}")
        if on_path and "shims" not in on_path:
            candidates.append(on_path)
        for candidate in candidates:
            found.setdefault(name, candidate)
    return found


PYTHONS = pythons()


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Nothing of ours: no path to look for modules, no environment, no settings."""
    (tmp_path / "tmp").mkdir()
    left = {
        name: value for name, value in os.environ.items()
        if not name.startswith(("AWS_", "PYTHON", "SSE_", "VIRTUAL_ENV"))
    }  # fmt: skip
    return left | {"TMPDIR": str(tmp_path / "tmp")}


@pytest.mark.parametrize("version", sorted(PYTHONS))
def test_the_wheel_runs_its_demo(
    version: str, archives: Archives, environment: dict[str, str], tmp_path: Path
) -> None:
    venv, work = tmp_path / "venv", tmp_path / "work"
    work.mkdir()
    run(PYTHONS[version], "-m", "venv", "--without-pip", venv, env=environment)
    uv = [sys.executable, "-m", "uv", "--quiet", "pip"]  # pip takes 15 s of CPU for the same
    into = ["--python", venv / "bin/python"]
    run(*uv, "install", *into, "--require-hashes", "-r", LOCK, env=environment)
    run(*uv, "install", *into, "--no-deps", archives.wheel, env=environment)
    run(*uv, "check", *into, env=environment)

    command = venv / "bin/sealift"
    assert run(command, "--version", cwd=work, env=environment) == VERSION
    told = run(
        venv / "bin/python", "-c", "import sys, sealift; print(sys.version, sealift.__file__)",
        cwd=work, env=environment,
    )  # fmt: skip
    assert told.startswith(f"{version}.")
    assert str(venv) in told
    lines = run(command, "demo", "--json", cwd=work, env=environment).splitlines()
    summaries = [line for line in map(json.loads, lines) if line["event"] == "summary"]
    assert [summary["status"] for summary in summaries] == ["complete", "complete"]
    assert list(work.iterdir()) == []
    assert list((tmp_path / "tmp").iterdir()) == []


def test_pipx_installs_the_command_and_its_manual(
    archives: Archives, environment: dict[str, str], tmp_path: Path
) -> None:
    home = tmp_path / "pipx"
    environment |= {
        "PIPX_HOME": str(home),
        "PIPX_BIN_DIR": str(home / "bin"),
        "PIPX_MAN_DIR": str(home / "man"),
        "PIPX_SHARED_LIBS": str(home / "shared"),
        "PIPX_DEFAULT_PYTHON": sys.executable,
        "PIPX_DEFAULT_BACKEND": "pip",
    }
    pinned = tmp_path / "constraints.txt"  # pip asks for hashes of all, or takes none
    pinned.write_text("\n".join(re.findall(r"^\S+==\S+", LOCK.read_text(), re.MULTILINE)))
    run(
        sys.executable, "-m", "pipx", "install", f"{archives.wheel}[demo]",
        f"--pip-args=--constraint={pinned}", env=environment,
    )  # fmt: skip
    assert run(home / "bin/sealift", "--version", env=environment) == VERSION
    assert (home / "man/man1/sealift.1").read_bytes() == (ROOT / "docs/man/sealift.1").read_bytes()
    (share,) = home.glob("venvs/*/share")
    assert (share / "bash-completion/completions/sealift").is_file()

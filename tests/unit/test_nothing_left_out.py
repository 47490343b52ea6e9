"""A skipped test fails the run in CI, and only there."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SKIPPED = """
import pytest

def test_at_run_time():
    pytest.skip("no server")

@pytest.mark.skipif(True, reason="no tool")
def test_at_set_up():
    pass
"""


@pytest.mark.parametrize(
    ("ci", "status", "said"), [("true", 1, "1 failed, 1 error"), ("false", 0, "2 skipped")]
)
def test_a_skip(tmp_path: Path, ci: str, status: int, said: str) -> None:
    path = tmp_path / "test_left_out.py"
    path.write_text(SKIPPED)
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "tests.conftest", "-c", "pyproject.toml", str(path)],
        cwd=ROOT, env={**os.environ, "CI": ci}, capture_output=True, text=True, timeout=240,
        check=False,
    )  # fmt: skip
    assert said in ended.stdout, ended.stdout + ended.stderr
    assert ended.returncode == status

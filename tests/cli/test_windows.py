"""Windows gets one sentence, before anything is imported that is not there."""

from __future__ import annotations

import subprocess
import sys

import pytest

# As on Windows: the name of the platform, and modules that Python lacks there.
WINDOWS = """
import runpy, sys
sys.platform = "win32"
sys.modules |= dict.fromkeys(["fcntl", "grp", "pwd", "resource", "termios", "uvloop"])
sys.argv = ["sealift", *{words}]
"""
STARTS = {
    "the command": "from sealift.__main__ import main; main()",
    "python -m": "runpy.run_module('sealift', run_name='__main__', alter_sys=True)",
}


@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize("words", [[], ["--version"], ["--help"], ["put"], ["key", "new"]])
def test_windows_is_refused_in_a_sentence(start: str, words: list[str]) -> None:
    code = WINDOWS.format(words=words) + STARTS[start]
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=50, check=False
    )
    assert (ended.returncode, ended.stdout) == (2, "")
    (line,) = ended.stderr.splitlines()
    assert "not on Windows" in line
    assert "WSL" in line

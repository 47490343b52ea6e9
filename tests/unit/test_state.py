"""Where the user's state is: by the rules of the system, or nowhere."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sealift.state import state_directory

# A user that no system knows has no home but by HOME.
CODE = """
import os, platformdirs, pwd
from sealift.state import state_directory
if os.geteuid() == 0:
    os.setuid(54321)
print(state_directory())
"""


def test_it_is_where_the_variable_says(state_home: Path) -> None:
    assert state_directory() == str(state_home / "sealift")


def test_it_is_below_the_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    found = state_directory()
    assert found is not None
    assert Path(found).is_relative_to(tmp_path)


def test_it_is_not_in_the_working_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", "relative")
    found = state_directory()
    assert found is None or Path(found).is_relative_to(Path.home())


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be a user that nobody knows")
def test_there_may_be_none() -> None:
    environ = {
        name: value for name, value in os.environ.items() if name not in ("HOME", "XDG_STATE_HOME")
    }
    done = subprocess.run(
        [sys.executable, "-c", CODE], env=environ, capture_output=True, text=True, check=True
    )
    assert done.stdout == "None\n"


def test_nothing_is_made(state_home: Path) -> None:
    state_directory()
    assert not state_home.exists()

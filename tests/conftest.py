"""What holds for all tests: in CI nothing is left out; the user's own state stays untouched."""

from __future__ import annotations

import itertools
import os
from collections.abc import Generator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

# How long an example takes depends on what else runs.
hypothesis.settings.register_profile("sealift", deadline=None)
hypothesis.settings.load_profile("sealift")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
    call: pytest.CallInfo[None],
) -> Generator[None, pytest.TestReport, Any]:
    """Turn a skip into a failure when CI is true: what it needs must be there."""
    report = yield
    if report.skipped and os.environ.get("CI") == "true" and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"left out, which CI does not allow: {report.longrepr}"
    return report


_numbers = itertools.count()


@pytest.fixture(scope="session")
def _states(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("states")


@pytest.fixture(autouse=True)
def state_home(_states: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory of each test's own catalogue, and of those of its child processes.

    Nor do tests see the user's own customer keys.
    """
    home = _states / str(next(_numbers))
    monkeypatch.setenv("XDG_STATE_HOME", str(home))
    monkeypatch.setenv("XDG_CONFIG_HOME", f"{home}-config")
    return home

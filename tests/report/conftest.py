"""The pages that are written, and a browser to look at them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.chromium import Browser, chromium, missing
from tests.report.samples import SETTING, results, run_of_everything

from sealift.bench.advice import advise
from sealift.bench.changes import changes
from sealift.bench.page import page
from sealift.bench.results import Run
from sealift.pages.run import run_page


@pytest.fixture(scope="session")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """That of `bench`."""
    path = tmp_path_factory.mktemp("report") / "report.html"
    ours = results()
    found = changes(Run(SETTING, tuple(ours)), ours)
    path.write_text(page(SETTING, ours, advise(ours), found), encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def run_report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """That of a transfer."""
    path = tmp_path_factory.mktemp("report") / "run.html"
    path.write_text(run_page(*run_of_everything()), encoding="utf-8")
    return path


@pytest.fixture(params=["report", "run_report"])
def any_report(request: pytest.FixtureRequest) -> Path:
    path: Path = request.getfixturevalue(request.param)
    return path


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    if reason := missing():
        pytest.skip(reason)
    with chromium(tmp_path_factory.mktemp("chromium") / "profile") as browser:
        yield browser

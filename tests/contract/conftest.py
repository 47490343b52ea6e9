"""The servers that the contract is held against, each started once and shared by all tests.

MiniStack comes from PyPI by itself. Ceph is Debian's: where it is not installed its tests are
skipped and the run ends by saying so, but under CI=true a missing server fails the run.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.contract.site import Boto, Site, connect
from tests.servers.ceph import ceph, ceph_available

from sealift.embedded import S3Server, ministack

_SERVERS = {"ministack": ministack, "ceph": ceph}
_left_out: list[str] = []


@pytest.fixture(scope="session")
def start_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], S3Server]]:
    """What starts a server on first use; all run to the end of the tests, in whatever order."""
    running: dict[str, S3Server] = {}

    with contextlib.ExitStack() as stack:

        def started(name: str) -> S3Server:
            if name not in running:
                server = _SERVERS[name](tmp_path_factory.mktemp(name))
                running[name] = stack.enter_context(server)
            return running[name]

        yield started


@pytest.fixture(scope="session", params=sorted(_SERVERS, reverse=True))
def server(request: pytest.FixtureRequest, start_server: Callable[[str], S3Server]) -> S3Server:
    """A running server; `parametrize("server", [...], indirect=True)` asks for some only."""
    missing = ceph_available() if request.param == "ceph" else None
    if missing is not None:
        if os.environ.get("CI") == "true":
            pytest.fail(missing, pytrace=False)
        if missing not in _left_out:
            _left_out.append(missing)
        pytest.skip(missing)
    return start_server(request.param)


@pytest.fixture(scope="session")
def boto(server: S3Server) -> Iterator[Boto]:
    """boto3 on the server: the second opinion."""
    with contextlib.closing(connect(server)) as client:
        yield client


@pytest.fixture
def site(server: S3Server, boto: Boto, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    """A fresh bucket and customer key, an empty working directory, nobody's AWS settings."""
    for name in list(os.environ):
        if name.startswith("AWS_") or name.upper().endswith("_PROXY"):
            monkeypatch.delenv(name)
    home = tmp_path / "home"
    (home / ".aws").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", server.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", server.secret_key)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    made = Site(server, boto, work)
    boto.create_bucket(Bucket=made.bucket)
    return made


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say which servers the contract was not held against."""
    for missing in _left_out:
        terminalreporter.write_line(f"contract tests left out: {missing}", yellow=True)

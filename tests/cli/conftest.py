from __future__ import annotations

import logging
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.faults import Certificate, FaultServer
from typer.testing import CliRunner

from sealift.cli.app import app
from sealift.embedded import make_certificate
from sealift.keys import CustomerKey

RAW_KEY = bytes(range(32))
MANIFEST = (
    '{"bucket": "bucket", "name": "x", "size": 1, "crc64nvme": null, "key_id": null,'
    ' "version_id": null}\n'
)


@dataclass(frozen=True)
class Ended:
    """A command that has ended."""

    status: int
    stdout: str
    stderr: str


@pytest.fixture
def environ(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """An empty directory to work in, a home without settings, and nothing of this machine's."""
    before = dict(os.environ)
    level, handlers = logging.root.level, list(logging.root.handlers)
    os.environ.clear()
    home = tmp_path / "home"
    work = tmp_path / "work"
    for directory in (home, work):
        directory.mkdir()
    os.environ.update(
        PATH=before["PATH"],
        HOME=str(home),
        XDG_STATE_HOME=before["XDG_STATE_HOME"],
        COLUMNS="200",
        AWS_EC2_METADATA_DISABLED="true",
        AWS_ACCESS_KEY_ID="test",
        AWS_SECRET_ACCESS_KEY="test",
        AWS_REGION="us-east-1",
    )
    monkeypatch.chdir(work)
    with monkeypatch.context() as patch:
        yield patch
    os.environ.clear()
    os.environ.update(before)
    logging.root.setLevel(level)
    logging.root.handlers[:] = handlers


@pytest.fixture
def work(environ: pytest.MonkeyPatch) -> Path:
    """The working directory, with a whole `.env` in it."""
    work = Path.cwd()
    lines = f"BUCKET_NAME=bucket\nKEY=name.bin\n{CustomerKey(RAW_KEY).env_lines()}"
    (work / ".env").write_text(lines)
    (work / ".env").chmod(0o600)
    (work / "name.bin").write_bytes(b"content")
    return work


@pytest.fixture
def run(work: Path) -> Callable[..., Ended]:
    """Run a command line in this process."""

    def run_here(*words: object) -> Ended:
        result = CliRunner().invoke(app, [str(word) for word in words], prog_name="sealift")
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Ended(result.exit_code, result.stdout, result.stderr)

    return run_here


@pytest.fixture
def run_process(work: Path) -> Callable[..., Ended]:
    """Run a command line in a process of its own, as users do."""

    def run_there(*words: object) -> Ended:
        ended = subprocess.run(
            [sys.executable, "-m", "sealift", *(str(word) for word in words)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return Ended(ended.returncode, ended.stdout, ended.stderr)

    return run_there


@pytest.fixture
def silent_endpoint(work: Path) -> Iterator[socket.socket]:
    """The endpoint of the settings; nobody may connect to it."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        listener.setblocking(False)
        os.environ["AWS_ENDPOINT_URL"] = f"https://127.0.0.1:{listener.getsockname()[1]}"
        yield listener
        with pytest.raises(BlockingIOError):
            listener.accept()


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return make_certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def server(work: Path, certificate: Certificate) -> Iterator[FaultServer]:
    """An S3 that the settings point at."""
    with FaultServer(certificate) as server:
        os.environ["AWS_ENDPOINT_URL"] = server.endpoint_url
        os.environ["AWS_CA_BUNDLE"] = str(certificate.ca_file)
        yield server

"""The embedded server is real, and nothing of it outlives whoever started it."""

from __future__ import annotations

import contextlib
import importlib.resources
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from sealift import embedded
from sealift.embedded import (
    MINISTACK_VERSION,
    S3Server,
    answers,
    make_certificate,
    ministack,
    ministack_command,
    tethered,
)
from sealift.errors import SettingsError

HOLD = 'exec sleep 1000 >"$0"'
HOLD_IN_GRANDCHILD = 'sleep 1000 >"$0" & wait'


def port_of(server: S3Server) -> int:
    port = urlsplit(server.endpoint_url).port
    assert port is not None
    return port


def script(path: Path, text: str) -> Path:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def fifo(tmp_path: Path) -> Path:
    """What a process holds open for writing: reading it ends when that process does."""
    path = tmp_path / "fifo"
    os.mkfifo(path)
    return path


def test_serves_tls_and_ends_with_its_context(tmp_path: Path) -> None:
    with ministack(tmp_path) as server:
        port = port_of(server)
        assert answers(port, server.ca_file)
        with socket.create_connection(("127.0.0.1", port)) as plain:
            context = ssl.create_default_context(cafile=server.ca_file)
            with context.wrap_socket(plain, server_hostname="localhost") as secure:
                assert secure.version() == "TLSv1.3"
        assert server.ca_file.is_relative_to(tmp_path)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))


def test_two_run_side_by_side(tmp_path: Path) -> None:
    with ministack(tmp_path / "a") as one, ministack(tmp_path / "b") as other:
        assert one.endpoint_url != other.endpoint_url
        assert not answers(port_of(one), other.ca_file), "each has its own authority"


def test_the_environment_names_another_executable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = script(tmp_path / "mine", "exit 0")
    monkeypatch.setenv("SEALIFT_MINISTACK", str(mine))
    assert ministack_command() == [str(mine)]


def test_an_executable_that_is_none_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEALIFT_MINISTACK", str(tmp_path / "nothing"))
    with pytest.raises(SettingsError, match="SEALIFT_MINISTACK is no executable file"):
        ministack_command()


def test_a_server_that_dies_is_reported_with_its_last_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = script(tmp_path / "broken", "echo it broke; exit 3")
    monkeypatch.setenv("SEALIFT_MINISTACK", str(broken))
    with (
        pytest.raises(SettingsError, match=r"ended with status 3 .*: it broke"),
        ministack(tmp_path / "server"),
    ):
        pytest.fail("it never served")


def test_the_server_sees_no_credentials_of_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "must stay here")
    monkeypatch.setenv("SEALIFT_MINISTACK", str(script(tmp_path / "spy", "env; exit 3")))
    with pytest.raises(SettingsError), ministack(tmp_path / "server"):
        pytest.fail("it never served")
    seen = (tmp_path / "server" / "ministack.log").read_text()
    assert "USE_SSL=1" in seen
    assert "must stay here" not in seen


def test_without_the_certificate_package_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "trustme", None)
    with pytest.raises(SettingsError, match=r"pip install 'sealift\[demo\]'"):
        make_certificate(tmp_path)


def test_the_private_key_is_for_its_owner_only(tmp_path: Path) -> None:
    certificate = make_certificate(tmp_path)
    assert certificate.key_file.stat().st_mode & 0o077 == 0


def test_the_secret_is_not_shown() -> None:
    server = S3Server("x", "https://x", Path("ca"), "access", "hidden-secret", "region")
    assert "hidden-secret" not in repr(server)


def test_the_lock_pins_the_version() -> None:
    lock = importlib.resources.files("sealift").joinpath("ministack.lock").read_text()
    assert f"ministack=={MINISTACK_VERSION} " in lock


def test_installed_once_when_two_come_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installs = []

    def install(root: Path, lock_text: bytes) -> None:
        installs.append(root)
        time.sleep(0.1)
        (root / "bin").mkdir(parents=True)
        (root / "bin" / "python").touch()

    monkeypatch.setattr(embedded, "_install", install)
    root = tmp_path / "environment"
    with ThreadPoolExecutor() as pool:
        found = list(pool.map(embedded._installed, [root, root]))
    assert found == [root / "bin" / "ministack"] * 2
    assert installs == [root]


def cut_short(root: Path) -> None:
    (root / ".complete").unlink()


def made_from_another_lock(root: Path) -> None:
    (root / ".complete").write_text("another digest")


def made_with_a_python_that_is_gone(root: Path) -> None:
    (root / "bin" / "python").unlink()


@pytest.mark.parametrize(
    "spoil", [cut_short, made_from_another_lock, made_with_a_python_that_is_gone]
)
def test_an_environment_that_is_not_whole_is_made_again(
    spoil: Callable[[Path], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installs = []

    def install(root: Path, lock_text: bytes) -> None:
        installs.append(root)
        (root / "bin").mkdir(parents=True, exist_ok=True)
        (root / "bin" / "python").touch()

    monkeypatch.setattr(embedded, "_install", install)
    embedded._installed(tmp_path)
    embedded._installed(tmp_path)
    assert len(installs) == 1
    spoil(tmp_path)
    embedded._installed(tmp_path)
    assert len(installs) == 2


@pytest.mark.parametrize("command", [HOLD, HOLD_IN_GRANDCHILD])
def test_the_whole_group_ends_with_the_context(command: str, tmp_path: Path, fifo: Path) -> None:
    with tethered(["sh", "-c", command, str(fifo)], log_file=tmp_path / "log"):
        reader = fifo.open("rb")
    with reader:
        assert reader.read() == b""


@pytest.mark.parametrize("command", [HOLD, HOLD_IN_GRANDCHILD])
def test_the_whole_group_ends_when_we_are_killed(command: str, tmp_path: Path, fifo: Path) -> None:
    program = (
        "import pathlib, sys, time; from sealift.embedded import tethered\n"
        "with tethered(sys.argv[2:], log_file=pathlib.Path(sys.argv[1])): time.sleep(1000)"
    )
    arguments = [str(tmp_path / "log"), "sh", "-c", command, str(fifo)]
    parent = subprocess.Popen([sys.executable, "-c", program, *arguments])
    try:
        with fifo.open("rb") as reader:
            parent.send_signal(signal.SIGKILL)
            assert reader.read() == b""
    finally:
        with contextlib.suppress(ProcessLookupError):
            parent.kill()
        parent.wait()


def test_the_child_reports_its_own_status(tmp_path: Path) -> None:
    with tethered(["sh", "-c", "exit 7"], log_file=tmp_path / "log") as child:
        assert child.wait(10) == 7


def test_a_child_that_will_not_stop_is_killed(tmp_path: Path) -> None:
    stubborn = ["sh", "-c", "trap '' TERM; echo up; while :; do sleep 1; done"]
    log_file = tmp_path / "log"
    with tethered(stubborn, log_file=log_file, grace=0.2) as child:
        while "up" not in log_file.read_text():
            time.sleep(0.01)
    assert child.returncode == -signal.SIGKILL

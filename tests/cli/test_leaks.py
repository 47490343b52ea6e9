"""The leak test of every command: no form of the customer key, nor eight bytes of one, anywhere.

What is searched: stdout, stderr, every file and name below the directory of work (temporary files,
targets and core dumps too), the home and the state, the arguments and the environment of every
process of ours and of those it starts.
"""

from __future__ import annotations

import base64
import os
import pty
import resource
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import typer.main
from tests.cli.leaks import CASES, KEY_FILE, Case, furnish, leaf_commands, start
from tests.faults import FaultServer, Match, NoEcho, Redirect, Status
from tests.kit import OTHER_KEY, SECRET, assert_secret
from tests.kit import Certificate as Files

from sealift.cli.app import app

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc"),
]
SEAL = "x-amz-server-side-encryption-customer-key"
TEXT = base64.b64encode(SECRET).decode()
ACCOUNTS = ("--log-file", "run.log", "--metrics-file", "run.prom", "--log-level", "debug")
ALWAYS = Match(times=None)
SEALED = Match(times=None, where=lambda request: SEAL in request.headers)


@dataclass
class Run:
    """A command about to be run in a situation; a situation changes what it likes."""

    work: Path
    server: FaultServer
    words: tuple[str, ...]
    environ: dict[str, str]
    options: dict[str, Any]
    well: tuple[int, ...]
    do: str = ""
    status: tuple[int, ...] = (0, 1, 2)


def add(*words: str) -> Callable[[Run], None]:
    """More words; the command goes well."""

    def change(run: Run) -> None:
        run.words += words
        run.status = run.well

    return change


def answer(*faults: Any, to: Match = ALWAYS) -> Callable[[Run], None]:
    """A server that answers everything so, or what `to` matches."""

    def change(run: Run) -> None:
        run.environ["LEAK_BRIEF"] = "1"
        run.server.script(to, *faults)

    return change


def strike(do: str, status: int) -> Callable[[Run], None]:
    """A bug amid the work."""

    def change(run: Run) -> None:
        run.do = do
        run.status = (status,)

    return change


def both(*changes: Callable[[Run], None]) -> Callable[[Run], None]:
    """One after the other."""

    def change(run: Run) -> None:
        for each in changes:
            each(run)

    return change


def no_connection(run: Run) -> None:
    run.environ |= {"AWS_ENDPOINT_URL": "https://127.0.0.1:1", "LEAK_BRIEF": "1"}


def bad_tls(run: Run) -> None:
    run.environ["AWS_CA_BUNDLE"] = str(Files.make(run.work).ca_file)


def full_disk(run: Run) -> None:
    """No file takes a byte, nor does stdout."""
    run.options["stdout"] = os.open("/dev/full", os.O_WRONLY)
    run.options["preexec_fn"] = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))


def other_sources(run: Run) -> None:
    """The key is in the environment that the user made, twice, and a program of others gives it."""
    (run.work / ".env").write_text("BUCKET_NAME=bucket\nKEY=name.bin\n")
    run.words += ("--key-command", f"cat {KEY_FILE}")
    run.environ |= {"SSE_CUSTOMER_KEY_BASE64": TEXT, "SSE_CUSTOMER_KEY_BASE64_OTHER": TEXT}
    run.status = run.well


SITUATIONS: dict[str, Callable[[Run], None]] = {
    "success": add(),
    "JSON and debug": add("--json", "--log-level", "debug"),
    "log and metrics": add(*ACCOUNTS),
    "bug, logged": both(add(*ACCOUNTS), strike("raise", 1)),
    "terminal and key file": add("--key-file", KEY_FILE),
    "environment and key command": other_sources,
    "wrong key": lambda run: None,
    "refused": answer(Status(403, "AccessDenied", "Access Denied")),
    "not sealed": answer(NoEcho()),
    "key said back": answer(
        Status(400, "InvalidArgument", f"the key {TEXT} is {SECRET.hex()}"),
        Status(403, "AccessDenied", "", {"x-amz-request-id": TEXT}),
        Redirect(307, f"https://elsewhere.example/?{SEAL}={TEXT}"),
        to=SEALED,
    ),
    "no connection": no_connection,
    "bad TLS": bad_tls,
    "full disk": full_disk,
    "bug": strike("raise", 1),
    "SIGSEGV": strike("SIGSEGV", -signal.SIGSEGV),
    "SIGKILL": strike("SIGKILL", -signal.SIGKILL),
}


def test_every_command_has_a_case() -> None:
    """Whoever adds a command adds a line to CASES in leaks.py."""
    assert {name.partition(" (")[0] for name in CASES} == set(
        leaf_commands(typer.main.get_command(app))
    )


def uncapped() -> None:
    """As where core dumps are wanted."""
    hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
    resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))


@pytest.mark.parametrize(
    ("command", "situation"),
    [
        (command, situation)
        for command, case in CASES.items()
        for situation in case.situations or SITUATIONS
    ],
)
def test_case_30_no_command_shows_the_key(
    server: FaultServer, work: Path, state_home: Path, command: str, situation: str
) -> None:
    case = CASES[command]
    furnish(work, server, OTHER_KEY if situation == "wrong key" else SECRET)
    case.prepare(work, server)
    run = Run(work, server, case.words, dict(case.environ), {"preexec_fn": uncapped}, case.well)
    SITUATIONS[situation](run)
    out, status, dumped = ended(run, case, on_terminal="terminal" in situation)
    assert status in run.status, out.decode(errors="replace")
    assert not dumped
    if run.do == "raise":
        assert b"RuntimeError: a bug of ours" in out
    elif run.do == "SIGSEGV":
        assert b"Fatal Python error" in out
    assert_secret(out)
    assert_nothing_left(run, case, state_home)
    if "--log-file" in run.words:
        log = (work / "run.log").read_text()
        assert f" exit {status} after " in log
        assert ("RuntimeError: a bug of ours" in log) == (run.do == "raise")
        assert f"}} {status}\n" in (work / "run.prom").read_text()
    if situation == "success" and case.carries:
        carried = {sent.headers.get(SEAL) for sent in server.requests}
        assert TEXT in carried, "there was nothing to leak"


def ended(run: Run, case: Case, *, on_terminal: bool) -> tuple[bytes, int, bool]:
    """What a command said, its exit status, and whether the kernel dumped its core."""
    ours, theirs = pty.openpty() if on_terminal else os.pipe()
    streams = {"stdout": theirs, "stderr": theirs} | run.options
    child = start(run.work, run.words, do=run.do, at=case.at, environ=run.environ, **streams)
    for each in {theirs, streams["stdout"]}:
        os.close(each)
    shown = b"".join(iter(lambda: read(ours), b""))
    os.close(ours)
    end = os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert end is not None
    return shown, child.wait(), end.si_code == os.CLD_DUMPED


def read(channel: int) -> bytes:
    try:
        return os.read(channel, 65536)
    except OSError:  # EIO: a terminal whose other side is closed
        return b""


def assert_nothing_left(run: Run, case: Case, state_home: Path) -> None:
    """Search all files and their names, but those that hold the key on purpose."""
    on_purpose = {run.work / name for name in (".env", KEY_FILE, "spy/sitecustomize.py", "large")}
    on_purpose |= {run.work / name for name in case.holds}
    for root in (run.work.parent, state_home):
        for path in root.rglob("*"):
            assert_secret(os.fsencode(path))
            holds = path in on_purpose or path.parent in on_purpose
            if path.is_file() and not holds and "ministack-" not in str(path):
                assert_secret(path.read_bytes())
    if "preexec_fn" in run.options and run.options["preexec_fn"] is not uncapped:
        return
    assert any(b"sealift" in path.read_bytes() for path in (run.work / "seen").iterdir())

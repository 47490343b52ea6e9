"""Every command by every way to end early: the exit status. test_leaks.py has the other way."""

from __future__ import annotations

import itertools
import signal
import subprocess
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TypeVar

import pytest
from tests.cli.leaks import CASES, LOCAL, furnish, start
from tests.faults import FaultServer, Match, Stall

T = TypeVar("T")

pytestmark = pytest.mark.timeout(90)

# Its server is one of its own, and it takes long.
COMMANDS = {name: case for name, case in CASES.items() if name != "demo"}
# They ask no server, or not that of the settings.
ALONE = {name for name, case in COMMANDS.items() if case.situations == LOCAL}
# Begins other processes, which end so.
BEGINS_OTHERS = {"resume"}
WRONG = [("--bogus",), ("--log-file", "missing/log"), ("--metrics-file", "run.txt")]
STOPPING = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


def each_with(commands: Iterable[str], ways: Sequence[T]) -> list[tuple[str, T]]:
    """Every command with one of the ways, each of which has its turn."""
    return list(zip(sorted(commands), itertools.cycle(ways), strict=False))


@pytest.fixture(autouse=True)
def furnished(work: Path, server: FaultServer) -> None:
    furnish(work, server)


def prepared(work: Path, server: FaultServer, command: str) -> None:
    COMMANDS[command].prepare(work, server)


@pytest.mark.parametrize(("command", "words"), each_with(COMMANDS, WRONG))
def test_wrong_usage_and_settings(
    work: Path, server: FaultServer, command: str, words: tuple[str, ...]
) -> None:
    prepared(work, server, command)
    before = len(server.requests)
    case = COMMANDS[command]
    child = start(work, (*case.words, *words), environ=case.environ, stderr=subprocess.PIPE)
    _, said = child.communicate(timeout=60)
    assert (child.returncode, len(server.requests)) == (2, before), said
    assert b"Traceback" not in said


@pytest.mark.parametrize("command", sorted(COMMANDS.keys() - ALONE - BEGINS_OTHERS))
def test_no_server(work: Path, server: FaultServer, command: str) -> None:
    prepared(work, server, command)
    case = COMMANDS[command]
    environ = {**case.environ, "AWS_ENDPOINT_URL": "https://127.0.0.1:1", "LEAK_BRIEF": "1"}
    child = start(work, case.words, environ=environ, stderr=subprocess.PIPE)
    _, said = child.communicate(timeout=60)
    assert child.returncode == (1 if command in ("doctor", "clean") else 2), said
    assert b"Traceback" not in said


@pytest.mark.parametrize(("command", "number"), each_with(COMMANDS.keys() - ALONE, STOPPING))
def test_interrupted_while_a_server_does_not_answer(
    work: Path, server: FaultServer, command: str, number: signal.Signals
) -> None:
    prepared(work, server, command)
    before = len(server.requests)
    server.script(Match(times=None), Stall("before_head"))
    case = COMMANDS[command]
    child = start(work, case.words, environ=case.environ, stderr=subprocess.PIPE)
    while len(server.requests) == before and child.poll() is None:
        time.sleep(0.02)
    time.sleep(0.2)
    child.send_signal(number)
    _, said = child.communicate(timeout=60)
    assert child.returncode == 130, said
    assert b"Traceback" not in said


@pytest.mark.parametrize(("command", "number"), each_with(ALONE, STOPPING))
def test_interrupted_on_this_machine(
    work: Path, server: FaultServer, command: str, number: signal.Signals
) -> None:
    prepared(work, server, command)
    case = COMMANDS[command]
    child = start(
        work,
        case.words,
        do=number.name,
        at=case.at,
        environ=case.environ,
        stderr=subprocess.PIPE,
    )
    _, said = child.communicate(timeout=60)
    assert child.returncode == 130, said
    assert b"Traceback" not in said

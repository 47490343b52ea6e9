"""What `rm` asks, and what it does when nobody can answer."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Callable

import pytest
from tests.faults import FaultServer, Match, Status

from .conftest import Ended
from .terminal import at_terminal, typed

Run = Callable[..., Ended]


@pytest.fixture(autouse=True)
def stored(server: FaultServer) -> None:
    for name in ("p", "p/a", "p/b/c", "p2/x"):
        server.store(name, b"12345")


def names(server: FaultServer) -> list[str]:
    return sorted(name for _, name in server.objects)


@pytest.mark.parametrize("uri", ["s3://bucket/p/", "s3://bucket/p"])
def test_yes_removes_what_was_counted(server: FaultServer, uri: str) -> None:
    status, screen = at_terminal(typed("y\n"), "rm", "--recursive", uri)
    assert status == 0, screen
    assert f"Remove 2 objects (10 B) below {uri}? [y/N]" in screen
    assert names(server) == ["p", "p2/x"]


@pytest.mark.parametrize("answer", ["n\n", "\n", "yea\n", "\x04"])
def test_anything_else_removes_nothing(server: FaultServer, answer: str) -> None:
    status, screen = at_terminal(typed(answer), "rm", "s3://bucket/p/")
    assert status == 2, screen
    assert "nothing was removed" in screen
    assert len(server.objects) == 4


def test_ctrl_c_at_the_question_removes_nothing(server: FaultServer) -> None:
    def interrupt(_: int, child: subprocess.Popen[bytes]) -> None:
        child.send_signal(signal.SIGINT)

    status, screen = at_terminal(interrupt, "rm", "s3://bucket/p/")
    assert (status, "Traceback" in screen) == (130, False), screen
    assert len(server.objects) == 4


@pytest.mark.parametrize(
    "words", [["s3://bucket/p/"], ["s3://bucket/p", "--recursive"], ["s3://bucket", "--recursive"]]
)
def test_without_a_terminal_yes_must_be_said(
    run_process: Run, server: FaultServer, words: list[str]
) -> None:
    ended = run_process("rm", *words)
    assert (ended.status, ended.stdout) == (2, "")
    assert "--yes" in ended.stderr
    assert not server.requests


def test_a_bucket_is_emptied_only_with_recursive(run: Run, server: FaultServer) -> None:
    ended = run("rm", "s3://bucket", "--yes")
    assert (ended.status, "--recursive" in ended.stderr) == (2, True)
    assert not server.requests
    assert run("rm", "s3://bucket", "--yes", "--recursive").status == 0
    assert names(server) == []


def test_one_object_is_removed_without_a_question(run: Run, server: FaultServer) -> None:
    assert run("rm", "s3://bucket/p").status == 0
    assert names(server) == ["p/a", "p/b/c", "p2/x"]
    again = run("rm", "s3://bucket/p")
    assert again.status == 2
    assert "there is no object at s3://bucket/p" in again.stderr


def test_a_dry_run_names_what_would_go(run: Run, server: FaultServer) -> None:
    ended = run("rm", "s3://bucket/p/", "--dry-run")
    assert ended.status == 0
    assert ended.stdout == "would remove s3://bucket/p/a\nwould remove s3://bucket/p/b/c\n"
    (line,) = run("rm", "s3://bucket/p", "--dry-run", "--json").stdout.splitlines()
    assert json.loads(line) == {"event": "would_remove", "name": "p"}
    assert len(server.objects) == 4


def test_json_names_what_went(run: Run) -> None:
    ended = run("rm", "s3://bucket/p/", "--yes", "--json")
    *lines, summary = map(json.loads, ended.stdout.splitlines())
    assert lines == [{"event": "removed", "name": name} for name in ("p/a", "p/b/c")]
    assert (summary["removed_count"], summary["failed_count"]) == (2, 0)


def test_a_failure_is_named_and_is_the_exit_code(run: Run, server: FaultServer) -> None:
    body = b"<DeleteResult><Error><Key>p/a</Key><Code>AccessDenied</Code></Error></DeleteResult>"
    server.script(Match(operation="DeleteObjects"), Status(200, body=body))
    ended = run("rm", "s3://bucket/p/", "--yes", "--quiet")
    assert (ended.status, ended.stdout) == (1, "")
    (line,) = ended.stderr.splitlines()
    assert line.startswith("FAILED p/a: ")


def test_no_customer_key_is_needed(run: Run, server: FaultServer) -> None:
    with open(".env", "w") as file:
        file.write("BUCKET_NAME=bucket\n")
    assert run("rm", "s3://bucket/p/", "--yes").status == 0
    assert names(server) == ["p", "p2/x"]

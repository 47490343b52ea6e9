"""`--report` of commands that move trees: a page at the end, however that comes."""

from __future__ import annotations

import importlib.util
import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.cli.conftest import Ended
from tests.faults import FaultServer, Match, Status

Run = Callable[..., Ended]


@pytest.mark.parametrize(
    "words",
    [("cp", "tree/", "s3://bucket/t/"), ("sync", "tree", "s3://bucket/t"),
     ("restore", "s3://bucket/there/", "back")],
    ids=lambda words: words[0],
)  # fmt: skip
def test_a_page_is_written(run: Run, server: FaultServer, words: tuple[str, ...]) -> None:
    Path("tree").mkdir()
    Path("tree/a").write_bytes(b"a")
    server.store("there/a", b"a", customer_key=None)
    ended = run(*words, "--allow-unsealed", "--report", "page.html")
    assert ended.status == 0
    text = Path("page.html").read_text()
    assert f"{words[0]} " in text
    assert "1 object" in text
    umask = os.umask(0)
    os.umask(umask)
    assert Path("page.html").stat().st_mode & 0o777 == 0o666 & ~umask
    assert not [name for name in os.listdir() if name.endswith(".tmp")]


def test_failures_are_in_it_and_an_earlier_page_goes(run: Run, server: FaultServer) -> None:
    Path("tree").mkdir()
    Path("tree/<b>").write_bytes(b"a")
    Path("page.html").write_text("old")
    server.script(Match(operation="PutObject", times=None), Status(403, "AccessDenied"))
    ended = run("cp", "tree/", "s3://bucket/t/", "--report", "page.html")
    assert ended.status == 1
    text = Path("page.html").read_text()
    assert "1 object failed" in text
    assert "&lt;b&gt;" in text
    assert "<b>" not in text


def test_a_run_that_is_stopped_has_one(run: Run, server: FaultServer) -> None:
    server.script(Match(operation="ListObjectsV2", times=None), Status(403, "AccessDenied"))
    ended = run("restore", "s3://bucket/p/", "back", "--report", "page.html")
    assert ended.status != 0
    assert "stopped by an error" in Path("page.html").read_text()


@pytest.mark.parametrize(
    ("path", "named"),
    [("no/such/r.html", "no/such/r.html"), ("r.txt", "ends in .html"), ("d.html", "a directory")],
)
def test_nothing_is_started_when_it_cannot_be_written(
    run: Run, silent_endpoint: socket.socket, path: str, named: str
) -> None:
    Path("d.html").mkdir()
    ended = run("sync", ".", "s3://bucket/t", "--report", path)
    assert (ended.status, ended.stdout) == (2, "")
    assert named in ended.stderr


def test_nor_without_the_library(
    run: Run, silent_endpoint: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "matplotlib" else found(name)
    )
    ended = run("cp", "name.bin", "s3://bucket/x", "--report", "r.html")
    assert ended.status == 2
    assert "pip install 'sealift[bench]'" in ended.stderr

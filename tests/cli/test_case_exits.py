"""The cases of a client to be trusted, to the exit code: what a command says and ends with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import pytest
from tests.cli.conftest import RAW_KEY, Ended
from tests.faults import FaultServer, Match, NoEcho, ResetRequest, Status

from sealift import retry
from sealift.model import MIN_PART_SIZE

LARGE = bytes(range(256)) * (MIN_PART_SIZE // 256) * 2 + b"end"


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """The default policy, but for how long the first wait between two attempts is."""
    rules = {cause: replace(rule, base=0.001) for cause, rule in retry.DEFAULT_RULES.items()}
    monkeypatch.setattr(retry, "DEFAULT_RULES", MappingProxyType(rules))


def attempts(server: FaultServer, operation: str, name: str) -> int:
    return len([sent for sent in server.seen(operation) if sent.name == name])


def test_case_01_resets_amid_a_part_end_with_0(
    run: Callable[..., Ended], work: Path, server: FaultServer
) -> None:
    (work / "large").write_bytes(LARGE)
    server.script(
        Match(operation="UploadPart", part=2), ResetRequest(1_000_000), ResetRequest(1_000_000)
    )
    ended = run("put", "large", "s3://bucket/large", "--part-size", "5MiB")
    assert ended.status == 0, ended
    assert server.objects["bucket", "large"].body == LARGE
    assert attempts(server, "UploadPart", "large") == 3 + 2
    assert not server.uploads


@pytest.mark.parametrize("words", [(), ("-j", "1")])
def test_case_07_one_object_that_fails_is_named_and_ends_with_1(
    run: Callable[..., Ended], work: Path, server: FaultServer, words: tuple[str, ...]
) -> None:
    names = [f"{number:02}" for number in range(30)]
    (work / "tree").mkdir()
    for name in names:
        (work / "tree" / name).write_bytes(name.encode())
    bad = Match(name="13", times=None, where=lambda sent: sent.method in ("PUT", "GET"))
    server.script(bad, Status(500, "InternalError", "We encountered an internal error."))

    up = run("cp", "tree/", "s3://bucket/", *words)

    assert up.status == 1
    failed, *_ = [line for line in up.stderr.splitlines() if "InternalError" in line]
    assert "13: PutObject 500 InternalError" in failed
    assert "1 object failed" in up.stderr
    assert {name for _, name in server.objects} == set(names) - {"13"}
    assert attempts(server, "PutObject", "13") == 8

    server.store("13", b"13", customer_key=RAW_KEY)
    down = run("restore", "s3://bucket/", "back", *words)

    assert down.status == 1
    assert "13: GetObject 500 InternalError" in down.stderr
    assert "1 object failed" in down.stderr
    assert sorted(path.name for path in (work / "back").iterdir()) == sorted({*names} - {"13"})
    assert attempts(server, "GetObject", "13") == 8


def test_case_23_what_was_stored_unencrypted_is_said_aloud(
    run: Callable[..., Ended], server: FaultServer
) -> None:
    server.script(Match(operation="PutObject"), NoEcho())
    ended = run("put", "--quiet")
    assert ended.status == 1
    assert "UNENCRYPTED" in ended.stderr
    assert not server.objects


def test_case_24_a_plain_object_is_refused(
    run: Callable[..., Ended], work: Path, server: FaultServer
) -> None:
    server.s3.dialect = "ceph"
    server.store("name.bin", b"plain")
    ended = run("get", "s3://bucket/name.bin", "out")
    assert (ended.status, ended.stdout) == (1, "")
    assert "does not say that the object is sealed" in ended.stderr
    assert not (work / "out").exists()

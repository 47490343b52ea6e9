"""`sealift rekey` as typed: which keys it takes, what it prints and writes, how it exits."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.cli.conftest import RAW_KEY, Ended
from tests.faults import FaultServer
from tests.kit import OTHER_KEY

from sealift.keys import CustomerKey

OLD, NEW = CustomerKey(RAW_KEY), CustomerKey(OTHER_KEY)
URI = "s3://bucket/p/"
Run = Callable[..., Ended]


@pytest.fixture(autouse=True)
def _new_key(work: Path) -> None:
    """Beside the key of all tests, which is the default one."""
    with (work / ".env").open("a") as file:
        file.write(f"SSE_CUSTOMER_KEY_BASE64_NEW={base64.b64encode(OTHER_KEY).decode()}\n")


def _key_of(server: FaultServer, name: str) -> str | None:
    return server.objects["bucket", name].customer_key_md5


def test_keys_are_named_by_how_their_ids_begin(run: Run, server: FaultServer) -> None:
    server.store("p/a", b"a", customer_key=RAW_KEY)
    server.store("p/b", b"b", customer_key=RAW_KEY)

    ended = run("rekey", URI, "--from-key", OLD.key_id[:5], "--to-key", NEW.key_id[:6].upper())

    assert ended.status == 0, ended.stderr
    assert f"to the customer key {NEW.key_id}" in ended.stderr
    assert "rekeyed" in ended.stderr
    assert _key_of(server, "p/a") == _key_of(server, "p/b") == NEW.md5
    again = run("rekey", URI, "--to-key", NEW.key_id)
    assert (again.status, "unchanged 2 objects" in again.stderr) == (0, True)


def test_what_is_left_is_named_and_fails_the_run(
    run: Run, server: FaultServer, tmp_path: Path
) -> None:
    server.store("p/a", b"a", customer_key=RAW_KEY)
    server.store("p/b", b"b")
    report = tmp_path / "report"

    ended = run("rekey", URI, "--to-key", NEW.key_id, "--report", report, "--json")

    assert ended.status == 1
    lines = [json.loads(line) for line in ended.stdout.splitlines()]
    assert {(one["event"], one.get("name")) for one in lines} >= {
        ("done", "p/a"), ("failed", "p/b"),
    }  # fmt: skip
    assert [one["direction"] for one in lines if one["event"] == "done"] == ["rekey"]
    written = [json.loads(line) for line in report.read_text().splitlines()]
    outcomes = {one["name"]: (one["outcome"], one["from"], one["to"]) for one in written}
    assert outcomes == {
        "p/a": ("rekeyed", OLD.key_id, NEW.key_id), "p/b": ("failed", "none", NEW.key_id),
    }  # fmt: skip
    assert _key_of(server, "p/b") is None


def test_a_dry_run_prints_what_would_happen(run: Run, server: FaultServer) -> None:
    server.store("p/a", b"a", customer_key=RAW_KEY)
    ended = run("rekey", URI, "--to-key", NEW.key_id, "--dry-run")
    assert ended.status == 0
    assert ended.stdout.startswith(f"would rekey {URI}a to the customer key {NEW.key_id}")
    assert not server.seen("PutObject")
    assert not server.seen("CopyObject")


def test_a_seal_is_taken_off_only_when_that_is_meant(run: Run, server: FaultServer) -> None:
    server.store("p/a", b"a", customer_key=RAW_KEY)
    refused = run("rekey", URI, "--to-key", "none")
    assert refused.status == 2
    assert "--allow-unsealed" in refused.stderr
    assert not server.requests
    assert run("rekey", URI, "--to-key", "none", "--allow-unsealed").status == 0
    assert _key_of(server, "p/a") is None


def test_globs_choose_in_their_order(run: Run, server: FaultServer) -> None:
    for name in ("p/a.txt", "p/b.bin", "p/c.txt"):
        server.store(name, b"x", customer_key=RAW_KEY)
    globs = ("--exclude", "*", "--include", "*.txt", "--exclude", "c*")
    assert run("rekey", URI, "--to-key", NEW.key_id, *globs).status == 0
    moved = [name for _, name in server.objects if _key_of(server, name) == NEW.md5]
    assert moved == ["p/a.txt"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--to-key", "0123"], "not at hand"),
        (["--to-key", NEW.key_id, "--from-key", "beef"], "not at hand"),
        (["--to-key", NEW.key_id, "--from-key", NEW.key_id[:4]], "the two keys are the same"),
        (["--to-key", "kms:"], "unknown"),
        (["--to-key", NEW.key_id, "--sse", "s3"], "give --to-key"),
        ([], "--to-key"),
    ],
)
def test_wrong_words_touch_nothing(
    run: Run, server: FaultServer, words: list[str], said: str
) -> None:
    server.store("p/a", b"a", customer_key=RAW_KEY)
    ended = run("rekey", URI, *words)
    assert ended.status == 2
    assert said in ended.stderr
    assert _key_of(server, "p/a") == OLD.md5
    assert not server.seen("PutObject")


def test_nothing_there_is_an_error(run: Run, server: FaultServer) -> None:
    ended = run("rekey", "s3://bucket/none/", "--to-key", NEW.key_id)
    assert ended.status == 2
    assert "there is no object" in ended.stderr
    assert not server.seen("PutObject")

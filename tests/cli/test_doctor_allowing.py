"""`doctor --allow-sse-c` changes what it is asked to, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.cli.conftest import Ended
from tests.faults import FaultServer, Match, Status, encryption_document

from .doctored import DENIED
from .terminal import at_terminal, typed

Run = Callable[..., Ended]

KMS = "<SSEAlgorithm>aws:kms</SSEAlgorithm><KMSMasterKeyID>arn:aws:kms:k/1</KMSMasterKeyID>"


def test_sse_c_is_allowed_and_the_rest_kept(server: FaultServer, run: Run) -> None:
    server.settings.encryption = encryption_document("SSE-C", rule=KMS)

    ended = run("doctor", "--allow-sse-c", "s3://bucket/some/prefix", "--yes", "--json")

    (line,) = ended.stdout.splitlines()
    finding = json.loads(line)
    assert (ended.status, finding["check"], finding["status"]) == (0, "sse-c", "ok")
    assert "default encryption: aws:kms arn:aws:kms:k/1" in finding["text"]
    document = server.settings.encryption or b""
    assert b"<EncryptionType>NONE</EncryptionType>" in document
    assert b"SSE-C" not in document
    assert b"<KMSMasterKeyID>arn:aws:kms:k/1</KMSMasterKeyID>" in document
    assert b"<BucketKeyEnabled>true</BucketKeyEnabled>" in document
    assert run("put").status == 0


def test_sse_c_that_is_allowed_already(server: FaultServer, run: Run) -> None:
    server.settings.encryption = encryption_document("NONE")
    ended = run("doctor", "--allow-sse-c", "--yes")
    assert ended.status == 0
    assert "nothing was changed" in ended.stdout
    assert not server.seen("PutBucketEncryption")


def test_a_bucket_without_a_rule_is_left_alone(server: FaultServer, run: Run) -> None:
    """Nothing is blocked there, and a default encryption that was made up may stop plain writes."""
    server.settings.encryption = None
    ended = run("doctor", "--allow-sse-c", "--yes")
    assert ended.status == 0
    assert "nothing was changed" in ended.stdout
    assert not server.seen("PutBucketEncryption")


def test_sse_c_is_not_allowed_unasked(server: FaultServer, run_process: Run) -> None:
    server.settings.encryption = encryption_document("SSE-C")
    ended = run_process("doctor", "--allow-sse-c")
    assert ended.status == 2
    assert "--yes" in ended.stderr
    assert not server.requests


def test_sse_c_is_allowed_by_who_says_yes(server: FaultServer) -> None:
    server.settings.encryption = encryption_document("SSE-C", rule=KMS)
    status, screen = at_terminal(typed("y\n"), "doctor", "--allow-sse-c")
    assert status == 0, screen
    assert "stays aws:kms arn:aws:kms:k/1. [y/N]" in screen
    assert not server.settings.blocks_customer_keys


@pytest.mark.parametrize("answer", ["n\n", "\n", "\x04"])
def test_sse_c_stays_blocked_otherwise(server: FaultServer, answer: str) -> None:
    server.settings.encryption = encryption_document("SSE-C")
    status, screen = at_terminal(typed(answer), "doctor", "--allow-sse-c")
    assert status == 2, screen
    assert "nothing was changed" in screen
    assert server.settings.blocks_customer_keys
    assert not server.seen("PutBucketEncryption")


def test_no_right_to_allow_it(server: FaultServer, run: Run) -> None:
    server.settings.encryption = encryption_document("SSE-C")
    server.script(Match(operation="PutBucketEncryption", times=None), DENIED)
    ended = run("doctor", "--allow-sse-c", "--yes")
    assert ended.status == 1
    assert "PutBucketEncryption 403" in ended.stderr


def test_a_setting_that_does_not_hold(server: FaultServer, run: Run) -> None:
    server.settings.encryption = encryption_document("SSE-C")
    server.script(Match(operation="PutBucketEncryption"), Status(200, body=b""))
    ended = run("doctor", "--allow-sse-c", "--yes")
    assert ended.status == 1
    assert "another encryption than was set" in ended.stdout


def test_a_setting_that_somebody_changes_meanwhile(server: FaultServer, run: Run) -> None:
    server.settings.encryption = encryption_document("SSE-C")
    other = Status(200, body=encryption_document("SSE-C", rule=KMS))
    server.script(Match(operation="GetBucketEncryption", after=1), other)
    ended = run("doctor", "--allow-sse-c", "--yes")
    assert ended.status == 1
    assert "changed by somebody else" in ended.stderr
    assert not server.seen("PutBucketEncryption")


@pytest.mark.parametrize("words", [("--yes",), ("--allow-sse-c",)])
def test_wrong_usage(server: FaultServer, run: Run, work: Path, words: tuple[str, ...]) -> None:
    (work / ".env").unlink()
    assert run("doctor", *words).status == 2
    assert not server.requests

"""A 403 says why, as far as the server lets anybody find out; the block of SSE-C ends a run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.cli.conftest import RAW_KEY, Ended
from tests.faults import FaultServer, Match, Status, encryption_document, key_md5_of

from sealift.outlook import REFUSED_COUNT

Run = Callable[..., Ended]
DENIED = Status(403, "AccessDenied", "Access Denied")
USER = "User: arn:aws:iam::1:user/U is not authorized to perform: s3:PutObject"
WORKERS = 3
COUNT = 100
BLOCKED = "the bucket blocks SSE-C, as AWS has it by default since April 2026"


@pytest.fixture
def tree(work: Path) -> Path:
    tree = work / "tree"
    tree.mkdir()
    for number in range(COUNT):
        (tree / f"{number:03}").write_bytes(b"%d" % number)
    return tree


@pytest.fixture
def blocked(server: FaultServer) -> FaultServer:
    """As a bucket is that was made on AWS since April 2026."""
    server.settings.encryption = encryption_document("SSE-C")
    return server


def asked(server: FaultServer) -> list[str]:
    """What was asked, but for the writes themselves and the first contact."""
    writes = ("PutObject", "CreateMultipartUpload", "CopyObject")
    return [sent.operation for sent in server.requests[1:] if sent.operation not in writes]


@pytest.mark.parametrize("tells", [True, False], ids=["told", "found out"])
@pytest.mark.parametrize("command", ["cp", "sync"])
def test_case_26_the_first_write_to_a_blocked_bucket_ends_the_run(
    blocked: FaultServer, run: Run, tree: Path, command: str, tells: bool
) -> None:
    blocked.settings.tells = tells

    ended = run(command, f"{tree}/", "s3://bucket/t/", "-j", WORKERS, "--no-progress")

    assert (ended.status, ended.stdout) == (1, "")
    last = ended.stderr.splitlines()[-1]
    assert last.startswith("sealift: no more objects are tried: PutObject 403 AccessDenied")
    assert BLOCKED in last
    assert last.endswith("run: sealift doctor --allow-sse-c s3://bucket")
    assert 1 <= len(blocked.seen("PutObject")) <= WORKERS
    assert asked(blocked).count("GetBucketEncryption") == (0 if tells else 1)
    assert not blocked.objects


@pytest.mark.parametrize("tells", [True, False], ids=["told", "found out"])
@pytest.mark.parametrize("size", [7, 9 << 20], ids=["one request", "parts"])
def test_case_26_so_does_the_only_one(
    blocked: FaultServer, run: Run, work: Path, tells: bool, size: int
) -> None:
    blocked.settings.tells = tells
    (work / "name.bin").write_bytes(bytes(size))

    ended = run("put", "--no-progress")

    assert ended.status == 1
    assert BLOCKED in ended.stderr
    assert asked(blocked) == ([] if tells else ["GetBucketEncryption"])


def test_case_26_so_does_one_that_comes_after_others(
    server: FaultServer, run: Run, tree: Path
) -> None:
    """Somebody has blocked it meanwhile."""
    server.settings.encryption = encryption_document("SSE-C")
    server.settings.tells = False
    server.script(Match(operation="PutObject", times=10), Status(200, headers={
        "etag": '"0"', "x-amz-server-side-encryption-customer-algorithm": "AES256",
        "x-amz-server-side-encryption-customer-key-md5": key_md5_of(RAW_KEY),
    }))  # fmt: skip

    ended = run("cp", f"{tree}/", "s3://bucket/t/", "-j", 1, "--no-progress")

    assert ended.status == 1
    assert BLOCKED in ended.stderr.splitlines()[-1]
    assert len(server.seen("PutObject")) == 11


def test_a_policy_that_refuses_is_told_from_the_block(
    server: FaultServer, run: Run, work: Path
) -> None:
    server.script(Match(operation="PutObject", times=None), DENIED)

    ended = run("put", "--no-progress")

    assert ended.status == 1
    assert "the bucket does not block SSE-C, so a policy refuses it" in ended.stderr
    assert asked(server) == ["GetBucketEncryption"]


def test_a_policy_that_names_itself_costs_no_question(
    server: FaultServer, run: Run, work: Path
) -> None:
    text = f"{USER} with an explicit deny in a service control policy"
    server.script(Match(operation="PutObject", times=None), Status(403, "AccessDenied", text))

    ended = run("put", "--no-progress")

    assert ended.status == 1
    assert "a service control policy of the organisation forbids s3:PutObject" in ended.stderr
    assert asked(server) == []


@pytest.mark.parametrize(
    "answer", [DENIED, Status(501, "NotImplemented"), Status(500, "InternalError")]
)
def test_who_may_not_ask_is_told_what_it_may_be(
    server: FaultServer, run: Run, tree: Path, answer: Status
) -> None:
    server.script(Match(operation="PutObject", times=None), DENIED)
    server.script(Match(operation="GetBucketEncryption", times=None), answer)

    ended = run("cp", f"{tree}/", "s3://bucket/t/", "-j", WORKERS, "--no-progress")

    assert ended.status == 1
    assert "until PutBucketEncryption sets BlockedEncryptionTypes to NONE" in ended.stderr
    assert REFUSED_COUNT <= len(server.seen("PutObject")) <= REFUSED_COUNT + WORKERS
    assert len(server.seen("GetBucketEncryption")) == 1


# Reads


@pytest.mark.parametrize("words", [("get", "s3://bucket/o", "x"), ("stat", "s3://bucket/o")])
def test_a_wrong_key_that_is_refused_without_a_word(
    server: FaultServer, run: Run, words: tuple[str, ...]
) -> None:
    server.store("o", b"content", customer_key=bytes(range(1, 33)))
    with_key = Match(
        operation="GetObject", times=None,
        where=lambda sent: any("customer-key" in name for name in sent.headers),
    )  # fmt: skip
    server.script(with_key, DENIED)

    ended = run(*words)

    assert ended.status == 1
    assert "use the key that the object was sealed with" in ended.stderr


def test_an_object_that_is_not_there_for_who_may_not_list(server: FaultServer, run: Run) -> None:
    for operation in ("ListObjectsV2", "HeadObject", "GetObject"):
        server.script(Match(operation=operation, times=None), DENIED)

    ended = run("get", "s3://bucket/o", "x")

    assert ended.status == 1
    assert "objects that are not there: check the name" in ended.stderr


def test_an_object_that_nobody_may_read(server: FaultServer, run: Run) -> None:
    server.store("p/o", b"content", customer_key=RAW_KEY)
    server.store("p/q", b"content", customer_key=RAW_KEY)
    for operation in ("HeadObject", "GetObject"):
        server.script(Match(operation=operation, times=None), DENIED)

    ended = run("restore", "s3://bucket/p/", "back/", "--json", "-j", 1)

    assert ended.status == 1
    assert "the object is there, and you have no right to read it" in ended.stdout
    assert len([sent for sent in server.seen("ListObjectsV2") if sent.query["prefix"] == "p/o"]) < 2

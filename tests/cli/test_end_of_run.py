"""What every object would fail on ends a run early, with one line that says what to do."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.cli.conftest import Ended
from tests.faults import FaultServer, Match, Status
from tests.kit import Do

from sealift.outlook import EXPIRED_COUNT, REFUSED_COUNT

Run = Callable[..., Ended]
DENIED = Status(403, "AccessDenied", "Access Denied")
MiB = 1024 * 1024
COUNT = 200
WORKERS = 3


@pytest.fixture
def tree(work: Path) -> Path:
    """More files than a run may try in vain."""
    tree = work / "tree"
    tree.mkdir()
    for number in range(COUNT):
        (tree / f"{number:03}").write_bytes(b"%d" % number)
    return tree


def final_line(ended: Ended) -> str:
    """The one line about the whole run; it is the last."""
    (line,) = [line for line in ended.stderr.splitlines() if line.startswith("sealift: ")]
    assert ended.stderr.splitlines()[-1] == line
    return line


@pytest.mark.parametrize("command", ["cp", "sync"])
def test_case_26_a_bucket_that_blocks_sse_c_ends_the_run_with_the_hint(
    server: FaultServer, run: Run, tree: Path, command: str
) -> None:
    server.store("t/extra", b"only there")
    server.script(Match(operation="PutObject", times=None), DENIED)
    server.script(Match(operation="GetBucketEncryption", times=None), DENIED)
    options = ["--delete"] if command == "sync" else []

    ended = run(command, f"{tree}/", "s3://bucket/t/", "-j", WORKERS, "--no-progress", *options)

    assert (ended.status, ended.stdout) == (1, "")
    line = final_line(ended)
    assert line.startswith("sealift: no more objects are tried: PutObject 403 AccessDenied")
    assert "PutBucketEncryption sets BlockedEncryptionTypes to NONE" in line
    names = [sent.name for sent in server.seen("PutObject")]
    assert REFUSED_COUNT <= len(names) <= REFUSED_COUNT + WORKERS
    assert len(names) == len(set(names)), "a refusal was repeated"
    assert set(server.objects) == {("bucket", "t/extra")}
    assert not server.seen("DeleteObjects")


def test_case_26_one_large_file_costs_one_request(
    server: FaultServer, run: Run, work: Path
) -> None:
    (work / "name.bin").write_bytes(bytes(9 * MiB))
    server.script(Match(operation="CreateMultipartUpload", times=None), DENIED)
    server.script(Match(operation="GetBucketEncryption", times=None), DENIED)

    ended = run("put", "--no-progress")

    assert ended.status == 1
    assert "BlockedEncryptionTypes" in ended.stderr
    assert [sent.operation for sent in server.requests] == [
        "ListObjectsV2",
        "CreateMultipartUpload",
        "GetBucketEncryption",
    ]


def test_case_26_a_server_that_has_taken_something_refuses_by_name(
    server: FaultServer, run: Run, tree: Path
) -> None:
    server.script(
        Match(operation="PutObject", times=None, where=lambda sent: sent.name > "t/000"), DENIED
    )

    ended = run("cp", f"{tree}/", "s3://bucket/t/", "-j", 1, "--no-progress")

    assert ended.status == 1
    assert "no more objects" not in ended.stderr
    assert f"{COUNT - 1} objects failed" in ended.stderr
    assert set(server.objects) == {("bucket", "t/000")}


def test_case_26_few_refused_names_stop_no_others(
    server: FaultServer, run: Run, tree: Path
) -> None:
    """Also if they are the first."""
    refused = REFUSED_COUNT - 1
    last = f"t/{refused:03}"
    server.script(
        Match(operation="PutObject", times=None, where=lambda sent: sent.name < last), DENIED
    )

    ended = run("cp", f"{tree}/", "s3://bucket/t/", "-j", 1, "--no-progress")

    assert ended.status == 1
    assert f"{refused} objects failed" in ended.stderr
    assert len(server.objects) == COUNT - refused


def test_case_38_credentials_that_end_amid_a_run_stop_it_and_a_rerun_resumes(
    server: FaultServer, run: Run, tree: Path
) -> None:
    """They end when the third part of a large file arrives."""
    server.script(
        Match(operation="UploadPart", part=3), Do(lambda: server.expired_tokens.add("test"))
    )
    large = bytes(range(256)) * (16 * MiB // 256) + b"end"
    (tree / "000-large").write_bytes(large)
    words = ["cp", f"{tree}/", "s3://bucket/t/", "-j", 1, "--part-size", "5MiB", "--no-progress"]

    ended = run(*words)

    assert (ended.status, ended.stdout) == (1, "")
    line = final_line(ended)
    assert "no more objects are tried" in line
    assert "ExpiredToken" in line
    assert "renew your credentials" in line
    assert ended.stderr.count("FAILED t/") == EXPIRED_COUNT
    assert "run the same command again to go on" in ended.stderr
    # Two attempts an object: the second one after the credentials were read anew.
    in_vain = [sent for sent in server.requests if sent.name > "t/000-large"]
    assert len(in_vain) == 2
    assert len(server.seen("UploadPart")) == 2 + 2
    assert not server.seen("AbortMultipartUpload")
    assert len(server.uploads) == 1

    server.requests.clear()
    os.environ["AWS_ACCESS_KEY_ID"] = "renewed"
    again = run(*words)

    assert again.status == 0, again.stderr
    assert [sent.part for sent in server.seen("UploadPart")] == [3, 4]
    assert not server.seen("CreateMultipartUpload")
    assert not server.uploads
    assert server.objects["bucket", "t/000-large"].body == large
    assert len(server.objects) == COUNT + 1


@pytest.fixture
def program(work: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A profile `p` whose credentials a program gives out, other ones at each call.

    Once there is a file `ended` beside it, it fails.
    """
    program = work / "program"
    program.write_text(
        f"""#!/bin/sh
test -e {work}/ended && {{ echo 'log in again' >&2; exit 1; }}
echo call >> {work}/calls
n=$(wc -l < {work}/calls)
echo '{{"Version": 1, "AccessKeyId": "AK'$n'", "SecretAccessKey": "s", "SessionToken": "T'$n'"}}'
"""
    )
    program.chmod(0o700)
    (work / "config").write_text(f"[profile p]\ncredential_process = {program}\n")
    os.environ["AWS_CONFIG_FILE"] = str(work / "config")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        del os.environ[name]
    return program


def expire_all(server: FaultServer) -> None:
    """No token that was used so far is good any more."""
    server.expired_tokens.update(sent.headers["x-amz-security-token"] for sent in server.requests)


def test_case_38_credentials_that_end_amid_a_run_are_renewed(
    server: FaultServer, run: Run, tree: Path, program: Path
) -> None:
    for after in (50, 150):
        server.script(Match(operation="PutObject", after=after), Do(lambda: expire_all(server)))

    ended = run("cp", f"{tree}/", "s3://bucket/t/", "--profile", "p", "-j", 16, "--no-progress")

    assert ended.status == 0, ended.stderr
    assert len(server.objects) == COUNT
    assert "FAILED" not in ended.stderr
    tokens = list(dict.fromkeys(sent.headers["x-amz-security-token"] for sent in server.requests))
    assert len(tokens) >= 3
    # Of the requests that fail at once few have them renewed: 16 fail each time.
    calls = (program.parent / "calls").read_text().splitlines()
    assert len(calls) <= 8, calls
    assert tokens == sorted(tokens, key=lambda token: int(token[1:])), "an old one came back"


def test_case_38_credentials_that_cannot_be_renewed_end_the_run(
    server: FaultServer, run: Run, tree: Path, program: Path
) -> None:
    """As when a login has ended: not exit code 2, for something was done."""

    def end() -> None:
        expire_all(server)
        (program.parent / "ended").touch()

    server.script(Match(operation="PutObject", after=50), Do(end))

    ended = run("cp", f"{tree}/", "s3://bucket/t/", "--profile", "p", "-j", 1, "--no-progress")

    assert (ended.status, ended.stdout) == (1, "")
    assert "note cannot renew the credentials: " in ended.stderr
    assert "log in again" in ended.stderr or "aws sso login" in ended.stderr
    assert final_line(ended).startswith("sealift: no more objects are tried: ")
    assert len(server.objects) == 50


@pytest.mark.parametrize("offset", [1200, -1200])
def test_case_38_a_clock_that_is_wrong_is_put_right_once_and_told(
    server: FaultServer, run: Run, tree: Path, offset: int
) -> None:
    server.clock_offset = offset

    up = run("cp", f"{tree}/", "s3://bucket/t/", "--no-progress")
    down = run("restore", "s3://bucket/t/", "back/", "--no-progress")

    for ended in (up, down):
        assert ended.status == 0, ended.stderr
        # The server's clock is told in whole seconds.
        told = re.findall(r"note this machine's clock is (\d+) s off; signing with", ended.stderr)
        assert told in (["1199"], ["1200"], ["1201"]), ended.stderr
        assert re.search(r"retries +1\n", ended.stderr), "the first request alone is refused"
    assert len(server.seen("PutObject")) == len(server.seen("GetObject")) == COUNT
    assert len(list(Path("back").iterdir())) == COUNT

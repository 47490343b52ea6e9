"""What a run imports before it moves a byte: its start is paid by every run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.faults import FaultServer, Match, Status

# botocore and what comes with it take 0.4 s.
SLOW = ("aiobotocore", "aioboto3", "aiohttp", "boto3", "botocore")

RUN = """
import os, sys
from sealift.cli.app import app
for words in {commands}:
    try:
        app(words)
    except SystemExit as end:
        assert not end.code, (words, end.code)
print(*sorted({{name.partition(".")[0] for name in sys.modules}} & set({slow})), file=sys.stderr)
"""


def slow_imports(*commands: list[str]) -> list[str]:
    """What of `SLOW` a process has imported that ran these commands."""
    code = RUN.format(commands=list(commands), slow=SLOW)
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=50, check=False
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stderr.splitlines()[-1].split()


@pytest.fixture
def large(server: FaultServer, work: Path) -> str:
    (work / "large").write_bytes(os.urandom(11 << 20))
    return "large"


def test_transfers_by_the_environment_import_no_botocore(server: FaultServer, large: str) -> None:
    assert not slow_imports(
        ["put"],
        ["put", large, "s3://bucket/large", "--part-size", "5MiB"],
        ["get", "s3://bucket/name.bin", "back"],
        ["get", "s3://bucket/large", "large-back", "--part-size", "5MiB"],
        ["cp", "s3://bucket/", "tree/"],
        ["stat", "s3://bucket/large"],
        ["ls", "s3://bucket/"],
    )
    assert Path("large").read_bytes() == Path("large-back").read_bytes()
    assert len(server.seen("UploadPart")) == 3


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize("words", [["--help"], ["put", "--help"], ["--version"]])
def test_help_imports_no_botocore(words: list[str]) -> None:
    assert not slow_imports(words)


def test_a_redirect_leads_to_botocore(server: FaultServer) -> None:
    """Which learns the bucket's region, and signs for it from then on."""
    elsewhere = Status(301, "PermanentRedirect", headers={"x-amz-bucket-region": "eu-west-1"})
    server.script(Match(operation="ListObjectsV2"), elsewhere, elsewhere)
    assert "botocore" in slow_imports(["put"])
    (stored,) = server.seen("PutObject")
    assert "/eu-west-1/s3/aws4_request" in stored.headers["authorization"]

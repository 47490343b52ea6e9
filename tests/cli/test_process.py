"""What a process may be started with: few descriptors, closed streams, a full disk at stdout."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest


def run_shell(template: str) -> subprocess.CompletedProcess[str]:
    """Run a shell command in which `sealift` is ours."""
    command = template.replace("sealift", f"'{sys.executable}' -m sealift")
    return subprocess.run(
        ["/bin/sh", "-c", command], capture_output=True, text=True, timeout=50, check=False
    )


def make_tree(root: Path, count: int) -> None:
    root.mkdir()
    for number in range(count):
        directory = root / f"d{number % 100}"
        directory.mkdir(exist_ok=True)
        (directory / f"f{number}").write_bytes(b"%d" % number)


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize("limit", [64, 200])
def test_few_open_files_slow_a_run_and_fail_nothing(work: Path, limit: int) -> None:
    make_tree(work / "tree", 120)
    up = run_shell(f"ulimit -n {limit}; exec sealift -j 150 cp tree/ s3://bucket/tree/")
    assert (up.returncode, "ulimit" in up.stderr) == (0, True), up
    down = run_shell(f"ulimit -n {limit}; exec sealift restore -j 150 s3://bucket/tree/ back/")
    assert down.returncode == 0, down
    names = {path.relative_to(work / "tree") for path in (work / "tree").rglob("f*")}
    assert names == {path.relative_to(work / "back") for path in (work / "back").rglob("f*")}


@pytest.mark.usefixtures("server", "work")
@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams_are_no_trap(closed: str) -> None:
    assert run_shell(f"exec sealift put {closed}").returncode == 0
    ended = run_shell(f"exec sealift get s3://bucket/name.bin out {closed}")
    assert (ended.returncode, Path("out").read_bytes()) == (0, b"content")
    assert ended.stdout == ("" if " >&-" in f" {closed}" else "out\n")
    missing = run_shell(f"exec sealift get s3://bucket/missing out {closed}")
    assert (missing.returncode, missing.stdout) == (2, "")


@pytest.mark.usefixtures("server", "work")
@pytest.mark.parametrize("command", ["ls", "stat", "get s3://bucket/name.bin out"])
def test_a_stdout_that_takes_nothing_is_said_in_one_sentence(command: str) -> None:
    assert run_shell("exec sealift put").returncode == 0
    ended = run_shell(f"exec sealift --quiet {command} >/dev/full")
    assert ended.returncode == 1
    assert ended.stderr.startswith("sealift: cannot write to stdout: No space left on device")
    assert ended.stderr.count("\n") == 1


@pytest.mark.usefixtures("server")
def test_case_30_children_do_not_inherit_the_customer_key(work: Path) -> None:
    """A profile's credential_process is a program of others."""
    answer = '{"Version": 1, "AccessKeyId": "test", "SecretAccessKey": "test"}'
    (work / "program").write_text(f"#!/bin/sh\nenv > {work}/seen\necho '{answer}'\n")
    (work / "program").chmod(0o700)
    (work / "config").write_text(f"[profile p]\ncredential_process = {work}/program\n")
    lines = [line for line in (work / ".env").read_text().splitlines() if "SSE" in line]
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        del os.environ[name]
    exports = " ".join(f"'{line}'" for line in lines)
    ended = run_shell(f"AWS_CONFIG_FILE={work}/config exec env {exports} sealift --profile p put")
    assert ended.returncode == 0, ended
    seen = (work / "seen").read_text()
    assert "AWS_CONFIG_FILE" in seen
    assert "SSE_CUSTOMER" not in seen


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize("module", ["dotenv", "anyio", "platformdirs", "json"])
def test_no_module_is_imported_from_the_working_directory(work: Path, module: str) -> None:
    """What lies there may be the data of others."""
    (work / f"{module}.py").write_text("open('imported', 'w').close()")
    assert run_shell("exec sealift put").returncode == 0
    assert not (work / "imported").exists()

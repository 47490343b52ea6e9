"""What a process may be started with: few descriptors, closed streams, a full disk at stdout."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.timeout(60)


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
def test_few_open_files_slow_a_run_and_fail_nothing(work: Path) -> None:
    make_tree(work / "tree", 400)
    up = run_shell("ulimit -n 200; exec sealift -j 150 cp tree/ s3://bucket/tree/")
    assert (up.returncode, "ulimit" in up.stderr) == (0, True), up
    down = run_shell("ulimit -n 200; exec sealift restore -j 150 s3://bucket/tree/ back/")
    assert down.returncode == 0, down
    names = {path.relative_to(work / "tree") for path in (work / "tree").rglob("f*")}
    assert names == {path.relative_to(work / "back") for path in (work / "back").rglob("f*")}

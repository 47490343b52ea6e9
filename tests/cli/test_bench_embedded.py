"""`sealift bench` on the server that it brings: a whole run, and nothing left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests.cli.test_demo import processes_of

COMMAND = (
    sys.executable, "-m", "sealift", "bench", "--json", "--sizes", "4KiB,256KiB",
    "--concurrencies", "2",
)  # fmt: skip


def environment(directory: Path) -> dict[str, str]:
    """The user's own, but for where to look and write."""
    ours = {**os.environ, "TMPDIR": str(directory), "HTTPS_PROXY": "http://127.0.0.1:9"}
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_CA_BUNDLE", "BUCKET_NAME"):
        ours.pop(name, None)
    return ours


def test_it_brings_its_own_server_and_leaves_nothing(tmp_path: Path) -> None:
    ended = subprocess.run(
        [*COMMAND, "--seconds", "0.2"], cwd=tmp_path, env=environment(tmp_path),
        capture_output=True, text=True, timeout=280, check=False,
    )  # fmt: skip
    assert (ended.returncode, ended.stderr) == (0, "")
    note, first, *cells, _ = map(json.loads, ended.stdout.splitlines())
    assert "MiniStack" in note["text"]
    assert first["embedded"] is True
    assert len(cells) == first["cell_count"] == 8
    assert all(cell["bytes_per_second"] > 0 for cell in cells)
    assert list(tmp_path.iterdir()) == []
    assert processes_of(tmp_path) == []


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("runs", [False, True])
def test_a_signal_leaves_nothing(tmp_path: Path, runs: bool, stop: signal.Signals) -> None:
    """While the server is started, and once it is being measured."""
    with subprocess.Popen(
        COMMAND, cwd=tmp_path, env=environment(tmp_path), stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        assert b"MiniStack" in child.stdout.readline()
        if runs:
            assert b"endpoint" in child.stdout.readline()
        child.send_signal(stop)
        assert child.wait(60) == 130
    assert list(tmp_path.iterdir()) == []
    assert processes_of(tmp_path) == []

"""The demo as a user runs it: a real server, a tree up and back, and nothing left behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path


def processes_of(directory: Path) -> list[str]:
    """The command lines of processes that speak of `directory`."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = entry.read_bytes()
        except OSError:
            continue
        if os.fsencode(directory) in line:
            found.append(line.decode(errors="replace"))
    return found


def test_the_demo_proves_a_round_trip_and_leaves_nothing(tmp_path: Path) -> None:
    environment = {**os.environ, "TMPDIR": str(tmp_path), "HTTPS_PROXY": "http://127.0.0.1:9"}
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_CA_BUNDLE", "AWS_PROFILE"):
        environment.pop(name, None)

    ended = subprocess.run(
        [sys.executable, "-m", "sealift", "demo", "--json"],
        cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=280, check=False,
    )  # fmt: skip

    assert ended.returncode == 0, ended.stderr
    lines = [json.loads(line) for line in ended.stdout.splitlines()]
    summaries = [line for line in lines if line["event"] == "summary"]
    assert [summary["status"] for summary in summaries] == ["complete", "complete"]
    up, down = summaries
    assert up["done_count"] == down["done_count"] == up["checked_count"] == down["checked_count"]
    assert up["done_count"] > 2000
    assert "same on both sides: every name, byte and time" in ended.stderr
    assert "without the key:   GetObject 400" in ended.stderr
    assert "with a wrong key:  GetObject 403" in ended.stderr
    assert list(tmp_path.iterdir()) == []
    assert processes_of(tmp_path) == []


def test_sigterm_while_the_demo_is_set_up_leaves_nothing(tmp_path: Path) -> None:
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    command = [sys.executable, "-m", "sealift", "demo", "--quiet"]
    with subprocess.Popen(command, cwd=tmp_path, env=environment) as demo:
        deadline = time.monotonic() + 30
        while not list(tmp_path.glob("*/server/tls/ca.pem")) and time.monotonic() < deadline:
            time.sleep(0.02)
        demo.terminate()
        assert demo.wait(20) == 130
    assert list(tmp_path.iterdir()) == []
    assert processes_of(tmp_path) == []

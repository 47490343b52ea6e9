"""What is checked of this machine."""

from __future__ import annotations

import os
import resource
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import anyio
import pytest

from sealift.doctor import machine as module
from sealift.doctor.findings import Finding, Round
from sealift.doctor.machine import CHECKS, Machine
from sealift.errors import CustomerKeyError
from sealift.files.disk import Disk


def found(**facts: Any) -> dict[str, Finding]:
    known = {
        "key_id": "ab12", "key_ids": ("ab12",), "key_problems": (), "key_paths": (), "target": ".",
    } | facts  # fmt: skip
    heard: dict[str, Finding] = {}
    disk = Disk()
    try:
        anyio.run(Round(heard.__setitem__).make, CHECKS, Machine(disk=disk, **known))
    finally:
        disk.close()
    return heard


def test_all_is_well(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.touch(0o600)
    heard = found(key_paths=(str(path),), target=str(tmp_path))
    assert {finding.status for finding in heard.values()} == {"ok"}, heard
    assert "ab12" in heard["customer-key"].text
    assert os.listdir(tmp_path) == ["key"]


ERROR = CustomerKeyError("it is no base64", hint="give base64")


@pytest.mark.parametrize(
    ("facts", "status", "text", "advice"),
    [
        ({"key_ids": ("ab12", "cd34")}, "ok", "ab12, and 1 more", ""),
        ({"key_id": None, "key_ids": ()}, "failure", "there is none", "sealift key new"),
        ({"key_id": None, "key_ids": ("a", "b")}, "failure", "none of them is the default",
         "default-key"),
        ({"key_id": None, "key_ids": (), "key_problems": (ERROR,)}, "failure",
         "it is no base64", "give base64"),
        ({"key_problems": (ERROR, ERROR)}, "warning", "it is no base64; it is no base64",
         "give base64"),
    ],
)  # fmt: skip
def test_customer_keys(facts: dict[str, Any], status: str, text: str, advice: str) -> None:
    heard = found(**facts)
    assert heard["customer-key"].status == status
    assert text in heard["customer-key"].text
    assert advice in heard["customer-key"].advice
    assert heard["key-files"].status == "skipped"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620])
def test_a_key_file_that_others_can_open(tmp_path: Path, mode: int) -> None:
    path = tmp_path / ".env"
    path.touch()
    path.chmod(mode)
    heard = found(key_paths=(str(path),))["key-files"]
    assert (heard.status, heard.advice) == ("warning", f"run: chmod 600 {path}")


def test_few_open_files() -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, before[1]))
    try:
        heard = found()["open-files"]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert heard.status == "warning"
    assert "32 requests" in heard.text
    assert "ulimit -n" in heard.advice


def test_little_space(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.shutil, "disk_usage", lambda _: SimpleNamespace(free=5 << 20))
    heard = found()["disk-space"]
    assert (heard.status, heard.text) == ("warning", "5.0 MiB are free in .")


def test_no_directory(tmp_path: Path) -> None:
    heard = found(target=str(tmp_path / "none"))
    assert heard["disk-space"].status == "failure"
    assert heard["disk-sync"].text == "needs disk-space"


def test_a_slow_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SYNC_COUNT", 3)
    monkeypatch.setattr(module.os, "fsync", lambda _: time.sleep(0.06))
    heard = found()["disk-sync"]
    assert heard.status == "warning"
    assert "--durability" in heard.advice


def test_a_directory_that_nobody_may_write_in(monkeypatch: pytest.MonkeyPatch) -> None:
    heard = found(target="/proc")  # also for root
    assert heard["disk-sync"].status == "failure"
    assert "cannot write in /proc" in heard["disk-sync"].text
    monkeypatch.setenv("XDG_STATE_HOME", "/proc")
    assert found()["state"].status == "warning"

"""What the tests of the journal write, and the directory that they write it in."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sealift.journal import DeadRun, Journal, dead_runs
from sealift.model import MiB, PartDone
from sealift.records import (
    Change,
    DownloadRecord,
    RangeDone,
    RunRecord,
    UploadRecord,
    UploadState,
)

SCOPE = "https://localhost:9000/bucket"
OTHER_SCOPE = "https://localhost:9000/other"
TOKENS = [f"{number:016x}" for number in range(1, 9)]
WORDS = ("cp", "photos/", "s3://bucket/")


def run_record(number: int = 0, **changes: Any) -> RunRecord:
    run = RunRecord(TOKENS[number], 1000.5 + number, WORDS, "/work", SCOPE, "/back")
    return run._replace(**changes)


def upload(number: int = 0, **changes: Any) -> UploadRecord:
    record = UploadRecord(
        f"{number:032x}", SCOPE, f"name-{number}", f"/photos/{number}",
        (1, 2, 3, 4, 5), 64 * MiB, 8 * MiB, "k" * 16, 2**64 - 1, 1000.25,
    )  # fmt: skip
    return record._replace(**changes)


def created(number: int = 0, **changes: Any) -> UploadRecord:
    record = upload(number, state=UploadState.CREATED, upload_id=f"id-{number}", keeps_crc=True)
    return record._replace(**changes)


def part(number: int) -> PartDone:
    return PartDone(number, 8 * MiB, f'"etag-{number}"', 2**63 + number)


def download(number: int = 0, **changes: Any) -> DownloadRecord:
    record = DownloadRecord(
        f".sealift-{TOKENS[0]}-{number}.tmp", SCOPE, f"name-{number}", "/back", f"d/{number}",
        '"e"', None, 64 * MiB, 16 * MiB, "k" * 16,
    )  # fmt: skip
    return record._replace(**changes)


def fetched(number: int) -> RangeDone:
    return RangeDone(number * 16 * MiB, 16 * MiB, 2**64 - 1 - number)


@dataclass
class State:
    """A state directory, and what can be done to it."""

    path: Path

    @property
    def text(self) -> str:
        return str(self.path)

    @property
    def directory(self) -> Path:
        return self.path / "journal"

    def file(self, token: str = TOKENS[0], suffix: str = ".sqlite3") -> Path:
        return self.directory / f"{token}{suffix}"

    def names(self) -> list[str]:
        return sorted(os.listdir(self.directory))

    def open(self, number: int = 0, **changes: Any) -> Journal:
        journal = Journal(self.text, run_record(number, **changes))
        journal.open()
        return journal

    def leave(self, *changes: Change, number: int = 0, **run: Any) -> None:
        """A run that wrote `changes` and did not come to its end."""
        journal = self.open(number, **run)
        journal.write(changes, durable=True)
        journal.close(finished=False)

    def found(self) -> tuple[list[DeadRun], list[str]]:
        """The dead runs, unlocked again, and what is said of damage."""
        damaged: list[str] = []
        with dead_runs(self.text, damaged) as found:
            return list(found), damaged

    def only(self) -> DeadRun:
        (dead,), damaged = self.found()
        assert damaged == []
        return dead


def start(code: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments], text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip

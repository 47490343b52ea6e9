"""One bucket on one server, reached three ways: the command line, the engine, and boto3."""

from __future__ import annotations

import os
import random
import secrets
import subprocess
import sys
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import boto3
from botocore.config import Config

from sealift.embedded import S3Server
from sealift.engine import Engine
from sealift.errors import SealiftError
from sealift.events import Event, Failed, Finished, Retried, Skipped
from sealift.keys import CustomerKey
from sealift.model import Location, MiB
from sealift.options import Options

# boto3 makes its classes at run time, so it has no types.
Boto = Any

# The smallest that S3 takes: an object needs no more than this to have parts.
PART_SIZE = 5 * MiB
# No command of these tests moves for so long; it bounds one that hangs.
CLI_TIMEOUT = 30.0


def connect(server: S3Server, region: str | None = None) -> Boto:
    """A boto3 client that sends checksums only where it must: Ceph 16 knows no trailers."""
    return boto3.client(
        "s3",
        endpoint_url=server.endpoint_url,
        verify=str(server.ca_file),
        aws_access_key_id=server.access_key,
        aws_secret_access_key=server.secret_key,
        region_name=region or server.region,
        config=Config(
            s3={"addressing_style": "path"},
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        ),
    )


@dataclass(slots=True)
class Record:
    """A reporter that keeps what it hears; `on_event` may act on it at once."""

    on_event: Callable[[Event], None] | None = None
    done: list[Finished] = field(default_factory=list)
    failed: dict[str, SealiftError] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    retried: list[Retried] = field(default_factory=list)

    def emit(self, event: Event) -> None:
        match event:
            case Finished():
                self.done.append(event)
            case Failed(name, error):
                self.failed[name] = error
            case Skipped(name, reason):
                self.skipped[name] = reason
            case Retried():
                self.retried.append(event)
        if self.on_event is not None:
            self.on_event(event)


@dataclass(frozen=True, slots=True)
class Ended:
    """A command that has ended."""

    status: int
    stdout: str
    stderr: str


class Site:
    """A fresh bucket and customer key, and an empty working directory."""

    def __init__(self, server: S3Server, boto: Boto, work: Path) -> None:
        self.server = server
        self.boto = boto
        self.work = work
        self.bucket = f"contract-{uuid.uuid4().hex[:12]}"
        self.seal = boto_seal(secrets.token_bytes(32))
        self.customer_key = CustomerKey(self.seal["SSECustomerKey"])

    def uri(self, name: str = "") -> str:
        return f"s3://{self.bucket}/{name}"

    def location(self, name: str = "") -> Location:
        return Location(self.bucket, name)

    # The engine

    def options(self, **changes: Any) -> Options:
        """Options for the engine with the smallest parts, changed by `changes`."""
        settings: dict[str, Any] = {
            "customer_key": self.customer_key,
            "endpoint_url": self.server.endpoint_url,
            "ca_bundle": str(self.server.ca_file),
            "region": self.server.region,
            "part_size": PART_SIZE,
        }
        return Options(**settings | changes)

    def run(
        self,
        command: Callable[[Engine], Awaitable[Any]],
        *,
        record: Record | None = None,
        **changes: Any,
    ) -> Record:
        """Run a command of the public API and return what was reported."""
        heard = record or Record()

        async def work() -> None:
            async with Engine(self.options(**changes), heard) as engine:
                await command(engine)

        anyio.run(work)
        return heard

    def copy(self, source: object, destination: object, /, **changes: Any) -> Record:
        """`Engine.copy`; both sides as text, for a trailing `/` means something."""
        return self.run(lambda engine: engine.copy(str(source), str(destination)), **changes)

    def restore(self, name: str, destination: object, **changes: Any) -> Record:
        """`Engine.restore` of an object or prefix of the bucket."""
        return self.run(
            lambda engine: engine.restore(self.location(name), str(destination)), **changes
        )

    # The command line

    def environment(self, **changes: str | None) -> dict[str, str]:
        """The environment of a command; None takes a variable out."""
        variables: dict[str, str | None] = {
            "PATH": os.environ["PATH"],
            "HOME": os.environ["HOME"],
            "XDG_STATE_HOME": os.environ.get("XDG_STATE_HOME"),
            "LANG": "C.UTF-8",
            "TZ": "UTC",
            "AWS_ENDPOINT_URL": self.server.endpoint_url,
            "AWS_CA_BUNDLE": str(self.server.ca_file),
            "AWS_ACCESS_KEY_ID": self.server.access_key,
            "AWS_SECRET_ACCESS_KEY": self.server.secret_key,
            "AWS_REGION": self.server.region,
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        lines = self.customer_key.env_lines().splitlines()
        variables |= dict(line.split("=", 1) for line in lines)
        return {name: value for name, value in (variables | changes).items() if value is not None}

    def start(
        self,
        *arguments: object,
        env: Mapping[str, str] | None = None,
        launcher: Sequence[str] = (),
    ) -> subprocess.Popen[bytes]:
        """Start a command in the working directory."""
        return subprocess.Popen(
            [*launcher, sys.executable, "-m", "sealift", *map(str, arguments)],
            cwd=self.work,
            env=self.environment() if env is None else env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def cli(
        self,
        *arguments: object,
        env: Mapping[str, str] | None = None,
        launcher: Sequence[str] = (),
    ) -> Ended:
        """Run a command to its end; no output ever holds the customer key or a traceback."""
        with self.start(*arguments, env=env, launcher=launcher) as child:
            return self.ended(child)

    def ended(self, child: subprocess.Popen[bytes]) -> Ended:
        """Wait for a command that was started; see `cli`."""
        try:
            out, err = child.communicate(timeout=CLI_TIMEOUT)
        except BaseException:
            child.kill()
            raise
        ended = Ended(child.returncode, out.decode(), err.decode())
        secret = self.customer_key.env_lines().splitlines()[0].partition("=")[2]
        assert secret not in ended.stdout + ended.stderr
        assert "Traceback" not in ended.stderr, ended.stderr
        return ended

    # boto3

    def boto_put(self, name: str, body: bytes, seal: Mapping[str, Any] | None = None) -> None:
        """PutObject by boto3 under the site's customer key; an empty `seal` stores plaintext."""
        chosen = self.seal if seal is None else seal
        self.boto.put_object(Bucket=self.bucket, Key=name, Body=body, **chosen)

    def boto_get(self, name: str) -> bytes:
        """GetObject by boto3 under the site's customer key."""
        reply = self.boto.get_object(Bucket=self.bucket, Key=name, **self.seal)
        body: bytes = reply["Body"].read()
        return body

    def boto_head(self, name: str) -> dict[str, Any]:
        """HeadObject by boto3 under the site's customer key."""
        head: dict[str, Any] = self.boto.head_object(Bucket=self.bucket, Key=name, **self.seal)
        return head

    def names(self) -> list[str]:
        """All objects of the bucket, as boto3 lists them."""
        pages = self.boto.get_paginator("list_objects_v2").paginate(Bucket=self.bucket)
        return [entry["Key"] for page in pages for entry in page.get("Contents", ())]

    def uploads(self) -> list[dict[str, Any]]:
        """The unfinished multipart uploads of the bucket."""
        found = self.boto.list_multipart_uploads(Bucket=self.bucket).get("Uploads", [])
        return list(found)


def boto_seal(raw: bytes) -> dict[str, Any]:
    """The arguments by which boto3 uses a customer key."""
    return {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": raw}


def noise(size: int, seed: int = 0) -> bytes:
    """Bytes that differ everywhere, the same ones at every call."""
    return random.Random(seed).randbytes(size)


def make_tree(root: Path, files: Mapping[str, bytes]) -> Path:
    """Write `files`, names with `/`, below `root`."""
    root.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return root


def read_tree(root: Path) -> dict[str, bytes]:
    """All files below `root` by their relative names; links are not followed."""
    found = {}
    for directory, _, names in os.walk(root):
        for name in names:
            path = Path(directory, name)
            found[os.path.relpath(path, root)] = path.read_bytes()
    return found


def wait_for(happened: Callable[[], object], child: subprocess.Popen[bytes]) -> None:
    """Wait until the child is in the middle of its work."""
    deadline = time.monotonic() + 20
    while not happened():
        assert child.poll() is None, "the command ended too early"
        assert time.monotonic() < deadline, "the command did not get to its work"
        time.sleep(0.02)

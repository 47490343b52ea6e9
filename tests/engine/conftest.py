"""The engine against the fault server: settings of its own, a fast policy, a record of events."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from tests.faults import Dialect, FaultServer
from tests.kit import BACKENDS, CUSTOMER_KEY, Certificate

from sealift.engine import Engine
from sealift.errors import SealiftError
from sealift.events import Event, Failed, Finished, Noted, Planned, Retried, Started
from sealift.model import MIN_PART_SIZE, Location
from sealift.options import Options
from sealift.retry import Policy
from sealift.wire import pool as pool_module

FAST = Policy(budget=3.0, longest_wait=0.02)
PART_SIZE = MIN_PART_SIZE
# Three parts, the last one short.
LARGE = b"".join(number.to_bytes(4, "big") for number in range((2 * PART_SIZE + 12_000) // 4))
SEAL = "x-amz-server-side-encryption-customer-"
# One worker takes the first sixteen of these as one batch; `BAD` is in its midst.
BATCH_NAMES = [f"n{number:02}" for number in range(40)]
BAD = "n05"


@dataclass
class Record:
    """A reporter that keeps every event."""

    events: list[Event] = field(default_factory=list)
    acts: dict[str, Callable[[], object]] = field(default_factory=dict)

    def emit(self, event: Event) -> None:
        self.events.append(event)
        if self.acts and isinstance(event, Started):
            act = self.acts.pop(event.job.location.name, None)
            if act is not None:
                act()

    def on_start(self, name: str, act: Callable[[], object]) -> None:
        """Call `act` when the object `name` is begun, before anything is read."""
        self.acts[name] = act

    def jobs(self) -> list[Event]:
        """The events of objects, without those of the plan and of attempts."""
        return self.of((Started, Finished, Failed))

    def of(self, kind: type | tuple[type, ...]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def finished(self) -> set[str]:
        return {event.job.location.name for event in self.of(Finished)}

    @property
    def failed(self) -> dict[str, SealiftError]:
        return {event.name: event.error for event in self.of(Failed)}

    @property
    def retries(self) -> list[Retried]:
        return self.of(Retried)

    @property
    def notes(self) -> list[str]:
        return [event.text for event in self.of(Noted)]


@dataclass(frozen=True)
class Ended:
    """A command that has ended; `events` are its lines of JSON."""

    status: int
    events: list[dict[str, Any]]
    stderr: str

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [event for event in self.events if event["event"] == kind]

    @property
    def done(self) -> set[str]:
        """The paths or names, as the run reports them, of what was done."""
        return {event["name"] for event in self.of("done")}

    @property
    def failed(self) -> dict[str, str]:
        """The message and the hint of what failed, by name."""
        return {event["name"]: f"{event['error']}; {event['hint']}" for event in self.of("failed")}

    @property
    def notes(self) -> list[str]:
        return [event["text"] for event in self.of("noted")]


@dataclass
class Site:
    """A server, the files of a test, and engines between them."""

    server: FaultServer
    certificate: Certificate
    directory: Path
    record: Record = field(default_factory=Record)

    def options(self, **changes: Any) -> Options:
        return Options(
            **{
                "customer_key": CUSTOMER_KEY,
                "endpoint_url": self.server.endpoint_url,
                "ca_bundle": str(self.certificate.ca_file),
                "part_size": PART_SIZE,
                "concurrency": 8,
                "policy": FAST,
                **changes,
            }
        )

    @asynccontextmanager
    async def engine(self, **changes: Any) -> AsyncIterator[Engine]:
        async with Engine(self.options(**changes), self.record) as engine:
            yield engine

    def file(self, name: str, content: bytes) -> str:
        path = self.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return str(path)

    async def put(self, name: str, content: bytes, **changes: Any) -> Record:
        """Upload one object `name`; what became of it is in the record."""
        path = self.file("source", content)
        async with self.engine(**changes) as engine:
            await engine.put(path, Location("bucket", name))
        return self.record

    async def get(self, name: str, **changes: Any) -> Record:
        """Download one object to `out`."""
        async with self.engine(**changes) as engine:
            await engine.get(Location("bucket", name), str(self.directory / "out"))
        return self.record

    def start(
        self, *words: object, launcher: Sequence[str] = (), **variables: str
    ) -> subprocess.Popen[str]:
        """Start a command line in a process of its own, with `--json`."""
        lines = CUSTOMER_KEY.env_lines().splitlines()
        environment = {
            **os.environ,
            **dict(line.split("=", 1) for line in lines),
            "AWS_ENDPOINT_URL": self.server.endpoint_url,
            "AWS_CA_BUNDLE": str(self.certificate.ca_file),
            # Enough to start without botocore.
            "AWS_ACCESS_KEY_ID": "AK",
            "AWS_SECRET_ACCESS_KEY": "SK",
            "AWS_REGION": "eu-west-1",
            **variables,
        }
        return subprocess.Popen(
            [*launcher, sys.executable, "-m", "sealift", *map(str, words), "--json"],
            cwd=self.directory,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *words: object, launcher: Sequence[str] = (), **variables: str) -> Ended:
        """Run a command line in a process of its own; see `start`."""
        with self.start(*words, launcher=launcher, **variables) as child:
            try:
                out, err = child.communicate(timeout=60)
            except BaseException:
                child.kill()
                raise
        assert "Traceback" not in err, err
        events = [json.loads(line) for line in out.splitlines()]
        return Ended(child.returncode, events, err)

    @property
    def out(self) -> Path:
        return self.directory / "out"

    def body(self, name: str) -> bytes:
        return self.server.objects["bucket", name].body

    def left_behind(self) -> list[str]:
        """Temporary files anywhere below."""
        return [str(path) for path in self.directory.rglob(".sealift-*")]


def assert_accounted(site: Site, names: set[str]) -> None:
    """Each object ended once; bytes are counted for those that are done, and for no other."""
    record = site.record
    ended = [event.job.location.name for event in record.of(Finished)]
    ended += [event.name for event in record.of(Failed)]
    assert sorted(ended) == sorted(names)
    assert sum(event.count for event in record.of(Planned)) == len(names)
    for event in record.of(Finished):
        assert event.job.moved == event.job.size, event
    for event in record.of(Failed):
        assert event.job is None or event.job.moved == 0, event


def count(site: Site, *operations: str) -> tuple[int, ...]:
    """How many requests of each operation the server has seen."""
    return tuple(len(site.server.seen(operation)) for operation in operations)


def creates(site: Site) -> int:
    """How many uploads were created, without the one by which Ceph shows what it does not keep."""
    (made,) = count(site, "CreateMultipartUpload")
    return made - (site.server.s3.dialect == "ceph")


def assert_one_object(site: Site, content: bytes = LARGE) -> None:
    assert site.record.finished == {"x"}
    assert_accounted(site, {"x"})
    assert list(site.server.objects) == [("bucket", "x")]
    assert site.body("x") == content
    assert site.server.objects["bucket", "x"].customer_key_md5 == CUSTOMER_KEY.md5
    assert not site.server.uploads


@pytest.fixture
def anyio_backend() -> Any:
    return BACKENDS[1]


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return Certificate.make(tmp_path_factory.mktemp("certificate"))


@pytest.fixture
def dialect() -> Dialect:
    return "aws"


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The only AWS settings there are; so simple that botocore has no part in it."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE",
                 "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_CA_BUNDLE", "AWS_REGION",
                 "HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy"):  # fmt: skip
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "no-config"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AK")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "SK")


@pytest.fixture
def credentials_file(
    settings: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Path:
    """Credentials that botocore reads, and may read again."""
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    file = tmp_path / "credentials"
    write_credentials(file, "TOKEN-1")
    return file


def write_credentials(file: Path, token: str) -> None:
    file.write_text(
        f"[default]\naws_access_key_id = AK\naws_secret_access_key = SK\n"
        f"aws_session_token = {token}\n"
    )


@pytest.fixture
def site(
    certificate: Certificate,
    dialect: Dialect,
    settings: None,
    tmp_path: Path,
) -> Iterator[Site]:
    directory = tmp_path / "files"
    directory.mkdir()
    with FaultServer(certificate, dialect=dialect) as server:
        yield Site(server, certificate, directory)


@pytest.fixture
def quick_watch(monkeypatch: pytest.MonkeyPatch) -> None:
    """The watchdog looks ten times as often."""
    monkeypatch.setattr(pool_module, "CHECK_INTERVAL", 0.1)


@contextmanager
def mounted(directory: Path, *arguments: str) -> Iterator[Path]:
    """A file system on `directory`, which is made. Only root can mount one; CI must."""
    directory.mkdir(exist_ok=True)
    command = ["mount", *arguments, str(directory)]
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode:
        if os.environ.get("CI") or os.geteuid() == 0:
            pytest.fail(f"cannot mount: {done.stderr.decode()}")
        pytest.skip("only root can mount")
    try:
        yield directory
    finally:
        # Lazily: a loop device lets go of its file some time after it was unmounted.
        subprocess.run(["umount", "--lazy", str(directory)], check=True)


@pytest.fixture
def tiny_disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MiB, or with other options."""
    options = getattr(request, "param", "size=2m")
    with mounted(tmp_path / "tiny", "-t", "tmpfs", "-o", options, "tmpfs") as directory:
        yield directory

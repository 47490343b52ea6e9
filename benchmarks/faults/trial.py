"""One client in one row: a server that misbehaves, a directory, a command, and what came of it."""

from __future__ import annotations

import base64
import contextlib
import enum
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random

from tests.faults import Certificate, FaultServer, Request, Stored
from tests.faults.plan import Plan

from benchmarks.cells import Cell, Way
from benchmarks.faults.clients import CONNECTIONS, PART_SIZE, Client
from benchmarks.peers import Run, aws_configuration
from sealift.embedded import S3Server, tethered

BUCKET = "bucket"
PREFIX = "t/"
_POLL_INTERVAL = 0.02
_KEY_PREFIX = "x-amz-server-side-encryption-customer-"
_TAIL_SIZE = 4000


def _content(size: int, seed: int) -> bytes:
    return Random(seed).randbytes(size)


SMALL = _content(20_000, 1)
# Three parts, and nine.
LARGE = _content(2 * PART_SIZE + 12_000, 2)
BIG = _content(8 * PART_SIZE + 12_000, 3)
CONTENTS = {"small": SMALL, "large": LARGE, "big": BIG, "large2": LARGE[::-1]}


class Outcome(enum.Enum):
    """What a run came to, in the words of the table."""

    RIGHT = "right"
    AGAIN = "right, all fetched again"
    FAILED = "failed clearly"
    UNNAMED = "failed, object not named"
    FALSE_FAILURE = "done, reported failed"
    WRONG = "WRONG DATA REPORTED DONE"
    MISSING = "NOTHING THERE, REPORTED DONE"
    SILENT = "left out, exit 0"
    PARTIAL = "PARTIAL FILE AT ITS NAME"
    UNSEALED = "PLAINTEXT TAKEN FOR SEALED"
    PLAINTEXT_LEFT = "FAILED, PLAINTEXT LEFT"
    OUTSIDE = "WRITTEN OUTSIDE"
    LEAKED = "KEY LEAKED"
    STRAYED = "DONE WITH THE OTHER HOST"
    ASKED = "failed, asked the other host"
    ORPHAN = "ORPHAN UPLOAD LEFT"
    TOO_MANY = "failed, after too many requests"
    HUNG = "STILL WAITING"
    BROKEN = "THE TRIAL ITSELF FAILED"
    NOT_PUT = "not put to it"

    @property
    def is_harmless(self) -> bool:
        """Whether nothing is worse than that the user must try again."""
        return self in _HARMLESS


_HARMLESS = frozenset(
    {
        Outcome.RIGHT,
        Outcome.AGAIN,
        Outcome.FAILED,
        Outcome.UNNAMED,
        Outcome.FALSE_FAILURE,
        Outcome.SILENT,
        Outcome.TOO_MANY,
        Outcome.ASKED,
    }
)


@dataclass(frozen=True, slots=True)
class Ended:
    """A command that has ended, or was ended; `hung` when its time was over."""

    status: int
    seconds: float
    hung: bool
    output: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """`note` is what the row has to say beyond the outcome."""

    outcome: Outcome
    ended: Ended | None = None
    requests: int = 0
    note: str = ""


@dataclass
class Act:
    """A fault of its own: something happens when such a request comes in, and it goes on."""

    act: Callable[[], object]

    def shape(self, _: Plan) -> None:
        self.act()


@dataclass
class IgnoreKey:
    """A server that knows nothing of SSE-C: it stores and serves plaintext, and echoes nothing."""

    def shape(self, plan: Plan) -> None:
        plan.alter.append(_without_key)


@dataclass
class ShiftRange:
    """Another range than the one asked for, as long, and Content-Range says so."""

    def shape(self, plan: Plan) -> None:
        plan.alter.append(_with_shifted_range)


def _with_shifted_range(asked: Request) -> Request:
    first, last = asked.headers["range"].removeprefix("bytes=").split("-")
    shifted = f"bytes={int(first) - 1}-{int(last) - 1}"
    return replace(asked, headers={**asked.headers, "range": shifted})


def _without_key(asked: Request) -> Request:
    headers = {
        name: value for name, value in asked.headers.items() if not name.startswith(_KEY_PREFIX)
    }
    return replace(asked, headers=headers)


@dataclass
class Kill:
    """`kill -9`, `settle` seconds after `now` is set and `ready` is true.

    What was answered by then is given time to be written down.
    """

    ready: Callable[[], bool]
    settle: float
    now: threading.Event = field(default_factory=threading.Event)

    def wait(self, timeout: float) -> bool:
        """Whether the moment has come in time."""
        ends = time.monotonic() + timeout
        while not (self.now.is_set() and self.ready()):
            if time.monotonic() > ends:
                return False
            time.sleep(_POLL_INTERVAL)
        time.sleep(self.settle)
        return True


@dataclass
class Trial:
    """What a row works with. `stored` are the objects that this client has put, by file name."""

    client: Client
    server: FaultServer
    certificate: Certificate
    directory: Path
    timeout: float
    customer_key: bytes = field(repr=False)
    stored: Mapping[str, Stored]
    wrong_key: bytes | None = field(default=None, repr=False)

    @property
    def source(self) -> Path:
        return self.directory / "source"

    @property
    def target(self) -> Path:
        """Deep enough that what climbs out of it stays in the directory of the trial."""
        return self.directory / "around" / "deep" / "target"

    @property
    def around(self) -> Path:
        return self.directory / "around"

    @property
    def sealing_key(self) -> bytes | None:
        return self.customer_key if self.client.sealed else None

    def prepare(self) -> None:
        for path in (self.source, self.target):
            path.mkdir(parents=True)
        (self.directory / "aws-config").write_text(aws_configuration(CONNECTIONS, PART_SIZE))
        key_file = self.directory / "customer.key"
        key_file.touch(mode=0o600)
        key_file.write_bytes(self.wrong_key or self.customer_key)

    # The two sides

    def give(self, name: str) -> None:
        """A file to upload."""
        (self.source / name).write_bytes(CONTENTS[name])

    def keep(self, name: str) -> None:
        """An object to download, as this client has put it."""
        self.server.objects[BUCKET, PREFIX + name] = self.stored[name]

    def body(self, name: str) -> bytes | None:
        """What the server has."""
        found = self.server.objects.get((BUCKET, PREFIX + name))
        return None if found is None else found.body

    def file(self, name: str) -> bytes | None:
        """What the client has written."""
        path = self.target / name
        return path.read_bytes() if path.exists() else None

    def count(self, *operations: str, since: int = 0) -> int:
        return sum(request.operation in operations for request in self.server.requests[since:])

    # Runs

    def up(self, kill: Kill | None = None) -> Ended:
        return self._run(Way.UP, self.source, kill)

    def down(self, kill: Kill | None = None) -> Ended:
        return self._run(Way.DOWN, self.target, kill)

    def _run(self, way: Way, directory: Path, kill: Kill | None) -> Ended:
        server = S3Server(
            "faults",
            self.server.endpoint_url,
            self.certificate.ca_file,
            "access",
            "secret",
            "us-east-1",
        )
        run = Run(
            cell=Cell.parse("1x1MiB"),
            way=way,
            directory=directory,
            bucket=BUCKET,
            prefix=PREFIX,
            server=server,
            scratch=self.directory,
            customer_key=base64.b64encode(self.wrong_key or self.customer_key).decode(),
            connections=CONNECTIONS,
        )
        log_file = self.directory / "log"
        log_file.unlink(missing_ok=True)
        command = ["/bin/sh", "-c", 'cd "$0" && exec "$@"', str(self.directory)]
        command += self.client.command(run)
        began = time.monotonic()
        hung = False
        with tethered(command, log_file=log_file, env=self.client.environ(run), grace=0.0) as child:
            if kill is not None and kill.wait(self.timeout):
                child.send_signal(signal.SIGKILL)
            try:
                child.wait(self.timeout)
            except subprocess.TimeoutExpired:
                hung = True
        seconds = time.monotonic() - began
        output = log_file.read_text(errors="replace")[-_TAIL_SIZE:]
        return Ended(child.returncode, seconds, hung, output)

    # Verdicts

    def of_upload(self, ended: Ended, *names: str) -> Outcome:
        """All of the files went up, or else."""
        right = all(self.body(name) == CONTENTS[name] for name in names)
        present = all(self.body(name) is not None for name in names)
        if ended.hung:
            return Outcome.HUNG
        if ended.status == 0:
            if right:
                return Outcome.ORPHAN if self.server.uploads else Outcome.RIGHT
            return Outcome.WRONG if present else Outcome.MISSING
        if right:
            return Outcome.FALSE_FAILURE
        return Outcome.ORPHAN if self.server.uploads else Outcome.FAILED

    def of_download(self, ended: Ended, name: str, *contents: bytes) -> Outcome:
        """The file has one of the contents, or else."""
        found = self.file(name)
        if ended.hung:
            return Outcome.HUNG
        if ended.status == 0:
            if found is None:
                return Outcome.MISSING
            return Outcome.RIGHT if found in contents else Outcome.WRONG
        if found is None:
            return Outcome.FAILED
        return Outcome.FALSE_FAILURE if found in contents else Outcome.PARTIAL


@contextlib.contextmanager
def open_trial(
    client: Client,
    certificate: Certificate,
    directory: Path,
    *,
    timeout: float,
    customer_key: bytes,
    stored: Mapping[str, Stored],
) -> Iterator[Trial]:
    """A server, and a directory of its own."""
    with FaultServer(certificate, chunks=True) as server:
        trial = Trial(client, server, certificate, directory, timeout, customer_key, stored)
        trial.prepare()
        yield trial


def seeds(
    client: Client, certificate: Certificate, directory: Path, key: bytes
) -> dict[str, Stored]:
    """Every content as this client stores it; RuntimeError when it cannot, without any fault."""
    with open_trial(
        client, certificate, directory, timeout=60.0, customer_key=key, stored={}
    ) as trial:
        for name in CONTENTS:
            trial.give(name)
        ended = trial.up()
        outcome = trial.of_upload(ended, *CONTENTS)
        if outcome is not Outcome.RIGHT:
            raise RuntimeError(f"{client.name} without any fault: {outcome.value}: {ended.output}")
        found = trial.server.objects
        return {name: found[BUCKET, PREFIX + name] for name in CONTENTS}


def size_asked(request: Request, size: int) -> int:
    """How many bytes a GET asks for of an object of `size` bytes."""
    first, _, last = request.headers.get("range", "bytes=0-").removeprefix("bytes=").partition("-")
    return max(0, min(int(last or size), size - 1) + 1 - int(first))


def below(root: Path, without: Collection[Path] = ()) -> list[str]:
    """Files below a directory, but not those in `without`."""
    return sorted(
        str(path.relative_to(root))
        for path in root.rglob("*")
        if path.is_file() and not any(path.is_relative_to(other) for other in without)
    )


def with_wrong_key(trial: Trial) -> Trial:
    """The same, but the client is told another key."""
    other = replace(trial, wrong_key=bytes(reversed(trial.customer_key)))
    (trial.directory / "customer.key").write_bytes(other.wrong_key or b"")
    return other

"""Kills a transfer at each of its system calls, and holds the next run to what it must make of it.

After a kill nothing partial stands under a final name. The same command, run again, ends with 0 and
the exact object or file; then no upload is left on the server, no temporary file, nothing in the
journal. The customer key is in no file at any time.
"""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.faults import Dialect, FaultServer
from tests.kills.nursery import Ended, Nursery
from tests.kills.traces import files_below, files_with_key, temporary_files
from tests.kit import Certificate

from sealift.keys import CustomerKey
from sealift.model import MIN_PART_SIZE

# Three parts, the last one short.
LARGE = random.Random(1).randbytes(2 * MIN_PART_SIZE + 12_000)
SMALL = b"small"
BUCKET = "bucket"
# What is written down from time to time is written down at once.
AT_ONCE = {"sealift.ledger.INTERVAL": 0.001, "sealift.ranged.NOTE_INTERVAL": 0.0}


@dataclass(frozen=True, slots=True)
class Transfer:
    """A command line whose source is made before; `files` are at its end, `objects` likewise.

    Names of `files` are relative to the working directory. `made` is a file there of any content.
    """

    name: str
    words: tuple[str, ...]
    before: Mapping[str, bytes] = field(default_factory=dict)
    stored: Mapping[str, bytes] = field(default_factory=dict)
    files: Mapping[str, bytes] = field(default_factory=dict)
    made: str = ""
    objects: Mapping[str, bytes] = field(default_factory=dict)
    dialect: Dialect = "aws"
    settings: Mapping[str, float] = field(default_factory=dict)


_TREE = {"tree/a": SMALL, "tree/large": LARGE, "tree/z": SMALL}
_OBJECTS = {"p/a": SMALL, "p/large": LARGE, "p/z": SMALL}
_PUT = ("put", "large", f"s3://{BUCKET}/x")
_GET = ("get", f"s3://{BUCKET}/x", "out")
TRANSFERS = [
    Transfer("put", _PUT, before={"large": LARGE}, objects={"x": LARGE}),
    Transfer("put-to-ceph", _PUT, before={"large": LARGE}, objects={"x": LARGE}, dialect="ceph"),
    Transfer(
        "put-noted", _PUT, before={"large": LARGE}, objects={"x": LARGE}, settings=AT_ONCE
    ),
    Transfer(
        "sync-up", ("sync", "tree", f"s3://{BUCKET}/p", "--manifest", "m"), before=_TREE,
        objects=_OBJECTS, made="m", settings=AT_ONCE,
    ),
    Transfer(
        "copy", ("cp", f"s3://{BUCKET}/x", f"s3://{BUCKET}/y"), stored={"x": LARGE},
        objects={"y": LARGE}, dialect="ceph", settings=AT_ONCE,
    ),
    Transfer("get", _GET, stored={"x": LARGE}, files={"out": LARGE}),
    Transfer("get-noted", _GET, stored={"x": LARGE}, files={"out": LARGE}, settings=AT_ONCE),
    Transfer(
        "sync-down", ("sync", f"s3://{BUCKET}/p", "tree"), stored=_OBJECTS, files=_TREE,
        settings=AT_ONCE,
    ),
    Transfer(
        "restore", ("restore", f"s3://{BUCKET}/p/", "tree"), stored=_OBJECTS, files=_TREE,
        settings=AT_ONCE,
    ),
]  # fmt: skip


@dataclass(slots=True)
class Swept:
    """What a sweep came to; `at` has how often a kill came at a kind of call."""

    transfer: str
    calls: int = 0
    kills: int = 0
    at: dict[str, int] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        kinds = ", ".join(f"{name} {count}" for name, count in sorted(self.at.items()))
        return (
            f"{self.transfer}: {self.calls} calls, {self.kills} kills, "
            f"{len(self.failures)} failures ({kinds})"
        )


class Ground:
    """A server and a place below `directory` for runs of one transfer, all under one key."""

    def __init__(
        self, nursery: Nursery, certificate: Certificate, directory: Path, transfer: Transfer
    ) -> None:
        self.server = FaultServer(certificate, dialect=transfer.dialect)
        self._nursery = nursery
        self._certificate = certificate
        self.transfer = transfer
        self._key = os.urandom(32)
        self._directory = directory
        self._source = directory / "source"
        for name, content in transfer.before.items():
            (self._source / name).parent.mkdir(parents=True, exist_ok=True)
            (self._source / name).write_bytes(content)

    @property
    def work(self) -> Path:
        return self._directory / "run" / "work"

    @property
    def state(self) -> Path:
        return self._directory / "run" / "state"

    def clear(self) -> None:
        """As before the first run."""
        shutil.rmtree(self._directory / "run", ignore_errors=True)
        self.work.mkdir(parents=True)
        for name in self.transfer.before:
            path = self.work / name
            path.parent.mkdir(parents=True, exist_ok=True)
            os.link(self._source / name, path)
        self.server.objects.clear()
        self.server.uploads.clear()
        for name, content in self.transfer.stored.items():
            self.server.store(name, content, customer_key=self._key)

    @property
    def words(self) -> tuple[str, ...]:
        return (*self.transfer.words, "--part-size", "5MiB")

    def run(self, kill_at: int = 0) -> Ended:
        """Run the command; with `kill_at` it is killed, see `boundaries.supervise`."""
        self.server.requests.clear()
        return self._nursery.run(
            self.words,
            self._directory / "run",
            self.environment(),
            kill_at,
            self.transfer.settings,
        )

    def environment(self) -> dict[str, str]:
        lines = CustomerKey(self._key).env_lines().splitlines()
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self._directory / "run"),
            "XDG_STATE_HOME": str(self.state),
            "AWS_ENDPOINT_URL": self.server.endpoint_url,
            "AWS_CA_BUNDLE": str(self._certificate.ca_file),
            "AWS_ACCESS_KEY_ID": "AK",
            "AWS_SECRET_ACCESS_KEY": "SK",
            "AWS_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            **dict(line.split("=", 1) for line in lines),
        }

    def check_killed(self) -> None:
        """What holds after a kill, too."""
        transfer = self.transfer
        for name, content in transfer.files.items():
            path = self.work / name
            assert not path.exists() or path.read_bytes() == content, f"{name} is partial"
        for (_, name), stored in self.server.objects.items():
            assert stored.body == (transfer.objects | transfer.stored)[name], f"{name} is partial"
        leaks = files_with_key(self._key, files_below(self._directory / "run"))
        assert not leaks, f"the customer key is in {leaks}"

    def check_done(self, ended: Ended) -> None:
        """What holds after a run that was not killed."""
        transfer = self.transfer
        assert ended.status == 0, ended
        self.check_killed()
        assert {name for _, name in self.server.objects} == {*transfer.objects, *transfer.stored}
        assert all(stored.customer_key_md5 for stored in self.server.objects.values())
        here = {str(path.relative_to(self.work)) for path in files_below(self.work)}
        assert here - {transfer.made} == {*transfer.before, *transfer.files}
        assert not transfer.made or transfer.made in here
        assert not self.server.uploads, "an upload is left open"
        assert not temporary_files(self._directory / "run")
        left = files_below(self.state / "sealift" / "journal")
        assert not left, f"the journal has {left}"


def sweep(
    ground: Ground,
    transfer: Transfer,
    choose: Callable[[list[str]], Iterable[int]],
    seed: int | None = None,
) -> Swept:
    """Kill at the calls, by number from 1, that `choose` picks from those of a run.

    With `seed` the run after the kill is killed too, anywhere, before the one that is not.
    """
    swept = Swept(transfer.name)
    chance = None if seed is None else random.Random(seed)
    ground.clear()
    untouched = ground.run(1_000_000)
    ground.check_done(untouched)
    swept.calls = len(untouched.calls)
    for number in choose(untouched.calls):
        ground.clear()
        plan = [number] if chance is None else [number, chance.randint(1, swept.calls)]
        history = []
        try:
            for kill_at in plan:
                killed = ground.run(kill_at)
                history.append((kill_at, killed.status, killed.calls[-1:]))
                if not killed.is_killed:
                    ground.check_done(killed)
                    break
                call = killed.calls[-1].split()[0]
                swept.kills += 1
                swept.at[call] = swept.at.get(call, 0) + 1
                ground.check_killed()
            ground.check_done(ground.run())
        except (AssertionError, TimeoutError) as error:
            swept.failures.append(f"{transfer.name}, killed at {history}: {error}")
    return swept

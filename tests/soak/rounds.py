"""What a soak does, round after round, and what must hold at the end of each.

A round changes a tree, brings it up and back down. Each command may be killed or interrupted some
times, and is run again until it has its way. Then both sides must be equal, with boto3, that asks
the server itself, as the judge; and nothing may be left over: no unfinished upload, no temporary
file, no journal, nowhere the customer key.
"""

from __future__ import annotations

import base64
import contextlib
import random
import shutil
import signal
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.contract.site import Boto, Site, connect, read_tree
from tests.faults import Relay, Storm
from tests.kit import Certificate

from sealift.embedded import S3Server

from .commands import Broken, Commands, Ended, Stop
from .impatient import PATIENCE
from .tree import Tree, damage

PREFIX = "tree/"
# Of all requests, at most; at least a third of that.
RATE = 0.03
UNSEALED_RATE = 0.02
MOST_KILLS = 3
# Of a whole soak, by server: Ceph was seen to act upon a Create after its sender was killed.
MOST_LATE_CREATES = {"ceph": 1}
SETTINGS = ("--json", "--part-size", "5MiB", "--memory", "200MiB", "-j", "6")


@dataclass
class Summary:
    """What a soak has seen."""

    server: str
    seed: int
    seconds: float = 0.0
    rounds: int = 0
    requests: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    kills: Counter[str] = field(default_factory=Counter)
    commands: Counter[str] = field(default_factory=Counter)
    objects: int = 0
    bytes: int = 0
    late_creates: int = 0

    def __str__(self) -> str:
        lines = [
            f"{self.server}, seed {self.seed}: {self.rounds} rounds in {self.seconds:.0f} s",
            f"  requests {self.requests}, of which {self.faults.total()} met a fault:",
            f"    {_counted(self.faults)}",
            f"  commands {self.commands.total()} ({_counted(self.commands)})",
            f"  kills    {self.kills.total()} ({_counted(self.kills)})",
            f"  compared {self.objects} objects, {self.bytes / 2**20:.0f} MiB",
            f"  left     {self.late_creates} empty uploads of a late Create",
        ]
        return "\n".join(lines)


def _counted(counts: Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items())) or "none"


class Soak:
    """One soak against one server; everything on the disk is below `directory`.

    In each round between a third and all of `rate` of the requests meet a fault.
    """

    def __init__(self, server: S3Server, directory: Path, seed: int, *, rate: float = RATE) -> None:
        self._chance = random.Random(f"{seed} {server.name}")
        self._rate = rate
        self._server = server
        self._directory = directory
        self.state = directory / "state"
        self.work = directory / "work"
        self._storm = Storm(seed, 0.0, stall=PATIENCE)
        self.summary = Summary(server.name, seed)

    def run(self, seconds: float) -> None:
        """Begin rounds for so long; raises Broken."""
        began = time.monotonic()
        try:
            with self.open():
                while time.monotonic() - began < seconds:
                    self._round()
        finally:
            self.summary.seconds = time.monotonic() - began

    @contextlib.contextmanager
    def open(self) -> Iterator[None]:
        """A block with a bucket, a tree and a relay."""
        self.work.mkdir()
        (self._directory / "tls").mkdir()
        certificate = Certificate.make(self._directory / "tls")
        boto: Boto
        with (
            contextlib.closing(connect(self._server)) as boto,
            Relay(certificate, self._server, storm=self._storm) as self._relay,
        ):
            self.site = Site(self._server, boto, self.work)
            boto.create_bucket(Bucket=self.site.bucket)
            environment = self.site.environment(
                HOME=str(self._directory),
                XDG_STATE_HOME=str(self.state),
                AWS_ENDPOINT_URL=self._relay.endpoint_url,
                AWS_CA_BUNDLE=str(certificate.ca_file),
            )
            self._commands = Commands(
                self.work,
                self._directory / "output",
                environment,
                lambda: self._relay.request_count,
            )
            self.tree = Tree(self.work / "tree", self._chance)
            try:
                yield
            finally:
                self.summary.requests = self._relay.request_count
                self.summary.faults = self._relay.injected
                self.summary.kills = self._commands.kills

    # A round

    def _round(self) -> None:
        chance, storm = self._chance, self._storm
        storm.begin()
        storm.rate = chance.uniform(self._rate / 3, self._rate)
        is_unsealed = chance.random() < 0.25
        self.tree.edit()
        self._up(is_unsealed=is_unsealed)
        self.check_bucket()
        self._down(is_unsealed=is_unsealed)
        self.check_left_over()
        self.summary.rounds += 1

    def _up(self, *, is_unsealed: bool) -> None:
        uri = self.site.uri(PREFIX)
        if self._chance.random() < 0.2:
            self._carry_out("cp", "tree/", uri, is_unsealed=is_unsealed, edits=False)
        self._carry_out("sync", "tree", uri, "--delete", is_unsealed=is_unsealed, edits=True)

    def _down(self, *, is_unsealed: bool) -> None:
        uri = self.site.uri(PREFIX)
        kind = self._chance.choice(["restore", "cp", "sync"])
        if kind == "sync":
            target = self.work / "mirror"
            if target.exists():
                damage(target, self._chance)
            words = ["sync", uri, "mirror", "--delete"]
        else:
            target = self.work / "back"
            shutil.rmtree(target, ignore_errors=True)
            words = [kind, uri, "back"]
        self._carry_out(*words, is_unsealed=is_unsealed, edits=False)
        self.check_target(target)

    def _carry_out(self, *words: str, is_unsealed: bool, edits: bool) -> None:
        """Run a command until it has its way.

        With `edits` the tree may change after it was killed. With `is_unsealed` it runs once more
        to begin with, undisturbed but for missing echoes, of which each must fail its object.
        """
        words += SETTINGS
        if self._chance.random() < 0.3:
            words += ("--log-level", "debug")
        if is_unsealed:
            self._run_unsealed(words)
        else:
            for _ in range(self._chance.randrange(MOST_KILLS + 1)):
                ended = self._run(words, self._random_stop())
                _check_stopped(ended)
                if edits and self._chance.random() < 0.3:
                    self.tree.edit()
            if self._chance.random() < 0.3 and self._jobs():
                self._expect(self._commands.run("resume", patient=True), 0)
        self._expect(self._run(words, None), 0)

    def _run_unsealed(self, words: tuple[str, ...]) -> None:
        storm = self._storm
        storm.unsealed.clear()
        storm.rate, rate = 0.0, storm.rate
        storm.unsealed_rate = UNSEALED_RATE
        ended = self._run(words, None)
        storm.unsealed_rate, storm.rate = 0.0, rate
        self._expect(ended, 1 if storm.unsealed else 0)
        if ended.failed.keys() != storm.unsealed.keys():
            raise Broken(f"{words}: {ended.failed} failed, for lack of echoes: {storm.unsealed}")
        written = {name for name, operations in storm.unsealed.items() if "PutObject" in operations}
        if left := written.intersection(self.site.names()):
            raise Broken(f"{words}: {left} may lie unsealed on the server")

    def _run(self, words: tuple[str, ...], stop: Stop | None) -> Ended:
        self.summary.commands[words[0]] += 1
        return self._commands.run(*words, stop=stop)

    def _random_stop(self) -> Stop:
        number = self._chance.choice([signal.SIGKILL, signal.SIGKILL, signal.SIGINT])
        # Before its first request Python itself may still be about to start.
        least = 1 if number is signal.SIGINT else 0
        count = least + int(60 ** self._chance.random() - 1)
        return Stop(number, count, self._chance.uniform(0.0, 0.3))

    def _jobs(self) -> list[dict[str, Any]]:
        ended = self._commands.run("jobs", "--json")
        self._expect(ended, 0)
        return ended.lines

    # What must hold

    def _expect(self, ended: Ended, status: int) -> None:
        if ended.status != status:
            raise Broken(
                f"{ended.words} ended with {ended.status}, not {status}: "
                f"{ended.failed} {ended.stderr[-2000:]}"
            )

    def check_bucket(self) -> None:
        """The bucket holds what the tree does."""
        names = self.site.names()
        found = {name.removeprefix(PREFIX): self.site.boto_get(name) for name in names}
        self._check_equal("the bucket", found)

    def check_target(self, target: Path) -> None:
        """A directory holds what the tree does."""
        self._check_equal(str(target), read_tree(target))

    def _check_equal(self, what: str, found: dict[str, bytes]) -> None:
        wanted = read_tree(self.tree.root)
        if found != wanted:
            differing = sorted(
                name for name in found.keys() | wanted.keys() if found.get(name) != wanted.get(name)
            )
            raise Broken(f"{what} is not as the tree in {differing}")
        self.summary.objects += len(found)
        self.summary.bytes += sum(map(len, found.values()))

    def check_left_over(self) -> None:
        """Nothing is left of what was under way, and the customer key is nowhere."""
        if uploads := self._uploads_left():
            raise Broken(f"unfinished uploads are left: {uploads}")
        if temporary := list(self.work.rglob(".sealift-*")):
            raise Broken(f"temporary files are left: {temporary}")
        if jobs := self._jobs():
            raise Broken(f"runs are left in the journal: {jobs}")
        self._check_key()
        self._commands.forget_output()
        self._relay.requests.clear()

    def _uploads_left(self) -> list[dict[str, Any]]:
        """Unfinished uploads, but for those that a late Create has made.

        A request that was cut off, or whose sender was killed, may be acted upon after all who look
        for its upload have looked. Such an upload is empty, costs nothing, and is rare.
        """
        boto, left = self.site.boto, self.site.uploads()
        most = MOST_LATE_CREATES.get(self.summary.server, 0)
        for upload in list(left):
            where = {"Bucket": self.site.bucket, "Key": upload["Key"]}
            parts = boto.list_parts(**where, UploadId=upload["UploadId"]).get("Parts", [])
            if not parts and self.summary.late_creates < most:
                self.summary.late_creates += 1
                boto.abort_multipart_upload(**where, UploadId=upload["UploadId"])
                left.remove(upload)
        return left

    def _check_key(self) -> None:
        """The customer key is in no file, whatever wrote it."""
        raw: bytes = self.site.seal["SSECustomerKey"]
        forms = (
            raw,
            base64.b64encode(raw).rstrip(b"="),
            raw.hex().encode(),
            raw.hex().upper().encode(),
        )
        for directory in (self.state, self.work, self._directory / "output"):
            for path in directory.rglob("*"):
                if path.is_file() and any(form in path.read_bytes() for form in forms):
                    raise Broken(f"the customer key is in {path}")


def _check_stopped(ended: Ended) -> None:
    """A command that was stopped, or was quicker, says nothing wrong."""
    if ended.status not in (0, 130, -signal.SIGKILL):
        raise Broken(f"{ended.words}, stopped, ended with {ended.status}: {ended.failed}")

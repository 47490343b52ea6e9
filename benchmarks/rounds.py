"""All runs of a cell: sealift and its peers in turn, round after round, checked and cleaned away.

The peers alternate (A B C A B C), so that what changes on the machine changes for all of them.
"""

from __future__ import annotations

import base64
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.cells import Cell, Way, check_tree, make_tree
from benchmarks.limits import writes_files
from benchmarks.measure import Usage, measure
from benchmarks.peers import SEALIFT, Peer, Run, aws_configuration, base_environ
from benchmarks.servers import BUCKET, Keeper, serve
from sealift.embedded import S3Server
from sealift.errors import SettingsError
from sealift.model import GiB

# Nothing may fill the machine's memory to the brim: what is measured lives in it as well.
_SPARE_SIZE = GiB
# The tree and what was stored of it; then what was stored and the tree that comes back.
_COPIES = {"sink": 2, "rgw": 4}
_PROBLEM_SIZE = 200


@dataclass(frozen=True, slots=True)
class Settings:
    """What all cells have in common."""

    server: str
    delay: float
    rounds: int
    timeout: float
    connections: int
    directory: Path
    peers: Sequence[Peer]
    sealift_arguments: Sequence[str]


@dataclass(frozen=True, slots=True)
class Record:
    """One run. `problem` says why it does not count, `checked` what of its outcome was compared."""

    cell: str
    way: str
    count: int
    size: int
    peer: str
    number: int
    wall: float
    cpu: float
    peak_memory: int
    status: int
    problem: str | None
    checked: str
    output: str

    def as_json(self) -> dict[str, object]:
        return asdict(self)


def run_cell(cell: Cell, settings: Settings, customer_key: bytes) -> Iterator[Record]:
    """Yield a record for each run, both ways; the server lives as long as this."""
    _require_room(cell, settings)
    scratch = settings.directory / "scratch"
    scratch.mkdir()
    (scratch / "aws-config").write_text(aws_configuration(settings.connections))
    key_file = scratch / "customer.key"
    key_file.touch(mode=0o600)
    key_file.write_bytes(customer_key)
    try:
        directory = settings.directory / "server"
        with serve(settings.server, directory, delay=settings.delay, discard=False) as server:
            yield from _Cell(cell, settings, customer_key, server, scratch).run()
    finally:
        for name in ("scratch", "server", "tree", "back"):
            shutil.rmtree(settings.directory / name, ignore_errors=True)


def _require_room(cell: Cell, settings: Settings) -> None:
    needed = _COPIES[settings.server] * cell.total_size + _SPARE_SIZE
    free = shutil.disk_usage(settings.directory).free
    if settings.server == "rgw" or settings.directory.is_relative_to("/dev/shm"):
        free = min(free, _available_memory())
    if free < needed:
        raise SettingsError(
            f"{cell.name} needs {needed / GiB:.1f} GiB and {free / GiB:.1f} GiB are free",
            hint="give --directory on a disk, or --cells that are smaller",
        )


def _available_memory() -> int:
    for line in Path("/proc/meminfo").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == "MemAvailable":
            return int(value.split()[0]) * 1024
    raise SettingsError("this kernel does not tell its available memory")


class _Cell:
    def __init__(
        self, cell: Cell, settings: Settings, customer_key: bytes, server: S3Server, scratch: Path
    ) -> None:
        self._cell = cell
        self._settings = settings
        self._server = server
        self._scratch = scratch
        self._customer_key = base64.b64encode(customer_key).decode()
        self._keeper = Keeper(server, customer_key)
        self._tree = settings.directory / "tree"
        self._back = settings.directory / "back"

    def run(self) -> Iterator[Record]:
        self._keeper.make_bucket()
        self._digests = make_tree(self._cell, self._tree)
        yield from self._turns(Way.UP)
        self._seed()
        shutil.rmtree(self._tree)
        yield from self._turns(Way.DOWN)

    def _turns(self, way: Way) -> Iterator[Record]:
        settings = self._settings
        racers = [SEALIFT, *settings.peers]
        for number in range(1, settings.rounds + 1):
            for peer in list(racers):
                prefix = self._seeded(peer) if way is Way.DOWN else f"up/{peer.name}-{number}/"
                run = Run(
                    cell=self._cell,
                    way=way,
                    directory=self._tree if way is Way.UP else self._back,
                    bucket=BUCKET,
                    prefix=prefix,
                    server=self._server,
                    scratch=self._scratch,
                    customer_key=self._customer_key,
                    connections=settings.connections,
                    sealift_arguments=settings.sealift_arguments,
                )
                if reason := peer.missing(run):
                    racers.remove(peer)
                    say(f"{peer.name} is left out: {reason}")
                    continue
                record = self._one(peer, run, number)
                say(
                    f"{record.cell} {record.way} {number}/{settings.rounds} {peer.name}: "
                    f"{record.wall:.2f} s, {record.problem or record.checked}"
                )
                if record.problem:
                    racers.remove(peer)
                yield record

    def _one(self, peer: Peer, run: Run, number: int) -> Record:
        if run.way is Way.DOWN:
            self._back.mkdir()
        command = peer.command(run)
        try:
            usage = measure(
                command,
                environ=base_environ(run) | dict(peer.environ(run)),
                directory=self._scratch,
                log_file=self._scratch / "log",
                timeout=self._settings.timeout,
            )
            problem, checked = self._check(peer, run, usage)
        finally:
            if run.way is Way.DOWN:
                shutil.rmtree(self._back)
        if run.way is Way.UP:
            self._keeper.remove(run.prefix)
        return Record(
            cell=self._cell.name,
            way=run.way.value,
            count=self._cell.count,
            size=self._cell.size,
            peer=peer.name,
            number=number,
            wall=usage.wall,
            cpu=usage.cpu,
            peak_memory=usage.peak_memory,
            status=usage.status,
            problem=problem,
            checked=checked,
            output=usage.tail,
        )

    def _check(self, peer: Peer, run: Run, usage: Usage) -> tuple[str | None, str]:
        if usage.timed_out:
            return f"took more than {self._settings.timeout:.0f} s", "nothing"
        if usage.status != 0:
            return f"status {usage.status}: {_last_line(usage.tail)}", "nothing"
        if run.way is Way.UP:
            return self._keeper.check(run.prefix, self._cell, self._digests, sealed=peer.sealed)
        if peer.is_limit and not writes_files(run):
            return None, "status"
        return check_tree(self._cell, self._back, self._digests), "names, sizes, all bytes"

    def _seed(self) -> None:
        """Put what is to be downloaded; in the clear as well where that makes a difference."""
        kinds = {peer.sealed for peer in (SEALIFT, *self._settings.peers)}
        if self._server.name == "sink":
            kinds = {True}
        for sealed in kinds:
            self._keeper.seed(_prefix(sealed), self._tree, self._digests, sealed=sealed)
        names = [_prefix(True) + name for name in self._digests]
        (self._scratch / "names").write_text("\n".join(names))

    def _seeded(self, peer: Peer) -> str:
        return _prefix(peer.sealed or self._server.name == "sink")


def _prefix(sealed: bool) -> str:
    return "down/sealed/" if sealed else "down/clear/"


def _last_line(text: str) -> str:
    return (text.splitlines() or ["no output"])[-1][:_PROBLEM_SIZE]


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)

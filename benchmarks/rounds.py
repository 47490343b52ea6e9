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
from benchmarks.sink import Activity, activity
from sealift.embedded import S3Server
from sealift.errors import SettingsError
from sealift.model import GiB

# Nothing may fill the machine's memory to the brim: what is measured lives in it as well.
_SPARE_SIZE = GiB
# The tree and what was stored of it; then what was stored and the tree that comes back.
_COPIES = {"sink": 2, "rgw": 4}
_PROBLEM_SIZE = 200
_SYNC_PREFIX = "sync/"


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
    if Way.SYNC in cell.ways and settings.server != "sink":
        raise SettingsError(
            "only the sink tells whether a sync moved nothing", hint="leave out --server"
        )
    scratch = make_scratch(settings.directory, settings.connections, customer_key)
    try:
        directory = settings.directory / "server"
        with serve(settings.server, directory, delay=settings.delay, discard=False) as server:
            yield from _Cell(cell, settings, customer_key, server, scratch).run()
    finally:
        for name in ("scratch", "server", "tree", "back"):
            shutil.rmtree(settings.directory / name, ignore_errors=True)


def make_scratch(directory: Path, connections: int, customer_key: bytes) -> Path:
    """The home directory of all runs of a cell, with what they are configured by."""
    scratch = directory / "scratch"
    scratch.mkdir()
    (scratch / "aws-config").write_text(aws_configuration(connections))
    key_file = scratch / "customer.key"
    key_file.touch(mode=0o600)
    key_file.write_bytes(customer_key)
    return scratch


def _require_room(cell: Cell, settings: Settings) -> None:
    needed = _COPIES[settings.server] * cell.room + _SPARE_SIZE
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
        for way in self._cell.ways:
            if way is Way.DOWN:
                self._seed()
                shutil.rmtree(self._tree)
            elif way is Way.SYNC:
                self._seed_sync()
            yield from self._turns(way)

    def _turns(self, way: Way) -> Iterator[Record]:
        settings = self._settings
        racers = [racer for peer in (SEALIFT, *settings.peers) for racer in peer.for_way(way)]
        for number in range(1, settings.rounds + 1):
            for peer in list(racers):
                run = self._make_run(way, self._prefix(peer, way, number))
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

    def _make_run(self, way: Way, prefix: str) -> Run:
        return Run(
            cell=self._cell,
            way=way,
            directory=self._back if way is Way.DOWN else self._tree,
            bucket=BUCKET,
            prefix=prefix,
            server=self._server,
            scratch=self._scratch,
            customer_key=self._customer_key,
            connections=self._settings.connections,
            sealift_arguments=self._settings.sealift_arguments,
        )

    def _prefix(self, peer: Peer, way: Way, number: int) -> str:
        match way:
            case Way.UP:
                return f"up/{peer.name}-{number}/"
            case Way.DOWN:
                return self._seeded(peer)
            case Way.SYNC:
                return _SYNC_PREFIX

    def _one(self, peer: Peer, run: Run, number: int) -> Record:
        if run.way is Way.DOWN:
            self._back.mkdir()
        before = activity(self._server) if run.way is Way.SYNC else None
        try:
            usage = run_peer(peer, run, self._settings.timeout)
            if before is not None:
                done = activity(self._server) - before
                problem, checked = check_noop(run.cell, usage, done)
            else:
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
        if problem := failure(usage):
            return problem, "nothing"
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
            self._keeper.seed(_seed_prefix(sealed), self._tree, self._digests, sealed=sealed)
        names = [_seed_prefix(True) + name for name in self._digests]
        (self._scratch / "names").write_text("\n".join(names))

    def _seed_sync(self) -> None:
        """Put what is to be compared by sealift itself, whose catalogue knows it then."""
        run = self._make_run(Way.SYNC, _SYNC_PREFIX)
        (ours, *_) = SEALIFT.for_way(Way.SYNC)
        problem = failure(run_peer(ours, run, self._settings.timeout))
        if problem is None:
            # this makes the sink sort its names as well, once and before any of the runs
            problem, _ = self._keeper.check(run.prefix, self._cell, self._digests, sealed=True)
        if problem is not None:
            raise SettingsError(f"sealift could not put the files there: {problem}")

    def _seeded(self, peer: Peer) -> str:
        return _seed_prefix(peer.sealed or self._server.name == "sink")


def run_peer(peer: Peer, run: Run, timeout: float) -> Usage:
    return measure(
        peer.command(run),
        environ=base_environ(run) | dict(peer.environ(run)),
        directory=run.scratch,
        log_file=run.scratch / "log",
        timeout=timeout,
    )


def check_noop(cell: Cell, usage: Usage, done: Activity) -> tuple[str | None, str]:
    """What is wrong with a sync that had nothing to do, or None; and what that was told by.

    One that moved something is as wrong as one that did not look at all.
    """
    if problem := failure(usage):
        return problem, "nothing"
    if done.changes:
        return f"sent {done.changes} requests that change something", "requests"
    if done.listed < cell.count:
        return f"was shown {done.listed} names of {cell.count}", "names shown"
    return None, f"no change asked for, {done.listed} names shown"


def failure(usage: Usage) -> str | None:
    """Why a run that did not end well counts for nothing, or None."""
    if usage.timed_out:
        return f"took more than {usage.wall:.0f} s"
    if usage.status != 0:
        return f"status {usage.status}: {_last_line(usage.tail)}"
    return None


def _seed_prefix(sealed: bool) -> str:
    return "down/sealed/" if sealed else "down/clear/"


def _last_line(text: str) -> str:
    return (text.splitlines() or ["no output"])[-1][:_PROBLEM_SIZE]


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)

"""`sealift demo`: a tree goes up to a real S3 server under a fresh customer key, and comes back.

The server is MiniStack, a child process with TLS that enforces SSE-C. Everything, the customer key
included, lives in a temporary directory and in this process, and is gone at the end.
"""

from __future__ import annotations

import filecmp
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path

import anyio
from rich.console import Console as RichConsole
from rich.table import Table

from sealift.cli.running import fail, run_engine
from sealift.cli.shared import Shared
from sealift.console import open_console
from sealift.console.text import escape, rate, size
from sealift.embedded import S3Server, ministack
from sealift.engine import Engine
from sealift.errors import ObjectError, SealiftError
from sealift.events import Silent
from sealift.keys import CustomerKey
from sealift.model import KiB, Location, MiB
from sealift.options import Options
from sealift.session import Session

BUCKET = "sealift-demo"
# MiniStack computes the CRC64NVME of what goes up in Python, at some 6 MiB/s: large enough for
# several parts, and no larger.
SMALL_FILE_COUNT = 2000
LARGE_FILE_SIZES = (9 * MiB, 16 * MiB, 24 * MiB)
ODD_NAMES = (
    "with space", "plus+sign", "100%25 certain", "ümläut", "e\u0301 is two characters", "日本語",
    "🚢", "semi;colon", "quote'\"s", "back\\slash", "a&b=c?d#e", "line\nbreak", " leading",
    "trailing ", ".hidden", "a..b",
)  # fmt: skip


@dataclass(slots=True)
class _Leg:
    """One way of the journey, for the table."""

    name: str
    seconds: float
    count: int
    size: int


def run_demo(shared: Shared, *, keep: bool) -> None:
    """Run the demo and exit: 0 when every byte came back and nobody else could read one."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # clean up, as after Ctrl-C
    directory = Path(tempfile.mkdtemp(prefix="sealift-demo-"))
    try:
        passed = _Demo(shared, directory).run()
    except SealiftError as error:
        fail(error)
    finally:
        if keep:
            print(f"kept: {directory}", file=sys.stderr)
        else:
            shutil.rmtree(directory, ignore_errors=True)
    raise SystemExit(0 if passed else 1)


class _Demo:
    def __init__(self, shared: Shared, directory: Path) -> None:
        self._shared = shared
        self._directory = directory
        self._screen = RichConsole(stderr=True, highlight=False)
        self._customer_key = CustomerKey.generate()

    def run(self) -> bool:
        tree, back = self._directory / "tree", self._directory / "tmp"
        self._say("starting MiniStack, an S3 server, with TLS (installed on first use)")
        with ministack(self._directory / "server") as server:
            options = options_for(server, self._customer_key, self._directory)
            self._say(f"making {SMALL_FILE_COUNT:,} small files, some large ones and odd names")
            make_tree(tree)
            make_bucket(options, BUCKET)
            prefix = Location(BUCKET, "tree/")
            up = self._leg("up", options, lambda engine: engine.copy(f"{tree}/", str(prefix)))
            down = self._leg("down", options, lambda engine: engine.restore(prefix, str(back)))
            self._say("comparing every byte, name and time")
            differing = compare_trees(tree, back)
            sample = prefix.child("with space")
            without = self._refusal(replace(options, customer_key=None), sample)
            wrong = self._refusal(replace(options, customer_key=CustomerKey.generate()), sample)
        self._show([up, down], differing, without, wrong)
        return not differing and bool(without) and bool(wrong)

    def _leg(
        self, name: str, options: Options, command: Callable[[Engine], Awaitable[object]]
    ) -> _Leg:
        began = time.monotonic()
        with open_console(
            quiet=self._shared.quiet,
            json=self._shared.json,
            progress=not self._shared.no_progress,
            heading={"up": "cp tree/ to S3", "down": "restore to tmp/"}[name],
            key_id=self._customer_key.key_id,
        ) as console:
            run_engine(options, console, command)
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # the loop has reset it
        tally = console.tally
        return _Leg(name, time.monotonic() - began, tally.done_count, tally.done_size)

    def _refusal(self, options: Options, sample: Location) -> str:
        """What the server says to a GET without the right key, or nothing if it gave the object."""

        async def get() -> None:
            async with Session(options, Silent()) as session:
                objects = await session.objects(sample.bucket)
                room = memoryview(bytearray(KiB))
                await objects.get_object(sample.name, room, None, None, None)

        try:
            anyio.run(get)
        except ObjectError as error:
            return escape(error.message)
        return ""

    def _say(self, text: str) -> None:
        if not self._shared.quiet:
            print(text, file=sys.stderr)

    def _show(self, legs: list[_Leg], differing: list[str], without: str, wrong: str) -> None:
        table = Table(title="sealift demo", title_justify="left")
        for column in ("", "objects", "bytes", "time", "throughput", "objects/s"):
            table.add_column(column, justify="left" if not column else "right")
        for leg in legs:
            table.add_row(
                leg.name,
                f"{leg.count:,}",
                size(leg.size),
                f"{leg.seconds:.1f} s",
                rate(leg.size / leg.seconds),
                f"{leg.count / leg.seconds:,.0f}",
            )
        self._screen.print(table)
        self._say(
            "the time up is MiniStack's, which sums up bytes in Python; "
            "sealift bench measures a server of yours"
        )
        if differing:
            self._say(f"DIFFERENT after the journey: {escape(', '.join(differing[:10]))}")
        else:
            self._say("same on both sides: every name, byte and time")
        self._say(f"without the key:   {without or 'THE SERVER GAVE THE OBJECT'}")
        self._say(f"with a wrong key:  {wrong or 'THE SERVER GAVE THE OBJECT'}")


def make_tree(root: Path) -> None:
    """A varied tree: many small files in nested directories, empty ones, large ones, odd names."""
    chance = random.Random(1)  # noqa: S311 - not a secret
    for index in range(SMALL_FILE_COUNT):
        directory = root / f"d{index % 20:02}" / f"e{index % 7}"
        directory.mkdir(parents=True, exist_ok=True)
        length = 0 if index % 100 == 0 else chance.randrange(32 * KiB)
        (directory / f"file-{index:05}.bin").write_bytes(chance.randbytes(length))
    for index, length in enumerate(LARGE_FILE_SIZES):
        with (root / f"large-{index}.bin").open("wb") as file:
            for _ in range(length // MiB):
                file.write(os.urandom(MiB))
            file.write(b"odd tail")
    for name in ODD_NAMES:
        (root / name).write_bytes(name.encode())


def compare_trees(one: Path, other: Path) -> list[str]:
    """The relative names that are missing on a side, or differ in bytes or time of change."""
    names = _names(one)
    differing = sorted(names ^ _names(other))
    for name in sorted(names & _names(other)):
        left, right = one / name, other / name
        same_time = left.stat().st_mtime_ns == right.stat().st_mtime_ns
        if not same_time or not filecmp.cmp(left, right, shallow=False):
            differing.append(name)
    return differing


def _names(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}


def options_for(server: S3Server, customer_key: CustomerKey, directory: Path) -> Options:
    """Options that lead to an embedded server, whatever the user's settings are; state goes below
    `directory`."""
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL_S3"):
        os.environ.pop(name, None)
    # A proxy of the user's would look for the server on its own machine.
    os.environ["NO_PROXY"] = os.environ["no_proxy"] = "127.0.0.1"
    os.environ["AWS_ACCESS_KEY_ID"] = server.access_key
    os.environ["AWS_SECRET_ACCESS_KEY"] = server.secret_key
    return Options(
        customer_key=customer_key,
        region=server.region,
        endpoint_url=server.endpoint_url,
        ca_bundle=str(server.ca_file),
        state_directory=str(directory / "state"),
    )


def make_bucket(options: Options, bucket: str) -> None:
    """Create a bucket on an embedded server."""
    from sealift.control import open_control  # here: it loads botocore

    async def make() -> None:
        async with open_control(
            profile=None,
            region=options.region,
            endpoint_url=options.endpoint_url,
            ca_bundle=options.ca_bundle,
        ) as control:
            await control.create_bucket(bucket)

    anyio.run(make)

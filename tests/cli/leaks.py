"""What the leak test does with each command: the line that is run, what it needs, where it breaks.

A command that `app` has and CASES has not fails test_leaks.py. Add a line: the words, and where in
its work a bug is to strike if it never asks the server for anything.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.cli.conftest import MANIFEST
from tests.faults import FaultServer
from tests.kit import SECRET

from sealift.keys import CustomerKey

MiB = 1024 * 1024
URI = "s3://bucket/down"
KEY_FILE = "the.key"
KEY_ID = CustomerKey(SECRET).key_id
GENERATED = {"LEAK_GENERATED": "1"}
# Runs in each Python process of a command. It writes down what the process is started with and
# starts others with, and lets a bug strike at a place, which never returns.
SPY = f"""
import importlib, os, pathlib, signal, sys
seen = pathlib.Path(os.environ["LEAK_SEEN"])
def write(text):
    with open(seen / str(os.getpid()), "ab") as file:
        file.write(text + b"\\n")
given = any(name.startswith("SSE_CUSTOMER_KEY") for name in os.environ)
write(pathlib.Path("/proc/self/cmdline").read_bytes())
if not given:
    write(pathlib.Path("/proc/self/environ").read_bytes())
def spy(event, arguments):
    if event in ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.spawn"):
        write(repr((event, arguments)).encode("utf-8", "surrogateescape"))
        if not (given and "'-P', '-m', 'sealift'" in repr(arguments)):  # ours may have it as well
            write(repr(dict(os.environ)).encode("utf-8", "surrogateescape"))
sys.addaudithook(spy)
do = os.environ.pop("LEAK_DO", "")
if do:
    place, _, name = os.environ.pop("LEAK_AT").partition(":")
    *path, name = name.split(".")
    owner = importlib.import_module(place)
    for each in path:
        owner = getattr(owner, each)
    def strike(*arguments, **options):
        if do == "raise":
            raise RuntimeError("a bug of ours, with %r %r" % (arguments, options))
        os.kill(os.getpid(), getattr(signal, do))
    setattr(owner, name, strike)
if os.environ.pop("LEAK_BRIEF", ""):
    import sealift.session
    sealift.session.FIRST_CONTACT_BUDGET = 0.2
if os.environ.get("LEAK_GENERATED"):
    import secrets
    real = secrets.token_bytes
    known = [bytes({list(SECRET)})]  # demo's second key has to be another one
    secrets.token_bytes = lambda n=None: known.pop() if n == 32 and known else real(n)
"""

Prepare = Callable[[Path, FaultServer], None]


def nothing(work: Path, server: FaultServer) -> None:
    """No more than each case has."""


def manifest(work: Path, server: FaultServer) -> None:
    """What verify reads."""
    (work / "manifest").write_text(MANIFEST)


def killed_upload(work: Path, server: FaultServer) -> None:
    """An upload whose process was killed amid it."""
    (work / "large").write_bytes(bytes(6 * MiB))
    words = ("put", "large", "s3://bucket/large", "--part-size", "5MiB")
    ended = start(
        work, words, do="SIGKILL", at="sealift.wire.operations:ObjectClient._store"
    ).wait()
    assert ended == -signal.SIGKILL


@dataclass(frozen=True)
class Case:
    """A command as the leak test runs it.

    `carries` says that the key goes to the server, `well` with which statuses it ends when all is
    well. `at` is where a bug strikes. `holds` are the
    files that the key is written to on purpose. `situations` None: all.
    """

    words: tuple[str, ...]
    carries: bool = True
    well: tuple[int, ...] = (0,)
    at: str = "sealift.session:Session.objects"
    prepare: Prepare = nothing
    holds: tuple[str, ...] = ()
    situations: tuple[str, ...] | None = None
    environ: Mapping[str, str] = field(default_factory=dict)


# Of a command that asks no server.
LOCAL = (
    "success", "JSON and debug", "log and metrics", "bug, logged", "terminal and key file",
    "environment and key command", "full disk", "bug", "SIGSEGV", "SIGKILL",
)  # fmt: skip
CASES: dict[str, Case] = {
    "put": Case(("put", "name.bin", "s3://bucket/x")),
    "get": Case(("get", URI, "back")),
    "cp": Case(("cp", "tree/", "s3://bucket/t/")),
    "sync": Case(("sync", "s3://bucket/", "back", "--manifest", "written")),
    "restore": Case(("restore", "s3://bucket/", "back")),
    "verify": Case(("verify", "--manifest", "manifest", "--sealed"), prepare=manifest),
    "rekey": Case(("rekey", "s3://bucket/", "--to-key", "s3", "--report", "written")),
    "verify (trees)": Case(
        ("verify", "tree/", "s3://bucket/", "--sealed", "--deep"),
        well=(0, 1),
        situations=("success", "JSON and debug", "key said back", "bug"),
    ),
    "ls": Case(("ls", "s3://bucket/"), carries=False),
    "stat": Case(("stat", URI)),
    "cat": Case(("cat", URI)),
    "rm": Case(("rm", "s3://bucket/", "--recursive", "--yes"), carries=False),
    "jobs": Case(
        ("jobs",),
        carries=False,
        at="sealift.cli.unfinished:print_jobs",
        situations=LOCAL,
        prepare=killed_upload,
    ),
    "resume": Case(("resume",), at="sealift.cli.unfinished:run_resume", prepare=killed_upload),
    "clean": Case(("clean",), carries=False, prepare=killed_upload),
    "key new": Case(
        ("key", "new", "new.env", "--label", "x"),
        carries=False,
        at="sealift.cli.keys:write_key_file",
        situations=LOCAL,
        holds=("new.env",),
        environ=GENERATED,
    ),
    "key import": Case(
        ("key", "import", KEY_FILE, "--key-dir", "keys"),
        carries=False,
        at="sealift.cli.keys:write_key_file",
        situations=LOCAL,
        holds=("keys",),
    ),
    "key list": Case(
        ("key", "list"), carries=False, at="sealift.cli.keys:facts_of", situations=LOCAL
    ),
    "key show": Case(
        ("key", "show", KEY_ID), carries=False, at="sealift.cli.keys:facts_of", situations=LOCAL
    ),
    "key check": Case(("key", "check", URI)),
    "doctor": Case(("doctor", "s3://bucket/"), well=(0, 1)),
    "bench": Case(
        ("bench", "s3://bucket/", "--sizes", "1KiB", "--concurrencies", "1", "--seconds", "0.1"),
        situations=("success", "JSON and debug", "key said back", "bug", "SIGKILL"),
    ),
    # Its key is made within, and its server is started by it.
    "demo": Case(
        ("demo",),
        carries=False,
        at="sealift.cli.demo:make_tree",
        situations=("success", "bug", "SIGKILL"),
        environ=GENERATED,
    ),
}


def leaf_commands(group: Any, before: str = "") -> Iterator[str]:
    """The commands of a typer group, those of groups in it as `key new`."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from leaf_commands(command, f"{before}{name} ")
        else:
            yield f"{before}{name}"


def furnish(work: Path, server: FaultServer, key: bytes = SECRET) -> None:
    """What every case finds: some files, some objects under `key`, the key itself in `.env`."""
    (work / ".env").write_text(
        f"BUCKET_NAME=bucket\nKEY=name.bin\n{CustomerKey(SECRET).env_lines()}"
    )
    (work / ".env").chmod(0o600)
    (work / KEY_FILE).write_bytes(SECRET)
    (work / KEY_FILE).chmod(0o600)
    (work / "tree").mkdir()
    (work / "seen").mkdir()
    (work / "spy").mkdir()
    (work / "spy/sitecustomize.py").write_text(SPY)
    for name in "abc":
        (work / "tree" / name).write_text(name)
    for name in ("down", "x", "p/y"):
        server.store(name, b"x", customer_key=key)


def start(
    work: Path,
    words: tuple[str, ...],
    *,
    do: str = "",
    at: str = "",
    environ: Mapping[str, str] | None = None,
    **options: Any,
) -> subprocess.Popen[bytes]:
    """Start a command with the spy in it."""
    path = os.pathsep.join([str(work / "spy"), *sys.path])
    variables = {
        "PYTHONPATH": path,
        "PYTHONFAULTHANDLER": "1",
        "TMPDIR": str(work),
        "LEAK_SEEN": str(work / "seen"),
        "LEAK_DO": do,
        "LEAK_AT": at,
    }
    streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL}
    return subprocess.Popen(
        [sys.executable, "-m", "sealift", *words],
        cwd=work,
        env=os.environ | variables | (environ or {}),
        **(streams | {"stderr": subprocess.DEVNULL} | options),
    )

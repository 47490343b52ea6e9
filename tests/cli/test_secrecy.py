"""The customer key is in the memory of a running command and on the wire, and nowhere else.

A command that holds the key is looked at while it waits for a reply that never comes, and is made
to crash there: what the kernel shows of it, and every byte that it left behind, is searched. A key
that comes by the environment is in /proc/PID/environ because the user put it there; it is taken out
of what children inherit (test_process.py).
"""

from __future__ import annotations

import base64
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.cli.conftest import MANIFEST
from tests.faults import FaultServer, Match, Stall
from tests.kit import SECRET, assert_secret

from sealift.keys import CustomerKey

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc"),
]
SEAL = "x-amz-server-side-encryption-customer-key"
MiB = 1024 * 1024


@pytest.fixture(params=["key file", ".env"])
def key_source(request: pytest.FixtureRequest, work: Path) -> Path:
    """Where the key of the commands is; nothing else may have it."""
    (work / ".env").unlink()
    if request.param == ".env":
        path = work / ".env"
        path.write_text(CustomerKey(SECRET).env_lines())
    else:
        path = work / "the.key"
        path.write_bytes(SECRET)
    path.chmod(0o600)
    return path


def uncapped() -> None:
    """As where core dumps are wanted."""
    hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
    resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))


@contextmanager
def waiting(server: FaultServer, key_source: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A command at work: one file is up, one is amid its parts, the log is at its loudest."""
    server.script(Match(operation="UploadPart", part=2), Stall("before_head"))
    (key_source.parent / "name.bin").write_bytes(bytes(12 * MiB))
    words = ["-X", "dev", "-m", "sealift", "put", "name.bin", "s3://bucket/name.bin"]
    words += ["--part-size", "5MiB", "--log-level", "debug"]
    if key_source.name == "the.key":
        words += ["--key-file", "the.key"]
    with subprocess.Popen(
        [sys.executable, *words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=uncapped,
    ) as child:
        try:
            while len(server.seen("UploadPart")) < 3:
                assert child.poll() is None, child.communicate()
                time.sleep(0.01)
            yield child
        finally:
            child.kill()


def dumps_core(child: subprocess.Popen[bytes]) -> bool:
    """Wait for a child that dies; whether the kernel wrote a core dump."""
    ended = os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert ended is not None
    return ended.si_code == os.CLD_DUMPED


def assert_nothing_left(work: Path, state_home: Path, key_source: Path) -> None:
    """No form of the key in any file below the directory of work, home and state, or its names."""
    found = 0
    for root in (work.parent, state_home):
        for path in root.rglob("*"):
            assert_secret(str(path))
            if path.is_file() and path != key_source:
                assert_secret(path.read_bytes())
                found += path.parent.is_relative_to(state_home)
    assert found, "there is no journal to search"


def test_case_30_what_the_kernel_shows_of_a_running_command(
    server: FaultServer, work: Path, state_home: Path, key_source: Path
) -> None:
    with waiting(server, key_source) as child:
        shown = Path(f"/proc/{child.pid}")
        for name in ("cmdline", "environ", "comm", "status", "maps"):
            content = (shown / name).read_bytes()
            assert content, name
            assert_secret(content)
        assert b"Max core file size        0 " in (shown / "limits").read_bytes()
        assert_nothing_left(work, state_home, key_source)
        child.send_signal(signal.SIGINT)
        out, err = child.communicate(timeout=20)
    assert child.returncode == 130
    assert b"DEBUG" in err
    assert_secret(out + err)
    assert_nothing_left(work, state_home, key_source)
    (carried,) = {sent.headers.get(SEAL) for sent in server.seen("UploadPart")}
    assert carried == base64.b64encode(SECRET).decode(), "there was nothing to leak"


DUMPER = """
import pathlib, signal
from tests.dumps import dump_all
def dump(*_):
    pathlib.Path("dump.new").write_text(dump_all(), errors="replace")
    pathlib.Path("dump.new").rename("dump")
signal.signal(signal.SIGUSR1, dump)
"""


def test_case_30_a_dump_of_all_variables_shows_no_key(
    server: FaultServer, work: Path, key_source: Path, environ: pytest.MonkeyPatch
) -> None:
    """Amid its requests: what debuggers and reporters of crashes show of a program from inside."""
    (work / "sitecustomize.py").write_text(DUMPER)
    environ.setenv("PYTHONPATH", os.pathsep.join([str(work), *sys.path]))
    with waiting(server, key_source) as child:
        child.send_signal(signal.SIGUSR1)
        while not (work / "dump").exists():
            assert child.poll() is None
            time.sleep(0.01)
        shown = (work / "dump").read_text()
    assert "<hidden>" in shown, "no request was seen"
    assert SEAL in shown
    assert_secret(shown)


@pytest.mark.parametrize("fatal", [signal.SIGSEGV, signal.SIGABRT, signal.SIGKILL])
def test_case_30_a_crash_leaves_no_core_and_shows_no_key(
    server: FaultServer, work: Path, state_home: Path, key_source: Path, fatal: signal.Signals
) -> None:
    with waiting(server, key_source) as child:
        child.send_signal(fatal)
        dumped = dumps_core(child)
        out, err = child.communicate(timeout=20)
    assert child.returncode == -fatal
    assert not dumped
    if fatal is not signal.SIGKILL:
        assert b"Fatal Python error" in err  # faulthandler's traceback
    assert_secret(out + err)
    assert_nothing_left(work, state_home, key_source)


def test_case_30_here_a_crash_would_leave_a_core(work: Path) -> None:
    """Or the test above had shown nothing: the same end of a process that is not protected."""
    with subprocess.Popen(["/bin/sleep", "60"], preexec_fn=uncapped) as child:
        hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
        child.send_signal(signal.SIGSEGV)
        # Where dumps go to a program or another directory, it may fail for reasons of its own.
        is_here = not Path("/proc/sys/kernel/core_pattern").read_text().startswith(("|", "/"))
        assert dumps_core(child) or not (hard and is_here)
    for core in work.glob("core*"):
        core.unlink()


def test_case_30_other_processes_may_not_look_into_the_memory(work: Path) -> None:
    """Not those of the same user either: PR_GET_DUMPABLE of prctl(2) is 0."""
    program = """
import atexit, ctypes, sys
from sealift.cli.start import run
atexit.register(lambda: print("dumpable", ctypes.CDLL(None).prctl(3, 0, 0, 0, 0)))
sys.argv = ["sealift", "--version"]
run()
"""
    ended = subprocess.run(
        [sys.executable, "-c", program], cwd=work, capture_output=True, text=True, check=True
    )
    assert ended.stdout.splitlines()[-1] == "dumpable 0"


BUG = """
import sealift.session
async def objects(self, bucket):
    customer_key = self._options.customer_key
    headers = customer_key.headers()
    raise RuntimeError(f"a bug of ours, with {customer_key} and {self._options}")
sealift.session.Session.objects = objects
"""


@pytest.mark.parametrize("command", ["put", "get", "verify"])
def test_case_30_the_traceback_of_a_bug_shows_no_key(
    work: Path, state_home: Path, key_source: Path, command: str
) -> None:
    """On the quick way (put, get) and by typer (verify)."""
    (work / "sitecustomize.py").write_text(BUG)
    (work / "manifest").write_text(MANIFEST)
    words = {
        "put": ["put", "name.bin", "s3://bucket/x"],
        "get": ["get", "s3://bucket/x", "back"],
        "verify": ["verify", "--manifest", "manifest"],
    }[command]
    if key_source.name == "the.key":
        words += ["--key-file", "the.key"]
    ended = subprocess.run(
        [sys.executable, "-m", "sealift", *words, "--log-level", "debug"],
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(work), *sys.path])},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=20,
        check=False,
    )
    assert ended.returncode == 1
    assert b"RuntimeError: a bug of ours, with CustomerKey(id=" in ended.stderr
    assert_secret(ended.stdout + ended.stderr)

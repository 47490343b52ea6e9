"""The memory of a command is its own before it holds a key: prctl(2), getrlimit(2), proc(5)."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.cli.leaks import furnish, killed_upload
from tests.faults import FaultServer
from tests.kit import SECRET, assert_secret

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="Linux's prctl and /proc"),
]
# Notes whether memory is private when a file that holds a key is opened, and at the end.
WATCH = """
import atexit, ctypes, os, resource, sys
dumpable = lambda: ctypes.CDLL(None).prctl(3, 0, 0, 0, 0)
def note(when):
    with open(os.environ["WATCH"], "a") as file:
        file.write(f"{when} {dumpable()} {resource.getrlimit(resource.RLIMIT_CORE)[0]}\\n")
def hook(event, arguments):
    if event == "open" and str(arguments[0]).endswith((".env", ".key")):
        note("open")
sys.addaudithook(hook)
atexit.register(note, "end")
"""
ENTRIES = {
    "module": [sys.executable, "-m", "sealift", "stat", "s3://bucket/down"],
    "quick": [sys.executable, "-m", "sealift", "get", "s3://bucket/down", "back"],
    "script": [str(Path(sys.executable).with_name("sealift")), "stat", "s3://bucket/down"],
    "key file": [sys.executable, "-m", "sealift", "stat", "s3://bucket/down", "--key-file",
                 "the.key"],
    "resume": [sys.executable, "-m", "sealift", "resume"],
}  # fmt: skip


@pytest.mark.parametrize("entry", ENTRIES)
def test_case_30_memory_is_private_before_a_key_is_read(
    work: Path, server: FaultServer, entry: str
) -> None:
    """By every way into a command, and in those that resume starts: exec makes memory public."""
    furnish(work, server)
    if entry == "resume":
        killed_upload(work, server)
    (work / "spy/sitecustomize.py").write_text(WATCH)
    environ = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(work / "spy"), *sys.path]),
        "WATCH": str(work / "watched"),
    }
    done = subprocess.run(ENTRIES[entry], env=environ, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    lines = (work / "watched").read_text().splitlines()
    assert lines.count("open 0 0") >= 1
    assert lines.count("end 0 0") == (2 if entry == "resume" else 1)
    assert set(lines) == {"open 0 0", "end 0 0"}


# Becomes another user, who may look into processes of his own, then takes that right away.
PROCESS = """
import ctypes, os, sys
from sealift.cli.harden import keep_memory_private
if os.geteuid() == 0:
    os.setresuid(65534, 65534, 65534)
ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)
print(os.getpid(), flush=True)
sys.stdin.readline()
keep_memory_private()
print("private", flush=True)
sys.stdin.readline()
"""
READER = """
import os, sys
if os.geteuid() == 0:
    os.setresuid(65534, 65534, 65534)
for name in ("environ", "mem", "maps"):
    try:
        with open(f"/proc/{sys.argv[1]}/{name}", "rb") as file:
            print(name, "mem" if name == "mem" else file.read())
    except PermissionError:
        print(name, "refused")
"""


def test_case_30_the_environment_of_a_command_is_not_read_by_its_user(work: Path) -> None:
    """The key given by the environment stays in the block that the kernel shows, to root alone."""
    environ = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "THE_KEY": SECRET.hex()}

    def look(pid: str) -> str:
        command = [sys.executable, "-c", READER, pid]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    with subprocess.Popen(
        [sys.executable, "-c", PROCESS],
        env=environ,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        bufsize=1,
    ) as child:
        assert child.stdin
        assert child.stdout
        pid = child.stdout.readline().strip()
        before = look(pid)
        child.stdin.write("\n")
        assert child.stdout.readline() == "private\n"
        after = look(pid)
        child.stdin.write("\n")
    assert SECRET.hex() in before, "it could not be read before"
    assert_secret(after)
    assert after.splitlines() == ["environ refused", "mem refused", "maps refused"]

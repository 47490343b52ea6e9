"""Names of servers: commands in a mount namespace whose resolver is a name server of the test.

So it is the C library's resolver that tells a name that does not exist from one that cannot be
looked up for the moment. Only root can do that; CI must.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.cli.conftest import Ended
from tests.faults import FaultServer, Match, NameServer, Refusal, ResetRequest
from tests.faults.names import HOST
from tests.kit import Certificate, Do

pytestmark = [
    pytest.mark.skipif(
        os.geteuid() != 0 or shutil.which("unshare") is None, reason="only root can unshare mounts"
    ),
]
Run = Callable[..., Ended]
NAME = "s3.test"
LIVING = "127.0.0.1"
COUNT = 60
WORKERS = 4


@pytest.fixture
def names() -> Iterator[NameServer]:
    """The name server; it says that the server lives."""
    with NameServer(LIVING) as names:
        yield names


@pytest.fixture(scope="module")
def named(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return Certificate.make(tmp_path_factory.mktemp("named"), NAME)


@pytest.fixture
def there(work: Path, named: Certificate) -> Iterator[FaultServer]:
    """The server that the settings name."""
    with FaultServer(named) as server:
        os.environ["AWS_ENDPOINT_URL"] = f"https://{NAME}:{server.port}"
        os.environ["AWS_CA_BUNDLE"] = str(named.ca_file)
        yield server


@pytest.fixture
def run(work: Path, names: NameServer) -> Run:
    """Run a command whose resolver asks `names` once, for a second."""
    resolver = work.parent / "resolv.conf"
    resolver.write_text(f"nameserver {HOST}\noptions timeout:1 attempts:1\n")
    nss = work.parent / "nsswitch.conf"
    nss.write_text("hosts: files dns\n")

    def run_there(*words: object) -> Ended:
        line = shlex.join([sys.executable, "-m", "sealift", *map(str, words)])
        mounts = f"mount --bind {resolver} /etc/resolv.conf"
        if os.path.exists("/etc/nsswitch.conf"):
            mounts += f" && mount --bind {nss} /etc/nsswitch.conf"
        ended = subprocess.run(
            ["unshare", "-m", "/bin/sh", "-c", f"{mounts} && exec {line}"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        return Ended(ended.returncode, ended.stdout, ended.stderr)

    return run_there


@pytest.fixture
def tree(work: Path) -> Path:
    tree = work / "tree"
    tree.mkdir()
    for number in range(COUNT):
        (tree / f"{number:03}").write_bytes(b"%d" % number)
    return tree


@pytest.mark.parametrize("command", ["put", "ls"])
def test_case_39_a_name_that_does_not_exist_fails_at_once(
    there: FaultServer, names: NameServer, run: Run, command: str
) -> None:
    names.answer = Refusal.NXDOMAIN
    began = time.monotonic()

    ended = run(command)

    assert (ended.status, ended.stdout) == (2, "")
    *_, line = ended.stderr.splitlines()
    assert line.startswith(f"sealift: cannot find the host {NAME}: ")
    assert line.endswith("; check the endpoint")
    assert names.asked == [NAME], "asked again"
    assert time.monotonic() - began < 5.0
    assert there.connections == 0


@pytest.mark.parametrize(
    ("refusal", "of_both"),
    [(Refusal.SERVFAIL, True), (Refusal.SERVFAIL, False), (Refusal.SILENCE, True)],
    ids=["failure", "failure for IPv4", "silence"],
)
def test_case_39_a_lookup_that_fails_for_the_moment_is_made_again(
    there: FaultServer, names: NameServer, run: Run, refusal: Refusal, of_both: bool
) -> None:
    names.first = [refusal]
    names.refuses_ipv6 = of_both

    ended = run("put", "--log-level", "debug")

    assert ended.status == 0, ended.stderr
    assert names.asked == [NAME, NAME]
    assert f"cannot find the host {NAME}" in ended.stderr  # the log tells of the first attempt
    assert set(there.objects) == {("bucket", "name.bin")}


def test_case_39_dead_addresses_are_passed_over(
    there: FaultServer, names: NameServer, run: Run, tree: Path
) -> None:
    """Three of four: whatever the order, most connections meet dead ones first."""
    names.answer = ("127.0.0.9", "127.0.0.10", LIVING, "127.0.0.11")

    ended = run("cp", f"{tree}/", "s3://bucket/t/", "-j", 8)

    assert ended.status == 0, ended.stderr
    assert "retries" not in ended.stderr, "a dead address cost an attempt"
    assert len(there.objects) == COUNT
    assert there.connections > 1


def test_case_39_addresses_that_change_amid_a_run_are_used(
    there: FaultServer, named: Certificate, names: NameServer, run: Run, tree: Path
) -> None:
    with FaultServer(named, host="127.0.0.2", port=there.port) as moved:

        def move() -> None:
            names.answer = ("127.0.0.2",)

        there.script(
            Match(operation="PutObject", after=COUNT // 3, times=None), (Do(move), ResetRequest())
        )

        ended = run("cp", f"{tree}/", "s3://bucket/t/", "-j", WORKERS)

    assert ended.status == 0, ended.stderr
    assert len(there.objects) == COUNT // 3
    assert len(moved.objects) == COUNT - COUNT // 3
    assert {*there.objects, *moved.objects} == {("bucket", f"t/{n:03}") for n in range(COUNT)}
    # A worker may learn it by the failure of a kept and of a new connection.
    assert len(there.seen("PutObject")) - COUNT // 3 <= 2 * WORKERS

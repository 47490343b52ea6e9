"""Runs that nobody watches: the log file, the metrics file, the lock, signals, odd surroundings."""

from __future__ import annotations

import os
import re
import resource
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.cli.conftest import Ended
from tests.faults import Delay, FaultServer, Match, Stall, Status

pytestmark = [pytest.mark.timeout(90), pytest.mark.usefixtures("server")]

Run = Callable[..., Ended]
ACCOUNTS = ("--log-file", "log", "--metrics-file", "run.prom")
SYNC = ("sync", "tree", "s3://bucket/t")
LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z ([A-Z]+) \[\d+\] (.*)")
UPLOAD = Match(operation="PutObject", times=None)


@pytest.fixture(autouse=True)
def tree(work: Path) -> Path:
    (work / "tree").mkdir()
    for name in ("a", "b"):
        (work / "tree" / name).write_text(name)
    return work / "tree"


def logged(level: str = "") -> list[str]:
    found = [LINE.fullmatch(line) for line in Path("log").read_text().splitlines()]
    assert all(found)
    return [match[2] for match in found if match and level in ("", match[1])]


def metrics() -> dict[str, float]:
    """By name, without `sealift_run_`; those of a state as `objects moved`."""
    return {
        " ".join(
            [sample.name.removeprefix("sealift_run_"), *filter(None, [sample.labels.get("state")])]
        ): sample.value
        for family in text_string_to_metric_families(Path("run.prom").read_text())
        for sample in family.samples
    }


def begin(*words: str, **options: Any) -> subprocess.Popen[bytes]:
    streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
    return subprocess.Popen([sys.executable, "-m", "sealift", *words], **(streams | options))


@contextmanager
def stalled(server: FaultServer, *words: str, **options: Any) -> Iterator[subprocess.Popen[bytes]]:
    """A command whose uploads of the whole tree do not go on."""
    goes_on = threading.Event()
    match = Match(operation="PutObject", times=None, where=lambda _: not goes_on.is_set())
    server.script(match, Stall("before_head"))
    count = len(server.seen("PutObject")) + len(os.listdir("tree"))
    with begin(*words, **options) as child:
        try:
            while len(server.seen("PutObject")) < count:
                assert child.poll() is None, child.communicate()
                time.sleep(0.02)
            yield child
        finally:
            child.kill()
            child.wait()
            goes_on.set()


def test_a_quiet_run_says_nothing_and_writes_its_account(run_process: Run) -> None:
    ended = run_process(*SYNC, "--quiet", *ACCOUNTS)
    assert ended == Ended(0, "", "")
    start, summary, end = logged()
    assert start.startswith("start: sealift sync tree s3://bucket/t --quiet --log-file log")
    assert summary.startswith(
        "sync tree to s3://bucket/t: complete: moved 2 objects, 2 B; failed 0"
    )
    assert end.startswith("exit 0 after ")
    found = metrics()
    assert (found["objects moved"], found["bytes moved"], found["exit_code"]) == (2, 2, 0)
    assert found["last_success_timestamp_seconds"] == found["end_timestamp_seconds"]
    assert 0 < found["duration_seconds"] < 60
    assert stat.S_IMODE(Path("log").stat().st_mode) == 0o600
    assert stat.S_IMODE(Path("run.prom").stat().st_mode) == 0o644
    assert not [name for name in os.listdir() if name.endswith(".tmp")]


def test_a_failure_keeps_the_last_success(run_process: Run, server: FaultServer) -> None:
    assert run_process(*SYNC, *ACCOUNTS).status == 0
    good = metrics()["last_success_timestamp_seconds"]
    Path("tree/c").write_text("c")
    server.script(UPLOAD, *[Status(400, "Bad", "no")] * 9)
    ended = run_process(*SYNC, "--quiet", *ACCOUNTS)
    assert ended.status == 1
    assert ended.stderr.count("\n") == 1
    (failure,) = logged("ERROR")
    assert failure.startswith("failed t/c: PutObject 400 Bad")
    found = metrics()
    assert (found["objects failed"], found["objects unchanged"], found["exit_code"]) == (1, 2, 1)
    assert found["last_success_timestamp_seconds"] == good < found["end_timestamp_seconds"]
    for more in ("--bogus", "--size-only --checksum"):
        assert run_process(*SYNC, *more.split(), *ACCOUNTS).status == 2
        found = metrics()
        assert (found["exit_code"], found["last_success_timestamp_seconds"]) == (2, good)
    assert logged("ERROR")[1:] == [
        "No such option: --bogus",
        "--size-only, --checksum and --rebuild exclude each other; give one",
    ]
    assert run_process(*SYNC, "--dry-run", *ACCOUNTS).status == 0
    assert metrics()["last_success_timestamp_seconds"] == good


def test_the_level_decides_how_much(run_process: Run) -> None:
    Path("tree/link").symlink_to("a")
    for level, has in (("debug", (True, True)), ("info", (False, True)), ("error", (False, False))):
        Path("log").unlink(missing_ok=True)
        ended = run_process(
            "cp", "tree/", "s3://bucket/", "--quiet", *ACCOUNTS, "--log-level", level
        )
        assert ended == Ended(0, "", "")
        text = Path("log").read_text()
        assert ("DEBUG" in text and "done s3://bucket/a" in text, "skipped link" in text) == has
    assert run_process(*SYNC, *ACCOUNTS, "--log-level", "loud").status == 2
    assert logged("ERROR")[0].startswith("'loud' is no log level")


@pytest.mark.parametrize(
    "words",
    [
        ("--log-file", "no/log"), ("--log-file", "."), ("--log-file", ".env"),
        ("--log-file", "link"), ("--log-file", "/dev/full"), ("--metrics-file", "no/run.prom"),
        ("--metrics-file", "run.txt"), ("--metrics-file", "photo.prom"),
        ("--metrics-file", "dir.prom"), ("--log-file", "log", "--metrics-file", "no/run.prom"),
    ],
)  # fmt: skip
def test_a_place_that_cannot_be_written_is_refused_first(
    run_process: Run, server: FaultServer, words: tuple[str, ...]
) -> None:
    Path("link").symlink_to(".env")
    Path("photo.prom").write_text("a photo")
    Path("dir.prom").mkdir()
    before = Path(".env").read_text()
    ended = run_process(*SYNC, *words)
    assert (ended.status, ended.stdout) == (2, "")
    assert ended.stderr.startswith("sealift: ")
    assert ended.stderr.count("\n") == 1
    assert words[-1] in ended.stderr
    assert not server.requests
    assert (Path(".env").read_text(), Path("photo.prom").read_text()) == (before, "a photo")
    if words[0] == "--log-file" and len(words) == 4:
        assert logged()[-1].startswith("exit 2 after")


def test_a_full_disk_ends_no_run(server: FaultServer) -> None:
    def no_room() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (60, 60))

    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"  # it would keep what it could write of a module
    with begin("ls", "s3://bucket/", *ACCOUNTS, preexec_fn=no_room) as child:
        _, said = child.communicate()
    assert child.returncode == 0, said
    lines = said.decode().splitlines()
    assert [line.partition(": File too large")[0] for line in lines] == [
        f"sealift: cannot write to the log {Path('log').absolute()}",
        "sealift: cannot write run.prom",
    ]
    assert sorted(os.listdir()) == [".env", "log", "name.bin", "tree"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_with_130_and_an_account(server: FaultServer, number: signal.Signals) -> None:
    with stalled(server, *SYNC, "--quiet", *ACCOUNTS) as child:
        child.send_signal(number)
        _, said = child.communicate(timeout=30)
    assert (child.returncode, said) == (130, b"interrupted; run the same command again to go on\n")
    assert metrics()["exit_code"] == 130
    assert logged()[-1].startswith("exit 130")
    assert "interrupted: moved 0 objects" in logged()[-2]


def test_what_is_ignored_from_the_start_stays_ignored(server: FaultServer) -> None:
    def as_nohup() -> None:
        for number in (signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)

    with stalled(server, *SYNC, *ACCOUNTS, preexec_fn=as_nohup) as child:
        child.send_signal(signal.SIGHUP)
        child.send_signal(signal.SIGINT)
        with pytest.raises(subprocess.TimeoutExpired):
            child.wait(1.0)
        child.send_signal(signal.SIGTERM)
        assert child.wait(30) == 130


def test_a_second_signal_ends_at_once_with_an_account(server: FaultServer) -> None:
    server.script(Match(operation="AbortMultipartUpload", times=None), *[Stall("before_head")] * 9)
    server.script(Match(operation="UploadPart", times=None), *[Stall("before_head")] * 9)
    Path("tree/large").write_bytes(bytes(11 << 20))
    with begin(*SYNC, "--part-size", "5MiB", *ACCOUNTS) as child:
        try:
            while not server.seen("UploadPart"):
                time.sleep(0.02)
            child.send_signal(signal.SIGINT)
            while not server.seen("AbortMultipartUpload") and child.poll() is None:
                time.sleep(0.02)
            child.send_signal(signal.SIGINT)
            assert child.wait(30) == 130
        finally:
            child.kill()
    assert metrics()["exit_code"] == 130
    assert logged()[-1].startswith("exit 130")


# Python's own start comes before; there a signal is not ours to answer.
READY = """
import sys
from sealift.__main__ import main

is_ours = False
try:
    print(flush=True)
    is_ours = True
    main()
except KeyboardInterrupt:
    sys.exit(7 if is_ours else 130)
"""


def test_signals_at_any_moment_end_with_0_or_130(server: FaultServer) -> None:
    """From the first moment that Python leaves to us, to the last."""
    server.store("x", b"x")

    def run(delay: float | None) -> tuple[int, float]:
        words = [sys.executable, "-c", READY, "ls", "s3://bucket/"]
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        with subprocess.Popen(words, **streams) as child:
            assert child.stdout is not None
            assert child.stdout.readline() == b"\n"
            began = time.monotonic()
            if delay is not None:
                time.sleep(delay)
                child.send_signal(signal.SIGINT)
            return child.wait(30), time.monotonic() - began

    status, whole = run(None)
    assert status == 0
    seen = {run(whole * 1.1 * step / 24)[0] for step in range(24)}
    assert seen <= {0, 130}


@pytest.mark.parametrize(
    "words",
    [
        SYNC,
        ("sync", "tree/", "s3://bucket/t/", "--delete"),
        ("sync", "../work/tree", "s3://bucket/t"),
        ("sync", "s3://bucket/t", "tree"),
        ("restore", "s3://bucket/t", "tree"),
    ],
)
def test_two_runs_of_one_pair_do_not_meet(
    run_process: Run, server: FaultServer, words: tuple[str, ...]
) -> None:
    with stalled(server, *SYNC) as child:
        before = len(server.seen("PutObject")), dict(server.objects)
        ended = run_process(*words, "--quiet")
        assert (ended.status, ended.stdout) == (2, "")
        said = "sealift: another run between the same places is going on: process "
        assert ended.stderr.startswith(f"{said}{child.pid}, since 2")
        assert "(sealift sync tree s3://bucket/t); wait for its end" in ended.stderr
        assert (len(server.seen("PutObject")), dict(server.objects)) == before
        assert sorted(os.listdir("tree")) == ["a", "b"]
        assert run_process(*SYNC, "--dry-run").status == 0
    assert run_process(*SYNC).status == 0


def test_other_pairs_go_on_at_the_same_time(run_process: Run, server: FaultServer) -> None:
    server.script(Match(operation="PutObject", name="t/a", times=None), *[Stall("before_head")] * 9)
    with begin(*SYNC) as child:
        try:
            while not server.seen("PutObject"):
                time.sleep(0.02)
            assert run_process("sync", "tree", "s3://bucket/u").status == 0
            assert child.poll() is None
        finally:
            child.kill()


def test_a_run_waits_for_the_other_if_asked_to(run_process: Run, server: FaultServer) -> None:
    with stalled(server, *SYNC):
        ended = run_process(*SYNC, "--lock-wait", "1s")
        assert (ended.status, "it has not ended in time" in ended.stderr) == (2, True)
        second = begin(*SYNC, "--lock-wait", "1m", stderr=subprocess.DEVNULL)
        time.sleep(1.0)
        assert second.poll() is None
    assert second.wait(60) == 0


def test_where_there_is_no_lock_a_run_goes_on_and_says_so(run_process: Run, work: Path) -> None:
    (work / "file").touch()
    os.environ["XDG_STATE_HOME"] = str(work / "file")
    ended = run_process(*SYNC, "--no-progress")
    assert ended.status == 0
    assert "note no lock can be had (Not a directory): another run between" in ended.stderr


def test_two_rekeys_of_one_prefix_do_not_meet(run_process: Run, server: FaultServer) -> None:
    assert run_process(*SYNC).status == 0
    server.script(Match(operation="CopyObject", times=None), *[Delay(20.0)] * 9)
    words = ("rekey", "s3://bucket/t/", "--to-key", "s3")
    with begin(*words) as child:
        try:
            while not server.seen("CopyObject"):
                assert child.poll() is None, child.communicate()
                time.sleep(0.02)
            ended = run_process(*words)
            assert (ended.status, f"process {child.pid}" in ended.stderr) == (2, True), ended
        finally:
            child.kill()


def wait_for_parts(server: FaultServer, child: subprocess.Popen[bytes], count: int) -> None:
    """Until so many parts were begun. All that a child sends, or one may be seen after its end."""
    while len(server.seen("UploadPart")) < count:
        assert child.poll() is None, child.communicate()
        time.sleep(0.02)


def test_a_second_resume_is_refused(run_process: Run, server: FaultServer) -> None:
    Path("large").write_bytes(bytes(6 << 20))
    put = ("put", "large", "s3://bucket/large", "--part-size", "5MiB")
    server.script(Match(operation="UploadPart", times=None), *[Stall("before_head")] * 50)

    with begin(*put) as child:
        wait_for_parts(server, child, 2)
        child.kill()
    with begin("resume") as first:
        wait_for_parts(server, first, 3)
        ended = run_process("resume")
        assert ended.status == 2
        said = f"sealift: another sealift resume is going on: process {first.pid}, since 2"
        assert ended.stderr.startswith(said)
        first.send_signal(signal.SIGTERM)
        assert first.wait(30) == 130


def test_resume_tells_of_a_command_that_was_killed(server: FaultServer) -> None:
    Path("large").write_bytes(bytes(6 << 20))
    put = ("put", "large", "s3://bucket/large", "--part-size", "5MiB")
    server.script(Match(operation="UploadPart", times=None), *[Stall("before_head")] * 50)
    with begin(*put) as child:
        wait_for_parts(server, child, 2)
        child.kill()
    with begin("resume") as first:
        wait_for_parts(server, first, 3)
        (pid,) = Path(f"/proc/{first.pid}/task/{first.pid}/children").read_text().split()
        os.kill(int(pid), signal.SIGKILL)
        _, said = first.communicate(timeout=30)
    assert first.returncode == 1
    assert b"sealift: it was killed by signal 9\n" in said


KEPT = ("PATH", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION", "AWS_ENDPOINT_URL",
        "AWS_CA_BUNDLE")  # fmt: skip


@pytest.mark.parametrize("more", [{}, {"HOME": "/proc/nowhere"}, {"LANG": "C", "LC_ALL": "C"}])
def test_an_empty_environment_is_enough(
    run_process: Run, server: FaultServer, more: dict[str, str]
) -> None:
    Path("tree/ü").touch()
    environ = {name: os.environ[name] for name in KEPT}
    os.environ.clear()
    os.environ.update(environ | more)
    if "HOME" not in more:
        os.environ["XDG_STATE_HOME"] = str(Path("state").absolute())
    ended = run_process(*SYNC, "--quiet", *ACCOUNTS)
    assert ended == Ended(0, "", "")
    assert ("bucket", "t/ü") in server.objects
    assert "complete: moved 3 objects" in logged("INFO")[-2]


def test_a_directory_that_is_gone_is_no_trap(work: Path, server: FaultServer) -> None:
    (work / "gone").mkdir()
    words = f"--env-file {work}/.env --quiet sync {work}/tree s3://bucket/t"
    for more, status in (("", 0), ("--log-file log", 2), ("--metrics-file run.prom", 2)):
        go = f"mkdir -p {work}/gone; cd {work}/gone && rmdir {work}/gone"
        script = f"{go} && exec {sys.executable} -P -m sealift {words} {more}"
        ended = subprocess.run(
            ["/bin/sh", "-c", script], capture_output=True, text=True, check=False
        )
        assert ended.returncode == status, ended
        assert ended.stderr.count("\n") == (status > 0)
    assert ("bucket", "t/a") in server.objects

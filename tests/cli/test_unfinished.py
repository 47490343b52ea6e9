"""`jobs`, `resume` and `clean`: what the journal says of runs that are over, and nothing else."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.faults import FaultServer, Match, Status, Upload, key_md5_of

from sealift.journal import Journal, dead_runs
from sealift.model import PartDone
from sealift.records import (
    Change,
    DownloadPlanned,
    DownloadRecord,
    RangeDone,
    RunRecord,
    UploadPlanned,
    UploadRecord,
    UploadState,
)

from .conftest import RAW_KEY, Ended

Run = Callable[..., Ended]
TOKENS = [character * 16 for character in "abcdef"]


@pytest.fixture
def scope(server: FaultServer) -> str:
    return f"{server.endpoint_url}/bucket"


@pytest.fixture
def uploads(server: FaultServer) -> Callable[..., UploadRecord]:
    """Begins an upload on the server; its record."""

    def begin(name: str, upload_id: str = "", *, known: bool = True, age: float = 0.0) -> Any:
        upload_id = upload_id or f"id-{name}"
        created = time.time() - age
        server.uploads[upload_id] = Upload("bucket", name, {}, key_md5_of(RAW_KEY), created)
        record = UploadRecord(
            f"{len(server.uploads):032x}", f"{server.endpoint_url}/bucket", name, f"/src/{name}",
            (1, 2, 3, 4, 5), 30, 10, None, None, created,
        )  # fmt: skip
        if not known:
            return record
        parts = (PartDone(1, 10, '"e"', 7),)
        return record._replace(state=UploadState.CREATED, upload_id=upload_id, parts=parts)

    return begin


def leave(*changes: Change, token: str = TOKENS[0], keep_open: bool = False, **run: Any) -> Journal:
    """A run that wrote `changes` and is over, or goes on."""
    record = RunRecord(token, time.time(), ("cp", "a", "s3://bucket/"), os.getcwd(), "", None)
    record = record._replace(**run)
    journal = Journal(None, record._replace(aim=record.words))
    journal.open()
    journal.write(changes, durable=True)
    if not keep_open:
        journal.close(finished=False)
    return journal


def left() -> list[str]:
    with dead_runs(None) as found:
        return [dead.run.token for dead in found]


def temporary(root: Path, token: str, number: int = 0) -> Path:
    path = root / f".sealift-{token}-{number}.tmp"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x")
    return path


# clean


def test_what_a_run_left_is_undone(
    server: FaultServer, scope: str, uploads: Any, run: Run, work: Path
) -> None:
    root = work / "back"
    paths = [temporary(root, TOKENS[0]), temporary(root / "d", TOKENS[0], 1)]
    earlier, others = temporary(root, TOKENS[3]), temporary(root, TOKENS[4])
    download = DownloadRecord(earlier.name, scope, "n", str(root), "f", "e", None, 9, 9, None)
    leave(
        UploadPlanned(uploads("x")), UploadPlanned(uploads("a b/ü%", known=False)),
        DownloadPlanned(download), scope=scope, root=str(root),
    )  # fmt: skip
    uploads("y")

    ended = run("clean")

    assert (ended.status, ended.stderr) == (0, "")
    assert sorted(ended.stdout.splitlines()) == [
        "aborted the upload of a b/ü%",
        "aborted the upload of x",
        f"removed 3 temporary files below {root}",
    ]
    assert list(server.uploads) == ["id-y"]
    assert [path.exists() for path in (*paths, earlier, others)] == [False, False, False, True]
    assert left() == []
    assert (run("clean").stdout, run("jobs").stdout) == ("", "")


def test_uploads_of_others_stay(server: FaultServer, scope: str, uploads: Any, run: Run) -> None:
    """Of the same name: begun long before, or by a run that goes on."""
    leave(UploadPlanned(uploads("x", "mine", known=False)), scope=scope)
    uploads("x", "older", age=7200)
    uploads("x2", "longer")
    live = leave(UploadPlanned(uploads("x", "live")), token=TOKENS[1], keep_open=True, scope=scope)

    assert run("clean").status == 0

    live.close(finished=True)
    assert sorted(server.uploads) == ["live", "longer", "older"]


def test_no_customer_key_is_needed(
    server: FaultServer, scope: str, uploads: Any, run: Run, work: Path
) -> None:
    leave(UploadPlanned(uploads("x")), UploadPlanned(uploads("y", known=False)), scope=scope)
    (work / ".env").write_text("BUCKET_NAME=bucket\n")

    assert run("--key-file", "missing", "clean").status == 0

    assert (server.uploads, left()) == ({}, [])
    assert not any("customer-key" in name for sent in server.requests for name in sent.headers)


def test_only_the_run_that_is_named(
    server: FaultServer, scope: str, uploads: Any, run: Run
) -> None:
    for token, name in zip(TOKENS, "xyz", strict=False):
        leave(UploadPlanned(uploads(name)), token=token, scope=scope)

    assert run("clean", TOKENS[1][:8]).stdout == "aborted the upload of y\n"

    assert sorted(server.uploads) == ["id-x", "id-z"]
    assert left() == [TOKENS[0], TOKENS[2]]
    assert run("clean", TOKENS[2]).status == 0
    assert left() == [TOKENS[0]]


@pytest.mark.parametrize("command", ["clean", "resume"])
def test_a_run_that_is_not_known(
    server: FaultServer, scope: str, uploads: Any, run: Run, command: str
) -> None:
    leave(UploadPlanned(uploads("x")), scope=scope)
    ended = run(command, "0123")
    assert (ended.status, ended.stdout) == (2, "")
    assert "there is no unfinished run 0123" in ended.stderr
    assert left() == [TOKENS[0]]
    assert list(server.uploads) == ["id-x"]


def test_only_runs_begun_so_long_ago(
    server: FaultServer, scope: str, uploads: Any, run: Run
) -> None:
    for token, name, age in zip(TOKENS, "xyz", (30, 7200, 90_000), strict=False):
        leave(UploadPlanned(uploads(name)), token=token, scope=scope, started_at=time.time() - age)

    assert run("clean", "--older-than", "1d").stdout == "aborted the upload of z\n"
    assert run("clean", "--older-than", "1h").stdout == "aborted the upload of y\n"
    assert run("clean", TOKENS[0], "--older-than", "1h").stdout == ""
    assert left() == [TOKENS[0]]
    assert run("clean", "--older-than", "soon").status == 2
    assert list(server.uploads) == ["id-x"]


@pytest.fixture
def live(scope: str, uploads: Any, work: Path) -> Iterator[Journal]:
    """A run that goes on."""
    journal = leave(
        UploadPlanned(uploads("live")), keep_open=True, scope=scope, root=str(work / "back")
    )
    yield journal
    journal.close(finished=True)


@pytest.mark.usefixtures("live")
def test_a_run_that_goes_on_is_not_touched(server: FaultServer, run: Run, work: Path) -> None:
    path = temporary(work / "back", TOKENS[0])
    assert (run("jobs").stdout, run("clean").stdout) == ("", "")
    assert run("clean", TOKENS[0]).status == 2
    assert list(server.uploads) == ["id-live"]
    assert path.exists()


def test_what_cannot_be_undone_is_told_and_kept(
    server: FaultServer, scope: str, uploads: Any, run: Run
) -> None:
    leave(UploadPlanned(uploads("x")), UploadPlanned(uploads("y")), scope=scope)
    server.script(
        Match(operation="AbortMultipartUpload", name="x", times=None), Status(403, "AccessDenied")
    )

    ended = run("clean")

    assert ended.status == 1
    assert ended.stdout == "aborted the upload of y\n"
    assert "cannot abort the upload of x" in ended.stderr
    assert "1 things could not be undone" in ended.stderr
    with dead_runs(None) as found:
        assert [record.name for dead in found for record in dead.uploads] == ["x"]


def test_an_upload_that_is_gone_already_is_no_failure(
    server: FaultServer, scope: str, uploads: Any, run: Run
) -> None:
    leave(UploadPlanned(uploads("x")), scope=scope)
    server.uploads.clear()
    assert run("clean").status == 0
    assert left() == []


@pytest.mark.usefixtures("server")
def test_one_run_that_cannot_be_undone_does_not_keep_others(
    server: FaultServer, scope: str, uploads: Any, run: Run
) -> None:
    """Its bucket is gone, or at another endpoint."""
    gone = uploads("x")._replace(scope=f"{server.endpoint_url}/gone")
    elsewhere = uploads("y")._replace(scope="https://elsewhere.example/bucket")
    leave(UploadPlanned(gone), token=TOKENS[0], scope=gone.scope)
    leave(UploadPlanned(elsewhere), token=TOKENS[1], scope=elsewhere.scope)
    leave(UploadPlanned(uploads("z")), token=TOKENS[2], scope=scope)
    server.script(Match(bucket="gone", times=None), Status(404, "NoSuchBucket"))

    ended = run("clean")

    assert (ended.status, ended.stdout) == (1, "aborted the upload of z\n")
    assert "2 things could not be undone" in ended.stderr
    assert "elsewhere.example" in ended.stderr
    assert left() == TOKENS[:2]


def test_clean_for_programs(scope: str, uploads: Any, run: Run) -> None:
    leave(UploadPlanned(uploads("x")), scope=scope)
    ended = run("clean", "--json")
    assert [json.loads(line) for line in ended.stdout.splitlines()] == [
        {"run": TOKENS[0], "failed": False, "text": "aborted the upload of x"}
    ]


def test_names_do_not_get_at_the_terminal(scope: str, uploads: Any, run: Run) -> None:
    leave(UploadPlanned(uploads("\x1b[2J")), scope=scope, words=("cp", "\x1b[31m"))
    assert r"\x1b[31m" in run("jobs").stdout
    assert run("clean").stdout == "aborted the upload of \\x1b[2J\n"


# jobs


def test_jobs_show_what_is_there(scope: str, uploads: Any, run: Run, work: Path) -> None:
    download = DownloadRecord(
        f".sealift-{TOKENS[1]}-0.tmp", scope, "n", str(work), "d/f", "e", None, 30, 10, None,
        (RangeDone(0, 10, 1), RangeDone(20, 10, 1)),
    )  # fmt: skip
    leave(UploadPlanned(uploads("x")), scope=scope, words=("cp", "a b", "s3://bucket/"))
    leave(DownloadPlanned(download), token=TOKENS[1], scope=scope, root=str(work), words=())

    first, command, second, bucket, note = run("jobs").stdout.splitlines()
    assert first.startswith(TOKENS[0][:8])
    assert first.endswith("1 upload, 10 B of 30 B")
    assert command == "    cp 'a b' s3://bucket/"
    assert second.endswith("1 download, 20 B of 30 B")
    assert bucket == f"    {scope}"
    assert "only that can go on" in note

    up, down = (json.loads(line) for line in run("jobs", "--json").stdout.splitlines())
    assert up["run"] == TOKENS[0]
    assert up["words"] == ["cp", "a b", "s3://bucket/"]
    assert up["uploads"] == [
        {"name": "x", "path": "/src/x", "size": 30, "sent": 10, "upload_id": "id-x",
         "key_id": None}
    ]  # fmt: skip
    assert down["downloads"] == [
        {"name": "n", "path": str(work / "d" / "f"), "size": 30, "fetched": 20, "key_id": None}
    ]


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize("command", ["jobs", "clean", "resume"])
def test_damage_is_told(run: Run, scope: str, state_home: Path, command: str) -> None:
    """By whichever command finds it: the file is set aside then, and found no more."""
    leave(scope=scope, words=())
    leave(token=TOKENS[1], scope=scope, words=())
    directory = state_home / "sealift" / "journal"
    (directory / f"{TOKENS[1]}.sqlite3").write_bytes(b"no database" * 1000)
    ended = run(command)
    assert f"the journal {directory / TOKENS[1]}.sqlite3 is damaged" in ended.stderr
    assert (directory / f"{TOKENS[1]}.damaged").exists()
    assert "damaged" not in run(command).stderr


def test_jobs_without_a_journal(run: Run) -> None:
    assert run("jobs") == Ended(0, "", "")


# resume


def test_resume_runs_each_command_once_the_oldest_first(
    server: FaultServer, run_process: Run, scope: str, work: Path
) -> None:
    (work / "z").write_bytes(b"z")
    (work / "d").mkdir()
    (work / "d" / "a").write_bytes(b"a")
    (work / "d" / ".env").write_bytes((work / ".env").read_bytes())
    put_z = ("put", "z", "s3://bucket/z")
    leave(token=TOKENS[2], scope=scope, words=put_z, started_at=1000.0)
    leave(token=TOKENS[1], scope=scope, words=put_z, started_at=3000.0)
    leave(token=TOKENS[0], scope=scope, words=("put", "a", "s3://bucket/a"), started_at=2000.0,
          directory=str(work / "d"))  # fmt: skip

    ended = run_process("resume")

    assert ended.status == 0, ended
    commands = [line for line in ended.stderr.splitlines() if line.startswith("sealift put")]
    assert commands == ["sealift put z s3://bucket/z", "sealift put a s3://bucket/a"]
    assert sorted(name for _, name in server.objects) == ["a", "z"]
    assert left() == []


def test_resume_runs_nothing_that_lies_in_the_directory(
    server: FaultServer, run_process: Run, scope: str, work: Path
) -> None:
    """Restored files may have the names of modules."""
    data = work / "d"
    data.mkdir()
    (data / "z").write_bytes(b"z")
    (data / ".env").write_bytes((work / ".env").read_bytes())
    for module in ("json", "anyio", "secrets", "sealift"):
        (data / f"{module}.py").write_text("open('ran', 'w').close()")
    leave(scope=scope, words=("put", "z", "s3://bucket/z"), directory=str(data))

    assert run_process("resume").status == 0

    assert not (data / "ran").exists()
    assert list(server.objects) == [("bucket", "z")]


@pytest.mark.usefixtures("server")
def test_resume_says_whose_directory_is_gone_and_goes_on(
    server: FaultServer, run_process: Run, scope: str, work: Path
) -> None:
    (work / "z").write_bytes(b"z")
    leave(scope=scope, words=("put", "a"), directory=str(work / "gone"), started_at=1.0)
    leave(token=TOKENS[1], scope=scope, words=("put", "z", "s3://bucket/z"))

    ended = run_process("resume")

    assert ended.status == 2
    assert f"the directory {work / 'gone'} is not there any more" in ended.stderr
    assert [name for _, name in server.objects] == ["z"]
    assert left() == [TOKENS[0]]


@pytest.mark.usefixtures("server")
def test_there_may_be_nothing_to_go_on_with(run: Run, scope: str) -> None:
    assert "there is nothing to go on with" in run("resume").stderr
    leave(scope=scope, words=())
    assert run("resume").status == 2
    assert left() == [TOKENS[0]]

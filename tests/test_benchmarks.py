"""What the benchmarks make of their arguments and of their runs."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import pytest
from benchmarks import report
from benchmarks.cells import DEFAULT_CELLS, Cell, Way, make_tree
from benchmarks.faults.clients import CLIENTS, Client
from benchmarks.faults.rows import ROWS
from benchmarks.faults.table import Entry, markdown
from benchmarks.faults.trial import CONTENTS, Ended, Outcome, Verdict, open_trial
from benchmarks.growth import make_linked_tree
from benchmarks.measure import Usage
from benchmarks.peers import PEERS, REPOSITORY, SEALIFT, Peer, Run, base_environ
from benchmarks.rounds import Record, check_noop
from benchmarks.sink import Activity
from rich.console import Console
from tests.faults import Stored

from sealift.embedded import Certificate, S3Server, make_certificate

CELL = Cell.parse("sync-2000")


def test_a_cell_moves_both_ways_or_compares() -> None:
    assert Cell.parse("5000x16KiB") == Cell("5000 x 16KiB", 5000, 16384, (Way.UP, Way.DOWN))
    assert Cell("2000 x 100B", 2000, 100, (Way.SYNC,)) == CELL
    assert "sync-20000" in DEFAULT_CELLS


@pytest.mark.parametrize("text", ["sync-0", "sync-", "sync-20k", "sync", "0x1KiB", "20000"])
def test_what_is_no_cell_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        Cell.parse(text)


def test_a_glance_at_a_sync_is_a_sync_of_a_tenth() -> None:
    assert CELL.quick() == Cell("2000 x 100B / 10", 200, 100, (Way.SYNC,))


def test_a_copy_takes_whole_pages() -> None:
    assert CELL.room == 2000 * 4096
    assert Cell.parse("3x5000B").room == 3 * 8192


@pytest.mark.parametrize("make", [make_tree, make_linked_tree])
def test_trees_hold_files_of_the_size_in_directories_of_a_thousand(
    make: object, tmp_path: Path
) -> None:
    assert callable(make)
    make(Cell.sync(1001, 7), tmp_path)
    files = {path for path in tmp_path.rglob("*") if path.is_file()}
    assert len(files) == 1001
    assert {path.stat().st_size for path in files} == {7}
    assert [len(list(entry.iterdir())) for entry in sorted(tmp_path.iterdir())] == [1000, 1]


# Syncs


def _run(way: Way) -> Run:
    server = S3Server("sink", "https://127.0.0.1:1", Path("/ca"), "access", "secret", "region")
    return Run(
        cell=CELL,
        way=way,
        directory=Path("/tree"),
        bucket="bench",
        prefix="sync/",
        server=server,
        scratch=Path("/scratch"),
        customer_key="top secret",
        connections=64,
    )


def test_a_sync_goes_up() -> None:
    assert _run(Way.SYNC).pair() == ("/tree/", "s3://bench/sync/")
    assert _run(Way.DOWN).pair() == ("s3://bench/sync/", "/tree/")


def test_the_catalogue_is_the_benchmarks_own() -> None:
    assert base_environ(_run(Way.SYNC))["XDG_STATE_HOME"] == "/scratch/state"


def test_sealift_is_the_code_whose_commit_is_reported(tmp_path: Path) -> None:
    run = _run(Way.SYNC)
    code = "import sealift; print(sealift.__file__)"
    environ = base_environ(run) | dict(SEALIFT.environ(run))
    found = subprocess.run(
        [sys.executable, "-c", code], env=environ, cwd=tmp_path, capture_output=True, text=True
    )
    assert Path(found.stdout.strip()).parent == REPOSITORY / "src" / "sealift"


def test_a_peer_starts_with_each_of_its_syncs() -> None:
    assert SEALIFT.for_way(Way.UP) == [SEALIFT]
    assert [peer.name for peer in SEALIFT.for_way(Way.SYNC)] == ["sealift", "sealift --size-only"]
    assert PEERS["obstore"].for_way(Way.SYNC) == []


@pytest.mark.parametrize("peer", SEALIFT.for_way(Way.SYNC), ids=lambda peer: peer.name)
def test_a_sync_of_sealift_is_a_command_without_the_key(peer: Peer) -> None:
    command = peer.command(_run(Way.SYNC))
    assert "sync" in command
    assert ("--size-only" in command) is peer.name.endswith("--size-only")
    assert command[-2:] == ["/tree/", "s3://bench/sync/"]
    assert "top secret" not in " ".join(command)


def _usage(status: int = 0, *, timed_out: bool = False) -> Usage:
    return Usage(1.5, 1.0, 1, status, timed_out, "what it said\n")


def test_a_sync_counts_when_it_looked_and_changed_nothing() -> None:
    assert check_noop(CELL, _usage(), Activity(0, 2000))[0] is None
    assert check_noop(CELL, _usage(), Activity(0, 2002))[0] is None


@pytest.mark.parametrize(
    ("usage", "done", "words"),
    [
        (_usage(), Activity(1, 2000), "1 requests that change"),
        (_usage(), Activity(0, 1999), "1999 names of 2000"),
        (_usage(), Activity(0, 0), "0 names"),
        (_usage(1), Activity(0, 2000), "status 1: what it said"),
        (_usage(-9, timed_out=True), Activity(0, 2000), "more than 2 s"),
    ],
)
def test_a_sync_that_moved_or_did_not_look_has_failed(
    usage: Usage, done: Activity, words: str
) -> None:
    assert words in str(check_noop(CELL, usage, done)[0])


# Reports


def _record(peer: str, wall: float, problem: str | None = None) -> Record:
    return Record(
        CELL.name, "sync", CELL.count, CELL.size, peer, 1, wall, 0.5, 1 << 20, 0, problem, "", ""
    )


def _block(*records: Record) -> report.Block:
    (block,) = report.blocks(records)
    return block


def test_the_best_peer_may_be_named_after_a_flag_and_is_none_of_ours() -> None:
    block = _block(
        _record("sealift", 2.0),
        _record("sealift --size-only", 0.5),
        _record("rclone", 5.0),
        _record("rclone --fast-list", 4.0),
        _record("s5cmd", 1.0, "status 1"),
    )
    assert (block.best, block.ratio) == ("rclone --fast-list", 2.0)


def test_each_row_shows_its_ratio_to_the_best_peer() -> None:
    console = Console(file=io.StringIO(), width=110)
    records = [_record("sealift --size-only", 1.0), _record("rclone", 4.0), _record("s5cmd", 8.0)]
    report.show(_block(*records), console)
    assert isinstance(console.file, io.StringIO)
    rows = [line.split("│") for line in console.file.getvalue().splitlines() if "│" in line]
    ratios = {row[1].strip(): row[5].strip() for row in rows}
    assert ratios == {"sealift --size-only": "4.00", "rclone": "1.00", "s5cmd (no SSE-C)": "0.50"}


# Faults

FAULTS = {row.case: row for row in ROWS}


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return make_certificate(tmp_path_factory.mktemp("tls"))


def put_to(
    case: str,
    certificate: Certificate,
    directory: Path,
    shell: str | None = None,
    timeout: float = 30.0,
) -> Verdict:
    """Put sealift to a case, or a client that does no more than a line of shell."""
    client = CLIENTS["sealift"]
    if shell is not None:
        client = Client(SEALIFT, lambda _: ["/bin/sh", "-c", shell])
    stored = {"large": Stored(CONTENTS["large"], {}, "etag", None, None, 0.0)}
    with open_trial(
        client,
        certificate,
        directory,
        timeout=timeout,
        customer_key=bytes(range(32)),
        stored=stored,
    ) as trial:
        return FAULTS[case].run(trial)


@pytest.mark.parametrize(
    ("case", "shell", "outcome"),
    [
        ("8", "exit 0", Outcome.MISSING),
        ("8", "echo no; exit 1", Outcome.FAILED),
        ("8", "exec sleep 60", Outcome.HUNG),
        ("3", "exit 0", Outcome.MISSING),
        ("3", "exit 1", Outcome.FAILED),
        ("3", "echo x > around/deep/target/large", Outcome.WRONG),
        ("3", "echo x > around/deep/target/large; exit 1", Outcome.PARTIAL),
        ("23", "exit 0", Outcome.UNSEALED),
        ("32", "touch around/out1", Outcome.OUTSIDE),
        ("32", "exit 0", Outcome.SILENT),
    ],
)
def test_a_client_is_judged_by_what_is_there(
    case: str, shell: str, outcome: Outcome, certificate: Certificate, tmp_path: Path
) -> None:
    timeout = 0.2 if outcome is Outcome.HUNG else 30.0
    verdict = put_to(case, certificate, tmp_path, shell, timeout)
    assert verdict.outcome is outcome
    assert (outcome in FAULTS[case].passing) is (outcome is Outcome.FAILED and case == "23")


def test_case_23_sealift_fails_clearly_where_nothing_is_sealed(
    certificate: Certificate, tmp_path: Path
) -> None:
    verdict = put_to("23", certificate, tmp_path)
    assert (verdict.outcome, verdict.requests) == (Outcome.FAILED, 1)
    assert verdict.ended is not None
    assert "UNENCRYPTED" in verdict.ended.output


def test_the_table_marks_what_is_not_passed_and_what_does_harm() -> None:
    ended = Ended(1, 2.0, False, "what it said")
    outcomes = (Outcome.RIGHT, Outcome.FAILED, Outcome.WRONG)
    entries = [
        Entry.of(FAULTS["1"], CLIENTS["sealift"], Verdict(outcome, ended, 3))
        for outcome in outcomes
    ]
    cells = ["right (1; 3; 2.0 s)", "_failed clearly_ (1; 3; 2.0 s)"]
    assert [entry.cell() for entry in entries[:2]] == cells
    assert entries[2].cell().startswith("**WRONG DATA REPORTED DONE** (")
    assert "| 1 of 3 |" in markdown(entries, {"sealift": "0.1.0"}, 75.0)


def test_a_client_without_sse_c_is_not_put_to_what_needs_it() -> None:
    assert FAULTS["25"].why_not(CLIENTS["s5cmd"]) == "no SSE-C"
    assert FAULTS["25"].why_not(CLIENTS["rclone"]) is None
    assert FAULTS["32"].why_not(CLIENTS["boto3"]) == "moves no trees"

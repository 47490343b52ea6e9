"""A journal that is damaged, or whose run was killed: nothing is believed that was not written."""

from __future__ import annotations

import os
import random
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.programs import needs
from tests.unit.journals import (
    SCOPE,
    TOKENS,
    State,
    created,
    download,
    fetched,
    part,
    run_record,
    upload,
)

from sealift.journal import DeadRun, live_upload_ids
from sealift.records import (
    Change,
    DownloadPlanned,
    DownloadRecord,
    Ended,
    PartAdded,
    RangeAdded,
    UploadCompleting,
    UploadCreated,
    UploadPlanned,
    UploadRecord,
    UploadState,
)

STEPS: list[tuple[Sequence[Change], bool]] = [
    ([UploadPlanned(upload(0)), UploadPlanned(upload(1))], True),
    ([UploadCreated(upload(0).marker, "id-0", True)], True),
    ([PartAdded(upload(0).marker, part(number)) for number in range(1, 6)], False),
    ([DownloadPlanned(download(0)), DownloadPlanned(download(1, ranges=(fetched(3),)))], False),
    ([RangeAdded(download(0).temporary, fetched(number)) for number in range(3)], False),
    ([UploadCompleting(upload(0).marker)], True),
    ([Ended(upload(1).marker), UploadPlanned(created(2, parts=(part(1),)))], True),
]

Told = tuple[list[UploadRecord], list[DownloadRecord]]


def told(dead: DeadRun) -> Told:
    return sorted(dead.uploads), sorted(dead.downloads)


@dataclass
class Template:
    """The files of a dead run, what it had written after each step, and a place for damage."""

    files: dict[str, bytes]
    history: list[Told]
    state: State

    def look(self, name: str, content: bytes) -> tuple[Told | None, list[str]]:
        """What is found when the file that ends with `name` has another content."""
        shutil.rmtree(self.state.path, ignore_errors=True)
        self.state.directory.mkdir(parents=True)
        for suffix, whole in self.files.items():
            self.state.file(suffix=suffix).write_bytes(content if suffix == name else whole)
        found, damaged = self.state.found()
        assert len(found) <= 1
        for dead in found:
            assert dead.run == run_record()
        aside = self.state.file(suffix=".damaged").exists()
        assert aside == any("renamed" in note for note in damaged)
        assert aside <= (not found)
        return (told(found[0]) if found else None), damaged


@pytest.fixture(scope="module")
def logged(tmp_path_factory: pytest.TempPathFactory) -> Template:
    """Most is in the log: the run was killed."""
    state = State(tmp_path_factory.mktemp("logged"))
    journal = state.open()
    history: list[Told] = [([], [])]
    for changes, durable in STEPS:
        journal.write(changes, durable=durable)
        copy = State(state.path / "copy")
        shutil.copytree(state.directory, copy.directory)
        history.append(told(copy.only()))
        shutil.rmtree(copy.path)
    files = {
        suffix: state.file(suffix=suffix).read_bytes() for suffix in (".sqlite3", ".sqlite3-wal")
    }
    journal.close(finished=False)
    return Template(files, history, State(state.path / "look"))


@pytest.fixture(scope="module")
def settled(logged: Template, tmp_path_factory: pytest.TempPathFactory) -> Template:
    """All is in the file: somebody has looked at the run since it was killed."""
    logged.look("", b"")
    files = {".sqlite3": logged.state.file().read_bytes()}
    assert logged.state.names() == [f"{TOKENS[0]}.lock", f"{TOKENS[0]}.sqlite3"]
    return Template(files, logged.history, State(tmp_path_factory.mktemp("settled") / "look"))


def assert_part_of(some: Told, whole: Told) -> None:
    """Each record was written, if not all that belongs to it."""
    for known, written in ((some[0], whole[0]), (some[1], whole[1])):
        by_name = {record[0]: record for record in written}
        for record in known:
            original = by_name[record[0]]
            assert record[:10] == original[:10]
            assert record[10:-1] in (original[10:-1], *_EARLIER)
            assert set(record[-1]) <= set(original[-1])


# State, upload id and who keeps the checksum: Complete, and Create, were not found.
_EARLIER = [(UploadState.CREATED, "id-0", True), (UploadState.PLANNED, "", False)]


def test_case_15_a_log_cut_anywhere_is_an_earlier_state(logged: Template) -> None:
    log = logged.files[".sqlite3-wal"]
    chance = random.Random(15)
    frames = range(32, len(log) + 1, 24 + 4096)
    assert len(log) == frames[-1]
    cuts = {0, 8, 31, *frames, *(start + 24 for start in frames)}
    cuts |= {start + step for start in frames for step in (-1, 1)}
    cuts |= {chance.randrange(len(log)) for _ in range(40)}
    states = []
    for cut in sorted(cuts):
        found, damaged = logged.look(".sqlite3-wal", log[:cut])
        assert found in logged.history, cut
        assert damaged == [], cut
        states.append(logged.history.index(found))
    assert states == sorted(states)
    assert set(states) == set(range(len(logged.history)))


@pytest.mark.parametrize("first", range(4))
def test_case_15_a_bit_flipped_in_the_log_is_an_earlier_state_and_told(
    logged: Template, first: int
) -> None:
    """But for the very last change: there it looks as if it had been under way."""
    log = logged.files[".sqlite3-wal"]
    for place in {*range(first, 32, 4), *range(97 * first, len(log), 4 * 97)}:
        found, damaged = logged.look(".sqlite3-wal", _flipped(log, place))
        assert found in logged.history, place
        assert found in logged.history[-2:] or len(damaged) == 1, place
        assert found != logged.history[-1] or damaged == [], place


@pytest.mark.parametrize("first", range(4))
def test_case_15_a_bit_flipped_in_the_file_is_never_believed(settled: Template, first: int) -> None:
    content = settled.files[".sqlite3"]
    kinds = {"same": 0, "fewer": 0, "aside": 0}
    for place in range(23 * first, len(content), 97):
        found, damaged = settled.look(".sqlite3", _flipped(content, place))
        if found == settled.history[-1]:
            kinds["same"] += 1
            continue
        assert len(damaged) == 1, place
        kinds["fewer" if found else "aside"] += 1
        if found is not None:
            assert_part_of(found, settled.history[-1])
    assert all(kinds.values()), kinds


def _flipped(content: bytes, place: int) -> bytes:
    flipped = bytearray(content)
    flipped[place] ^= 1 << place % 8
    return bytes(flipped)


def test_case_15_text_that_is_no_text_costs_its_own_row_only(settled: Template) -> None:
    content = bytearray(settled.files[".sqlite3"])
    content[content.index(b"name-2")] ^= 0x80
    found, damaged = settled.look(".sqlite3", bytes(content))
    uploads, downloads = settled.history[-1]
    assert found == (uploads[:1], downloads)
    assert [note.startswith("1 entries") for note in damaged] == [True]


def test_case_15_a_log_that_had_all_is_set_aside_when_damaged(state: State, tmp_path: Path) -> None:
    journal = state.open()
    journal.write([UploadPlanned(upload(0))], durable=False)
    log = state.file(suffix=".sqlite3-wal").read_bytes()
    files = {".sqlite3": state.file().read_bytes(), ".sqlite3-wal": log}
    template = Template(files, [], State(tmp_path / "look"))
    journal.close(finished=True)
    assert template.look("", b"") == (([upload(0)], []), [])
    found, damaged = template.look(".sqlite3-wal", _flipped(log, 0))
    assert (found, len(damaged)) == (None, 1)


def test_case_15_a_file_cut_anywhere_is_set_aside_or_had_not_begun(settled: Template) -> None:
    content = settled.files[".sqlite3"]
    chance = random.Random(16)
    cuts = {*range(0, len(content), 4096), *(chance.randrange(len(content)) for _ in range(50))}
    for cut in cuts:
        found, damaged = settled.look(".sqlite3", content[:cut])
        assert found is None, cut
        assert len(damaged) == (cut > 0), cut


@pytest.mark.parametrize("seed", range(3))
def test_case_15_several_bytes_overwritten(logged: Template, settled: Template, seed: int) -> None:
    chance = random.Random(seed)
    for template, name in ((logged, ".sqlite3-wal"), (logged, ".sqlite3"), (settled, ".sqlite3")):
        for _ in range(25):
            content = bytearray(template.files[name])
            for _ in range(20):
                content[chance.randrange(len(content))] = chance.randrange(256)
            found, _ = template.look(name, bytes(content))
            if found is not None and found not in template.history:
                assert_part_of(found, template.history[-1])


def test_case_15_old_and_new_halves_of_a_page(settled: Template) -> None:
    """Sectors that did not get to the disk are as they were before: zeros, or another page."""
    content = settled.files[".sqlite3"]
    for start in range(0, len(content), 512):
        for sector in (bytes(512), content[-512:], content[4096 : 4096 + 512]):
            found, damaged = settled.look(
                ".sqlite3", content[:start] + sector + content[start + 512 :]
            )
            if found != settled.history[-1]:
                assert len(damaged) == 1, start
            if found is not None:
                assert_part_of(found, settled.history[-1])


LIFE = """
import sqlite3, sys, urllib.parse
from sealift.journal import Journal
from sealift.records import Ended, RunRecord, UploadPlanned, UploadRecord
journal = Journal(sys.argv[1], RunRecord(sys.argv[2], 1.5, (), "/", sys.argv[3], None))
def planned(number):
    name = f"{number:032x}"
    return UploadPlanned(UploadRecord(name, sys.argv[3], "n", "/f", None, 9, 9, None, None, 1.5))
journal.open()
print("-", flush=True)
journal.write([planned(0)], durable=True)
print("0", flush=True)
journal.write([planned(1)], durable=False)
print("01", flush=True)
journal.write([planned(2), Ended(f"{1:032x}")], durable=True)
print("02", flush=True)
journal.close(finished=True)
"""
_CALL = re.compile(
    r"\d+ +(\w+)\((?:\d+<([^>]*)>|AT_FDCWD<[^>]*>, \"([^\"]*)\"|\"([^\"]*)\")(.*)\) += [0-9]"
)


def test_case_15_a_run_killed_after_any_system_call_is_whole(state: State, tmp_path: Path) -> None:
    """All that a run does to its files, made again one by one: each is a state without damage."""
    needs("strace")
    trace = "trace=openat,write,pwrite64,ftruncate,unlink"
    command = ["strace", "-f", "-qq", "-y", "-xx", "-s", "9000", "-e", trace, "-e", "signal=none"]
    log = tmp_path / "log"
    subprocess.run(
        [*command, "-o", str(log), sys.executable, "-c", LIFE, state.text, TOKENS[0], SCOPE],
        check=True, capture_output=True, timeout=60,
    )  # fmt: skip
    files: dict[str, bytearray] = {}
    told = ""
    seen = set()
    look = State(tmp_path / "look")
    for found in filter(None, map(_CALL.match, log.read_text().splitlines())):
        call, of_descriptor, created, named, rest = found.groups()
        name = os.path.basename(_text(of_descriptor or created or named or ""))
        if call == "write":
            told = _text(rest.split('"')[1]).strip() or told
            continue
        if not name.startswith(TOKENS[0]) or name.endswith("-shm"):
            continue
        if call == "openat":
            if "O_CREAT" in rest:
                files.setdefault(name, bytearray())
        elif call == "unlink":
            files.pop(name, None)
        elif call == "ftruncate":
            del files[name][int(rest[2:]) :]
        else:
            data, at = _bytes(rest.split('"')[1]), int(rest.rsplit(",", 1)[1])
            files[name].extend(bytes(max(0, at - len(files[name]))))
            files[name][at : at + len(data)] = data
        seen.add((told, _written(look, files)))
    assert seen <= {
        ("", ""), ("-", ""), ("-", "0"), ("0", "0"), ("0", "01"), ("01", "01"), ("01", "02"),
        ("02", "02"), ("02", ""),
    }  # fmt: skip
    assert len(seen) > 6


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text.replace("\\x", ""))


def _text(text: str) -> str:
    return _bytes(text).decode()


def _written(state: State, files: dict[str, bytearray]) -> str:
    """Which uploads are found in these files."""
    shutil.rmtree(state.path, ignore_errors=True)
    state.directory.mkdir(parents=True)
    for name, content in files.items():
        (state.directory / name).write_bytes(content)
    found, damaged = state.found()
    assert damaged == []
    return "".join(sorted(record.marker[-1] for dead in found for record in dead.uploads))


def test_a_run_that_had_not_begun_leaves_nothing(state: State) -> None:
    """Killed before it wrote who it is."""
    state.directory.mkdir(parents=True)
    state.file().touch(0o600)
    state.file(suffix=".lock").touch(0o600)
    connection = sqlite3.connect(state.file(TOKENS[1]))
    connection.execute("PRAGMA journal_mode = WAL")
    connection.close()
    assert state.found() == ([], [])
    assert state.names() == []


def test_a_file_that_is_no_database_is_set_aside(state: State) -> None:
    state.leave(UploadPlanned(upload(0)))
    state.file(TOKENS[1]).write_bytes(b"no database" * 1000)
    found, damaged = state.found()
    assert [dead.run for dead in found] == [run_record()]
    aside = state.file(TOKENS[1], ".damaged")
    assert [str(aside) in note for note in damaged] == [True]
    assert aside.read_bytes() == b"no database" * 1000
    assert state.found()[1] == []


def test_a_database_of_another_program_is_set_aside(state: State) -> None:
    state.directory.mkdir(parents=True)
    connection = sqlite3.connect(state.file())
    connection.execute("CREATE TABLE other (x)")
    connection.commit()
    connection.close()
    before = state.file().read_bytes()
    found, damaged = state.found()
    assert (found, len(damaged)) == ([], 1)
    assert state.file(suffix=".damaged").read_bytes() == before


def test_a_journal_without_its_run_is_set_aside(state: State) -> None:
    """Its uploads are still to be found by hand."""
    state.leave(UploadPlanned(created(0)))
    connection = sqlite3.connect(state.file())
    connection.execute("DELETE FROM entry WHERE kind = 'run'")
    connection.commit()
    connection.close()
    found, damaged = state.found()
    assert (found, len(damaged)) == ([], 1)
    assert b"name-0" in state.file(suffix=".damaged").read_bytes()


@pytest.mark.parametrize("is_full", [True, False])
def test_a_directory_in_the_file_s_place_is_set_aside(state: State, is_full: bool) -> None:
    state.file().mkdir(parents=True)
    if is_full:
        (state.file() / "x").write_bytes(b"kept")
    found, damaged = state.found()
    assert (found, len(damaged)) == ([], 1)
    assert state.file(suffix=".damaged").is_dir()
    assert state.found() == ([], [])


@pytest.mark.parametrize("kind", ["link", "pipe"])
def test_what_is_no_file_is_not_opened(state: State, tmp_path: Path, kind: str) -> None:
    victim = State(tmp_path / "victim")
    victim.leave(UploadPlanned(upload(0)))
    before = victim.file().read_bytes()
    state.directory.mkdir(parents=True)
    if kind == "link":
        state.file().symlink_to(victim.file())
    else:
        os.mkfifo(state.file())
    found, damaged = state.found()
    assert (found, len(damaged)) == ([], 1)
    assert victim.file().read_bytes() == before


def test_a_lock_that_is_a_link_is_not_followed(state: State, tmp_path: Path) -> None:
    state.leave(UploadPlanned(upload(0)))
    lock = state.file(suffix=".lock")
    lock.unlink(missing_ok=True)
    lock.symlink_to(tmp_path / "elsewhere")
    found, damaged = state.found()
    assert (found, len(damaged)) == ([], 1)
    assert not (tmp_path / "elsewhere").exists()
    assert live_upload_ids(state.text) == set()

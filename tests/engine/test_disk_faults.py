"""A disk that is full, refuses or fails: each object is whole or failed by name, the others move.

The command line in a process of its own wherever the kernel can be made to say no; `strace` lets
system calls fail that otherwise would not.
"""

from __future__ import annotations

import contextlib
import errno
import os
import subprocess
from pathlib import Path

import pytest
from tests.faults import Match
from tests.kit import KEY, Do

from sealift import ranged
from sealift.errors import LocalFileError
from sealift.journal import dead_runs
from sealift.model import Location
from sealift.schedule import BATCH_SIZE

from .conftest import LARGE, PART_SIZE, Ended, Site

pytestmark = pytest.mark.anyio

SMALL = {f"d{n % 3}/f{n:02}": b"%d " % n * (n + 1) for n in range(12)}
FULL = "No space left on device; free some space and run the same command again"
# Root may read and write everything, but for these two powers.
UNPRIVILEGED = ("setpriv", "--bounding-set=-dac_override,-dac_read_search")


def store(site: Site, objects: dict[str, bytes]) -> None:
    for name, body in objects.items():
        site.server.store(name, body, customer_key=KEY)


def read_tree(root: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file() and path.name != "ballast"
    }


def fill(directory: Path) -> None:
    """Write until the disk is full."""
    with contextlib.suppress(OSError), (directory / "ballast").open("wb", buffering=0) as ballast:
        while ballast.write(bytes(4096)):
            pass


def remount(directory: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", str(directory)], check=True)


def assert_asked_once(site: Site) -> None:
    """No object, and no range of one, was asked for a second time."""
    asked = [(each.name, each.headers.get("range")) for each in site.server.seen("GetObject")]
    assert len(set(asked)) == len(asked)


# A full disk


def test_case_36_when_there_is_room_again_a_rerun_ends_well(site: Site, tiny_disk: Path) -> None:
    objects = SMALL | {"d1/large": LARGE, "d2/one request": LARGE[: PART_SIZE - 1]}
    store(site, objects)

    ended = site.run("restore", "s3://bucket", tiny_disk)

    assert ended.status == 1
    assert ended.failed.keys() == objects.keys() - SMALL.keys()
    for name, message in ended.failed.items():
        assert message == f"cannot write {os.path.basename(name)}: {FULL}"
    assert ended.done == SMALL.keys()
    assert read_tree(tiny_disk) == SMALL
    assert ended.of("summary")[0]["retry_count"] == 0
    assert_asked_once(site)

    remount(tiny_disk, "size=64m")
    site.server.requests.clear()
    ended = site.run("restore", "s3://bucket", tiny_disk)

    assert ended.status == 0
    assert read_tree(tiny_disk) == objects
    assert {asked.name for asked in site.server.seen("GetObject")} == objects.keys() - SMALL.keys()


@pytest.mark.parametrize("command", ["cp", "restore"])
def test_case_36_a_full_state_directory_does_not_stop_a_run(
    site: Site, tiny_disk: Path, command: str
) -> None:
    objects = SMALL | {"large": LARGE}
    fill(tiny_disk)
    if command == "cp":
        for name, body in objects.items():
            site.file(f"tree/{name}", body)
        words = ("cp", "tree/", "s3://bucket")
    else:
        store(site, objects)
        words = ("restore", "s3://bucket", "back")

    ended = site.run(*words, XDG_STATE_HOME=str(tiny_disk))

    assert (ended.status, ended.failed) == (0, {})
    assert ended.done == {name if command == "restore" else f"tree/{name}" for name in objects}
    for kind in ("journal", "catalogue"):
        assert any(kind in note and "has room" in note for note in ended.notes), ended.notes

    assert os.listdir(tiny_disk / "sealift" / "journal") == []
    (tiny_disk / "ballast").unlink()
    ended = site.run(*words, XDG_STATE_HOME=str(tiny_disk))
    assert (ended.status, ended.notes) == (0, [])


def test_case_37_a_state_directory_that_cannot_be_used_does_not_stop_a_run(site: Site) -> None:
    store(site, SMALL)
    state = site.directory / "state"
    state.mkdir(0)
    ended = site.run(
        "restore", "s3://bucket", "back", launcher=UNPRIVILEGED, XDG_STATE_HOME=str(state)
    )
    assert (ended.status, ended.done) == (0, SMALL.keys())
    assert len(ended.notes) == 3
    assert all("Permission denied" in note for note in ended.notes)


def test_case_37_a_state_directory_that_cannot_be_locked_does_not_stop_a_run(site: Site) -> None:
    store(site, SMALL)
    ended = site.run("restore", "s3://bucket", "back", launcher=failing("flock", "1+"))
    assert (ended.status, ended.done) == (0, SMALL.keys())
    pair, run = ended.notes
    assert "another run between the same places would not be noticed" in pair
    assert "nothing can go on with this run" in run
    assert all("Input/output error" in note for note in ended.notes)


async def test_case_36_a_state_directory_that_fills_up_does_not_stop_a_run(
    site: Site, tiny_disk: Path
) -> None:
    site.server.script(Match(operation="UploadPart", part=2), Do(lambda: fill(tiny_disk)))
    await site.put("x", LARGE, concurrency=1, state_directory=str(tiny_disk))
    assert site.record.finished == {"x"}
    assert site.body("x") == LARGE
    assert any("journal" in note and "room" in note for note in site.record.notes)
    assert not site.server.uploads


# Permissions


def test_case_37_what_cannot_be_read_fails_alone(site: Site) -> None:
    for name, body in SMALL.items():
        site.file(f"tree/{name}", body)
    (site.directory / "tree/d0/f03").chmod(0)
    (site.directory / "tree/d2").chmod(0)
    site.file("tree/large", LARGE)
    (site.directory / "tree/large").chmod(0)

    ended = site.run("cp", "tree/", "s3://bucket", launcher=UNPRIVILEGED)

    assert ended.status == 1
    assert len(ended.failed) == 3
    messages = " ".join(ended.failed.values())
    for what in ("open tree/d0/f03", "read the directory tree/d2", "open tree/large"):
        assert f"cannot {what}: Permission denied; check the permissions" in messages
    there = {name for _, name in site.server.objects}
    assert there == {name for name in SMALL if not name.startswith("d2/")} - {"d0/f03"}
    assert ended.done == {f"tree/{name}" for name in there}
    assert not site.server.uploads


def test_case_37_what_cannot_be_written_fails_alone(site: Site) -> None:
    objects = SMALL | {"d1/large": LARGE, "d2/large": LARGE}
    store(site, objects)
    locked = site.directory / "back" / "d1"
    locked.mkdir(parents=True)
    (locked / "f01").write_bytes(b"older")
    locked.chmod(0o500)

    ended = site.run("restore", "s3://bucket", "back", launcher=UNPRIVILEGED)

    assert ended.status == 1
    refused = {name for name in objects if name.startswith("d1/")}
    assert ended.failed.keys() == refused
    for name, message in ended.failed.items():
        assert message == f"cannot write {name}: Permission denied; check the permissions"
    assert ended.done == objects.keys() - refused
    moved = {name: body for name, body in objects.items() if name not in refused}
    assert read_tree(site.directory / "back") == moved | {"d1/f01": b"older"}
    assert_asked_once(site)


@pytest.mark.parametrize("tiny_disk", ["size=16m"], indirect=True)
async def test_case_37_a_disk_that_becomes_read_only(site: Site, tiny_disk: Path) -> None:
    """Objects too large for a batch, so that each is written before the next one is asked for."""
    objects = {f"d{n % 3}/f{n:02}": bytes([n]) * (BATCH_SIZE + 1) for n in range(12)}
    store(site, objects)
    names = sorted(objects)
    site.server.script(
        Match(operation="GetObject", name=names[5]), Do(lambda: remount(tiny_disk, "ro"))
    )
    async with site.engine(concurrency=1) as engine:
        await engine.restore(Location("bucket"), str(tiny_disk))
    assert site.record.finished == set(names[:5])
    assert site.record.failed.keys() == set(names[5:])
    for error in site.record.failed.values():
        assert isinstance(error, LocalFileError)
        assert error.errno == errno.EROFS
        assert "the file system is read-only" in str(error)
    assert read_tree(tiny_disk) == {name: objects[name] for name in names[:5]}
    assert_asked_once(site)


# Errors of the disk


def failing(calls: str, when: str) -> tuple[str, ...]:
    """What lets such system calls fail; `when` counts in each thread by itself."""
    words = ("strace", "--follow-forks", "--seccomp-bpf", "--quiet=all", "--output=/dev/null")
    return (*words, f"--trace={calls}", f"--inject={calls}:error=EIO:when={when}")


def assert_whole_or_failed(site: Site, ended: Ended, objects: dict[str, bytes]) -> None:
    """A failed file may have its name only when it was the sync of its directory that failed."""
    assert ended.status == 1
    assert ended.done.isdisjoint(ended.failed)
    assert ended.done | ended.failed.keys() == objects.keys()
    for name, message in ended.failed.items():
        assert f"{os.path.basename(name)}: Input/output error" in message
    there = read_tree(site.directory / "back")
    assert ended.done <= there.keys() <= objects.keys()
    for name, body in there.items():
        assert body == objects[name]
    assert_asked_once(site)


@pytest.mark.parametrize("call", ["fsync", "renameat", "pwrite64", "fallocate"])
def test_case_37_a_call_that_fails_once_fails_a_few(site: Site, call: str) -> None:
    objects = {f"d{n % 3}/f{n:02}": b"%d " % n for n in range(60)} | {"large": LARGE}
    store(site, objects)
    (site.directory / "back").mkdir()
    ended = site.run("restore", "s3://bucket", "back", "-j", "2", launcher=failing(call, "1"))
    assert_whole_or_failed(site, ended, objects)
    assert ended.done
    assert ended.failed


@pytest.mark.parametrize("call", ["fsync", "renameat", "pwrite64"])
def test_case_37_what_was_not_written_is_never_reported_done(site: Site, call: str) -> None:
    objects = SMALL | {"large": LARGE}
    store(site, objects)
    (site.directory / "back").mkdir()
    ended = site.run("restore", "s3://bucket", "back", launcher=failing(call, "1+"))
    assert_whole_or_failed(site, ended, objects)
    assert not ended.done


@pytest.mark.parametrize("calls", ["readv", "preadv,preadv2"])
def test_case_37_what_cannot_be_read_is_not_sent(site: Site, calls: str) -> None:
    """`readv` reads small files, the others large ones."""
    objects = SMALL | {"large": LARGE}
    for name, body in objects.items():
        site.file(f"tree/{name}", body)
    ended = site.run("cp", "tree/", "s3://bucket", launcher=failing(calls, "1+"))
    bad = SMALL.keys() if calls == "readv" else {"large"}
    assert ended.status == 1
    assert ended.failed.keys() == bad
    for name, message in ended.failed.items():
        assert message.startswith(f"cannot read tree/{name}: Input/output error")
    assert {name for _, name in site.server.objects} == objects.keys() - bad
    assert not site.server.uploads


def fail_from(monkeypatch: pytest.MonkeyPatch, start: int) -> None:
    """Let reads of a file fail from byte `start` on, as those of a bad block."""
    read = os.preadv

    def preadv(fd: int, rooms: list[memoryview], offset: int) -> int:
        if offset >= start:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return read(fd, rooms, offset)

    monkeypatch.setattr(os, "preadv", preadv)


@pytest.mark.parametrize("dialect", ["aws", "ceph"])
async def test_case_37_a_bad_block_amid_a_file_leaves_no_upload(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail_from(monkeypatch, 2 * PART_SIZE)
    state = str(tmp_path / "state")
    await site.put("x", LARGE, concurrency=1, state_directory=state)
    (error,) = site.record.failed.values()
    assert isinstance(error, LocalFileError)
    assert "cannot read" in str(error)
    assert "Input/output error" in str(error)
    assert not site.server.objects
    assert not site.server.uploads
    assert not site.server.seen("CompleteMultipartUpload")
    assert not site.record.retries
    with dead_runs(state) as found:
        assert not [dead.uploads for dead in found if dead.uploads]


async def test_case_37_ranges_that_cannot_be_synced_fail_the_object(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fdatasync(fd: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "fdatasync", fdatasync)
    monkeypatch.setattr(ranged, "NOTE_INTERVAL", 0.0)
    store(site, {"x": LARGE})
    await site.get("x")
    (error,) = site.record.failed.values()
    assert isinstance(error, LocalFileError)
    assert error.errno == errno.EIO
    assert not site.out.exists()
    assert not site.left_behind()
    assert_asked_once(site)

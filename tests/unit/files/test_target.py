"""A name appears only when its file is complete, and nothing is written outside the target."""

from __future__ import annotations

import errno
import os
import stat
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealift.errors import LocalFileError, UnsafeNameError
from sealift.files import target as module
from sealift.files.directories import KEPT_DIRECTORY_COUNT
from sealift.files.names import split_name
from sealift.files.target import Target, TargetFile


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "root"


@pytest.fixture
def target(root: Path):
    target = Target(str(root))
    yield target
    target.close()


def save(target: Target, name: str, content: bytes = b"content") -> None:
    file = target.create(split_name(name))
    file.write(memoryview(content), 0)
    target.commit(file)


def everything(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*"))


def open_count() -> int:
    return len(os.listdir("/dev/fd"))


# Names


@pytest.mark.parametrize(
    "name",
    [
        "a",
        "a/b/c",
        "..a",
        "a..",
        "...",
        " ",
        "a\nb",
        "a\\b",
        "C:",
        "-rf",
        "~",
        "a" * 255,
        "é" * 127,
    ],
)
def test_harmless_names(name: str) -> None:
    assert "/".join(split_name(name)) == name


@pytest.mark.parametrize(
    "name",
    ["", "/", "/etc/passwd", "../x", "a/../x", "a/..", "./a", "a/./b", "a//b", "a/", "//", ".",
     "..", "a\0b", "\0", "a" * 256, "é" * 128, "a\ud800b", "d/" + "a" * 300 + "/b"],
)  # fmt: skip
def test_unsafe_names(name: str) -> None:
    with pytest.raises(UnsafeNameError):
        split_name(name)


@given(st.text())
def test_a_name_stands_for_itself_or_is_refused(name: str) -> None:
    try:
        parts = split_name(name)
    except UnsafeNameError:
        return
    path = os.path.join("/root", *parts)
    assert os.path.normpath(path) == path == f"/root/{name}"
    assert all(len(os.fsencode(part)) <= 255 for part in parts)


# Removal


def test_removes_files_and_the_directories_they_leave_empty(target: Target, root: Path) -> None:
    for name in ("a/b/c", "a/b/d", "a/x", "e/f/g", "top"):
        save(target, name)
    names = [split_name(name) for name in ("a/b/c", "a/b/d", "e/f/g", "top", "not/there")]
    before = open_count()
    assert target.remove_each(names) == [None] * 5
    assert everything(root) == ["a", "a/x"]
    assert open_count() <= before
    save(target, "e/f/h")
    assert everything(root) == ["a", "a/x", "e", "e/f", "e/f/h"]


def test_the_root_stays(target: Target, root: Path) -> None:
    save(target, "a/b")
    target.remove_each([["a", "b"]])
    assert everything(root) == []
    assert root.is_dir()


def test_a_directory_that_is_being_written_to_stays(target: Target, root: Path) -> None:
    save(target, "a/old")
    file = target.create(["a", "new"])
    assert target.remove_each([["a", "old"]]) == [None]
    target.commit(file)
    assert everything(root) == ["a", "a/new"]


def test_a_link_is_removed_and_not_what_it_names(target: Target, root: Path) -> None:
    outside = root.parent / "outside"
    outside.mkdir()
    (outside / "f").write_bytes(b"kept")
    (root / "file").symlink_to(outside / "f")
    (root / "directory").symlink_to(outside)
    assert target.remove_each([["file"], ["directory"]]) == [None, None]
    assert everything(root) == []
    assert (outside / "f").read_bytes() == b"kept"


def test_nothing_is_removed_through_a_link(target: Target, root: Path) -> None:
    outside = root.parent / "outside"
    outside.mkdir()
    (outside / "f").write_bytes(b"kept")
    (root / "d").symlink_to(outside)
    (failure,) = target.remove_each([["d", "f"]])
    assert failure is not None
    assert failure.errno == errno.ELOOP
    assert (outside / "f").read_bytes() == b"kept"


def test_a_directory_is_not_removed_as_a_file(target: Target, root: Path) -> None:
    (root / "d").mkdir()
    save(target, "f")
    failure, none = target.remove_each([["d"], ["f"]])
    assert failure is not None
    assert failure.errno == errno.EISDIR
    assert none is None
    assert everything(root) == ["d"]


# Files


def test_writes_below_the_root(target: Target, root: Path) -> None:
    save(target, "a/b/c", b"deep")
    save(target, "top")
    assert (root / "a/b/c").read_bytes() == b"deep"
    assert everything(root) == ["a", "a/b", "a/b/c", "top"]


def test_makes_directories(target: Target, root: Path) -> None:
    target.make_directory(["a", "b"])
    target.make_directory(["a", "b"])
    target.make_directory(["a"])
    save(target, "a/b/c")
    assert everything(root) == ["a", "a/b", "a/b/c"]


def test_no_directory_is_made_through_a_link_or_over_a_file(
    target: Target, root: Path, tmp_path: Path
) -> None:
    (tmp_path / "outside").mkdir()
    (root / "link").symlink_to(tmp_path / "outside")
    (root / "file").touch()
    for parts in (["link"], ["link", "d"], ["file"], ["file", "d"]):
        with pytest.raises(LocalFileError, match=parts[0]):
            target.make_directory(parts)
    assert os.listdir(tmp_path / "outside") == []


def test_a_mode_comes_with_the_name_and_is_no_more_than_permissions(
    target: Target, root: Path
) -> None:
    for mode in (0o100400, 0o104755, 0o7777, 0):
        file = target.create(["f"])
        file.set_mode(mode)
        assert stat.S_IMODE((root / file.temporary).stat().st_mode) == 0o600
        target.commit(file)
        assert stat.S_IMODE((root / "f").stat().st_mode) == mode & 0o777


def test_the_name_appears_with_commit(target: Target, root: Path) -> None:
    file = target.create(["a", "f"])
    file.allocate(7)
    file.write(memoryview(b"tent"), 3)
    file.write(memoryview(b"con"), 0)
    file.set_mtime(1_600_000_000_123_456_789)
    (temporary,) = (root / "a").iterdir()
    assert temporary.name.startswith(".sealift-")
    assert stat.S_IMODE(temporary.stat().st_mode) == 0o600
    target.commit(file)
    (only,) = (root / "a").iterdir()
    assert only.name == "f"
    assert only.read_bytes() == b"content"
    assert only.stat().st_mtime_ns == 1_600_000_000_123_456_789


def test_an_older_file_stays_until_commit(target: Target, root: Path) -> None:
    save(target, "f", b"old")
    file = target.create(["f"])
    file.write(memoryview(b"new"), 0)
    assert (root / "f").read_bytes() == b"old"
    target.discard(file)
    assert (root / "f").read_bytes() == b"old"
    save(target, "f", b"new")
    assert (root / "f").read_bytes() == b"new"
    assert everything(root) == ["f"]


def test_nothing_is_left_after_discard(target: Target, root: Path) -> None:
    file = target.create(["d", "f"])
    target.discard(file)
    target.discard(file)
    assert everything(root) == ["d"]


def test_close_removes_what_is_unfinished(root: Path) -> None:
    before = open_count()
    target = Target(str(root))
    for number in range(5):
        target.create([f"d{number}", "f"])
    target.close()
    assert [path for path in root.rglob("*") if path.is_file()] == []
    assert open_count() == before


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o000, 0o027])
def test_the_mode_is_that_of_a_new_file(root: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        target = Target(str(root))
        save(target, "d/f")
        target.close()
        Path(root / "plain").touch()
    finally:
        os.umask(before)
    mode = stat.S_IMODE((root / "d/f").stat().st_mode)
    assert mode == stat.S_IMODE((root / "plain").stat().st_mode) == 0o666 & ~umask


def test_the_root_is_made_with_what_is_above_it(tmp_path: Path) -> None:
    target = Target(str(tmp_path / "a/b/c"))
    save(target, "f")
    target.close()
    Target(f"{tmp_path}/a/b/c/").close()
    assert (tmp_path / "a/b/c/f").exists()


def test_the_root_may_be_a_link_for_the_user_named_it(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    target = Target(str(tmp_path / "link"))
    save(target, "f")
    target.close()
    assert (tmp_path / "real/f").exists()


def test_a_root_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    before = open_count()
    for root in ("file", "file/below"):
        with pytest.raises(LocalFileError, match="cannot make the directory"):
            Target(str(tmp_path / root))
    assert open_count() == before


# Durability


def test_synced_in_this_order(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """New directories into their parents, the file, then its name."""
    calls: list[str] = []
    inodes: dict[int, str] = {}

    def name_of(fd: int) -> str:
        facts = os.fstat(fd)
        for path in [root.parent, root, *root.rglob("*")]:
            if path.stat().st_ino == facts.st_ino:
                inodes[facts.st_ino] = path.name
        return inodes[facts.st_ino]

    real_fsync, real_rename = os.fsync, os.rename

    def fsync(fd: int) -> None:
        name = name_of(fd)
        calls.append(f"sync {'temporary' if name.startswith('.sealift') else name}")
        real_fsync(fd)

    def rename(source: str, destination: str, **where: int) -> None:
        calls.append(f"rename {destination}")
        real_rename(source, destination, **where)

    monkeypatch.setattr(module.os, "fsync", fsync)
    monkeypatch.setattr(module.os, "rename", rename)
    target = Target(str(root))
    save(target, "d/f")
    target.close()
    assert calls == [
        f"sync {root.parent.name}", "sync root", "sync temporary", "rename f", "sync d",
    ]  # fmt: skip


@pytest.mark.parametrize("failing", ["fsync", "rename", "fchmod"])
def test_a_failed_commit_leaves_no_file(
    target: Target, root: Path, failing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(target, "f", b"old")
    before = open_count()
    file = target.create(["f"])
    file.write(memoryview(b"new"), 0)

    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(module.os, failing, fail)
        with pytest.raises(LocalFileError, match="free some space"):
            target.commit(file)
    assert (root / "f").read_bytes() == b"old"
    assert everything(root) == ["f"]
    assert open_count() == before


def filled(target: Target, *names: str) -> list[TargetFile]:
    files = [target.create(split_name(name)) for name in names]
    for file in files:
        file.write(memoryview(b"content"), 0)
    return files


def test_several_are_committed_with_one_sync_a_directory(
    target: Target, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = open_count()
    files = filled(target, "d/a", "e/a", "d/b", "d/c")
    synced: list[int] = []
    monkeypatch.setattr(module.os, "fsync", synced.append)
    assert target.commit_each(files) == [None] * 4
    assert everything(root) == ["d", "d/a", "d/b", "d/c", "e", "e/a"]
    assert len(synced) == 4 + 2
    assert open_count() == before + 2  # the directories stay open
    assert target.commit_each([]) == []


def test_a_rename_that_fails_fails_alone(target: Target, root: Path) -> None:
    files = filled(target, "d/a", "e/a", "d/b", "e/b")
    before = open_count()
    (root / "d" / "b").mkdir()
    failures = target.commit_each(files)
    assert [failure and failure.errno for failure in failures] == [None, None, errno.EISDIR, None]
    assert everything(root) == ["d", "d/a", "d/b", "e", "e/a", "e/b"]
    assert open_count() == before - 4


@pytest.mark.parametrize(
    ("failing", "expected"),
    [("first file", "xooo"), ("d", "xoxo"), ("all", "xxxx")],
)
def test_a_sync_that_fails_fails_those_it_was_for(
    target: Target, root: Path, failing: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = filled(target, "d/a", "e/a", "d/b", "e/b")
    before = open_count()
    bad = {"first file": [files[0].fd], "d": [files[0].directory.fd]}.get(failing)
    real = os.fsync

    def fsync(fd: int) -> None:
        if bad is None or fd in bad:
            raise OSError(errno.EIO, "Input/output error")
        real(fd)

    monkeypatch.setattr(module.os, "fsync", fsync)
    failures = target.commit_each(files)
    assert "".join("o" if failure is None else "x" for failure in failures) == expected
    names = {name for name in everything(root) if "/" in name}
    if failing == "d":  # they have their names, but a power cut may take them
        assert names == {"d/a", "d/b", "e/a", "e/b"}
    else:
        whole = zip(("d/a", "e/a", "d/b", "e/b"), failures, strict=True)
        assert names == {name for name, failure in whole if failure is None}
    assert open_count() == before - 4


def test_case_37_a_directory_that_could_not_be_synced_is_made_anew(
    target: Target, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the next file below it would be reported done, and a power cut might take both."""
    synced: list[int] = []
    real = os.fsync

    def fsync(fd: int) -> None:
        synced.append(os.fstat(fd).st_ino)
        if len(synced) == 1:
            raise OSError(errno.EIO, "Input/output error")
        real(fd)

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(LocalFileError, match="Input/output error"):
        save(target, "d/f")
    assert everything(root) == []
    save(target, "d/f")
    assert everything(root) == ["d", "d/f"]
    assert synced[:2] == [root.stat().st_ino] * 2


@pytest.mark.parametrize("end", ["commit_each", "discard"])
def test_an_error_of_close_tells_nothing_new(
    target: Target, root: Path, end: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """NFS reports there what writes or a sync have told."""
    (file,) = filled(target, "f")
    real = os.close

    def close(fd: int) -> None:
        real(fd)
        raise OSError(errno.EDQUOT, "Disk quota exceeded")

    with monkeypatch.context() as patch:
        patch.setattr(module.os, "close", close)
        if end == "discard":
            target.discard(file)
        else:
            assert target.commit_each([file]) == [None]
    assert everything(root) == ([] if end == "discard" else ["f"])
    save(target, "g")


def test_a_full_disk_shows_before_the_transfer(
    target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = target.create(["f"])

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(module.os, "posix_fallocate", full, raising=False)
    with pytest.raises(LocalFileError, match="free some space"):
        file.allocate(1 << 20)


def test_a_file_system_that_cannot_reserve_is_used_all_the_same(
    target: Target, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cannot(*_: object) -> None:
        raise OSError(errno.EOPNOTSUPP, "Operation not supported")

    monkeypatch.setattr(module.os, "posix_fallocate", cannot, raising=False)
    file = target.create(["f"])
    file.allocate(100)
    assert os.fstat(file.fd).st_size == 100


def test_short_writes_are_completed(
    target: Target, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.pwrite
    monkeypatch.setattr(module.os, "pwrite", lambda fd, data, at: real(fd, data[:3], at))
    save(target, "f", b"0123456789")
    assert (root / "f").read_bytes() == b"0123456789"


@pytest.mark.parametrize("mtime_ns", [0, -1_500_000_000, 2**63, -(2**63), 10**21])
def test_a_time_that_the_disk_cannot_hold_does_no_harm(target: Target, mtime_ns: int) -> None:
    file = target.create(["f"])
    file.set_mtime(mtime_ns)
    target.commit(file)


# Links


def test_a_link_among_the_directories_is_not_followed(target: Target, root: Path) -> None:
    outside = root.parent / "outside"
    outside.mkdir()
    (root / "d").mkdir()
    (root / "link").symlink_to(outside)
    (root / "d/link").symlink_to("../d")
    before = open_count()
    for name in ("link/f", "link/deep/f", "d/link/f"):
        with pytest.raises(LocalFileError, match="links are not followed"):
            target.create(split_name(name))
    assert list(outside.iterdir()) == []
    assert open_count() == before


def test_a_link_in_the_files_place_is_replaced_not_followed(target: Target, root: Path) -> None:
    outside = root.parent / "outside"
    outside.write_bytes(b"precious")
    (root / "f").symlink_to(outside)
    save(target, "f", b"new")
    assert not (root / "f").is_symlink()
    assert (root / "f").read_bytes() == b"new"
    assert outside.read_bytes() == b"precious"


def test_a_pipe_in_the_files_place_stays(target: Target, root: Path) -> None:
    """As root, `get URI /dev/null` would make a file of the device."""
    os.mkfifo(root / "pipe")
    (root / "link").symlink_to("pipe")
    before = open_count()
    for name in ("pipe", "link"):
        with pytest.raises(LocalFileError, match="a device, pipe or socket stands where"):
            target.create([name])
    assert stat.S_ISFIFO((root / "pipe").stat().st_mode)
    assert everything(root) == ["link", "pipe"]
    target.close()
    assert open_count() < before


@pytest.mark.parametrize("aim", ["nowhere", "f", "."])
def test_a_link_that_leads_to_no_file_is_replaced(target: Target, root: Path, aim: str) -> None:
    (root / "f").symlink_to(aim)
    save(target, "f", b"new")
    assert (root / "f").read_bytes() == b"new"
    assert not (root / "f").is_symlink()


def test_a_directory_swapped_for_a_link_is_still_the_directory(target: Target, root: Path) -> None:
    """What was opened once is used by its descriptor, whatever its name stands for by now."""
    save(target, "d/one")
    file = target.create(["d", "two"])
    (root / "d").rename(root / "moved")
    outside = root.parent / "outside"
    outside.mkdir()
    (root / "d").symlink_to(outside)
    target.commit(file)
    assert everything(root / "moved") == ["one", "two"]
    assert list(outside.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "advice"),
    [("file/below", "a file stands where a directory is needed"),
     ("directory", "a directory stands where the file belongs")],
)  # fmt: skip
def test_what_stands_in_the_way_is_named(
    target: Target, root: Path, name: str, advice: str
) -> None:
    (root / "file").touch()
    (root / "directory/inner").mkdir(parents=True)
    with pytest.raises(LocalFileError, match=advice):
        save(target, name)
    assert everything(root) == ["directory", "directory/inner", "file"]


def test_a_directory_without_permission_is_named(root: Path, as_nobody: Callable[..., str]) -> None:
    root.mkdir(mode=0o755)

    def attempt() -> str:
        target = Target(str(root))
        try:
            target.create(["f"])
        except LocalFileError as error:
            return str(error)
        return "written"

    assert as_nobody(attempt) == "cannot write f: Permission denied; check the permissions"


# Descriptors and threads


def test_open_directories_are_bounded(target: Target, root: Path) -> None:
    before = open_count()
    for number in range(1000):
        save(target, f"d{number:04}/e/f")
    assert open_count() <= before + KEPT_DIRECTORY_COUNT
    assert len(list(root.glob("d*/e/f"))) == 1000
    save(target, "d0000/e/again")
    assert (root / "d0000/e/again").exists()


def test_directories_in_use_stay_open(target: Target, root: Path) -> None:
    files = [target.create([f"d{number:04}", "f"]) for number in range(200)]
    for number in range(200):
        save(target, f"e{number:04}/f")
    for file in files:
        target.commit(file)
    assert len(list(root.glob("d*/f"))) == 200


def test_threads_share_a_target(target: Target, root: Path) -> None:
    """All in the same new directories, more of them than are kept open."""
    errors: list[BaseException] = []
    barrier = threading.Barrier(4)

    def work(worker: int) -> None:
        try:
            barrier.wait()
            for number in range(150):
                name = f"a/d{number}/w{worker}"
                save(target, name, name.encode())
                if number % 10 == 0:
                    target.discard(target.create(["a", f"d{number}", "never"]))
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(worker,)) for worker in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    files = [path for path in root.rglob("*") if path.is_file()]
    assert len(files) == 600
    assert all(path.read_bytes() == str(path.relative_to(root)).encode() for path in files)


def test_a_failed_create_leaves_no_descriptor(
    target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(target, "d/f")
    before = open_count()
    real = os.open

    def refuse(path: str, flags: int, *rest: object, **where: object) -> int:
        if flags & os.O_CREAT:
            raise OSError(errno.EMFILE, "Too many open files")
        return real(path, flags, *rest, **where)

    with monkeypatch.context() as patch:
        patch.setattr(module.os, "open", refuse)
        with pytest.raises(LocalFileError, match="ulimit -n"):
            target.create(["d", "g"])
    assert open_count() == before
    save(target, "d/g")


def test_temporary_names_differ(target: Target) -> None:
    files: list[TargetFile] = [target.create(["same"]) for _ in range(20)]
    assert len({file.temporary for file in files}) == 20

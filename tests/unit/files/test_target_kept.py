"""Temporary files that outlive their run: who may go on with them, and who removes them."""

from __future__ import annotations

import errno
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.programs import needs

from sealift.errors import LocalFileError
from sealift.files.target import Target, TargetFile
from sealift.model import Durability

TOKEN, OTHER = "a" * 16, "b" * 16
SIZE = 1000


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "root"


@pytest.fixture
def target(root: Path) -> Iterator[Target]:
    made = Target(str(root))
    yield made
    made.close()


def keep(root: Path, *parts: str, content: bytes = b"kept") -> Path:
    """What a run left that was interrupted."""
    target = Target(str(root))
    file = target.create(list(parts))
    file.write(memoryview(content), 0)
    target.keep(file)
    target.close()
    return root.joinpath(*parts[:-1], file.temporary)


def open_count() -> int:
    return len(os.listdir("/dev/fd"))


def content(file: TargetFile) -> bytes:
    return os.pread(file.fd, 10_000, 0)


# Going on


def test_what_was_kept_is_there_and_has_no_name(root: Path) -> None:
    path = keep(root, "d", "f")
    assert path.read_bytes() == b"kept"
    assert path.stat().st_mode & 0o777 == 0o600
    assert os.listdir(root / "d") == [path.name]


def test_what_was_kept_is_no_more_of_its_target(target: Target, root: Path) -> None:
    file = target.create(["f"])
    target.keep(file)
    target.discard(file)
    assert (root / file.temporary).exists()


def test_a_later_run_goes_on(target: Target, root: Path) -> None:
    path = keep(root, "d", "f")
    file = target.reopen(["d", "f"], path.name, SIZE)
    assert file is not None
    assert content(file) == b"kept"
    file.write(memoryview(b" and more"), 4)
    target.commit(file)
    assert os.listdir(root / "d") == ["f"]
    assert (root / "d" / "f").read_bytes() == b"kept and more"


def test_what_was_reopened_and_not_finished_is_removed(root: Path) -> None:
    path = keep(root, "f")
    target = Target(str(root))
    assert target.reopen(["f"], path.name, SIZE) is not None
    target.close()
    assert os.listdir(root) == []


def test_what_was_reopened_can_be_kept_again(root: Path) -> None:
    path = keep(root, "f")
    target = Target(str(root))
    file = target.reopen(["f"], path.name, SIZE)
    assert file is not None
    target.keep(file)
    target.close()
    assert path.read_bytes() == b"kept"


def test_a_file_that_became_longer_is_cut(target: Target, root: Path) -> None:
    """What is beyond the end belongs to no range, so that nobody would check it."""
    path = keep(root, "f", content=b"x" * SIZE + b"beyond")
    file = target.reopen(["f"], path.name, SIZE)
    assert file is not None
    assert content(file) == b"x" * SIZE


def make_link(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to("elsewhere")


def make_second_name(path: Path) -> None:
    path.with_name("elsewhere").hardlink_to(path)


def make_others(path: Path) -> None:
    os.chown(path, 65534, 65534)


def make_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def make_socket(path: Path) -> None:
    path.unlink()
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(os.path.relpath(path))


def make_directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


def make_nothing(path: Path) -> None:
    path.unlink()


@pytest.mark.parametrize(
    "change",
    [make_link, make_second_name, make_others, make_pipe, make_socket, make_directory,
     make_nothing],
)  # fmt: skip
def test_nothing_else_is_taken_for_it(
    target: Target, root: Path, change: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    if change is make_others and os.geteuid() != 0:
        pytest.skip("only root can give files away")
    path = keep(root, "f")
    monkeypatch.chdir(root)
    change(path)
    before = sorted(os.listdir(root))
    count = open_count()
    assert target.reopen(["f"], path.name, SIZE) is None
    assert open_count() == count
    assert sorted(os.listdir(root)) == before


def test_a_directory_that_became_a_link_is_not_followed(target: Target, root: Path) -> None:
    path = keep(root, "d", "f")
    (root / "d").rename(root.parent / "outside")
    (root / "d").symlink_to(root.parent / "outside")
    with pytest.raises(LocalFileError) as caught:
        target.reopen(["d", "f"], path.name, SIZE)
    assert caught.value.errno == errno.ELOOP
    assert (root.parent / "outside" / path.name).read_bytes() == b"kept"


# Sweeping


def make(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


def everything(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if not path.is_dir())


def temporary(token: str, number: int = 0) -> str:
    return f".sealift-{token}-{number}.tmp"


def test_only_temporary_files_of_these_runs_are_swept(target: Target, root: Path) -> None:
    mine = [temporary(TOKEN), f"d/{temporary(TOKEN, 7)}", f"d/e/{temporary(TOKEN, 10**9)}"]
    others = [
        temporary(OTHER), temporary(target.token), "f", "d/f", f"{temporary(TOKEN)}.bak",
        f"x{temporary(TOKEN)}", f".sealift-{TOKEN}-.tmp", f".sealift-{TOKEN}-0.part",
        f".sealift-{TOKEN}.tmp", f".sealift-{TOKEN.upper()}-0.tmp", f".sealift-{TOKEN}0-0.tmp",
    ]  # fmt: skip
    make(root, *mine, *others)
    assert target.sweep({TOKEN}, ()) == 3
    assert everything(root) == sorted(others)
    assert target.sweep({TOKEN}, ()) == 0


def test_what_may_be_gone_on_with_is_not_swept(target: Target, root: Path) -> None:
    kept = temporary(TOKEN, 1)
    make(root, temporary(TOKEN), f"d/{kept}", temporary(OTHER))
    assert target.sweep({TOKEN, OTHER}, {kept}) == 2
    assert everything(root) == [f"d/{kept}"]


def test_nothing_is_swept_through_a_link(target: Target, root: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    make(outside, temporary(TOKEN))
    (root / "d").symlink_to(outside)
    (root / temporary(TOKEN)).symlink_to(outside / temporary(TOKEN))
    assert target.sweep({TOKEN}, ()) == 1
    assert everything(outside) == [temporary(TOKEN)]
    assert os.listdir(root) == ["d"]


def test_a_directory_of_such_a_name_stays(target: Target, root: Path) -> None:
    make(root, f"{temporary(TOKEN)}/f")
    assert target.sweep({TOKEN}, ()) == 0
    assert everything(root) == [f"{temporary(TOKEN)}/f"]


def test_what_cannot_be_entered_or_written_is_passed_over(
    target: Target, root: Path, as_nobody: Callable[..., str]
) -> None:
    make(root, *(f"{name}/{temporary(TOKEN)}" for name in ("closed", "fixed", "open", "z/open")))
    for name, mode in (("", 0o777), ("closed", 0), ("fixed", 0o555), ("open", 0o777),
                       ("z", 0o755), ("z/open", 0o777)):  # fmt: skip
        (root / name).chmod(mode)
    swept = as_nobody(lambda: target.sweep({TOKEN}, ()))
    (root / "closed").chmod(0o755)
    assert swept == "2"
    assert everything(root) == [f"closed/{temporary(TOKEN)}", f"fixed/{temporary(TOKEN)}"]


def test_a_deep_tree_is_swept(target: Target, root: Path) -> None:
    """As deep as names of objects can make it."""
    deep = "/".join("d" * 500)
    make(root, f"{deep}/{temporary(TOKEN)}")
    count = open_count()
    assert target.sweep({TOKEN}, ()) == 1
    assert open_count() == count


# What is synced

WRITING = """
import sys
from sealift.files.target import Target
from sealift.model import Durability
target = Target(sys.argv[1], Durability(sys.argv[2]))
files = [target.create(["a", "b", name]) for name in ("f", "g")]
for file in files:
    file.allocate(3)
    file.write(memoryview(b"abc"), 0)
target.commit_each(files)
target.make_directory(["a", "c"])
target.close()
"""


@pytest.mark.parametrize("durability", list(Durability))
def test_what_is_synced(tmp_path: Path, durability: Durability) -> None:
    """NONE nothing, FILE the files, DIR also each directory that got a new name, once it has it."""
    needs("strace")
    trace = "trace=fsync,fdatasync,sync,syncfs,sync_file_range,rename,renameat,renameat2"
    root = tmp_path / "new" / "root"
    done = subprocess.run(
        ["strace", "-f", "-qq", "-y", "-e", "signal=none", "-e", trace,
         sys.executable, "-c", WRITING, str(root), durability],
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    steps = [_step(line, str(tmp_path)) for line in done.stderr.splitlines()]
    files = ["sync temporary", "sync temporary"]
    renames = ["rename", "rename"]
    assert steps == {
        Durability.NONE: renames,
        Durability.FILE: files + renames,
        Durability.DIR: ["sync ", "sync /new", "sync /new/root", "sync /new/root/a", *files,
                         *renames, "sync /new/root/a/b", "sync /new/root/a"],
    }[durability]  # fmt: skip
    assert everything(root) == ["a/b/f", "a/b/g"]


def _step(line: str, start: str) -> str:
    call, _, rest = line.partition("(")
    if "rename" in call:
        return "rename"
    path = rest.partition("<")[2].partition(">")[0]
    return "sync temporary" if ".sealift-" in path else f"sync {path.removeprefix(start)}"

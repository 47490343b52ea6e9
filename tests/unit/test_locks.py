from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sealift.errors import UsageError
from sealift.locks import is_locked_in_place, take_lock
from sealift.pair_lock import PairHeldError, PairLock

HOLD = """
import sys
from sealift.locks import take_lock
assert take_lock(sys.argv[1]) is not None
print("held", flush=True)
sys.stdin.read()
"""
SIDES = ("file:/a", "https://host/bucket/")


def test_a_lock_is_held_once_until_it_is_closed(tmp_path: Path) -> None:
    path = str(tmp_path / "lock")
    fd = take_lock(path)
    assert fd is not None
    assert take_lock(path) is None
    os.close(fd)
    again = take_lock(path)
    assert again is not None
    os.close(again)


def test_a_lock_dies_with_its_process(tmp_path: Path) -> None:
    path = str(tmp_path / "lock")
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        assert take_lock(path) is None
        holder.kill()
        holder.wait()
        fd = take_lock(path)
        assert fd is not None
        os.close(fd)


def test_a_lock_on_a_file_that_was_removed_or_replaced_counts_for_nothing(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    fd = os.open(path, os.O_CREAT | os.O_RDWR)
    path.unlink()
    assert not is_locked_in_place(fd, str(path))
    path.touch()
    assert not is_locked_in_place(fd, str(path))
    os.close(fd)


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "lock").symlink_to("elsewhere")
    with pytest.raises(OSError, match="symbolic links"):
        take_lock(str(tmp_path / "lock"))
    assert not (tmp_path / "elsewhere").exists()


def test_a_pair_is_one_in_either_direction_and_says_who_holds_it(tmp_path: Path) -> None:
    first = PairLock(SIDES, "sealift sync a s3://bucket", str(tmp_path))
    first.take()
    with pytest.raises(PairHeldError) as caught:
        PairLock(SIDES[::-1], "sealift", str(tmp_path)).take()
    text = str(caught.value)
    assert f"process {os.getpid()}, since 2" in text
    assert "(sealift sync a s3://bucket)" in text
    assert isinstance(caught.value, UsageError)
    other = PairLock(("file:/b", SIDES[1]), "sealift", str(tmp_path))
    other.take()
    other.release()
    first.release()
    assert not list((tmp_path / "locks").iterdir())
    second = PairLock(SIDES, "sealift", str(tmp_path))
    second.take()
    second.release()
    second.release()


def test_what_a_killed_process_left_is_taken_over(tmp_path: Path) -> None:
    lock = PairLock(SIDES, "sealift", str(tmp_path))
    lock.take()
    (path,) = (tmp_path / "locks").iterdir()
    lock.release()
    path.write_text("not what we write")
    lock.take()
    with pytest.raises(PairHeldError, match=f"process {os.getpid()}"):
        PairLock(SIDES, "sealift", str(tmp_path)).take()
    path.write_text("not what we write")
    with pytest.raises(PairHeldError, match="places is going on; wait"):
        PairLock(SIDES, "sealift", str(tmp_path)).take()
    lock.release()


def test_without_a_place_for_locks_the_system_says_why(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError):
        PairLock(SIDES, "sealift", str(tmp_path / "file")).take()

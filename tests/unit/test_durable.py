from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path

import pytest

from sealift import durable

UNKNOWN_COMMAND = 0x7FFF  # fcntl answers EINVAL


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    found: list[int] = []
    monkeypatch.setattr(os, "fsync", found.append)
    return found


def test_a_file_and_a_directory_are_synced(tmp_path: Path) -> None:
    with (tmp_path / "file").open("wb") as file:
        durable.sync(file.fileno())
    fd = os.open(tmp_path, os.O_RDONLY)
    durable.sync(fd)
    os.close(fd)
    with pytest.raises(OSError, match="Bad file descriptor"):
        durable.sync(fd)


def test_the_drive_is_asked_where_it_can_be(
    tmp_path: Path, synced: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a command that only macOS has; one that Linux knows too stands for it here."""
    monkeypatch.setattr(durable, "_FULL_SYNC", fcntl.F_GETFD)
    with (tmp_path / "file").open("wb") as file:
        durable.sync(file.fileno())
        assert synced == []
    with pytest.raises(OSError, match="Bad file descriptor") as caught:
        durable.sync(2**20)
    assert caught.value.errno == errno.EBADF


def test_a_file_system_that_cannot_ask_the_drive_is_synced(
    tmp_path: Path, synced: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(durable, "_FULL_SYNC", UNKNOWN_COMMAND)
    with (tmp_path / "file").open("wb") as file:
        durable.sync(file.fileno())
        assert synced == [file.fileno()]

"""What is sent is one state of the file, or it is said that there was none."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealift.checksums import Digest, crc64
from sealift.errors import LocalFileError, SourceChangedError
from sealift.files import source as module
from sealift.files.source import SourceFile, read_small
from sealift.model import ByteRange

CONTENT = bytes(range(256)) * 40


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(CONTENT)
    os.utime(path, ns=(1, 1_600_000_000_123_456_789))
    return path


@pytest.fixture
def source(path: Path):
    source = SourceFile(str(path))
    yield source
    source.close()


def room(size: int) -> memoryview:
    return memoryview(bytearray(size))


def test_knows_size_and_time(source: SourceFile) -> None:
    assert source.size == len(CONTENT)
    assert source.mtime_ns == 1_600_000_000_123_456_789


@given(st.data())
def test_reads_any_span(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    path = tmp_path_factory.mktemp("source") / "file"
    path.write_bytes(CONTENT)
    start = data.draw(st.integers(0, len(CONTENT)))
    end = data.draw(st.integers(start, len(CONTENT)))
    step = data.draw(st.integers(1, len(CONTENT)))
    with_md5 = data.draw(st.booleans())
    source = SourceFile(str(path))
    try:
        buffer = room(end - start)
        source.read_into(buffer, start)
        assert buffer == CONTENT[start:end]
        span = ByteRange(start, end)
        assert b"".join(bytes(view) for view in source.chunks(span, room(step))) == buffer
        digest = source.digest(span, room(step), with_md5)
        assert digest.crc == crc64(buffer)
        assert digest.content_md5 == Digest(buffer, with_md5=with_md5).content_md5
    finally:
        source.close()


def test_short_reads_are_completed(source: SourceFile, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.preadv
    monkeypatch.setattr(
        module.os, "preadv", lambda fd, views, start: real(fd, [views[0][:7]], start)
    )
    buffer = room(len(CONTENT))
    source.read_into(buffer, 0)
    assert buffer == CONTENT


def test_an_unchanged_file_passes(source: SourceFile) -> None:
    source.check()


def rewrite(path: Path) -> None:
    """Same size, and the time put back: the inode's change time still tells."""
    facts = path.stat()
    with path.open("r+b") as file:
        file.write(b"x")
    os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))


def replace(path: Path) -> None:
    other = path.with_name("other")
    other.write_bytes(CONTENT)
    os.utime(other, ns=(1, 1_600_000_000_123_456_789))
    other.rename(path)


@pytest.mark.parametrize(
    "change",
    [
        rewrite,
        replace,
        lambda path: os.truncate(path, 5),
        lambda path: path.write_bytes(CONTENT + b"more"),
        lambda path: os.utime(path, ns=(1, 2)),
        lambda path: path.unlink(),
        lambda path: (path.unlink(), path.mkdir()),
    ],
)
def test_every_change_is_noticed(
    path: Path, source: SourceFile, change: Callable[[Path], None]
) -> None:
    change(path)
    with pytest.raises(SourceChangedError, match="changed while it was sent"):
        source.check()


def test_a_file_that_became_shorter(path: Path, source: SourceFile) -> None:
    os.truncate(path, 100)
    with pytest.raises(SourceChangedError, match="shorter"):
        source.read_into(room(200), 0)
    with pytest.raises(SourceChangedError):
        source.digest(ByteRange(0, len(CONTENT)), room(1000), False)


def test_disk_errors_are_named(source: SourceFile, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> int:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(module.os, "preadv", fail)
    with pytest.raises(LocalFileError, match=r"cannot read .*file: Input/output error") as caught:
        source.read_into(room(1), 0)
    assert caught.value.errno == 5


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(LocalFileError, match=r"cannot open .*missing: No such file"):
        SourceFile(str(tmp_path / "missing"))


@pytest.mark.parametrize("planned", [0, 5])
def test_a_pipe_in_the_files_place_neither_hangs_nor_passes(tmp_path: Path, planned: int) -> None:
    before = len(os.listdir("/dev/fd"))
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(SourceChangedError, match="no file"):
        read_small(str(tmp_path / "pipe"), room(planned), False)
    assert len(os.listdir("/dev/fd")) == before


@pytest.mark.parametrize("size", [0, 1, len(CONTENT)])
def test_reads_small_files_whole(tmp_path: Path, size: int) -> None:
    path = tmp_path / "small"
    path.write_bytes(CONTENT[:size])
    buffer = room(size)
    path.chmod(0o640)
    digest, mtime_ns, mode = read_small(str(path), buffer, True)
    assert (digest.crc, mtime_ns) == (crc64(CONTENT[:size]), path.stat().st_mtime_ns)
    assert mode == 0o100640
    assert digest.content_md5 == Digest(CONTENT[:size], with_md5=True).content_md5
    assert buffer == CONTENT[:size]


def test_a_directory_reads_as_empty_when_its_path_says_so(tmp_path: Path) -> None:
    digest, mtime_ns, mode = read_small(f"{tmp_path}/", room(0), True)
    assert (digest.crc, mtime_ns) == (crc64(b""), tmp_path.stat().st_mtime_ns)
    assert mode == tmp_path.stat().st_mode
    with pytest.raises(SourceChangedError, match="no file"):
        read_small(str(tmp_path), room(0), True)


@pytest.mark.parametrize("planned", [0, len(CONTENT) - 1, len(CONTENT) + 1])
def test_a_small_file_of_another_size_than_planned(path: Path, planned: int) -> None:
    with pytest.raises(SourceChangedError, match="after it was planned"):
        read_small(str(path), room(planned), False)


def test_small_files_that_change_while_they_are_read(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.readv

    def change_then_read(fd: int, views: list[memoryview]) -> int:
        rewrite(path)
        return real(fd, views)

    monkeypatch.setattr(module.os, "readv", change_then_read)
    with pytest.raises(SourceChangedError):
        read_small(str(path), room(len(CONTENT)), False)


def test_no_descriptor_is_left_open(path: Path) -> None:
    before = len(os.listdir("/dev/fd"))
    read_small(str(path), room(len(CONTENT)), False)
    with pytest.raises(SourceChangedError):
        read_small(str(path), room(1), False)
    assert len(os.listdir("/dev/fd")) == before

"""Manifests: what is at the destination after a sync, one JSON object a line.

    {"bucket": str, "name": str, "size": int, "crc64nvme": str | null, "key_id": str | null,
     "version_id": str | null}

`crc64nvme` is in base64, as S3 writes it, and null where it is not known: the object was there
already, and no catalogue or checksum told. A manifest appears under its name when it is complete.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
from collections.abc import Iterator, Mapping
from typing import NamedTuple, TextIO

from sealift.checksums import crc64, decode, encode
from sealift.durable import sync
from sealift.errors import LocalFileError, UsageError
from sealift.locks import is_locked_in_place
from sealift.model import TEMPORARY_PREFIX, TEMPORARY_SUFFIX, Location


class Line(NamedTuple):
    """One object of a manifest; `crc` is its CRC64NVME."""

    location: Location
    size: int
    crc: int | None
    key_id: str | None
    version_id: str | None


class RecordFile:
    """Writes one JSON object a line; end it by `commit`, else by `discard`.

    Until then it is a file of another name in the same directory. UsageError when it cannot begin.
    Any thread may write.
    """

    def __init__(self, path: str) -> None:
        self._writing = threading.Lock()
        self._path = os.path.realpath(path)
        self._directory = os.path.dirname(self._path)
        # Of the form that walks pass over: the directory may be one that takes part. Always the
        # same, so that the next run takes the place of one that was killed.
        token = f"{crc64(os.fsencode(os.path.basename(self._path))):016x}"
        name = f"{TEMPORARY_PREFIX}{token}-0{TEMPORARY_SUFFIX}"
        self._temporary = os.path.join(self._directory, name)
        if os.path.lexists(self._path) and not os.path.isfile(self._path):
            raise UsageError(f"{path} is no file", hint="give another name")
        try:
            self._file = _open_alone(self._temporary)
        except BlockingIOError:
            raise UsageError(f"another run writes {path}", hint="wait for its end") from None
        except OSError as reason:
            raise UsageError(LocalFileError("write", path, reason).message) from None

    def write(self, record: Mapping[str, object]) -> None:
        """Write one line. LocalFileError."""
        line = json.dumps(record) + "\n"
        try:
            with self._writing:
                self._file.write(line)
        except OSError as reason:
            raise LocalFileError("write", self._path, reason) from None

    def commit(self) -> None:
        """Make it durable under its name. LocalFileError."""
        try:
            self._file.flush()
            sync(self._file.fileno())
            os.rename(self._temporary, self._path)
            self._file.close()
        except OSError as reason:
            self.discard()
            raise LocalFileError("write", self._path, reason) from None

    def discard(self) -> None:
        """Remove what was written so far."""
        with contextlib.suppress(OSError):
            os.unlink(self._temporary)
        with contextlib.suppress(OSError):  # it writes what is left, and the disk may be full
            self._file.close()


class Manifest(RecordFile):
    """Writes a manifest."""

    def add(self, line: Line) -> None:
        """Write one line. LocalFileError."""
        self.write(
            {
                "bucket": line.location.bucket,
                "name": line.location.name,
                "size": line.size,
                "crc64nvme": None if line.crc is None else encode(line.crc),
                "key_id": line.key_id,
                "version_id": line.version_id,
            }
        )


def _open_alone(path: str) -> TextIO:
    """Make a file that no other process writes; what a killed one has left there is removed.

    BlockingIOError when another one writes it.
    """
    while True:
        try:
            fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        except FileExistsError:
            with contextlib.suppress(FileNotFoundError):
                left = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
                try:
                    if is_locked_in_place(left, path):
                        os.unlink(path)
                finally:
                    os.close(left)
            continue
        try:
            if is_locked_in_place(fd, path, wait=True):
                return open(fd, "w", encoding="ascii")
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)  # another process took it for one that was left


def read_manifest(path: str) -> Iterator[Line]:
    """The lines of a manifest, one after the other. UsageError when it is none."""
    try:
        with open(path, encoding="ascii") as file:
            for number, text in enumerate(file, 1):
                try:
                    yield _line(json.loads(text))
                except (ValueError, KeyError, TypeError):
                    raise UsageError(
                        f"line {number} of {path} is none of a manifest",
                        hint="give a file that sealift sync --manifest wrote",
                    ) from None
    except UnicodeDecodeError:
        raise UsageError(f"{path} is no manifest", hint="check the name") from None
    except OSError as reason:
        error = LocalFileError("read", path, reason)
        raise UsageError(error.message, hint=error.hint) from None


def manifest_bucket(path: str) -> str:
    """The bucket that a manifest is about. UsageError when it names none."""
    for line in read_manifest(path):
        return line.location.bucket
    raise UsageError(f"{path} is empty", hint="there is nothing to verify")


def _line(record: dict[str, str | int | None]) -> Line:
    bucket, name, size = record["bucket"], record["name"], record["size"]
    crc, key_id, version_id = record["crc64nvme"], record["key_id"], record["version_id"]
    if not (
        isinstance(bucket, str)
        and isinstance(name, str)
        and isinstance(size, int)
        and isinstance(crc, str | None)
        and isinstance(key_id, str | None)
        and isinstance(version_id, str | None)
    ):
        raise TypeError
    number = decode(crc)
    if crc is not None and number is None:
        raise ValueError
    return Line(Location(bucket, name), size, number, key_id, version_id)

"""What is moved or compared: files of one size, of random bytes, in directories of a thousand."""

from __future__ import annotations

import enum
import hashlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from sealift.model import MiB, parse_size

DEFAULT_CELLS = ("5000x16KiB", "20000x1KiB", "1x2GiB", "16x64MiB", "sync-20000")
# From here on it is bytes that count, below it objects.
LARGE_FILE_SIZE = MiB

_TEXT = re.compile(r"(\d+)\s*x\s*([\d.]+\s*[A-Za-z]*)")
_SYNC_TEXT = re.compile(r"sync-(\d+)")
_SYNC_SIZE = 100
_FILES_IN_DIRECTORY = 1000
_QUICK_FRACTION = 10
_CHUNK_SIZE = MiB
_PAGE_SIZE = 4096


class Way(enum.Enum):
    UP = "up"
    DOWN = "down"
    SYNC = "sync"  # upwards, when all is there already


@dataclass(frozen=True, slots=True)
class Cell:
    """`count` files of `size` bytes."""

    name: str
    count: int
    size: int
    ways: tuple[Way, ...] = (Way.UP, Way.DOWN)

    @classmethod
    def parse(cls, text: str) -> Cell:
        """Read `COUNTxSIZE`, for example `5000x16KiB`, or `sync-COUNT`, which moves nothing."""
        if match := _SYNC_TEXT.fullmatch(text.strip()):
            return cls.sync(int(match[1]), _SYNC_SIZE)
        match = _TEXT.fullmatch(text.strip())
        if match is None:
            raise ValueError(f"{text!r} is neither COUNTxSIZE nor sync-COUNT")
        count, size = int(match[1]), parse_size(match[2])
        if count < 1 or size < 1:
            raise ValueError(f"{text!r} moves nothing")
        return cls(f"{count} x {match[2].strip()}", count, size)

    @classmethod
    def sync(cls, count: int, size: int) -> Cell:
        """Files that are at the destination already."""
        if count < 1:
            raise ValueError("a sync of no files compares nothing")
        return cls(f"{count} x {size}B", count, size, (Way.SYNC,))

    def quick(self) -> Cell:
        """A tenth of it: fewer files, or where these are few a smaller one."""
        if self.count > 1:
            count, size = -(-self.count // _QUICK_FRACTION), self.size
        else:
            count, size = 1, max(self.size // _QUICK_FRACTION, 1)
        return replace(self, name=f"{self.name} / {_QUICK_FRACTION}", count=count, size=size)

    @property
    def room(self) -> int:
        """Bytes that one copy takes in a file system, which gives whole pages."""
        return self.count * -(-self.size // _PAGE_SIZE) * _PAGE_SIZE

    @property
    def is_large(self) -> bool:
        return self.size >= LARGE_FILE_SIZE

    def names(self) -> Iterator[str]:
        for number in range(self.count):
            yield f"d{number // _FILES_IN_DIRECTORY:03}/f{number:06}.bin"


def make_tree(cell: Cell, root: Path) -> dict[str, bytes]:
    """Write the files below `root`; returns the digest of each by its relative name."""
    digests = {}
    for name in cell.names():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        digest = hashlib.sha256()
        with path.open("wb") as file:
            left = cell.size
            while left:
                chunk = os.urandom(min(left, _CHUNK_SIZE))
                digest.update(chunk)
                left -= file.write(chunk)
        digests[name] = digest.digest()
    return digests


def file_digest(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def check_tree(cell: Cell, root: Path, digests: dict[str, bytes]) -> str | None:
    """What is wrong with the files below `root`, or None when each is there byte for byte."""
    found = {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}
    if found != digests.keys():
        missing, strange = digests.keys() - found, found - digests.keys()
        return f"{len(missing)} files missing, {len(strange)} strange: {sorted(strange)[:3]}"
    for name, digest in digests.items():
        size = (root / name).stat().st_size
        if size != cell.size:
            return f"{name} has {size} bytes"
        if file_digest(root / name) != digest:
            return f"{name} differs"
    return None

"""A tree that changes at random."""

from __future__ import annotations

import os
import random
from pathlib import Path

from tests.contract.site import PART_SIZE

FILE_COUNT = 80  # at most; the tree is compared whole after every round
LARGE_COUNT = 3
_WORDS = ("a", "b c", "d+e", "f%20g", "ü", "h..i", ".j", "k&l=m", "n'o", "日本", "p#q?")
_KIB = 1024


class Tree:
    """Files below `root`, and how they change; all by `chance`."""

    def __init__(self, root: Path, chance: random.Random) -> None:
        self.root = root
        self._chance = chance
        self._number = 0
        root.mkdir(parents=True)
        for _ in range(FILE_COUNT // 3):
            self._create()

    def files(self) -> list[Path]:
        return sorted(path for path in self.root.rglob("*") if path.is_file())

    def edit(self) -> None:
        """Change some files in some way."""
        for _ in range(self._chance.randrange(1, 25)):
            act = self._chance.choice(
                [self._create, self._create, self._rewrite, self._grow, self._shrink, self._remove]
            )
            act()

    def _create(self) -> None:
        if len(self.files()) >= FILE_COUNT:
            self._remove()
        self._number += 1
        depth = self._chance.choice([0, 0, 1, 1, 2, 3])
        parts = [f"dir {self._chance.choice(_WORDS)}" for _ in range(depth)]
        path = self.root.joinpath(*parts, f"{self._chance.choice(_WORDS)}-{self._number}")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(self._content())

    def _rewrite(self) -> None:
        """Other bytes of the same number, or of another."""
        path = self._any()
        same = self._chance.random() < 0.5
        size = path.stat().st_size
        path.write_bytes(self._chance.randbytes(size) if same else self._content())

    def _grow(self) -> None:
        with self._any().open("ab") as file:
            file.write(self._chance.randbytes(self._chance.choice([1, 100, 70 * _KIB])))

    def _shrink(self) -> None:
        path = self._any()
        os.truncate(path, path.stat().st_size // 2)

    def _remove(self) -> None:
        if len(self.files()) > 3:
            self._any().unlink()

    def _any(self) -> Path:
        return self._chance.choice(self.files())

    def _content(self) -> bytes:
        large = sum(path.stat().st_size > PART_SIZE for path in self.files())
        kind = self._chance.random()
        if kind < 0.2 and large < LARGE_COUNT:
            size = self._chance.choice([PART_SIZE, PART_SIZE + 1, 2 * PART_SIZE + 7])
        elif kind < 0.3:
            size = self._chance.randrange(_KIB * _KIB)
        else:
            size = self._chance.choice([0, 1, self._chance.randrange(64 * _KIB)])
        return self._chance.randbytes(size)


def damage(root: Path, chance: random.Random) -> None:
    """Change some files of a copy, so that a sync down has something to put right."""
    files = sorted(path for path in root.rglob("*") if path.is_file())
    for path in chance.sample(files, min(len(files), chance.randrange(4))):
        if chance.random() < 0.5:
            path.unlink()
        else:
            path.write_bytes(chance.randbytes(path.stat().st_size))
    if chance.random() < 0.5:
        (root / f"stray-{chance.randrange(1000)}").write_bytes(b"only here")

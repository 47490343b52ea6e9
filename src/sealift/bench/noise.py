"""Bytes to send, made in memory: random, so that nobody on the way can save work on them."""

from __future__ import annotations

import os
import random
from collections.abc import AsyncIterator, Sequence

from sealift.checksums import Digest
from sealift.model import MiB

_SLACK = MiB
_ALIGNMENT = 8


class Noise:
    """Random bytes to send: views into one block, each from another offset."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._block = memoryview(os.urandom(size + _SLACK))
        self._chance = random.Random()  # noqa: S311 - not a secret

    def view(self, size: int) -> memoryview:
        """`size` bytes, at most as many as the block was made for."""
        offset = self._chance.randrange(_SLACK // _ALIGNMENT) * _ALIGNMENT
        return self._block[offset : offset + size]

    def views(self, size: int) -> list[memoryview]:
        """`size` bytes, however many, in pieces."""
        whole, rest = divmod(size, self._size)
        sizes = [self._size] * whole + ([rest] if rest else [])
        return [self.view(each) for each in sizes]


def digest_of(views: Sequence[memoryview], with_md5: bool) -> Digest:
    """The digest of all of them, one after the other."""
    digest = Digest(with_md5=with_md5)
    for view in views:
        digest.update(view)
    return digest


async def each_of(views: Sequence[memoryview]) -> AsyncIterator[memoryview]:
    """The views, as a body that is sent anew for each attempt."""
    for view in views:
        yield view

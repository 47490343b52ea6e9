"""CRC64NVME, the checksum that S3 can hold for a whole object however it was cut into parts.

Because it is linear, the value of the whole follows from the values of the pieces and their sizes:
no byte is read twice. awscrt computes 20 GB/s, but takes 36 ms to load (most of them for random
bits of no use here), so the first bytes of a process are summed up by a table.
https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity.html
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Callable, Iterable
from functools import lru_cache

Buffer = bytes | bytearray | memoryview

# What the table is good for: beyond it awscrt has paid for itself.
TABLE_SIZE = 64 * 1024
_POLYNOMIAL = 0x9A6C9329AC4BC9B5
_ONES = 2**64 - 1


class _First:
    """Sums up the first bytes of the process; `fast` is awscrt's function once it is loaded."""

    def __init__(self) -> None:
        self.fast: Callable[[Buffer, int], int] | None = None
        self._size = 0

    def crc64(self, data: Buffer, previous: int) -> int:
        self._size += len(data)
        if self._size > TABLE_SIZE:
            from awscrt.checksums import crc64nvme

            self.fast = crc64nvme
            return int(crc64nvme(data, previous))
        table = _table()
        value = previous ^ _ONES
        for byte in bytes(data):
            value = table[(value ^ byte) & 0xFF] ^ (value >> 8)
        return value ^ _ONES


_first = _First()


def crc64(data: Buffer, previous: int = 0) -> int:
    """CRC64NVME of `data` appended to what has the value `previous`."""
    fast = _first.fast
    return _first.crc64(data, previous) if fast is None else fast(data, previous)


@lru_cache(maxsize=1)
def _table() -> list[int]:
    """What each byte does to the value, which is kept with its bits in reverse."""
    table = []
    for byte in range(256):
        value = byte
        for _ in range(8):
            value = (value >> 1) ^ (_POLYNOMIAL if value & 1 else 0)
        table.append(value)
    return table


def combine(pieces: Iterable[tuple[int, int]]) -> int:
    """The value of the whole from (value, size) of its pieces in order."""
    from awscrt.checksums import combine_crc64nvme

    whole = 0
    for crc, size in pieces:
        whole = int(combine_crc64nvme(whole, crc, size))
    return whole


def encode(crc: int) -> str:
    """The form of the `x-amz-checksum-crc64nvme` header: base64 of 8 bytes, big-endian."""
    return binascii.b2a_base64(crc.to_bytes(8, "big"), newline=False).decode()


def decode(text: str | None) -> int | None:
    """The number in a header, or None when there is none or it is no whole-object value."""
    if text is None:
        return None
    try:
        raw = binascii.a2b_base64(text, strict_mode=True)
    except ValueError:  # binascii.Error is one
        return None
    return int.from_bytes(raw, "big") if len(raw) == 8 else None


class Digest:
    """What a request says of its bytes, which may come in pieces: `crc`, and Content-MD5 if wanted.

    `content_md5` is the header's value (RFC 1864), for servers that check nothing else, or None.
    """

    __slots__ = ("_md5", "crc")

    def __init__(self, data: Buffer = b"", *, with_md5: bool) -> None:
        self.crc = 0
        self._md5 = hashlib.md5(usedforsecurity=False) if with_md5 else None
        self.update(data)

    def update(self, data: Buffer) -> None:
        """Append `data`."""
        self.crc = crc64(data, self.crc)
        if self._md5 is not None:
            self._md5.update(data)

    @property
    def content_md5(self) -> str | None:
        return None if self._md5 is None else base64.b64encode(self._md5.digest()).decode()

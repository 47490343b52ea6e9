"""CRC64NVME, the checksum that S3 can hold for a whole object however it was cut into parts.

Because it is linear, the value of the whole follows from the values of the pieces and their sizes:
no byte is read twice. https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity.html
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterable

from awscrt.checksums import combine_crc64nvme, crc64nvme

Buffer = bytes | bytearray | memoryview


def crc64(data: Buffer, previous: int = 0) -> int:
    """CRC64NVME of `data` appended to what has the value `previous`."""
    return int(crc64nvme(data, previous))


def combine(pieces: Iterable[tuple[int, int]]) -> int:
    """The value of the whole from (value, size) of its pieces in order."""
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

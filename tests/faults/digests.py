"""Checks of what was sent against the digests sent along."""

from __future__ import annotations

import base64
import binascii
import hashlib
import zlib
from collections.abc import Callable, Mapping
from types import MappingProxyType

from awscrt import checksums

from .customer import Dialect, S3Error

_PREFIX = "x-amz-checksum-"


def crc64nvme(body: bytes) -> str:
    """Base64 of the big-endian CRC64NVME, as the header has it."""
    return _encode(int(checksums.crc64nvme(body)).to_bytes(8, "big"))


def _encode(digest: bytes) -> str:
    return base64.b64encode(digest).decode()


_ALGORITHMS: Mapping[str, Callable[[bytes], str]] = {
    "crc32": lambda body: _encode(zlib.crc32(body).to_bytes(4, "big")),
    "crc32c": lambda body: _encode(int(checksums.crc32c(body)).to_bytes(4, "big")),
    "crc64nvme": crc64nvme,
    "sha1": lambda body: _encode(hashlib.sha1(body).digest()),
    "sha256": lambda body: _encode(hashlib.sha256(body).digest()),
}


def sent_checksums(headers: Mapping[str, str]) -> dict[str, str]:
    """Algorithm -> value of every checksum header."""
    return {name: headers[_PREFIX + name] for name in _ALGORITHMS if _PREFIX + name in headers}


def check_digests(headers: Mapping[str, str], body: bytes, dialect: Dialect) -> None:
    """Content-MD5 and a signed payload hash bind everywhere; checksum headers only on AWS."""
    _check_md5(headers.get("content-md5"), body)
    payload = headers.get("x-amz-content-sha256", "UNSIGNED-PAYLOAD")
    if payload.startswith("STREAMING-"):
        raise S3Error(501, "NotImplemented", "Trailers are not served here.")
    if payload != "UNSIGNED-PAYLOAD" and payload != hashlib.sha256(body).hexdigest():
        raise S3Error(400, "XAmzContentSHA256Mismatch", "The hash of the payload differs.")
    if dialect == "aws":
        _check_checksums(sent_checksums(headers), body)


def _check_md5(sent: str | None, body: bytes) -> None:
    if sent is None:
        return
    try:
        digest = base64.b64decode(sent, validate=True)
    except binascii.Error:
        digest = b""
    if len(digest) != hashlib.md5().digest_size:
        raise S3Error(400, "InvalidDigest", "The Content-MD5 you specified was invalid.")
    if digest != hashlib.md5(body).digest():
        message = "The Content-MD5 you specified did not match what we received."
        raise S3Error(400, "BadDigest", message)


def _check_checksums(sent: Mapping[str, str], body: bytes) -> None:
    if len(sent) > 1:
        raise S3Error(400, "InvalidRequest", "Expecting a single x-amz-checksum- header.")
    for name, value in sent.items():
        check_checksum(name, value, _ALGORITHMS[name](body))


def check_checksum(name: str, sent: str, calculated: str) -> None:
    """BadDigest, in the words of AWS, unless both are the same."""
    if sent != calculated:
        message = f"The {name.upper()} you specified did not match the calculated checksum."
        raise S3Error(400, "BadDigest", message)


def echo_checksums(headers: Mapping[str, str], dialect: Dialect) -> dict[str, str]:
    """The checksum headers AWS repeats on the reply; older Ceph does not know them."""
    if dialect == "ceph":
        return {}
    return {_PREFIX + name: value for name, value in sent_checksums(headers).items()}


def full_object(
    value: str | None, sent: Mapping[str, str] = MappingProxyType({})
) -> dict[str, str]:
    """Reply headers of a stored whole-object checksum: the one that was sent, else CRC64NVME."""
    if value is None:
        return {}
    sums = {_PREFIX + name: checksum for name, checksum in sent.items()}
    return {**(sums or {_PREFIX + "crc64nvme": value}), _PREFIX + "type": "FULL_OBJECT"}

"""SSE-C rules of the two dialects, as pure checks over header values, as measured.

A check answers nothing when all is well and raises `S3Error` otherwise. Objects remember only
the MD5 of their customer key: enough to tell keys apart, and no key stays in the fake.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Mapping
from typing import Literal

from .messages import Reply, error_root, xml_reply

Dialect = Literal["aws", "ceph"]

_PREFIX = "x-amz-server-side-encryption-customer-"
_KEY_SIZE = 32  # AES-256

_MUST = "Requests specifying Server Side Encryption with Customer provided keys must provide "
_NO_ALGORITHM = _MUST + "a valid encryption algorithm."
_NO_KEY = _MUST + "an appropriate secret key."
# Also what Ceph says to a wrong key.
_MD5_DIFFERS = "The calculated MD5 hash of the key did not match the hash that was provided."
_NOT_APPLICABLE = "The encryption parameters are not applicable to this object."
_NEEDED = (
    "The object was stored using a form of Server Side Encryption. "
    "The correct parameters must be provided to retrieve the object."
)
_PART_NEEDS = (
    "The multipart upload initiate requested encryption. "
    "Subsequent part requests must include the appropriate encryption parameters."
)
_PART_DIFFERS = "The provided encryption parameters did not match the ones used originally."


class S3Error(Exception):
    """A refusal: HTTP status, S3 code and message, further elements of the error document."""

    def __init__(
        self, status: int, code: str, message: str = "", extra: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(code, message)
        self.status = status
        self.root = error_root(code, message, extra)

    def reply(self) -> Reply:
        return xml_reply(self.status, self.root)


def key_md5_of(key: bytes) -> str:
    """The base64 MD5 by which a customer key goes on the wire."""
    return base64.b64encode(hashlib.md5(key).digest()).decode()


def given_key_md5(headers: Mapping[str, str], dialect: Dialect, *, secure: bool) -> str | None:
    """The key MD5 of a well-formed header triple, None when no header of it was sent."""
    algorithm, key, key_md5 = (
        headers.get(_PREFIX + part) for part in ("algorithm", "key", "key-md5")
    )
    if algorithm is None and key is None and key_md5 is None:
        return None
    if not secure:
        raise S3Error(400, "InvalidRequest", _MUST + "a secure connection.")
    if algorithm is None:
        raise S3Error(400, "InvalidArgument", _NO_ALGORITHM)
    if algorithm != "AES256":
        raise S3Error(400, "InvalidEncryptionAlgorithmError", f"Not AES256: {algorithm}")
    if key is None:
        raise S3Error(400, "InvalidArgument", _NO_KEY)
    if key_md5 is None:
        what = (
            "the object encryption key MD5."
            if dialect == "aws"
            else ("an appropriate secret key md5.")
        )
        raise S3Error(400, "InvalidArgument", _MUST + what)
    try:
        raw = base64.b64decode(key, validate=True)
    except binascii.Error:
        raw = b""
    if len(raw) != _KEY_SIZE:
        bad = "The secret key was invalid for the specified algorithm."
        raise S3Error(400, "InvalidArgument", bad if dialect == "aws" else _NO_KEY)
    if key_md5_of(raw) != key_md5:
        raise S3Error(400, "InvalidArgument", _MD5_DIFFERS)
    return key_md5


def source_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """The header triple of a copy's source as one of a read."""
    start = "x-amz-copy-source-"
    return {f"x-amz-{name.removeprefix(start)}": value for name, value in headers.items()
            if name.startswith(start + "server-side-")}  # fmt: skip


def check_read(stored: str | None, given: str | None, dialect: Dialect) -> None:
    """May a GET or HEAD with the `given` key see an object sealed under `stored`?"""
    if stored == given or (dialect == "ceph" and stored is None):
        return  # Ceph answers 200 without an echo when a plain object is read with a key
    if stored is None:
        raise S3Error(400, "InvalidRequest", _NOT_APPLICABLE)
    if given is None:
        if dialect == "aws":
            raise S3Error(400, "InvalidRequest", _NEEDED)
        raise S3Error(400, "InvalidArgument", _NO_ALGORITHM)
    if dialect == "aws":
        raise S3Error(403, "AccessDenied", _MUST + "the correct secret key.")
    raise S3Error(400, "InvalidArgument", _MD5_DIFFERS)


def check_part(stored: str | None, given: str | None, dialect: Dialect) -> None:
    """May a part with the `given` key join an upload created under `stored`?"""
    if stored == given or (dialect == "ceph" and stored is None):
        return  # Ceph stores such a part in plain text and says 200 without an echo
    if dialect == "ceph":
        message = _NO_ALGORITHM if given is None else _MD5_DIFFERS
        raise S3Error(400, "InvalidArgument", message)
    if stored is None:
        raise S3Error(400, "InvalidRequest", _NOT_APPLICABLE)
    raise S3Error(400, "InvalidRequest", _PART_NEEDS if given is None else _PART_DIFFERS)


def echo(key_md5: str | None) -> dict[str, str]:
    """The headers by which a server confirms that it sealed, or unsealed, under this key."""
    if key_md5 is None:
        return {}
    return {_PREFIX + "algorithm": "AES256", _PREFIX + "key-md5": key_md5}

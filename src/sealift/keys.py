"""Customer keys: where they come from, what they may be shown as, and the headers they become.

A `CustomerKey` never prints its bytes, cannot be pickled, and gives them out by `headers` and
`copy_source_headers` alone, which only the wire calls (import-linter holds them to it). Text that
holds a key is a `Secret` from where it is read to where it is sent, so that no dump of variables
shows it. Errors are raised where no variable of these functions holds key bytes any more, and out
of `except` blocks: whoever prints the chain of errors with their variables finds none either.
Headers: https://docs.aws.amazon.com/AmazonS3/latest/userguide/ServerSideEncryptionCustomerKeys.html
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from typing import Any, NoReturn, SupportsIndex
from urllib.parse import unquote

from sealift.errors import CustomerKeyError

KEY_SIZE = 32
ALGORITHM = "AES256"
ALGORITHM_HEADER = "x-amz-server-side-encryption-customer-algorithm"
KEY_HEADER = "x-amz-server-side-encryption-customer-key"
KEY_MD5_HEADER = "x-amz-server-side-encryption-customer-key-md5"
COPY_SOURCE_PREFIX = "x-amz-copy-source-"
HIDDEN = "<hidden>"


class Secret(str):
    """Text that is hidden in every dump, and that only `join` and `encode` give out.

    To format it is a mistake, be it for a screen or for a file of keys, and fails.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return HIDDEN

    def __str__(self) -> NoReturn:
        raise TypeError("a secret is not to be shown")

    def __format__(self, format_spec: str) -> NoReturn:
        raise TypeError("a secret is not to be shown")

    def __getitem__(self, key: SupportsIndex | slice) -> Secret:
        return Secret(super().__getitem__(key))

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        raise TypeError("a secret cannot be pickled or copied")


class SecretBytes(bytes):
    """Bytes that are hidden in every dump."""

    __slots__ = ()

    def __repr__(self) -> str:
        return HIDDEN

    def __str__(self) -> NoReturn:
        raise TypeError("a secret is not to be shown")

    def __format__(self, format_spec: str) -> NoReturn:
        raise TypeError("a secret is not to be shown")

    def __getitem__(self, key: SupportsIndex | slice) -> Any:
        found = super().__getitem__(key)
        return SecretBytes(found) if isinstance(found, bytes) else found

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        raise TypeError("a secret cannot be pickled or copied")


def gives_away(text: str, secret: Secret) -> bool:
    """Whether `text` holds eight characters of `secret` in a row, also percent-encoded, or eight
    of its bytes in hex."""
    pieces = [str.__getitem__(secret, slice(at, at + 8)) for at in range(len(secret) - 7)]
    digits = (_decoded(secret) or b"").hex()
    pieces += [digits[at : at + 16] for at in range(0, len(digits) - 15, 2)]
    plain = unquote(text)
    lowered = plain.lower()
    return any(piece in text or piece in plain or piece in lowered for piece in pieces)


class CustomerKey:
    """A 256-bit customer key.

    `key_id` is a fingerprint for journals and screens: HMAC-SHA256 of a fixed text under the key,
    so it tells nothing about the key. `md5` is what S3 echoes: base64 of the MD5 of the 32 bytes.
    """

    __slots__ = ("_base64", "key_id", "md5")

    def __init__(self, raw: bytes) -> None:
        size = len(raw)
        if size != KEY_SIZE:
            del raw
            raise CustomerKeyError(
                f"the customer key has {size} bytes instead of {KEY_SIZE}",
                hint="give the base64 form of 32 random bytes",
            )
        if len(set(raw)) == 1:
            raise CustomerKeyError(
                "the customer key is one byte repeated", hint="make one of 32 random bytes"
            )
        self._base64 = Secret(base64.b64encode(raw).decode())
        self.md5 = base64.b64encode(hashlib.md5(raw, usedforsecurity=False).digest()).decode()
        self.key_id = hmac.digest(raw, b"sealift key id", "sha256")[:8].hex()

    @classmethod
    def generate(cls) -> CustomerKey:
        """A new key of 32 random bytes."""
        return cls(secrets.token_bytes(KEY_SIZE))

    @classmethod
    def from_base64(cls, text: str, md5: str | None = None, *, source: str) -> CustomerKey:
        """Read a key from its base64 form and check it against `md5` when that is given.

        `source` names the setting in errors. The text itself never appears in them.
        """
        raw = _decoded(Secret(text.strip()))
        del text
        if raw is None:
            raise CustomerKeyError(
                f"{source} is not base64", hint="give the base64 form of the 32 key bytes"
            )
        if len(raw) != KEY_SIZE:
            size = len(raw)
            del raw
            raise CustomerKeyError(
                f"{source} decodes to {size} bytes instead of {KEY_SIZE}",
                hint="give the base64 form of 32 random bytes",
            )
        key = cls(raw)
        del raw
        if md5 and not hmac.compare_digest(md5.strip().encode(), key.md5.encode()):
            raise CustomerKeyError(
                f"SSE_CUSTOMER_KEY_MD5 does not belong to {source}",
                hint="leave it out (it is computed) or give the MD5 of this key in base64",
            )
        return key

    @classmethod
    def from_bytes(cls, content: bytes, *, source: str) -> CustomerKey:
        """Read a key from its 32 raw bytes, or from their base64 form in one line."""
        if len(content) == KEY_SIZE:
            return cls(content)
        text = _ascii(content)
        if text is None:
            raise CustomerKeyError(
                f"{source} holds neither {KEY_SIZE} raw bytes nor base64",
                hint="give a file of 32 random bytes",
            )
        return cls.from_base64(text, source=source)

    def headers(self) -> tuple[tuple[str, str], ...]:
        """The three SSE-C request headers, sorted by name as SigV4 wants them."""
        return (
            (ALGORITHM_HEADER, ALGORITHM),
            (KEY_HEADER, self._base64),
            (KEY_MD5_HEADER, Secret(self.md5)),
        )

    def copy_source_headers(self) -> tuple[tuple[str, str], ...]:
        """The three headers by which CopyObject and UploadPartCopy read a source under this key."""
        return tuple(
            (COPY_SOURCE_PREFIX + name.removeprefix("x-amz-"), value)
            for name, value in self.headers()
        )

    def env_lines(self) -> str:
        """The two `.env` lines that hold this key; for a file of mode 0600 only."""
        first = "".join(("SSE_CUSTOMER_KEY_BASE64=", self._base64))  # noqa: FLY002 - see Secret
        return f"{first}\nSSE_CUSTOMER_KEY_MD5={self.md5}\n"

    def __repr__(self) -> str:
        return f"CustomerKey(id={self.key_id})"

    __str__ = __repr__

    def __format__(self, format_spec: str) -> str:
        return format(repr(self), format_spec)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a customer key cannot be pickled or copied")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, CustomerKey):
            return NotImplemented
        return hmac.compare_digest(self._base64, other._base64)

    def __hash__(self) -> int:
        return hash(self.key_id)


def _decoded(text: Secret) -> bytes | None:
    """The bytes of a base64 text; None when it is none."""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None


def _ascii(content: bytes) -> Secret | None:
    """The text of a key file; None when it is binary."""
    try:
        return Secret(content.decode("ascii"))
    except UnicodeDecodeError:
        return None

"""What is hooked into botocore's way from a call to a request, and from a reply to its parser."""

from __future__ import annotations

import re
import time
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from sealift.wire.operations import Identity
from sealift.wire.sigv4 import amz_date, query_string

# What XML 1.0 cannot hold, neither as it is nor by reference (sections 2.2 and 4.1).
_NO_XML = re.compile(
    rb"[\x00-\x08\x0b\x0c\x0e-\x1f]|\xef\xbf[\xbe\xbf]"
    rb"|&#x0*(?:[0-8bcef]|1[0-9a-f]|fff[ef]);|&#0*(?:[0-8]|1[124-9]|2[0-9]|3[01]|6553[45]);",
    re.IGNORECASE,
)
# What stands for it: private, and at the far end of Unicode.
_SUBSTITUTES = 0x10FF00
_SUBSTITUTE = re.compile("[\U0010ff00-\U0010ff1f\U0010fffe\U0010ffff]")


class NotSentError(Exception):
    """Carries a signed request back to who wanted to see it."""

    def __init__(self, url: str, authorization: str) -> None:
        super().__init__()
        self.url = url
        self.authorization = authorization


def keep_back(request: Any, **_: Any) -> None:
    """Raise the signed request in place of sending it; for the event `before-send`."""
    raise NotSentError(request.url, _text(request.headers["Authorization"]))


def signed_region(authorization: str) -> str:
    """The region in `... Credential=KEY/DATE/REGION/s3/aws4_request, ...`."""
    return authorization.partition(",")[0].rsplit("/", 3)[1]


def sign_again(request: Any, identity: Identity) -> None:
    """Replace a signed request's date by the server's time, and its signature."""
    headers = request.headers
    authorization = _text(headers.get("Authorization", ""))
    if "SignedHeaders=" not in authorization:
        return
    date = amz_date(time.time() + identity.clock_offset)
    headers["X-Amz-Date"] = date
    parts = urlsplit(request.url)
    names = authorization.split("SignedHeaders=")[1].split(",")[0].split(";")
    values = {name.lower(): _text(value) for name, value in headers.items()}
    values.setdefault("host", parts.netloc)
    headers["Authorization"] = identity.signer(signed_region(authorization)).authorization(
        request.method,
        parts.path or "/",
        query_string(parse_qsl(parts.query, keep_blank_values=True)),
        [(name, " ".join(values[name].split())) for name in sorted(names)],
        date,
        values["x-amz-content-sha256"],
    )


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value


def make_xml(body: bytes) -> bytes:
    """Make a listing XML where it is none.

    Ceph 16 encodes the names that it lists as URLs, but neither the prefix that it repeats nor the
    token, which is the last name of the page: a control character in either becomes a reference
    that no parser takes. `restored` puts back what stood there.
    """
    return _NO_XML.sub(_substitute, body)


def restored(text: str) -> str:
    """A text of a page that went through `make_xml`, as the server meant it."""
    return _SUBSTITUTE.sub(_original, text)


def _substitute(found: re.Match[bytes]) -> bytes:
    text = found[0].decode()
    if text.startswith("&#"):
        digits = text[2:-1].lower()
        code = int(digits[1:], 16) if digits.startswith("x") else int(digits)
    else:
        code = ord(text)
    return chr(_SUBSTITUTES + (code & 0xFF)).encode()


def _original(found: re.Match[str]) -> str:
    low = ord(found[0]) - _SUBSTITUTES
    return chr(low if low < 0x20 else 0xFF00 + low)

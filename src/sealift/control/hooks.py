"""What is hooked into botocore's way from a call to a request."""

from __future__ import annotations

import time
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from sealift.wire.identity import Identity
from sealift.wire.sigv4 import amz_date, query_string


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

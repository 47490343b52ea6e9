"""AWS Signature Version 4 for S3, in the `Authorization` header. Pure: no clock, no I/O.

Source: https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html

    canonical request = method, path, query, "name:value" lines, signed names, payload hash
    string to sign    = "AWS4-HMAC-SHA256", date, scope, SHA-256 of the canonical request
    day key           = HMAC chain over day, region, service, "aws4_request" from "AWS4" + secret
    signature         = HMAC(day key, string to sign)

S3 differs from the other services: the path is encoded once and never normalised, and over TLS
the payload hash may be the literal `UNSIGNED-PAYLOAD`.
"""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from urllib.parse import quote

UNSIGNED_PAYLOAD = "UNSIGNED-PAYLOAD"

_ALGORITHM = "AWS4-HMAC-SHA256"
_TERMINATOR = "aws4_request"

# RFC 3986 section 2.3 (unreserved), and the slash between the segments of an object name.
_UNQUOTED_IN_PATH = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~/"


@dataclass(frozen=True, slots=True)
class Credentials:
    """An access key with its secret and, when temporary, its session token.

    `repr` shows the access key only.
    """

    access_key: str
    secret_key: str = field(repr=False)
    token: str | None = field(default=None, repr=False)


def uri_path(name: str) -> str:
    """The object `name` percent-encoded as UTF-8 for a request path; no leading slash is added.

    `/` stays, as do `//`, `.` and `..`: S3 names are no paths ("Uri-encode" and the note on
    normalising in the AWS document). UnicodeEncodeError (a ValueError) on lone surrogates.
    """
    if not name.encode().translate(None, _UNQUOTED_IN_PATH):
        return name
    return quote(name, safe="/~")


def query_string(params: Sequence[tuple[str, str]]) -> str:
    """The canonical query string: names and values percent-encoded, then sorted by name and value.

    A parameter without a value, as `uploads`, is given as `("uploads", "")`.
    """
    if not params:
        return ""
    pairs = sorted((quote(name, safe="~"), quote(value, safe="~")) for name, value in params)
    return "&".join([f"{name}={value}" for name, value in pairs])


def amz_date(now: float) -> str:
    """`now` in Unix seconds as `YYYYMMDDTHHMMSSZ`, the form of the `x-amz-date` header."""
    return _format_second(int(now))


@lru_cache(maxsize=8)
def _format_second(second: int) -> str:
    return time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(second))


class _Day:
    """What is the same for all requests of one UTC date."""

    __slots__ = ("date", "mac", "preamble", "scope")

    def __init__(self, credentials: Credentials, region: str, service: str, date: str) -> None:
        day_key = f"AWS4{credentials.secret_key}".encode()
        for message in (date, region, service, _TERMINATOR):
            day_key = hmac.digest(day_key, message.encode(), "sha256")
        self.date = date
        self.mac = hmac.new(day_key, digestmod="sha256")
        self.scope = f"{date}/{region}/{service}/{_TERMINATOR}"
        self.preamble = f"{_ALGORITHM} Credential={credentials.access_key}/{self.scope}, "


class Signer:
    """Signs requests to one region with one set of credentials; may be shared by threads."""

    __slots__ = ("_credentials", "_day", "_region", "_service")

    def __init__(self, credentials: Credentials, region: str, service: str = "s3") -> None:
        self._credentials = credentials
        self._region = region
        self._service = service
        self._day: _Day | None = None

    def authorization(
        self,
        method: str,
        path: str,
        query: str,
        headers: Sequence[tuple[str, str]],
        amz_date: str,
        payload_hash: str,
    ) -> str:
        """The value of the `Authorization` header.

        `path` starts with a slash and is encoded (`uri_path`), `query` is canonical
        (`query_string`). `headers` are (lower-case name, value) pairs sorted by name, each name
        once, values trimmed and with single spaces; all are signed, so they hold at least `host`,
        `x-amz-date`, `x-amz-content-sha256` and, if there is one, `x-amz-security-token`.
        `payload_hash` is lower-case hex or `UNSIGNED_PAYLOAD`.
        """
        lines = "".join([f"{name}:{value}\n" for name, value in headers])
        names = ";".join([name for name, _ in headers])
        return self.sign(method, path, query, lines, names, amz_date, payload_hash)

    def sign(
        self,
        method: str,
        path: str,
        query: str,
        lines: str,
        names: str,
        amz_date: str,
        payload_hash: str,
    ) -> str:
        """As `authorization`, from `name:value` lines that each end in LF, and `a;b` names."""
        day = self._day
        if day is None or not amz_date.startswith(day.date):
            day = _Day(self._credentials, self._region, self._service, amz_date[:8])
            self._day = day
        # The lines may hold secrets: what is made of them gets no name here.
        parts = (method, path, query, lines, names, payload_hash)
        digest = hashlib.sha256("\n".join(parts).encode()).hexdigest()
        mac = day.mac.copy()
        mac.update(f"{_ALGORITHM}\n{amz_date}\n{day.scope}\n{digest}".encode())
        return f"{day.preamble}SignedHeaders={names}, Signature={mac.hexdigest()}"

"""What S3's error replies mean: one table from status and code to a cause, for both planes.

Codes: https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html; what Ceph and others
answer instead was measured (see docs/design).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache

from sealift.errors import Cause, Denial, ReplyError, UnsealedError, WrongCustomerKeyError
from sealift.refusals import TAGGING, Evidence, judge

_CAUSE_OF_CODE = {
    **dict.fromkeys(
        (
            "SlowDown", "ServiceUnavailable", "Throttling", "ThrottlingException",
            "RequestLimitExceeded", "TooManyRequests", "BandwidthLimitExceeded",
            "RequestThrottled", "SlowDownWrite", "SlowDownRead",
        ),
        Cause.THROTTLED,
    ),
    **dict.fromkeys(("InternalError", "InternalServerError", "InternalFailure"), Cause.SERVER),
    **dict.fromkeys(("RequestTimeout", "RequestTimeoutException"), Cause.STALLED),
    **dict.fromkeys(("RequestTimeTooSkewed", "RequestInTheFuture"), Cause.SKEWED),
    **dict.fromkeys(("ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired"),
                    Cause.EXPIRED),
    **dict.fromkeys(("BadDigest", "XAmzContentSHA256Mismatch", "IncompleteBody"),
                    Cause.BAD_DIGEST),
    **dict.fromkeys(("OperationAborted", "ConditionalRequestConflict"), Cause.CONFLICT),
}  # fmt: skip

_CAUSE_OF_STATUS = {
    408: Cause.STALLED,
    429: Cause.THROTTLED,
    500: Cause.SERVER,
    502: Cause.SERVER,
    503: Cause.THROTTLED,
    504: Cause.SERVER,
}

_HINT_OF_CODE = {
    "NoSuchBucket": "check the bucket's name and the endpoint",
    "NoSuchKey": "check the object's name",
    "EntityTooLarge": "the object is larger than this server takes",
    "KeyTooLongError": "the name is longer than 1024 bytes",
    "InvalidObjectName": "this server does not take such a name",
    "KMS.NotFoundException": "check the key id of KMS, and that it is of the bucket's region",
    "KMS.DisabledException": "enable the key in KMS",
    "InvalidTag": "an object has at most 10 tags",
    "ExpiredToken": "renew your credentials, for example by: aws sso login",
}

UNSEALED_READ = (
    "it is not sealed with a customer key: read it with --sse none, the source of a copy with "
    "--source-sse none"
)

# The texts by which servers say that the customer key is not the object's.
_WRONG_KEY_TEXTS = (
    "calculated md5 hash of the key did not match",  # Ceph, also for a key that fails its MD5
    "provide the correct secret key",  # MiniStack, MinIO
    "encryption parameters did not match the ones used originally",
)
_OTHER_SEAL_TEXTS = (
    "stored using a form of server side encryption",
    "encryption parameters are not applicable",
    "requested encryption",
)

# Ceph, to a request that has no SSE-C headers and needs them.
_KEY_WANTED_TEXT = "must provide a valid encryption algorithm"


def reply_error(
    operation: str,
    status: int,
    code: str,
    text: str,
    headers: Mapping[str, str],
    *,
    sealed: bool,
) -> ReplyError:
    """The error of a reply. `headers` has lower-case names; `sealed` says a customer key was sent.

    A bare 400 or 403 to a HEAD with a customer key counts as a wrong key: such replies have no
    body to tell (measured on Ceph and MiniStack).
    """
    cause = _CAUSE_OF_CODE.get(code) or _CAUSE_OF_STATUS.get(status, Cause.PERMANENT)
    request_id = headers.get("x-amz-request-id", "")
    lowered = text.lower()
    unsealed_read = not sealed and _KEY_WANTED_TEXT in lowered
    error: ReplyError
    bare_head = sealed and not code and operation == "HeadObject" and status in (400, 403)
    if sealed and (bare_head or any(sign in lowered for sign in _WRONG_KEY_TEXTS)):
        error = WrongCustomerKeyError(
            operation, status, code, text or "the customer key is not this object's",
            cause=Cause.PERMANENT, request_id=request_id,
            hint="use the key that the object was sealed with",
        )  # fmt: skip
        error.denial = Denial.WRONG_KEY
    elif unsealed_read or any(sign in lowered for sign in _OTHER_SEAL_TEXTS):
        kind = UnsealedError if sealed else WrongCustomerKeyError
        error = kind(
            operation, status, code, text, cause=Cause.PERMANENT, request_id=request_id,
            hint=UNSEALED_READ if sealed
            else "give the customer key that the object was sealed with",
        )  # fmt: skip
    else:
        verdict = judge(Evidence(operation, status, code, text, sealed))
        hint = _hint(operation, status, code, headers) if verdict is None else verdict.hint
        error = ReplyError(
            operation, status, code, text, cause=cause, request_id=request_id, hint=hint
        )
        error.denial = None if verdict is None else verdict.denial
    error.sealed = sealed
    error.date = headers.get("date")
    error.retry_after = _retry_after(headers.get("retry-after"))
    return error


def _hint(operation: str, status: int, code: str, headers: Mapping[str, str]) -> str:
    if 300 <= status < 400:
        region = headers.get("x-amz-bucket-region")
        if region:
            return f"the bucket is in the region {region}: give --region {region}"
        target = headers.get("location")
        return f"redirects are not followed; the server named {target}" if target else ""
    if operation in TAGGING and status in (405, 501):
        return "this server keeps no tags of objects"
    return _HINT_OF_CODE.get(code, "")


def _retry_after(value: str | None) -> float | None:
    """Retry-After in seconds; the date form is not used by S3 (RFC 9110 section 10.2.3)."""
    if value is None or not value.isascii() or not value.isdigit():
        return None
    return float(value[:6])


@lru_cache(maxsize=256)
def http_seconds(date: str | None) -> float | None:
    """An HTTP date (RFC 9110 section 5.6.7) in seconds since the epoch; None if unreadable."""
    if date is None:
        return None
    from email.utils import parsedate_to_datetime  # here: few runs read a date, and it takes 4 ms

    try:
        return parsedate_to_datetime(date).timestamp()
    except ValueError:
        return None


_CODE = re.compile(rb"<Code>\s*([A-Za-z0-9._-]{1,100})\s*</Code>")
_MESSAGE = re.compile(rb"<Message>([^<]{0,1000})")


def parse_error_body(body: bytes) -> tuple[str, str]:
    """Code and message of an S3 error document; empty strings where it has none.

    Only two fields are wanted, so no XML parser is fed with a stranger's bytes.
    """
    from html import unescape

    code = _CODE.search(body)
    message = _MESSAGE.search(body)
    return (
        code[1].decode() if code else "",
        unescape(message[1].decode("utf-8", "replace")).strip() if message else "",
    )

"""What a reply that is no success means, told without the customer keys that it may say back."""

from __future__ import annotations

from collections.abc import Mapping

from sealift.errors import ReplyError
from sealift.keys import COPY_SOURCE_PREFIX, KEY_MD5_HEADER, Secret, gives_away
from sealift.replies import parse_error_body, reply_error
from sealift.wire.receiving import Reply

READS = frozenset({"GetObject", "HeadObject"})
_SAID_BACK = "(not shown: the server says the customer key)"
_KEY_MD5_HEADERS = {KEY_MD5_HEADER, COPY_SOURCE_PREFIX + KEY_MD5_HEADER.removeprefix("x-amz-")}


def error_of(operation: str, reply: Reply, sent: Mapping[str, str]) -> ReplyError:
    """The error that a reply to the headers `sent` tells, without secrets that it says back."""
    secrets = [value for value in sent.values() if isinstance(value, Secret)]

    def harmless(text: str) -> str:
        return _SAID_BACK if any(gives_away(text, secret) for secret in secrets) else text

    head = reply.head
    code, text = map(harmless, parse_error_body(reply.error_body or b""))
    headers = {
        key.decode(): harmless(value.decode("latin-1")) for key, value in head.headers.items()
    }
    sealed = not _KEY_MD5_HEADERS.isdisjoint(sent)
    return reply_error(operation, head.status, code, text, headers, sealed=sealed)


def not_sealed_message(operation: str) -> str:
    """The words for a reply without the SSE-C echo."""
    if operation in READS:
        return f"{operation}: the server does not say that the object is sealed with this key"
    if operation == "CreateMultipartUpload":
        return f"{operation}: the server did not take the customer key; nothing was sent"
    return (
        f"{operation}: the server did not use the customer key: the bytes were stored UNENCRYPTED"
    )

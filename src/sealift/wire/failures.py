"""What a reply that is no success means, told without the customer keys that it may say back."""

from __future__ import annotations

from collections.abc import Mapping

from sealift.errors import ReplyError
from sealift.keys import COPY_SOURCE_PREFIX, KEY_HEADER, KEY_MD5_HEADER, Secret, gives_away
from sealift.replies import parse_error_body, reply_error
from sealift.wire.receiving import Reply

READS = frozenset({"GetObject", "HeadObject"})
_SAID_BACK = "(not shown: the server says the customer key)"
_KEY_HEADERS, _KEY_MD5_HEADERS = (
    frozenset({name, COPY_SOURCE_PREFIX + name.removeprefix("x-amz-")})
    for name in (KEY_HEADER, KEY_MD5_HEADER)
)


def error_of(operation: str, reply: Reply, sent: Mapping[str, str]) -> ReplyError:
    """The error that a reply to the headers `sent` tells, without keys that it says back."""
    code, text = parse_error_body(reply.error_body or b"")
    headers = {key.decode(): value.decode("latin-1") for key, value in reply.head.headers.items()}
    keys = [Secret("".join((sent[name],))) for name in _KEY_HEADERS if name in sent]

    def tells(text: str) -> bool:
        return any(gives_away(text, key) for key in keys)

    if tells("\n".join((code, text, *headers.values()))):
        code, text = (_SAID_BACK if tells(each) else each for each in (code, text))
        headers = {name: value for name, value in headers.items() if not tells(value)}
    sealed = not _KEY_MD5_HEADERS.isdisjoint(sent)
    return reply_error(operation, reply.head.status, code, text, headers, sealed=sealed)


def not_sealed_message(operation: str) -> str:
    """The words for a reply without the SSE-C echo."""
    if operation in READS:
        return f"{operation}: the server does not say that the object is sealed with this key"
    if operation == "CreateMultipartUpload":
        return f"{operation}: the server did not take the customer key; nothing was sent"
    return (
        f"{operation}: the server did not use the customer key: the bytes were stored UNENCRYPTED"
    )

"""The XML documents of DeleteObjects. Pure.

Source: https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteObjects.html

    Delete          Quiet: the reply names failures only
      Object        Key
    DeleteResult
      Error         Key, Code, Message
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from xml.parsers import expat

from sealift.errors import ReplyError
from sealift.replies import reply_error
from sealift.wire.documents import Fields, escaped, malformed, read_document

MAX_COUNT = 1000
# Ceph takes documents of 1 MiB (rgw_max_put_param_size).
MAX_DOCUMENT_SIZE = 1_000_000

_OPERATION = "DeleteObjects"
_START = b'<Delete xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Quiet>true</Quiet>'
_END = b"</Delete>"
# What XML 1.0 cannot hold (section 2.2), what its parsers make another character of (2.11), and
# space that a server may strip: then another object would be removed.
_NOT_AS_TEXT = re.compile("[\0-\x1f\x7f-\x9f\u2028\ufffe\uffff]|^\\s|\\s$")


def fits_in_xml(name: str) -> bool:
    """Whether the name comes out of an XML document as it went in, whoever reads it."""
    return _NOT_AS_TEXT.search(name) is None


def delete_lists(names: Iterable[str]) -> Iterator[tuple[list[str], bytes]]:
    """Bodies of DeleteObjects that name all of `names`, and which names each holds."""
    named: list[str] = []
    entries: list[bytes] = []
    size = 0
    for name in names:
        entry = f"<Object><Key>{escaped(name)}</Key></Object>".encode()
        if len(named) == MAX_COUNT or (size + len(entry) > MAX_DOCUMENT_SIZE and named):
            yield named, b"".join([_START, *entries, _END])
            named, entries, size = [], [], 0
        named.append(name)
        entries.append(entry)
        size += len(entry)
    if named:
        yield named, b"".join([_START, *entries, _END])


def failures_in(body: bytes, status: int, asked: Sequence[str]) -> dict[str, ReplyError]:
    """The failures that a reply to DeleteObjects names, by name; empty: all `asked` are removed.

    Raises ProtocolError when it is no such reply, or names an object that was not asked about.
    """
    errors: list[Fields] = []
    try:
        read_document(_OPERATION, body, "DeleteResult", {"Error": errors})
    except expat.ExpatError as error:
        raise malformed(_OPERATION, f"is no XML ({expat.ErrorString(error.code)})") from None
    known = frozenset(asked)
    failures = {}
    for fields in errors:
        name = fields.get("Key")
        if name not in known:
            raise malformed(_OPERATION, "names an object that was not to be removed")
        code = fields.get("Code", "")
        if code != "NoSuchKey":  # it is gone
            text = fields.get("Message", "")
            failures[name] = reply_error(_OPERATION, status, code, text, {}, sealed=False)
    return failures

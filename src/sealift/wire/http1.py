"""HTTP/1.x as bytes: request heads, response heads, body framing, chunked bodies. Pure: no I/O.

Rules
- A reply is either read as RFC 9112 defines it or refused with ProtocolError; after a refusal the
  connection is of no further use.
- Nothing is repaired (folded lines, space before the colon, Transfer-Encoding next to
  Content-Length): peers that repair differently disagree on where a reply ends, and then bytes of
  one object land in another. The one exception is a bare LF ending a line of a head (section 2.2).
- Reading does not depend on how the bytes were split. No error text carries a header value.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

from sealift.errors import ProtocolError

# S3 allows 2 KB of user metadata and some 8 KB of headers; nginx and Node read 8 to 16 KiB.
MAX_HEAD_SIZE = 64 * 1024
MAX_HEADER_COUNT = 200
# The largest file offset (off_t); also keeps int() away from absurdly long digit strings.
MAX_BODY_SIZE = 2**63 - 1
# A size line is 16 hex digits at most; the rest is room for a chunk extension.
MAX_CHUNK_LINE_SIZE = 256
MAX_TRAILER_SIZE = 16 * 1024

_START = b"HTTP/1."
_BLANK_LINE = re.compile(rb"\n\r?\n")
# RFC 9112 section 4; the space before an empty reason is often missing.
_STATUS_LINE = re.compile(rb"HTTP/1\.([0-9]) ([1-5][0-9][0-9])(?: ([^\x00\r\n]*))?")
# RFC 9110 section 5.6.2: tchar.
_TCHAR = b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
# RFC 9112 section 7.1 and 7.1.1; spaces after the size are padding of old servers.
_CHUNK_LINE = re.compile(rb"([0-9A-Fa-f]{1,16})[ \t]*(?:;[^\x00-\x08\x0a-\x1f\x7f]*)?")


def request_head(method: str, target: str, headers: Sequence[tuple[str, str]]) -> memoryview:
    """The request line, the headers in the order given, and the blank line (RFC 9112 section 3).

    `target` is percent-encoded; header values go out as UTF-8, which is what SigV4 signs.
    ValueError when anything holds CR, LF or NUL, or the target is not encoded.
    """
    lines = "".join([f"{name}: {value}\n" for name, value in headers])
    return head_of_lines(method, target, lines, "", len(headers))


def head_of_lines(method: str, target: str, lines: str, more: str, count: int) -> memoryview:
    """As `request_head`, from `count` header lines that each end in LF: `lines`, then `more`.

    They may hold secrets, so no variable here does, and what is returned is dumped without bytes.
    """
    start = f"{method} {target} HTTP/1.1\n"
    if (
        start.count("\n") + lines.count("\n") + more.count("\n") != count + 1
        or "\r" in start
        or "\r" in lines
        or "\r" in more
        or "\0" in start
        or "\0" in lines
        or "\0" in more
    ):
        raise ValueError("CR, LF or NUL in a request head")
    if not target or " " in target or not target.isascii():
        raise ValueError("the request target is not percent-encoded")
    text = (start, lines, more, "\n")  # an f-string shows no Secret
    return memoryview("".join(text).replace("\n", "\r\n").encode())


@dataclass(slots=True)
class Head:
    """The head of a response of version HTTP/1.`minor`.

    `headers` maps lower-case names to values; values of repeated names are joined with a comma.
    """

    minor: int
    status: int
    reason: str
    headers: dict[bytes, bytes] = field(repr=False)

    def get(self, name: bytes) -> str | None:
        """The value of the header `name` (lower case), or None."""
        value = self.headers.get(name)
        return None if value is None else value.decode("latin-1").strip()


def parse_head(
    buffer: bytearray | bytes | memoryview, end: int, start: int = 0
) -> tuple[Head, int] | None:
    """Read a response head from `buffer[:end]` (RFC 9112 sections 2.2, 4 and 5).

    Returns the head and the offset of the first body byte, or None when more bytes are needed;
    then pass this `end` as `start` of the next call, so that no byte is searched twice.
    ProtocolError as soon as the bytes cannot become a head within the limits.
    """
    # Up to two bytes of the blank line may lie before `start`.
    blank = _BLANK_LINE.search(buffer, max(start - 2, 0), min(end, MAX_HEAD_SIZE))
    if blank is None:
        if not _START.startswith(bytes(buffer[: min(end, 7)])):
            raise ProtocolError("the reply is not HTTP/1.x")
        if end >= MAX_HEAD_SIZE:
            raise ProtocolError(f"the head of the reply is longer than {MAX_HEAD_SIZE} bytes")
        return None
    body_start = blank.end()
    text = bytes(memoryview(buffer)[:body_start]).replace(b"\r\n", b"\n")
    if b"\r" in text or b"\0" in text:
        raise ProtocolError("bare CR or NUL in the head of the reply")
    status_line, *fields, _, _ = text.split(b"\n")
    if len(fields) > MAX_HEADER_COUNT:
        raise ProtocolError(f"the reply has more than {MAX_HEADER_COUNT} headers")
    return Head(*_parse_status_line(status_line), _parse_fields(fields)), body_start


@lru_cache(maxsize=64)
def _parse_status_line(line: bytes) -> tuple[int, int, str]:
    """Minor version, status and reason (RFC 9112 section 4)."""
    match = _STATUS_LINE.fullmatch(line)
    if match is None:
        raise ProtocolError("malformed status line")
    minor, status, reason = match.groups(b"")
    return int(minor), int(status), reason.decode("latin-1")


def _parse_fields(lines: list[bytes]) -> dict[bytes, bytes]:
    """Field lines as a mapping (RFC 9112 section 5, RFC 9110 section 5.3)."""
    fields = list(map(_parse_field, lines))
    headers = dict(fields)
    if len(headers) == len(fields):
        return headers
    headers.clear()
    for name, value in fields:
        known = headers.get(name)
        if known is None:
            headers[name] = value
        elif name != b"content-length":
            headers[name] = known + b", " + value
        elif value != known:
            raise ProtocolError("the reply has two different Content-Length headers")
    return headers


@lru_cache(maxsize=256)
def _parse_field(line: bytes) -> tuple[bytes, bytes]:
    """The lower-case name and the value of a field line; most lines come again in each reply.

    Refuses folded lines and space before the colon (RFC 9112 sections 5.1 and 5.2).
    """
    raw_name, colon, value = line.partition(b":")
    if not colon:
        raise ProtocolError("a header line without a colon")
    if not raw_name or raw_name.translate(None, _TCHAR):
        raise ProtocolError("malformed header name")
    return raw_name.lower(), value.strip(b" \t")


class BodyKind(enum.Enum):
    """How the end of a response body is known."""

    NONE = "no body"
    LENGTH = "Content-Length"
    CHUNKED = "chunked"
    UNTIL_CLOSE = "until the connection closes"


class Framing(NamedTuple):
    """The framing of a response body; `length` in bytes belongs to LENGTH."""

    kind: BodyKind
    length: int = 0


_NONE = Framing(BodyKind.NONE)
_EMPTY = Framing(BodyKind.LENGTH)
_CHUNKED = Framing(BodyKind.CHUNKED)
_UNTIL_CLOSE = Framing(BodyKind.UNTIL_CLOSE)


def body_framing(method: str, head: Head) -> Framing:
    """How long the body of the reply to `method` is (RFC 9112 section 6.3).

    | step | when                                      | framing               |
    |------|-------------------------------------------|-----------------------|
    | 1    | HEAD, or status 1xx, 204, 304             | NONE                  |
    | 2    | CONNECT and status 2xx                    | NONE, a tunnel begins |
    | 3    | Transfer-Encoding and Content-Length      | ProtocolError (6.1)   |
    | 4    | Transfer-Encoding in HTTP/1.0             | ProtocolError (6.1)   |
    |      | Transfer-Encoding: chunked                | CHUNKED               |
    |      | any other Transfer-Encoding               | ProtocolError         |
    | 5    | Content-Length not one number in limits   | ProtocolError         |
    | 6    | Content-Length                            | LENGTH                |
    | 8    | otherwise (7 is about requests)           | UNTIL_CLOSE           |
    """
    status = head.status
    if method == "HEAD" or status < 200 or status in (204, 304):
        return _NONE
    if method == "CONNECT" and status < 300:
        return _NONE
    length = head.headers.get(b"content-length")
    coding = head.headers.get(b"transfer-encoding")
    if coding is not None:
        if length is not None:
            raise ProtocolError("the reply has both Transfer-Encoding and Content-Length")
        if head.minor == 0:
            raise ProtocolError("the reply has Transfer-Encoding in HTTP/1.0")
        if coding.lower() != b"chunked":
            raise ProtocolError("the reply has an unknown Transfer-Encoding")
        return _CHUNKED
    if length is not None:
        return _EMPTY if length == b"0" else Framing(BodyKind.LENGTH, _parse_length(length))
    return _UNTIL_CLOSE


def _parse_length(value: bytes) -> int:
    """A Content-Length in bytes; a list of equal values counts as one (RFC 9110 section 8.6)."""
    if b"," in value:
        values = {item.strip(b" \t") for item in value.split(b",")}
        value = values.pop() if len(values) == 1 else b""
    # MAX_BODY_SIZE has 19 digits.
    length = int(value) if value.isdigit() and len(value) <= 19 else MAX_BODY_SIZE + 1
    if length > MAX_BODY_SIZE:
        raise ProtocolError("malformed Content-Length")
    return length


def keeps_alive(head: Head, framing: Framing) -> bool:
    """Whether the connection may carry another request after this body (RFC 9112 section 9.3)."""
    if framing.kind is BodyKind.UNTIL_CLOSE or head.status == 101:
        return False
    value = head.headers.get(b"connection")
    if value is None or value == b"keep-alive":
        return head.minor >= 1 or value is not None
    options = {option.strip(b" \t") for option in value.lower().split(b",")}
    return b"close" not in options and (head.minor >= 1 or b"keep-alive" in options)


class _Reading(enum.Enum):
    SIZE = "size line"
    DATA = "chunk data"
    DATA_END = "end of chunk data"
    TRAILER = "trailer"


class ChunkedDecoder:
    """Takes the chunked framing off a body as its bytes arrive (RFC 9112 section 7.1).

    Chunk extensions and trailers are read within limits and dropped. Lines end in CRLF: the
    leave to take a bare LF (section 2.2) is for heads only.
    """

    __slots__ = ("_left", "_line", "_line_limit", "_reading", "finished")

    def __init__(self) -> None:
        self.finished = False
        self._reading = _Reading.SIZE
        self._left = 0
        self._line = b""
        self._line_limit = MAX_CHUNK_LINE_SIZE

    def feed(self, data: memoryview) -> tuple[list[memoryview], int]:
        """Payload pieces in `data`, as views of it, and the count of bytes consumed.

        All of `data` is consumed unless the body ends in it (`finished`); what follows is not
        ours. ProtocolError when the bytes are not a chunked body.
        """
        pieces: list[memoryview] = []
        position, end = 0, len(data)
        while position < end and not self.finished:
            if self._reading is _Reading.DATA:
                piece = data[position : position + self._left]
                pieces.append(piece)
                position += len(piece)
                self._left -= len(piece)
                if not self._left:
                    self._reading, self._line_limit = _Reading.DATA_END, len(b"\r\n")
            else:
                position = self._feed_line(data, position)
        return pieces, position

    def _feed_line(self, data: memoryview, position: int) -> int:
        """Take the rest of the current line, or what there is of it; returns the new position."""
        piece = bytes(data[position : position + self._line_limit - len(self._line)])
        size = piece.find(b"\n") + 1
        self._line += piece[:size] if size else piece
        if size:
            if not self._line.endswith(b"\r\n"):
                raise ProtocolError(f"chunked body: {self._reading.value} without CRLF")
            line, self._line = self._line[:-2], b""
            self._end_line(line)
        elif len(self._line) >= self._line_limit:
            raise ProtocolError(f"chunked body: {self._reading.value} too long")
        return position + (size or len(piece))

    def _end_line(self, line: bytes) -> None:
        if self._reading is _Reading.SIZE:
            match = _CHUNK_LINE.fullmatch(line)
            self._left = int(match[1], 16) if match else MAX_BODY_SIZE + 1
            if self._left > MAX_BODY_SIZE:
                raise ProtocolError("chunked body: malformed chunk size")
            if self._left:
                self._reading = _Reading.DATA
            else:
                self._reading, self._line_limit = _Reading.TRAILER, MAX_TRAILER_SIZE
        elif self._reading is _Reading.DATA_END:
            self._reading, self._line_limit = _Reading.SIZE, MAX_CHUNK_LINE_SIZE
        elif line:
            if b"\r" in line or b"\0" in line:
                raise ProtocolError("chunked body: malformed trailer")
            _parse_fields([line])
            self._line_limit -= len(line) + 2
        else:
            self.finished = True

"""One reply as its bytes arrive: a state machine that knows nothing of sockets.

    HEAD -> BODY -> COMPLETE    the reply was read to its end
            BODY -> CUT         enough was seen; the rest is not wanted

The head goes to a scratch buffer. Once it announces a success of known length, `buffer` hands out
the rest of the caller's own buffer, so that TLS decrypts each byte to where it belongs. Bodies of
error replies are small and collected, up to a limit.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from sealift.errors import NetworkError, ProtocolError
from sealift.wire.http1 import (
    MAX_HEAD_SIZE,
    BodyKind,
    ChunkedDecoder,
    Framing,
    Head,
    body_framing,
    keeps_alive,
    parse_head,
)

# Error replies of S3 are below 1 KiB; a longer one is cut and the connection given up.
MAX_ERROR_BODY_SIZE = 64 * 1024


@dataclass(slots=True)
class Reply:
    """A reply read to its end.

    `size` is the count of body bytes that landed in the caller's buffer. `error_body` holds what
    was collected instead when the status is not 2xx, or is None. `too_long` says that a success
    has more bytes than the caller has room for. `counted` is what a counter holds of the exchange.
    """

    head: Head
    size: int
    error_body: bytes | None
    too_long: bool = False
    counted: int = 0


class CutShortError(NetworkError):
    """The connection ended amid the body of a success; `reply` is what came of it."""

    def __init__(self, reason: NetworkError, reply: Reply) -> None:
        super().__init__(reason.message, hint=reason.hint, cause=reason.cause)
        self.reply = reply


class State(enum.Enum):
    HEAD = enum.auto()
    BODY = enum.auto()
    COMPLETE = enum.auto()
    CUT = enum.auto()


class Receiver:
    """Reads the reply to one request of `method`; a success body goes to `room`.

    `ended` says that no more bytes are wanted.
    `scratch` takes what does not land in `room`; a head longer than it gets a buffer of its own.
    """

    # Where each reply begins: on the class, for one receiver is made per request.
    state = State.HEAD
    ended = False
    head: Head | None = None
    heard = False
    size = 0
    too_long = False
    _filled = _searched = _left = _excess = 0
    _framing = Framing(BodyKind.NONE)
    _decoder: ChunkedDecoder | None = None
    _direct = False
    _error_body: bytearray | None = None

    def __init__(self, method: str, room: memoryview, scratch: bytearray) -> None:
        self._method = method
        self._room = room
        self._scratch = scratch

    def buffer(self) -> memoryview:
        """Where the next bytes are to be written; never empty before the reply has ended."""
        if self._direct:
            return self._room[self.size : self.size + self._left]
        view = memoryview(self._scratch)
        return view[self._filled :] if self._filled and self.state is State.HEAD else view

    def updated(self, nbytes: int) -> int:
        """Take `nbytes` that were written to `buffer`; returns how many landed in the room.

        Raises ProtocolError; the receiver is of no further use then.
        """
        if self._direct:
            self.size += nbytes
            self._left -= nbytes
            if not self._left:
                self._end(excess=0)
            return nbytes
        before = self.size
        if self.state is State.HEAD:
            self.heard = True
            self._filled += nbytes
            self._read_head()
        elif self.state is State.BODY:
            self._take(memoryview(self._scratch)[:nbytes])
        return self.size - before

    def closed(self, *, cleanly: bool) -> bool:
        """The connection ended; whether that completes the reply.

        Of an error reply the head is enough: a server that answers before it has read the request
        closes with bytes unread, and the reset that follows may overtake the rest.
        """
        if self.state is not State.BODY:
            return False
        until_close = cleanly and self._framing.kind is BodyKind.UNTIL_CLOSE
        if not until_close and self._error_body is None:
            return False
        self.state = State.COMPLETE if until_close else State.CUT
        self.ended = True
        return True

    @property
    def keeps_alive(self) -> bool:
        """Whether the peer may get another request: in step, and it did not say otherwise."""
        return (
            self.state is State.COMPLETE
            and not self._excess
            and self.head is not None
            and keeps_alive(self.head, self._framing)
        )

    def reply(self) -> Reply:
        """What was read; only after the end."""
        assert self.head is not None
        error_body = None if self._error_body is None else bytes(self._error_body)
        return Reply(self.head, self.size, error_body, self.too_long)

    def cut_short(self, reason: NetworkError) -> NetworkError:
        """`reason`, for which the reply has not ended, with what came of a success."""
        whole_so_far = self.state is State.BODY and self._error_body is None
        if not whole_so_far or not self.size or isinstance(reason, ProtocolError):
            return reason
        assert self.head is not None
        return CutShortError(reason, Reply(self.head, self.size, None))

    # Head

    def _read_head(self) -> None:
        while True:
            parsed = parse_head(self._scratch, self._filled, self._searched)
            if parsed is None:
                self._searched = self._filled
                if self._filled == len(self._scratch):
                    # A new buffer: the transport still holds a view of the old one.
                    self._scratch = self._scratch + bytes(MAX_HEAD_SIZE)
                return
            head, body_start = parsed
            if head.status >= 200:
                break
            if head.status == 101:
                raise ProtocolError("the server switched protocols unasked")
            # An interim reply (RFC 9110 section 15.2): the final one follows.
            rest = self._scratch[body_start : self._filled]
            self._scratch[: len(rest)] = rest
            self._filled, self._searched = len(rest), 0
        self._begin_body(head)
        if self.state is not State.BODY:
            return
        kind = self._framing.kind
        if body_start < self._filled:
            self._take(memoryview(self._scratch)[body_start : self._filled])
        elif not self._left and (kind is BodyKind.LENGTH or kind is BodyKind.NONE):
            self._end(excess=0)
        self._direct = (
            self.state is State.BODY and kind is BodyKind.LENGTH and self._error_body is None
        )

    def _begin_body(self, head: Head) -> None:
        framing = body_framing(self._method, head)
        self.head = head
        self.state = State.BODY
        self._framing = framing
        self._left = framing.length
        if not 200 <= head.status < 300:
            self._error_body = bytearray()
        elif framing.length > len(self._room):
            self._cut(too_long=True)
        if framing.kind is BodyKind.CHUNKED:
            self._decoder = ChunkedDecoder()

    # Body bytes in the scratch buffer

    def _take(self, data: memoryview) -> None:
        if self._framing.kind is BodyKind.UNTIL_CLOSE:
            self._store(data)
        elif self._decoder is not None:
            pieces, consumed = self._decoder.feed(data)
            for piece in pieces:
                self._store(piece)
            if self._decoder.finished:
                self._end(excess=len(data) - consumed)
        else:
            ours = data[: self._left]
            self._left -= len(ours)
            self._store(ours)
            if not self._left:
                self._end(excess=len(data) - len(ours))

    def _store(self, data: memoryview) -> None:
        if self.state is not State.BODY:
            return
        if self._error_body is not None:
            self._error_body += data
            if len(self._error_body) > MAX_ERROR_BODY_SIZE:
                del self._error_body[MAX_ERROR_BODY_SIZE:]
                self._cut()
            return
        end = self.size + len(data)
        if end > len(self._room):
            self._cut(too_long=True)
        else:
            self._room[self.size : end] = data
            self.size = end

    # The end

    def _end(self, excess: int) -> None:
        self._direct = False
        if self.state is State.BODY:
            self.state = State.COMPLETE
            self.ended = True
            self._excess = excess

    def _cut(self, *, too_long: bool = False) -> None:
        self.state = State.CUT
        self.ended = True
        self.too_long = too_long

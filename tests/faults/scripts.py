"""Everything that can go wrong, as data: each fault writes its departure into a `Plan`."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from email.utils import formatdate
from typing import Literal

from .messages import Reply, Request, error_root, xml_reply
from .plan import Break, End, Framing, Plan
from .server_side import ENCRYPTION

_ECHO_MD5 = "x-amz-server-side-encryption-customer-key-md5"
_ECHO_ALGORITHM = "x-amz-server-side-encryption-customer-algorithm"
_FOREVER = 3600.0  # longer than any test; stopping the server ends it

# -- answers in place of the act


@dataclass(frozen=True, slots=True)
class Status:
    """An error (or any other status) in place of the act. `body` wins over code and message."""

    status: int
    code: str = ""
    message: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    retry_after: int | None = None
    body: bytes | None = None

    def shape(self, plan: Plan) -> None:
        extra = {} if self.retry_after is None else {"retry-after": str(self.retry_after)}
        reply = xml_reply(self.status, error_root(self.code, self.message))
        body = reply.body if self.body is None else self.body
        headers = {name.lower(): value for name, value in self.headers.items()}
        plan.answer = Reply(self.status, {**reply.headers, **extra, **headers}, body)
        plan.act = False


@dataclass(frozen=True, slots=True)
class Redirect:
    """A redirect nobody who carries a customer key may follow."""

    status: int
    location: str

    def shape(self, plan: Plan) -> None:
        code = "PermanentRedirect" if self.status in (301, 308) else "TemporaryRedirect"
        Status(self.status, code, headers={"location": self.location}).shape(plan)


@dataclass(frozen=True, slots=True)
class Complete200Error:
    """Status 200, then an <Error>, as Complete and Copy may do; `applied`: done all the same."""

    code: str = "InternalError"
    applied: bool = False

    def shape(self, plan: Plan) -> None:
        Status(200, self.code, "We encountered an internal error.").shape(plan)
        plan.act = self.applied


@dataclass(frozen=True, slots=True)
class Complete200Empty:
    """Status 200 and no body, which proves nothing."""

    applied: bool = False

    def shape(self, plan: Plan) -> None:
        Status(200, body=b"").shape(plan)
        plan.act = self.applied


@dataclass(frozen=True, slots=True)
class EarlyReply:
    """Reply before the request body is read, then close without draining it."""

    status: int
    code: str

    def shape(self, plan: Plan) -> None:
        root = error_root(self.code, "")
        plan.early = xml_reply(self.status, root).but(connection="close")


# -- broken connections


@dataclass(frozen=True, slots=True)
class ResetRequest:
    """RST once so many bytes of the request body were read; nothing is done."""

    after: int = 0

    def shape(self, plan: Plan) -> None:
        plan.request_break = Break(self.after, end=End.RESET)


@dataclass(frozen=True, slots=True)
class ResetReply:
    """RST once so many bytes of the reply body were sent; the act is done."""

    after: int = 0

    def shape(self, plan: Plan) -> None:
        plan.reply_break = Break(self.after, end=End.RESET)


@dataclass(frozen=True, slots=True)
class Truncate:
    """A clean close once so many bytes of the reply body were sent."""

    after: int = 0

    def shape(self, plan: Plan) -> None:
        plan.reply_break = Break(self.after, end=End.CLOSE)


@dataclass(frozen=True, slots=True)
class CutReply:
    """Reset, or with `clean` close, after that share of the reply body; the act is done."""

    share: float = 0.5
    clean: bool = False

    def shape(self, plan: Plan) -> None:
        end = End.CLOSE if self.clean else End.RESET

        def cut(reply: Reply) -> Reply:
            plan.reply_break = Break(int(len(reply.body) * self.share), end=end)
            return reply

        plan.reshape.append(cut)


@dataclass(frozen=True, slots=True)
class ResetBeforeAct:
    """Read the request, do nothing, RST."""

    def shape(self, plan: Plan) -> None:
        plan.act = False
        plan.reply_wait = Break(0, end=End.RESET)


@dataclass(frozen=True, slots=True)
class CloseBeforeReply:
    """Read the request, do nothing, close cleanly."""

    def shape(self, plan: Plan) -> None:
        plan.act = False
        plan.reply_wait = Break(0, end=End.CLOSE)


@dataclass(frozen=True, slots=True)
class ApplyThenReset:
    """Do the act and lose the reply."""

    def shape(self, plan: Plan) -> None:
        plan.reply_wait = Break(0, end=End.RESET)


@dataclass(frozen=True, slots=True)
class ConnectionClose:
    """A normal reply that announces `Connection: close`."""

    def shape(self, plan: Plan) -> None:
        plan.close = True


@dataclass(frozen=True, slots=True)
class KeepAliveClose:
    """A normal reply that promises to keep the connection, which then closes unannounced."""

    after: float = 0.0

    def shape(self, plan: Plan) -> None:
        plan.idle_close = self.after


# -- slow ones


@dataclass(frozen=True, slots=True)
class Stall:
    """Stop reading, answering (the act is done) or sending; after `seconds` go on as if not."""

    where: Literal["request", "before_head", "reply"] = "reply"
    after: int = 0
    seconds: float = _FOREVER

    def shape(self, plan: Plan) -> None:
        pause = Break(self.after, wait=self.seconds)
        match self.where:
            case "request":
                plan.request_break = pause
            case "before_head":
                plan.reply_wait = pause
            case "reply":
                plan.reply_break = pause


@dataclass(frozen=True, slots=True)
class Delay:
    """A slow answer: all is done, but the reply comes later."""

    seconds: float

    def shape(self, plan: Plan) -> None:
        plan.reply_wait = Break(0, wait=self.seconds)


@dataclass(frozen=True, slots=True)
class SlowReply:
    """A reply body that trickles."""

    bytes_per_second: float

    def shape(self, plan: Plan) -> None:
        plan.bytes_per_second = self.bytes_per_second


# -- wrong content


def _flipped(body: bytes | memoryview, offset: int) -> bytes:
    """IndexError (which the server reports) when there is no such byte: a test gone wrong."""
    changed = bytearray(body)
    changed[offset] ^= 0xFF
    return bytes(changed)


@dataclass(frozen=True, slots=True)
class Flip:
    """One byte of the reply body differs."""

    offset: int = 0

    def shape(self, plan: Plan) -> None:
        plan.reshape.append(lambda reply: replace(reply, body=_flipped(reply.body, self.offset)))


@dataclass(frozen=True, slots=True)
class FlipObject:
    """One byte, that share into it, differs of an object, or a range of one, in the reply."""

    share: float = 0.5

    def shape(self, plan: Plan) -> None:
        plan.reshape.append(self._altered)

    def _altered(self, reply: Reply) -> Reply:
        if reply.status not in (200, 206) or not reply.body:
            return reply
        return replace(reply, body=_flipped(reply.body, int(len(reply.body) * self.share)))


@dataclass(frozen=True, slots=True)
class FlipRequest:
    """One byte of the request body differs when it is checked and stored."""

    offset: int = 0

    def shape(self, plan: Plan) -> None:
        plan.alter.append(lambda asked: replace(asked, body=_flipped(asked.body, self.offset)))


@dataclass(frozen=True, slots=True)
class ReplaceObject:
    """Another writer is quicker: the object is replaced (or, with body None, only re-keyed)."""

    body: bytes | None = None
    customer_key_md5: str | None = None

    def shape(self, plan: Plan) -> None:
        plan.replace = self


@dataclass(frozen=True, slots=True)
class IgnoreRange:
    """The whole object with 200, whatever range was asked for."""

    def shape(self, plan: Plan) -> None:
        plan.alter.append(_without_range)


def _without_range(asked: Request) -> Request:
    headers = {name: value for name, value in asked.headers.items() if name != "range"}
    return replace(asked, headers=headers)


@dataclass(frozen=True, slots=True)
class Skewed:
    """Refused because of its time, by a server whose clock is `seconds` ahead."""

    seconds: float = 0.0

    def shape(self, plan: Plan) -> None:
        date = formatdate(time.time() + self.seconds, usegmt=True)
        Status(403, "RequestTimeTooSkewed", headers={"date": date}).shape(plan)


@dataclass(frozen=True, slots=True)
class WrongRange:
    """Content-Range, where there is one, is off by `shift`; all else is as it should be."""

    shift: int = 1

    def shape(self, plan: Plan) -> None:
        plan.reshape.append(self._shifted)

    def _shifted(self, reply: Reply) -> Reply:
        if "content-range" not in reply.headers:
            return reply
        first, last, size = map(int, re.findall(r"\d+", reply.headers["content-range"]))
        moved = f"bytes {first + self.shift}-{last + self.shift}/{size}"
        return reply.but(content_range=moved)


@dataclass(frozen=True, slots=True)
class NoEcho:
    """No word of encryption in the reply: the object may lie there in plain text."""

    def shape(self, plan: Plan) -> None:
        silent = dict.fromkeys((_ECHO_MD5, _ECHO_ALGORITHM, *ENCRYPTION))
        plan.reshape.append(lambda reply: reply.but(**silent))


@dataclass(frozen=True, slots=True)
class WrongEcho:
    """The reply confirms another customer key than the one sent."""

    key_md5: str = "AAAAAAAAAAAAAAAAAAAAAA=="

    def shape(self, plan: Plan) -> None:
        plan.reshape.append(lambda reply: reply.but(**{_ECHO_MD5: self.key_md5}))


@dataclass(frozen=True, slots=True)
class NoETag:
    """A reply without ETag."""

    def shape(self, plan: Plan) -> None:
        plan.reshape.append(lambda reply: reply.but(etag=None))


# -- unusual, and partly legal, HTTP


@dataclass(frozen=True, slots=True)
class Chunked:
    """The reply comes with Transfer-Encoding: chunked."""

    def shape(self, plan: Plan) -> None:
        plan.framing = Framing.CHUNKED


@dataclass(frozen=True, slots=True)
class Http10:
    """The reply is HTTP/1.0: no length, its end is the end of the connection."""

    def shape(self, plan: Plan) -> None:
        plan.framing = Framing.HTTP10


@dataclass(frozen=True, slots=True)
class Informational:
    """100 Continue and 103 Early Hints come before the reply."""

    def shape(self, plan: Plan) -> None:
        early_hints = b"HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n\r\n"
        plan.prelude = b"HTTP/1.1 100 Continue\r\n\r\n" + early_hints


@dataclass(frozen=True, slots=True)
class Garbage:
    """Bytes in place of the head, then a clean close."""

    data: bytes = b"\x00\x01 this is not HTTP\r\n\r\n"

    def shape(self, plan: Plan) -> None:
        plan.garbage = self.data

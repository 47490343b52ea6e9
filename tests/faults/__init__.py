"""A scriptable S3 for tests: in memory, over TLS, with every fault a client must survive.

    with FaultServer(certificate) as server:
        server.store("name", b"content", customer_key=key)
        server.script(Match(operation="GetObject", after=1), Truncate(10), Status(503, "SlowDown"))
        ...                                   # point any client at server.endpoint_url
        assert len(server.seen("GetObject")) == 4

Modules, from the inside out: `messages` (request and reply), `customer` and `digests` (checks),
`stored` and `listing` (rules and XML), `s3` (request -> reply), `plan` and `scripts` (faults as
data), `wire` (sockets), `server` (the thread). `proxy` and `names` (a name server)
stand alone.
"""

from .customer import Dialect, key_md5_of
from .digests import crc64nvme
from .messages import Reply, Request
from .names import NameServer, Refusal
from .plan import Fault, Match, Script
from .proxy import ConnectProxy
from .scripts import (
    ApplyThenReset,
    Chunked,
    CloseBeforeReply,
    Complete200Empty,
    Complete200Error,
    ConnectionClose,
    Delay,
    EarlyReply,
    Flip,
    FlipRequest,
    Garbage,
    Http10,
    IgnoreRange,
    Informational,
    KeepAliveClose,
    NoEcho,
    NoETag,
    Redirect,
    ReplaceObject,
    ResetReply,
    ResetRequest,
    SlowReply,
    Stall,
    Status,
    Truncate,
    WrongEcho,
    WrongRange,
)
from .server import Certificate, FaultServer
from .stored import Stored, Upload

__all__ = [
    "ApplyThenReset",
    "Certificate",
    "Chunked",
    "CloseBeforeReply",
    "Complete200Empty",
    "Complete200Error",
    "ConnectProxy",
    "ConnectionClose",
    "Delay",
    "Dialect",
    "EarlyReply",
    "Fault",
    "FaultServer",
    "Flip",
    "FlipRequest",
    "Garbage",
    "Http10",
    "IgnoreRange",
    "Informational",
    "KeepAliveClose",
    "Match",
    "NameServer",
    "NoETag",
    "NoEcho",
    "Redirect",
    "Refusal",
    "ReplaceObject",
    "Reply",
    "Request",
    "ResetReply",
    "ResetRequest",
    "Script",
    "SlowReply",
    "Stall",
    "Status",
    "Stored",
    "Truncate",
    "Upload",
    "WrongEcho",
    "WrongRange",
    "crc64nvme",
    "key_md5_of",
]

"""A scriptable S3 for tests: in memory, over TLS, with every fault a client must survive.

    with FaultServer(certificate) as server:
        server.store("name", b"content", customer_key=key)
        server.script(Match(operation="GetObject", after=1), Truncate(10), Status(503, "SlowDown"))
        ...                                   # point any client at server.endpoint_url
        assert len(server.seen("GetObject")) == 4

Modules, from the inside out: `messages` (request and reply), `customer` and `digests` (checks),
`stored` and `listing` (rules and XML), `s3` (request -> reply), `plan` and `scripts` (faults as
data), `wire` (sockets), `front` (the thread), `settings` (what buckets are set to), `server` (all
of it). `relay` has the same faults before a real server (`upstream`), also by chance (`storm`).
`proxy` and `names` (a name server) stand alone.
"""

from .customer import Dialect, key_md5_of
from .digests import crc64nvme
from .front import Certificate
from .messages import Reply, Request
from .names import NameServer, Refusal
from .plan import Fault, Match, Script
from .proxy import ConnectProxy
from .relay import Relay
from .scripts import (
    ApplyThenReset,
    Chunked,
    CloseBeforeReply,
    Complete200Empty,
    Complete200Error,
    ConnectionClose,
    CutReply,
    Delay,
    EarlyReply,
    Flip,
    FlipObject,
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
    ResetBeforeAct,
    ResetReply,
    ResetRequest,
    Skewed,
    SlowReply,
    Stall,
    Status,
    Truncate,
    WrongEcho,
    WrongRange,
)
from .server import FaultServer
from .settings import encryption_document
from .stored import Stored, Upload
from .storm import Storm

__all__ = [
    "ApplyThenReset",
    "Certificate",
    "Chunked",
    "CloseBeforeReply",
    "Complete200Empty",
    "Complete200Error",
    "ConnectProxy",
    "ConnectionClose",
    "CutReply",
    "Delay",
    "Dialect",
    "EarlyReply",
    "Fault",
    "FaultServer",
    "Flip",
    "FlipObject",
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
    "Relay",
    "ReplaceObject",
    "Reply",
    "Request",
    "ResetBeforeAct",
    "ResetReply",
    "ResetRequest",
    "Script",
    "Skewed",
    "SlowReply",
    "Stall",
    "Status",
    "Stored",
    "Storm",
    "Truncate",
    "Upload",
    "WrongEcho",
    "WrongRange",
    "crc64nvme",
    "encryption_document",
    "key_md5_of",
]

"""PutObject, UploadPart and GetObject: the requests that carry bytes, each one attempt.

A success is believed only with the SSE-C echo: a server that ignores the customer key headers
answers 200 and stores plaintext (measured: Ceph 16 on some paths, SeaweedFS 2). Redirects are
errors, for whoever they name must not get the customer key.

Each raises ReplyError, NetworkError, IntegrityError, ObjectChangedError.
"""

from __future__ import annotations

import hmac
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sealift import __version__
from sealift.checksums import Digest, encode
from sealift.encryption import KMS, RIGHTS, ServerSide, not_as_asked, told_in
from sealift.errors import (
    IntegrityError,
    NotSealedError,
    ObjectChangedError,
    ObjectError,
    ReplyError,
)
from sealift.keys import (
    ALGORITHM,
    ALGORITHM_HEADER,
    KEY_MD5_HEADER,
    CustomerKey,
    Secret,
)
from sealift.metadata import PREFIX, FileFacts
from sealift.model import ByteRange
from sealift.replies import UNSEALED_READ
from sealift.wire.connection import Body, Counter
from sealift.wire.failures import READS, error_of, not_sealed_message
from sealift.wire.heads import CRC_HEADER, facts_of
from sealift.wire.http1 import Head, head_of_lines
from sealift.wire.identity import Identity
from sealift.wire.pool import Pool
from sealift.wire.receiving import CutShortError, Reply
from sealift.wire.sigv4 import (
    UNSIGNED_PAYLOAD,
    Signer,
    amz_date,
    query_string,
    uri_path,
)
from sealift.wire.tagging import KEY_ID_TAG, tagging_header

# How many sets of header names are remembered; sealift's own requests have some twenty.
MAX_LAYOUT_COUNT = 256
_SPACES = re.compile(" {2,}")  # SigV4 signs them as one
REPLACED = "the object was replaced while it was being read"
_USER_AGENT = f"sealift/{__version__}"

# Names in lower case.
Headers = dict[str, str]

_CRC_FIELD = CRC_HEADER.encode()
_ALGORITHM_FIELD = ALGORITHM_HEADER.encode()
_KEY_MD5_FIELD = KEY_MD5_HEADER.encode()
_ALGORITHM = ALGORITHM.encode()
_TAGGING_RIGHT = "tags need the right s3:PutObjectTagging"
# The requests that say how an object is encrypted by the server.
_BEGINNINGS = frozenset({"PutObject", "CreateMultipartUpload", "CopyObject"})


@dataclass(frozen=True, slots=True)
class Bucket:
    """How the bucket `name` is reached: Host header, path before object names, region to sign."""

    netloc: str
    base_path: str
    region: str
    name: str

    @property
    def path(self) -> str:
        """The path of the bucket itself."""
        return self.base_path.removesuffix("/") or "/"


class _Layout(NamedTuple):
    """The header lines of all requests that have the same names, sorted by name.

    Between `pieces` of text go the values of `variables`; `names` is what is signed.
    """

    pieces: list[str]
    variables: list[str]
    names: str
    line_count: int


@dataclass(slots=True)
class Stored:
    """An object or part that the server took. `checked` says that it compared the CRC64NVME."""

    etag: str
    version_id: str | None
    checked: bool


@dataclass(slots=True)
class Received:
    """`size` bytes of an object of `total` bytes, now in the caller's buffer."""

    size: int
    total: int
    etag: str
    version_id: str | None
    facts: FileFacts
    head: Head


class ObjectClient:
    """The three calls, for one bucket and one customer key (None: no SSE-C).

    Without a customer key, what is written is encrypted by the server as `encryption` asks (None:
    as the bucket has it). With `tag_key_id` each object that is written has `tags`.
    """

    def __init__(
        self,
        pool: Pool,
        bucket: Bucket,
        identity: Identity,
        customer_key: CustomerKey | None,
        encryption: ServerSide | None = None,
        now: Callable[[], float] = time.time,
        *,
        tag_key_id: bool = False,
    ) -> None:
        if customer_key is not None and encryption is not None:
            raise ValueError("S3 encrypts under a customer key or by itself")
        self._pool = pool
        self._bucket = bucket
        self._identity = identity
        self._now = now
        self._customer_key = customer_key
        self._encryption = encryption
        self._tag_key_id = tag_key_id
        self.tags = {KEY_ID_TAG: customer_key.key_id} if customer_key and tag_key_id else {}
        # On every request about an object; on those that begin one; and with what describes it.
        self._seal: Headers = dict(customer_key.headers()) if customer_key else {}
        self._new_seal = self._seal | (encryption.headers() if encryption else {})
        self._new_headers = self._new_seal | tagging_header(self.tags)
        self._key_md5 = customer_key.md5.encode() if customer_key else b""
        self._signer: Signer | None = None
        self._layouts: dict[tuple[str, ...], _Layout] = {}
        # A success to a PUT has no body to speak of, but some servers send a short one.
        self._unread = memoryview(bytearray(1024))

    async def put_object(
        self,
        name: str,
        body: Body,
        size: int,
        digest: Digest,
        content_type: str | None,
        facts: FileFacts,
        counter: Counter | None,
        carried: Headers | None = None,
    ) -> Stored:
        """Store `size` bytes as the object `name`, with their digest; `carried` headers too."""
        headers = {PREFIX + key: value for key, value in facts.metadata().items()}
        if content_type is not None:
            headers["content-type"] = content_type
        headers |= self._new_headers if carried is None else self._new_headers | carried
        # Whoever sets a condition is to know of each attempt.
        return await self._store(
            "PutObject", name, "", headers, body, size, digest, counter, again=carried is None
        )

    async def upload_part(
        self,
        name: str,
        upload_id: str,
        number: int,
        body: Body,
        size: int,
        digest: Digest,
        counter: Counter | None,
    ) -> Stored:
        """Store part `number` of a multipart upload."""
        query = query_string([("partNumber", str(number)), ("uploadId", upload_id)])
        headers = self._seal.copy()
        return await self._store("UploadPart", name, query, headers, body, size, digest, counter)

    async def get_object(
        self,
        name: str,
        room: memoryview,
        span: ByteRange | None,
        etag: str | None,
        counter: Counter | None,
    ) -> Received:
        """Read `span` (None: all) of the object into `room`; with `etag`, of that version only.

        When the connection ends amid a span of such a version, NetworkError tells what is there.
        """
        headers = self._seal.copy()
        if span is None:
            headers["x-amz-checksum-mode"] = "ENABLED"
        else:
            headers["range"] = span.header()
        if etag is not None:
            headers["if-match"] = etag
        request = self._request("GET", self._path(name), "", headers, None)
        try:
            reply = await self._pool.exchange("GET", request, None, room, counter)
        except CutShortError as error:
            if span is not None and etag is not None:
                error.received = self._count_begun(error.reply, span, etag)
            raise
        try:
            return self._received(reply, span)
        except ObjectError:
            _take_back(reply, counter)
            raise

    def _received(self, reply: Reply, span: ByteRange | None) -> Received:
        head = reply.head
        # No object of the size that was planned lacks the range (Ceph looks at it before If-Match).
        if head.status == 412 or (head.status == 416 and span is not None):
            raise ObjectChangedError(REPLACED)
        if reply.error_body is not None:
            raise error_of("GetObject", reply, self._seal)
        self._check_echo("GetObject", head)
        if reply.too_long:
            raise ObjectChangedError("the object is longer than planned: it was replaced")
        return _matching(reply, span)

    def _count_begun(self, reply: Reply, span: ByteRange, etag: str) -> int:
        """How many bytes of a reply that has not ended are the first of `span`, of that version."""
        try:
            self._check_echo("GetObject", reply.head)
            return reply.size if _matching(reply, span, is_whole=False).etag == etag else 0
        except ObjectError:
            return 0

    async def _store(
        self,
        operation: str,
        name: str,
        query: str,
        headers: Headers,
        body: Body,
        size: int,
        digest: Digest,
        counter: Counter | None,
        *,
        again: bool = True,
    ) -> Stored:
        headers[CRC_HEADER] = crc = encode(digest.crc)
        md5 = digest.content_md5
        if md5 is not None:
            headers["content-md5"] = md5
        request = self._request("PUT", self._path(name), query, headers, size)
        reply = await self._pool.exchange("PUT", request, body, self._unread, counter, again=again)
        try:
            return self._stored(operation, reply, crc)
        except ObjectError:
            _take_back(reply, counter)
            raise

    def _stored(self, operation: str, reply: Reply, crc: str) -> Stored:
        head = reply.head
        if reply.error_body is not None:
            raise self._refused(operation, reply, self._seal)
        self._check_echo(operation, head)
        etag = head.get(b"etag")
        if not etag:
            raise IntegrityError(f"the reply to {operation} names no ETag")
        echoed = head.headers.get(_CRC_FIELD)
        if echoed is not None and echoed != crc.encode():
            raise IntegrityError(f"{operation}: the server stored other bytes than were sent")
        return Stored(etag, head.get(b"x-amz-version-id"), echoed is not None)

    def _path(self, name: str) -> str:
        return self._bucket.base_path + uri_path(name)

    def _request(
        self, method: str, path: str, query: str, headers: Headers, size: int | None
    ) -> memoryview:
        identity = self._identity
        signer = identity.signer(self._bucket.region)
        if signer is not self._signer:
            self._signer = signer
            self._layouts.clear()
        headers["x-amz-date"] = date = amz_date(self._now() + identity.clock_offset)
        names = tuple(headers)
        layout = self._layouts.get(names)
        if layout is None:
            if len(self._layouts) == MAX_LAYOUT_COUNT:  # metadata of others, kept by copies
                self._layouts.clear()
            layout = self._layouts[names] = self._lay_out(names)
        pieces = layout.pieces.copy()
        pieces[1::2] = map(headers.__getitem__, layout.variables)
        lines = Secret("".join(pieces))
        signed = Secret(_SPACES.sub(" ", lines)) if "  " in lines else lines
        authorization = signer.sign(
            method, path, query, signed, layout.names, date, UNSIGNED_PAYLOAD
        )
        more = f"authorization:{authorization}\nuser-agent:{_USER_AGENT}\n"
        count = layout.line_count + 2
        if size is not None:
            more += f"content-length:{size}\n"
            count += 1
        return head_of_lines(method, f"{path}?{query}" if query else path, lines, more, count)

    def _lay_out(self, names: Sequence[str]) -> _Layout:
        """The layout of requests that have headers of these names; all are signed."""
        same = {"host": self._bucket.netloc, "x-amz-content-sha256": UNSIGNED_PAYLOAD}
        token = self._identity.credentials.token
        if token is not None:
            same["x-amz-security-token"] = Secret(token)
        pieces: list[str] = [""]
        variables: list[str] = []
        ordered = sorted({*names, *same})
        for name in ordered:
            value = same.get(name)
            if value is None:
                pieces[-1] = Secret("".join((pieces[-1], name, ":")))
                pieces += ["", "\n"]
                variables.append(name)
            else:
                pieces[-1] = Secret("".join((pieces[-1], name, ":", value, "\n")))
        return _Layout(pieces, variables, ";".join(ordered), len(ordered))

    def _refused(self, operation: str, reply: Reply, sent: Headers) -> ReplyError:
        """The error that a reply tells, with the rights that what goes along needs besides."""
        error = error_of(operation, reply, sent)
        if error.status == 403 and operation in _BEGINNINGS:
            needs = []
            if self._encryption is not None and self._encryption.algorithm == KMS:
                needs.append(RIGHTS)
                if error.code == "InvalidAccessKeyId":  # Ceph's, of a key that KMS does not have
                    error.hint, error.denial = "", None
            if self.tags:
                needs.append(_TAGGING_RIGHT)
            error.hint = "; ".join(filter(None, [error.hint, *needs]))
        return error

    def _check_echo(self, operation: str, head: Head) -> None:
        if not self._seal:
            if self._encryption is not None and operation in _BEGINNINGS:
                self._check_encryption(operation, head, self._encryption)
            return
        algorithm = head.headers.get(_ALGORITHM_FIELD)
        key_md5 = head.headers.get(_KEY_MD5_FIELD, b"")
        if algorithm != _ALGORITHM or not hmac.compare_digest(key_md5, self._key_md5):
            error = NotSealedError(not_sealed_message(operation))
            error.version_id = head.get(b"x-amz-version-id")
            if algorithm is None and operation in READS:  # Ceph serves it all the same
                error.hint = UNSEALED_READ
            raise error

    def _check_encryption(self, operation: str, head: Head, asked: ServerSide) -> None:
        """The reply has to tell of the encryption `asked` for, for some servers pass it over."""
        told = told_in(head.headers)
        if not asked.is_met_by(told):
            error = not_as_asked(operation, asked, told)
            error.version_id = head.get(b"x-amz-version-id")
            raise error


def _take_back(reply: Reply, counter: Counter | None) -> None:
    """Take the bytes of a whole reply back: its content turned out to be of no use."""
    if counter is not None:
        counter.moved -= reply.counted


def _matching(reply: Reply, span: ByteRange | None, *, is_whole: bool = True) -> Received:
    """Check that the reply is the bytes asked for, or begins them (RFC 9110 14.4, 15.3.7)."""
    head = reply.head
    etag = head.get(b"etag")
    if not etag:
        raise IntegrityError("the reply to GetObject names no ETag")
    total = reply.size
    if span is not None:
        if head.status != 206:
            raise IntegrityError(f"the server answered {head.status} to a range")
        shown = head.get(b"content-range") or ""
        prefix = f"bytes {span.start}-{span.end - 1}/"
        total_text = shown.removeprefix(prefix)
        fits = reply.size == span.size if is_whole else reply.size <= span.size
        if not shown.startswith(prefix) or not total_text.isdigit() or not fits:
            raise IntegrityError("the server sent another range than was asked for")
        total = int(total_text)
    elif head.status != 200:
        raise IntegrityError(f"the server answered {head.status} to a GET without a range")
    return Received(reply.size, total, etag, head.get(b"x-amz-version-id"), facts_of(head), head)

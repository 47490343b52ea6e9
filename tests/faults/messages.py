"""What passes between the wire and the in-memory S3: one request, one reply, nothing else.

`wire` makes a `Request` of bytes, `s3` turns it into a `Reply`, `scripts` may bend either.
Header names are lower case everywhere inside; `wire` restores the capitals servers use.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, unquote
from xml.sax.saxutils import escape

# Sub-resources that choose an operation. The order matters: UploadPart carries both `uploadId`
# and `partNumber`, a GET with `partNumber` alone is another operation (and not served here).
_SUBRESOURCES = (
    "uploadId",
    "uploads",
    "partNumber",
    "delete",
    "list-type",
    "location",
    "encryption",
    "versioning",
    "attributes",
    "tagging",
    "acl",
    "policy",
    "lifecycle",
)

_OPERATIONS = {
    ("HEAD", "bucket", ""): "HeadBucket",
    ("PUT", "bucket", ""): "CreateBucket",
    ("GET", "bucket", ""): "ListObjects",
    ("GET", "bucket", "list-type"): "ListObjectsV2",
    ("GET", "bucket", "uploads"): "ListMultipartUploads",
    ("GET", "bucket", "location"): "GetBucketLocation",
    ("GET", "bucket", "encryption"): "GetBucketEncryption",
    ("PUT", "bucket", "encryption"): "PutBucketEncryption",
    ("GET", "bucket", "versioning"): "GetBucketVersioning",
    ("GET", "bucket", "lifecycle"): "GetBucketLifecycleConfiguration",
    ("POST", "bucket", "delete"): "DeleteObjects",
    ("GET", "object", ""): "GetObject",
    ("HEAD", "object", ""): "HeadObject",
    ("PUT", "object", ""): "PutObject",
    ("DELETE", "object", ""): "DeleteObject",
    ("GET", "object", "attributes"): "GetObjectAttributes",
    ("GET", "object", "tagging"): "GetObjectTagging",
    ("PUT", "object", "tagging"): "PutObjectTagging",
    ("POST", "object", "uploads"): "CreateMultipartUpload",
    ("PUT", "object", "uploadId"): "UploadPart",
    ("GET", "object", "uploadId"): "ListParts",
    ("POST", "object", "uploadId"): "CompleteMultipartUpload",
    ("DELETE", "object", "uploadId"): "AbortMultipartUpload",
}
_COPIES = {"PutObject": "CopyObject", "UploadPart": "UploadPartCopy"}


@dataclass(frozen=True, slots=True)
class Request:
    """One request as it came in; `body` is what was read, `body_length` what was announced."""

    method: str
    bucket: str
    name: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body_length: int
    body: bytes = field(default=b"", repr=False)  # a failing assertion must not print 100 MiB
    connection_id: int = 0
    target: str = ""
    at: float = 0.0
    """time.monotonic() when the head was read: lets a test look at backoff."""

    @property
    def operation(self) -> str:
        """The S3 name of what is asked, or "Unknown"."""
        scope = "object" if self.name else "bucket"
        chosen = next((word for word in _SUBRESOURCES if word in self.query), "")
        found = _OPERATIONS.get((self.method, scope, chosen), "Unknown")
        return _COPIES.get(found, found) if "x-amz-copy-source" in self.headers else found

    @property
    def part(self) -> int | None:
        """The part number, when the request has one."""
        number = self.query.get("partNumber", "")
        return int(number) if number.isdecimal() else None


def split_target(target: str) -> tuple[str, str, dict[str, str]]:
    """Bucket, name and query of a path-style target; UnicodeDecodeError when it is no UTF-8."""
    path, _, query = target.partition("?")
    bucket, _, name = path.removeprefix("/").partition("/")
    pairs = parse_qsl(query, keep_blank_values=True, errors="strict")
    return unquote(bucket), unquote(name, errors="strict"), dict(pairs)


@dataclass(frozen=True, slots=True)
class Reply:
    """Status, headers and body; a `content-length` among the headers wins over `len(body)`."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | memoryview = field(default=b"", repr=False)

    def but(self, **headers: str | None) -> Reply:
        """The same reply with headers set (underscores stand for dashes) or, by None, dropped."""
        changes = {name.replace("_", "-"): value for name, value in headers.items()}
        merged = {**self.headers, **changes}
        kept = {name: value for name, value in merged.items() if value is not None}
        return Reply(self.status, kept, self.body)


def element(tag: str, *content: str) -> str:
    """One XML element around content that is XML already."""
    return f"<{tag}>{''.join(content)}</{tag}>"


def text(tag: str, content: object) -> str:
    """One XML element around plain text. Control characters stay raw, as on real servers."""
    return element(tag, escape(str(content)))


def xml_reply(status: int, root: str) -> Reply:
    """A reply whose body is the given root element."""
    body = f'<?xml version="1.0" encoding="UTF-8"?>\n{root}'.encode()
    return Reply(status, {"content-type": "application/xml"}, body)


def error_root(code: str, message: str, extra: Mapping[str, str] | None = None) -> str:
    """The <Error> element S3 sends, also inside a reply of status 200."""
    details = [text(tag, value) for tag, value in (extra or {}).items()]
    return element("Error", text("Code", code), text("Message", message), *details)

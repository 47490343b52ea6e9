"""An S3 in memory: `serve` turns one request into one reply. No sockets, no faults, no waiting.

It answers what a careful client needs and refuses the rest with 501, so that nothing is taken
for done that was not. `dialect` chooses between what AWS documents and what Ceph RGW was
measured to do; where both agree there is no branch.
"""

from __future__ import annotations

import hashlib
import itertools
import re
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from email.utils import formatdate
from urllib.parse import unquote

from .customer import Dialect, S3Error, check_part, check_read, echo, given_key_md5, source_headers
from .digests import check_digests, crc64nvme, echo_checksums, full_object, sent_checksums
from .listing import iso, list_objects, list_parts, list_uploads
from .messages import Reply, Request, element, text, xml_reply
from .server_side import ENCRYPTION, Tags, listed_tags, sent_tags, server_side, tags_reply
from .stored import (
    Stored,
    Upload,
    check_whole,
    completed_reply,
    composite_etag,
    listed_parts,
    parse_range,
    parse_xml,
)

_MAX_SKEW = 15 * 60.0  # seconds, AWS and Ceph alike
_MAX_PARTS = 10_000
_KEPT = ("content-type", "cache-control", "content-disposition", "content-encoding", "expires")
_CREDENTIAL = re.compile(r"Credential=([^/,\s]+)")


class S3:
    """Buckets, objects and uploads, and the one way to ask for them."""

    def __init__(self, *, dialect: Dialect, secure: bool, buckets: Iterable[str]) -> None:
        self.dialect: Dialect = dialect
        self.secure = secure
        self.buckets = set(buckets)
        self.objects: dict[tuple[str, str], Stored] = {}
        self.uploads: dict[str, Upload] = {}
        self.tags: dict[tuple[str, str], Tags | None] = {}
        self.clock_offset = 0.0
        self.expired_tokens: set[str] = set()
        self.min_part_size = 5 * 1024 * 1024
        self._completed: dict[str, tuple[bytes, str]] = {}  # upload id -> its part list, ETag
        self._ids = itertools.count(1)

    def serve(self, request: Request) -> Reply:
        """Do what is asked and answer it."""
        try:
            self._admit(request)
            serve = _SERVED.get(request.operation)
            if serve is None:
                raise S3Error(501, "NotImplemented", f"{request.operation} is not served here.")
            reply = serve(self, request)
        except S3Error as error:
            reply = error.reply()
        return self.dress(request, reply)

    def dress(self, request: Request, reply: Reply) -> Reply:
        """Add what every reply has; a refused HEAD has no body, so no code either."""
        request_id = f"{next(self._ids):016X}"
        common = {"x-amz-request-id": request_id, "date": formatdate(self.now(), usegmt=True)}
        body = b"" if request.method == "HEAD" else reply.body
        return Reply(reply.status, {**common, **reply.headers}, body)

    def now(self) -> float:
        """The server's clock, which a test may set wrong."""
        return time.time() + self.clock_offset

    def store(
        self,
        bucket: str,
        name: str,
        body: bytes,
        headers: Mapping[str, str] | None = None,
        customer_key_md5: str | None = None,
    ) -> Stored:
        """Put an object there as PutObject does, without asking."""
        stored = self._sealed(body, headers or {}, customer_key_md5)
        self.objects[bucket, name] = stored
        self.tags[bucket, name] = sent_tags(headers or {})
        return stored

    # -- what every request must pass

    def _admit(self, request: Request) -> None:
        headers = request.headers
        self._check_clock(headers.get("x-amz-date"))
        access_key = _CREDENTIAL.search(headers.get("authorization", ""))
        shown = {headers.get("x-amz-security-token"), access_key and access_key[1]}
        if shown & self.expired_tokens:
            raise S3Error(400, "ExpiredToken", "The provided token has expired.")
        if request.bucket not in self.buckets and request.operation != "CreateBucket":
            raise S3Error(404, "NoSuchBucket", "The specified bucket does not exist")

    def _check_clock(self, signed_at: str | None) -> None:
        if signed_at is None:
            return
        then = datetime.strptime(signed_at, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp()
        if abs(self.now() - then) > _MAX_SKEW:
            message = "The difference between the request time and the current time is too large."
            extra = {"RequestTime": signed_at, "ServerTime": iso(self.now())}
            raise S3Error(403, "RequestTimeTooSkewed", message, extra)

    def _given_key(self, request: Request) -> str | None:
        return given_key_md5(request.headers, self.dialect, secure=self.secure)

    def _sealed(
        self, body: bytes, headers: Mapping[str, str], key_md5: str | None, etag: str | None = None
    ) -> Stored:
        kept = {
            name: value
            for name, value in headers.items()
            if name in _KEPT or name.startswith("x-amz-meta-")
        }
        kept |= server_side(headers, self.dialect)
        checksum = crc64nvme(body) if self.dialect == "aws" else None
        etag = etag or self._etag(body, key_md5)
        return Stored(body, kept, etag, key_md5, checksum, self.now())

    def _etag(self, body: bytes, key_md5: str | None) -> str:
        """MD5 of the content, but on AWS not under SSE-C: clients must not rely on it."""
        salt = key_md5 if key_md5 and self.dialect == "aws" else ""
        digest = hashlib.md5(salt.encode())
        digest.update(body)
        return digest.hexdigest()

    def _check_write(self, request: Request) -> None:
        """If-None-Match and If-Match of PutObject and Complete."""
        existing = self.objects.get((request.bucket, request.name))
        ceph_complete = self.dialect == "ceph" and request.method == "POST"
        if existing and "if-none-match" in request.headers and not ceph_complete:
            raise _precondition()
        if (wanted := request.headers.get("if-match")) is None:
            return
        if existing is None:
            raise _no_such_key(request)
        quoted = self.dialect == "aws"  # Ceph takes only the bare ETag here
        if wanted not in (existing.etag, "*") and not (quoted and wanted == f'"{existing.etag}"'):
            raise _precondition()

    # -- objects

    def _put_object(self, request: Request) -> Reply:
        key_md5 = self._given_key(request)
        check_digests(request.headers, request.body, self.dialect)
        self._check_write(request)
        stored = self.store(request.bucket, request.name, request.body, request.headers, key_md5)
        stored = replace(stored, sums=sent_checksums(request.headers))
        self.objects[request.bucket, request.name] = stored
        sums = full_object(stored.crc64nvme, stored.sums)
        told = server_side(request.headers, self.dialect)
        return Reply(200, {"etag": f'"{stored.etag}"', **sums, **echo(key_md5), **told})

    def _read_object(self, request: Request) -> Reply:
        stored = self.objects.get((request.bucket, request.name))
        if stored is None:
            raise _no_such_key(request)
        etag, headers = f'"{stored.etag}"', request.headers
        if self.dialect == "ceph" and "range" in headers:  # it looks at this before the key
            parse_range(headers["range"], stored.size)
        check_read(stored.customer_key_md5, self._given_key(request), self.dialect)
        wanted, unwanted = headers.get("if-match", "*"), headers.get("if-none-match", "")
        if wanted.strip('"') not in (stored.etag, "*"):
            raise _precondition()
        if unwanted.strip('"') == stored.etag:
            return Reply(304, {"etag": etag})
        reply = {
            "etag": etag,
            "last-modified": formatdate(stored.modified, usegmt=True),
            "accept-ranges": "bytes",
            "content-type": "binary/octet-stream",
            **stored.headers,
            **echo(stored.customer_key_md5),
        }
        tags = self.tags.get((request.bucket, request.name))
        if tags:
            reply["x-amz-tagging-count"] = str(len(tags))
        size = stored.size
        if "range" in headers:
            first, last = parse_range(headers["range"], size)
            reply["content-range"] = f"bytes {first}-{last}/{size}"
            reply["content-length"] = str(last + 1 - first)
            return Reply(206, reply, memoryview(stored.body)[first : last + 1])
        reply["content-length"] = str(size)
        if headers.get("x-amz-checksum-mode", "").upper() == "ENABLED":
            reply |= full_object(stored.crc64nvme, stored.sums)
        return Reply(200, reply, stored.body)

    def _copy_source(self, request: Request) -> Stored:
        """The object a copy reads, under the key that the request names for it."""
        stored = self.objects.get(_source_of(request))
        if stored is None:
            raise _no_such_key(request)
        if self.dialect == "aws":
            headers = source_headers(request.headers)
            given = given_key_md5(headers, self.dialect, secure=self.secure)
            check_read(stored.customer_key_md5, given, self.dialect)
        if request.headers.get("x-amz-copy-source-if-match", "*").strip('"') not in (
            stored.etag, "*",
        ):  # fmt: skip
            raise _precondition()
        return stored

    def _copy_object(self, request: Request) -> Reply:
        """Ceph 16 copies no sealed objects, and seals no copies."""
        key_md5, source = self._given_key(request), self._copy_source(request)
        if self.dialect == "ceph":
            if source.customer_key_md5 is not None:
                raise S3Error(501, "NotImplemented")
            key_md5 = None
        kept = {name: value for name, value in source.headers.items() if name not in ENCRYPTION}
        told = server_side(request.headers, self.dialect) if self.dialect == "aws" else {}
        bucket, name = request.bucket, request.name
        tags = self.tags.get(_source_of(request))
        stored = self.store(bucket, name, source.body, kept | told, key_md5)
        replaced = request.headers.get("x-amz-tagging-directive") == "REPLACE"
        if self.dialect == "aws" and replaced:
            tags = sent_tags(request.headers)
        self.tags[bucket, name] = tags
        return _copied("CopyObjectResult", stored).but(**echo(key_md5), **told)

    def _get_tags(self, request: Request) -> Reply:
        if (request.bucket, request.name) not in self.objects:
            raise _no_such_key(request)
        return tags_reply(self.tags.get((request.bucket, request.name), {}))

    def _put_tags(self, request: Request) -> Reply:
        if (request.bucket, request.name) not in self.objects:
            raise _no_such_key(request)
        check_digests(request.headers, request.body, self.dialect)
        self.tags[request.bucket, request.name] = listed_tags(request.body)
        return Reply(200)

    def _copy_part(self, request: Request) -> Reply:
        """Ceph 16 reads the source under the upload's key, and does not echo it."""
        upload, source = self._upload_of(request), self._copy_source(request)
        check_part(upload.customer_key_md5, self._given_key(request), self.dialect)
        if self.dialect == "ceph" and source.customer_key_md5 is not None:
            check_read(source.customer_key_md5, upload.customer_key_md5, self.dialect)
        first, last = parse_range(request.headers["x-amz-copy-source-range"], source.size)
        part = self._sealed(source.body[first : last + 1], {}, upload.customer_key_md5)
        upload.parts[request.part or 0] = part
        shown = echo(upload.customer_key_md5) if self.dialect == "aws" else {}
        return _copied("CopyPartResult", part).but(**shown)

    def _delete_object(self, request: Request) -> Reply:
        self.objects.pop((request.bucket, request.name), None)
        return Reply(204)

    def _delete_objects(self, request: Request) -> Reply:
        names = [
            node.text or "" for node in parse_xml(request.body).iterfind(".//{*}Object/{*}Key")
        ]
        for name in names:
            self.objects.pop((request.bucket, name), None)
        return xml_reply(
            200, element("DeleteResult", *(element("Deleted", text("Key", n)) for n in names))
        )

    # -- multipart uploads

    def _upload_of(self, request: Request) -> Upload:
        upload = self.uploads.get(request.query["uploadId"])
        if upload is None or (upload.bucket, upload.name) != (request.bucket, request.name):
            message = "The specified multipart upload does not exist."
            raise S3Error(404, "NoSuchUpload", message)
        return upload

    def _create_upload(self, request: Request) -> Reply:
        key_md5 = self._given_key(request)
        bucket, name = request.bucket, request.name
        upload_id = f"upload-{next(self._ids):06d}"
        self.uploads[upload_id] = Upload(bucket, name, request.headers, key_md5, self.now())
        sums = ("x-amz-checksum-algorithm", "x-amz-checksum-type") if self.dialect == "aws" else ()
        repeated = {name: request.headers[name] for name in sums if name in request.headers}
        root = element(
            "InitiateMultipartUploadResult",
            text("Bucket", bucket),
            text("Key", name),
            text("UploadId", upload_id),
        )
        told = server_side(request.headers, self.dialect)
        return xml_reply(200, root).but(**repeated, **echo(key_md5), **told)

    def _upload_part(self, request: Request) -> Reply:
        upload, number = self._upload_of(request), request.part
        if number is None or not 1 <= number <= _MAX_PARTS:
            message = "Part number must be an integer between 1 and 10000, inclusive"
            raise S3Error(400, "InvalidArgument", message)
        check_part(upload.customer_key_md5, self._given_key(request), self.dialect)
        check_digests(request.headers, request.body, self.dialect)
        part = self._sealed(request.body, {}, upload.customer_key_md5)
        upload.parts[number] = part
        sums = echo_checksums(request.headers, self.dialect)
        return Reply(200, {"etag": f'"{part.etag}"', **sums, **echo(upload.customer_key_md5)})

    def _complete(self, request: Request) -> Reply:
        if self.dialect == "ceph" and request.query["uploadId"] not in self.uploads:
            return self._complete_again(request)
        upload = self._upload_of(request)
        if self.dialect == "aws":
            check_part(upload.customer_key_md5, self._given_key(request), self.dialect)
        self._check_write(request)
        parts = listed_parts(upload, request.body, self.dialect, self.min_part_size)
        body = b"".join(part.body for part in parts)
        stored = self._sealed(body, upload.headers, upload.customer_key_md5, composite_etag(parts))
        if stored.crc64nvme is not None:
            check_whole(request.headers, stored)
        self.objects[upload.bucket, upload.name] = stored
        tags = sent_tags(upload.headers)
        self.tags[upload.bucket, upload.name] = None if tags and self.dialect == "ceph" else tags
        del self.uploads[request.query["uploadId"]]
        self._completed[request.query["uploadId"]] = (request.body, stored.etag)
        return completed_reply(request, stored)

    def _complete_again(self, request: Request) -> Reply:
        """Ceph repeats the success for the same list while the object is still that one."""
        stored = self.objects.get((request.bucket, request.name))
        known = self._completed.get(request.query["uploadId"])
        if stored is None or known != (request.body, stored.etag):
            message = "This multipart completion is already in progress"
            raise S3Error(500, "InternalError", message)
        return completed_reply(request, stored)

    def _abort(self, request: Request) -> Reply:
        self._upload_of(request)
        del self.uploads[request.query["uploadId"]]
        return Reply(204)

    # -- listings and buckets

    def _list_parts(self, request: Request) -> Reply:
        parts, upload_id = self._upload_of(request).parts, request.query["uploadId"]
        root = list_parts(request.bucket, request.name, upload_id, parts, request.query)
        return xml_reply(200, root)

    def _list_uploads(self, request: Request) -> Reply:
        mine = [
            (upload.name, upload_id, upload.created)
            for upload_id, upload in self.uploads.items()
            if upload.bucket == request.bucket
        ]
        return xml_reply(200, list_uploads(request.bucket, mine, request.query, self.dialect))

    def _list_objects(self, request: Request) -> Reply:
        bucket = request.bucket
        mine = {name: stored for (place, name), stored in self.objects.items() if place == bucket}
        return xml_reply(200, list_objects(bucket, mine, request.query, self.dialect))

    def _head_bucket(self, _request: Request) -> Reply:
        return Reply(200, {"x-amz-bucket-region": "us-east-1"})

    def _create_bucket(self, request: Request) -> Reply:
        self.buckets.add(request.bucket)
        return Reply(200, {"location": f"/{request.bucket}"})

    def _bucket_location(self, _request: Request) -> Reply:
        return xml_reply(200, "<LocationConstraint/>")  # empty means us-east-1

    def replace_object(
        self, bucket: str, name: str, body: bytes | None, customer_key_md5: str | None
    ) -> None:
        """Another writer's act: new content, or with None the same sealed under another key.

        The ETag then stays, as it does on both servers measured.
        """
        old = self.objects[bucket, name]
        key_md5 = customer_key_md5 or old.customer_key_md5
        if body is None:
            self.objects[bucket, name] = replace(old, customer_key_md5=key_md5)
        else:
            self.store(bucket, name, body, old.headers, key_md5)


def _source_of(request: Request) -> tuple[str, str]:
    bucket, _, name = unquote(request.headers["x-amz-copy-source"]).lstrip("/").partition("/")
    return bucket, name


def _copied(tag: str, stored: Stored) -> Reply:
    return xml_reply(200, element(tag, text("ETag", f'"{stored.etag}"')))


def _precondition() -> S3Error:
    message = "At least one of the pre-conditions you specified did not hold"
    return S3Error(412, "PreconditionFailed", message)


def _no_such_key(request: Request) -> S3Error:
    message = "The specified key does not exist."
    return S3Error(404, "NoSuchKey", message, {"Key": request.name})


_SERVED: Mapping[str, Callable[[S3, Request], Reply]] = {
    "PutObject": S3._put_object,
    "GetObject": S3._read_object,
    "HeadObject": S3._read_object,
    "GetObjectTagging": S3._get_tags,
    "PutObjectTagging": S3._put_tags,
    "CopyObject": S3._copy_object,
    "UploadPartCopy": S3._copy_part,
    "DeleteObject": S3._delete_object,
    "DeleteObjects": S3._delete_objects,
    "CreateMultipartUpload": S3._create_upload,
    "UploadPart": S3._upload_part,
    "CompleteMultipartUpload": S3._complete,
    "AbortMultipartUpload": S3._abort,
    "ListParts": S3._list_parts,
    "ListMultipartUploads": S3._list_uploads,
    "ListObjectsV2": S3._list_objects,
    "HeadBucket": S3._head_bucket,
    "CreateBucket": S3._create_bucket,
    "GetBucketLocation": S3._bucket_location,
}

"""The rarer requests to a bucket, each one attempt: what comes before and after an object's bytes.

`reach`, HeadObject, DeleteObject, DeleteObjects, CopyObject and UploadPartCopy, and by way of
`uploads` those of multipart uploads, of `pages` LIST. The customer key goes on every request that
S3 lets carry it. See `operations` for what all requests share.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sealift.checksums import Digest, encode
from sealift.encryption import ServerSide, told_in
from sealift.errors import (
    Cause,
    IntegrityError,
    ObjectChangedError,
    ObjectError,
    ProtocolError,
    ReplyError,
    WrongCustomerKeyError,
)
from sealift.keys import KEY_MD5_HEADER, CustomerKey
from sealift.metadata import FileFacts
from sealift.model import Location, Part
from sealift.replies import http_seconds
from sealift.wire.address import AWS_DOMAINS
from sealift.wire.deletion import delete_lists, failures_in, fits_in_xml
from sealift.wire.heads import (
    CRC_HEADER,
    carried_headers,
    facts_of,
    kept_headers,
    noted_tags,
    tag_count,
)
from sealift.wire.http1 import Head
from sealift.wire.listing import parse_page
from sealift.wire.multipart import named_etag
from sealift.wire.operations import REPLACED, Bucket, Headers
from sealift.wire.pages import page_room
from sealift.wire.sigv4 import query_string, uri_path
from sealift.wire.tagging import parse_tags, tag_set, tagging_header
from sealift.wire.uploads import MultipartClient

# Requests in flight for the names of one `delete_objects` that go one by one.
SINGLE_DELETES = 16
_FIRST = "bytes=0-0"
# Of what was written while the bucket had no versions; MiniStack and HEAD do not name it.
NULL_VERSION = "null"


@dataclass(frozen=True, slots=True)
class HeadFacts:
    """What HEAD says of an object. `modified` in seconds since the epoch.

    `sealed` says that the reply echoed the customer key that was sent, or told of the encryption
    that objects are to have (or that neither was asked for). `key_md5` tells which customer key
    sealed the object, `encryption` what the server encrypted by itself: both None of a plain one.
    `carried` describes a copy as this object is; `kept` are the headers by which one is stored and
    held as this one is; `noted_tags` those that it is to have and may lack. `tag_count` is 0 also
    where the server does not tell.
    """

    size: int
    etag: str
    version_id: str | None
    modified: float
    storage_class: str
    content_type: str
    key_md5: str | None
    encryption: ServerSide | None
    facts: FileFacts
    sealed: bool
    carried: Headers
    kept: Headers
    noted_tags: dict[str, str]
    tag_count: int = 0


class BucketClient(MultipartClient):
    """All that is asked of one bucket under one customer key (None: no SSE-C)."""

    _deletes_lists = True

    def under(
        self, customer_key: CustomerKey | None, encryption: ServerSide | None = None
    ) -> BucketClient:
        """A client of the same bucket, over the same connections, for objects sealed otherwise."""
        return BucketClient(
            self._pool,
            self._bucket,
            self._identity,
            customer_key,
            encryption,
            self._now,
            tag_key_id=self._tag_key_id,
        )

    @property
    def scope(self) -> str:
        """What tells this bucket from every other, as `https://host:port/bucket`.

        The same by path and by virtual host. On AWS, where a name is taken but once, also the same
        in every region and by every kind of endpoint.
        """
        bucket = self._bucket
        host = bucket.netloc
        if bucket.base_path == "/":
            host = host.removeprefix(f"{bucket.name}.")
        for domain in AWS_DOMAINS:
            if host.endswith(domain):
                host = f"s3{domain}"
        return f"https://{host}/{bucket.name}"

    @property
    def address(self) -> Bucket:
        """How the bucket is reached."""
        return self._bucket

    @property
    def key_id(self) -> str | None:
        """The id of the customer key."""
        return None if self._customer_key is None else self._customer_key.key_id

    @property
    def seal_id(self) -> str | None:
        """What new objects are under: a customer key's id, or as `aws:kms:ID`; None: as the bucket
        has it."""
        return self.key_id or (None if self._encryption is None else str(self._encryption))

    @property
    def answer_time(self) -> float:
        """Seconds that the server took to answer first, 0 before that."""
        return self._pool.answer_time or 0.0

    async def reach(self) -> None:
        """Ask whether bucket, endpoint, credentials and clock are right: a listing of no names.

        A HEAD would not do: its errors have no body to tell what is wrong.
        """
        query = query_string(
            [("list-type", "2"), ("encoding-type", "url"), ("max-keys", "0"), ("prefix", "")]
        )
        path = self._bucket.path
        body = await self._ask("ListObjectsV2", "GET", path, query, {})
        parse_page(body[1])

    async def head_object(self, name: str, *, check_echo: bool = True) -> HeadFacts:
        """HEAD with the customer key, its echo checked."""
        path = self._path(name)
        headers = self._seal | {"x-amz-checksum-mode": "ENABLED"}
        try:
            reply, _ = await self._ask("HeadObject", "HEAD", path, "", headers)
        except ReplyError as error:
            # A sealed object answers nothing but 400 to whoever has no customer key.
            if isinstance(error, WrongCustomerKeyError) or (error.status, error.code) == (400, ""):
                raise await self._told_by_get(path, error) from None
            raise
        head = reply.head
        if check_echo:
            self._check_echo("HeadObject", head)
        modified = http_seconds(head.get(b"last-modified")) or 0.0
        return HeadFacts(
            size=_size(head),
            etag=_required("HeadObject", head, b"etag"),
            version_id=head.get(b"x-amz-version-id"),
            modified=modified,
            storage_class=head.get(b"x-amz-storage-class") or "STANDARD",
            content_type=head.get(b"content-type") or "",
            key_md5=head.get(KEY_MD5_HEADER.encode()),
            encryption=told_in(head.headers),
            facts=facts_of(head),
            sealed=self._echoed(head),
            carried=carried_headers(head),
            kept=kept_headers(head),
            noted_tags=noted_tags(head),
            tag_count=tag_count(head),
        )

    async def read_first_byte(self, name: str) -> None:
        """GET of one byte, to see whether that is refused; nothing is checked."""
        await self._ask("GetObject", "GET", self._path(name), "", self._seal | {"range": _FIRST})

    async def _told_by_get(self, path: str, bare: ReplyError) -> ObjectError:
        """What a refused HEAD meant, which has no body to tell: the error of a GET of one byte.

        A wrong key, expired credentials and a wrong clock all answer 400 or 403 to HEAD. An empty
        object has no byte, which Ceph says before it looks at the key. When GET is not refused,
        credentials or the clock were put right meanwhile: HEAD may be asked again.
        """
        for span in ({"range": _FIRST}, {}):
            try:
                await self._ask("HeadObject", "GET", path, "", self._seal | span)
            except ReplyError as told:
                if told.status != 416:
                    return told
            except ObjectError as failed:
                return failed
            else:
                break
        text = "it was refused, and GET is not"
        return ReplyError("HeadObject", bare.status, "", text, cause=Cause.SERVER)

    async def delete_object(self, name: str, version_id: str | None = None) -> None:
        """DeleteObject; with `version_id` that version for good."""
        query = "" if version_id is None else query_string([("versionId", version_id)])
        await self._ask("DeleteObject", "DELETE", self._path(name), query, {})

    async def erase_object(self, name: str) -> None:
        """DeleteObject of what has no version id.

        Where the bucket's versions are suspended, a delete marker takes its place and goes too.
        https://docs.aws.amazon.com/AmazonS3/latest/userguide/DeletingObjectsfromVersioningSuspendedBuckets.html
        """
        reply, _ = await self._ask("DeleteObject", "DELETE", self._path(name), "", {})
        head = reply.head
        if head.get(b"x-amz-delete-marker") == "true":
            version_id = head.get(b"x-amz-version-id")
            if version_id == NULL_VERSION:  # another one hides what has a version id
                await self.delete_object(name, version_id)

    async def delete_objects(self, names: Sequence[str]) -> dict[str, ReplyError]:
        """Remove objects, up to 1,000 by one request; the failures by name, empty: all are gone.

        An object that is not there counts as removed. Names that XML does not carry faithfully go
        one by one, and so do all once the server has answered that it does not know DeleteObjects.
        """
        singles = [name for name in names if not fits_in_xml(name)]
        failures: dict[str, ReplyError] = {}
        for listed, document in delete_lists(name for name in names if fits_in_xml(name)):
            if self._deletes_lists:
                try:
                    failures |= await self._delete_list(listed, document)
                    continue
                except ReplyError as error:
                    if error.status not in (405, 501):
                        raise
                    self._deletes_lists = False
            singles += listed
        return failures | await self._delete_singly(singles)

    async def _delete_list(self, listed: Sequence[str], document: bytes) -> dict[str, ReplyError]:
        headers = _digest_headers(document)
        path = self._bucket.path
        room = page_room()  # 1,000 failures are long
        reply, body = await self._ask(
            "DeleteObjects", "POST", path, "delete=", headers, document, room
        )
        return failures_in(body, reply.head.status, listed)

    async def _delete_singly(self, names: Sequence[str]) -> dict[str, ReplyError]:
        """DeleteObject for each, several at once; raises the first error that is no reply."""
        failures: dict[str, ReplyError] = {}
        broken: list[ObjectError] = []
        rest = iter(names)

        async def delete_some() -> None:
            for name in rest:
                try:
                    await self.delete_object(name)
                except ReplyError as error:
                    if error.code != "NoSuchKey":
                        failures[name] = error
                except ObjectError as error:
                    broken.append(error)
                if broken:
                    return

        async with asyncio.TaskGroup() as group:
            for _ in range(min(SINGLE_DELETES, len(names))):
                group.create_task(delete_some())
        if broken:
            raise broken[0]
        return failures

    # Tags

    async def get_object_tagging(self, name: str) -> dict[str, str]:
        """GetObjectTagging: the tags of an object, which no customer key is needed for.

        https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObjectTagging.html
        """
        _, body = await self._ask("GetObjectTagging", "GET", self._path(name), "tagging=", {})
        return parse_tags(body)

    async def put_object_tagging(self, name: str, tags: Mapping[str, str]) -> None:
        """PutObjectTagging: `tags` in the place of all that the object has.

        https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObjectTagging.html
        """
        document = tag_set(tags)
        headers = _digest_headers(document)
        path = self._path(name)
        await self._ask("PutObjectTagging", "PUT", path, "tagging=", headers, document)

    # Copies on the server

    async def copy_object(
        self,
        name: str,
        source: BucketClient,
        location: Location,
        condition: Headers | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> str:
        """CopyObject of `location`, which `source` reads, with its metadata; returns the ETag.

        It is made on a `condition` such as `{"if-none-match": "*"}`. `tags` are the copy's; None:
        those of the source.

        Both customer keys go along, each for its side. At most 5 GiB; both buckets on this server.
        NotSealedError: an object is there, and not encrypted as asked.
        https://docs.aws.amazon.com/AmazonS3/latest/API/API_CopyObject.html
        """
        headers = self._new_seal | source.copy_source(location)
        headers["x-amz-metadata-directive"] = "COPY"
        if tags is not None:
            headers |= {"x-amz-tagging-directive": "REPLACE"} | tagging_header(tags)
        if condition is not None:
            headers |= condition
        return await self._copy("CopyObject", self._path(name), "", headers)

    async def copy_part(
        self,
        name: str,
        upload_id: str,
        part: Part,
        source: BucketClient,
        location: Location,
        etag: str,
    ) -> str:
        """UploadPartCopy of a range of the version `etag` of `location`; returns the part's ETag.

        https://docs.aws.amazon.com/AmazonS3/latest/API/API_UploadPartCopy.html
        """
        query = query_string([("partNumber", str(part.number)), ("uploadId", upload_id)])
        headers = self._seal | source.copy_source(location)
        headers |= {
            "x-amz-copy-source-if-match": etag,
            "x-amz-copy-source-range": part.span.header(),
        }
        try:
            return await self._copy("UploadPartCopy", self._path(name), query, headers)
        except ReplyError as error:
            if error.status == 412:
                raise ObjectChangedError(REPLACED) from None
            raise

    def copy_source(self, location: Location) -> Headers:
        """The headers that name an object of this bucket as a copy's source, under its key."""
        key = self._customer_key
        headers = {} if key is None else dict(key.copy_source_headers())
        return headers | {"x-amz-copy-source": f"/{location.bucket}/{uri_path(location.name)}"}

    async def _copy(self, operation: str, path: str, query: str, headers: Headers) -> str:
        reply, body = await self._ask(operation, "PUT", path, query, headers, b"")
        self._check_echo(operation, reply.head)
        etag = named_etag(body)
        if etag is None:
            raise IntegrityError(f"{operation}: the reply names no ETag")
        return etag


def _digest_headers(document: bytes) -> Headers:
    """Of a request with an XML document; AWS wants one of the two digests, Ceph 16 the second."""
    digest = Digest(document, with_md5=True)
    return {
        CRC_HEADER: encode(digest.crc),
        "content-md5": digest.content_md5 or "",
        "content-type": "application/xml",
    }


def _required(operation: str, head: Head, name: bytes) -> str:
    """A header that no reply may lack."""
    value = head.get(name)
    if not value:
        raise ProtocolError(f"{operation}: the reply has no {name.decode()}")
    return value


def _size(head: Head) -> int:
    text = _required("HeadObject", head, b"content-length")
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise ProtocolError("HeadObject: the reply has a size that is no number")
    return int(text)

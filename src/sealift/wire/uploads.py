"""The requests of a multipart upload but for its parts, each one attempt, and what is unfinished.

Create-, Complete- and AbortMultipartUpload, ListParts and ListMultipartUploads. See `operations`
for what all requests share.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from sealift.checksums import encode
from sealift.encryption import told_in
from sealift.errors import IntegrityError, NotSealedError, ObjectError, ReplyError
from sealift.metadata import PREFIX, FileFacts
from sealift.model import KiB, PartDone
from sealift.wire.failures import error_of
from sealift.wire.heads import CRC_HEADER
from sealift.wire.http1 import Head
from sealift.wire.multipart import (
    OpenUpload,
    ServerPart,
    completed_etag,
    is_error,
    parse_parts,
    parse_uploads,
    part_list,
    upload_id,
)
from sealift.wire.operations import Headers
from sealift.wire.pages import ListingClient, page_room
from sealift.wire.receiving import Reply
from sealift.wire.sigv4 import query_string

# The replies to Create and Complete are below 4 KiB, and a listing of no names is.
ROOM_SIZE = 64 * KiB
_CHECKSUM_TYPE = "x-amz-checksum-type"
_WHOLE = "FULL_OBJECT"


@dataclass(frozen=True, slots=True)
class MultipartStart:
    """A created upload. `whole_crc` says that the server will keep a CRC64NVME of the whole."""

    upload_id: str
    whole_crc: bool


class Completed(NamedTuple):
    """A completed upload. `echoed` says that the reply tells of the encryption asked for."""

    etag: str
    version_id: str | None
    echoed: bool


class MultipartClient(ListingClient):
    """What is asked about uploads to one bucket."""

    async def create_multipart_upload(
        self,
        name: str,
        content_type: str | None,
        facts: FileFacts,
        carried: Headers | None = None,
        *,
        whole_crc: bool,
    ) -> MultipartStart:
        """CreateMultipartUpload; with `whole_crc` the server is asked to keep the whole's CRC.

        It is sent once only: each that arrives makes an upload, and whoever calls is to know of it.
        `carried` describes the object further; see `heads.carried_headers`.
        """
        headers = self._new_headers | {
            PREFIX + key: value for key, value in facts.metadata().items()
        }
        if content_type is not None:
            headers["content-type"] = content_type
        if carried is not None:
            headers |= carried
        if whole_crc:
            headers |= {"x-amz-checksum-algorithm": "CRC64NVME", _CHECKSUM_TYPE: _WHOLE}
        reply, body = await self._ask(
            "CreateMultipartUpload",
            "POST",
            self._path(name),
            "uploads=",
            headers,
            b"",
            again=False,
        )
        created = upload_id(body)
        try:
            self._check_echo("CreateMultipartUpload", reply.head)
        except NotSealedError as error:
            try:
                await self.abort_multipart_upload(name, created)
            except ObjectError:
                error.hint = f"the unfinished upload {created} is still on the server"
            raise
        return MultipartStart(created, reply.head.get(_CHECKSUM_TYPE.encode()) == _WHOLE)

    async def complete_multipart_upload(
        self,
        name: str,
        upload_id: str,
        parts: Sequence[PartDone],
        crc: int | None,
        condition: Headers | None = None,
    ) -> Completed:
        """CompleteMultipartUpload, on a `condition` such as `{"if-none-match": "*"}`.

        With `crc` the server holds a CRC64NVME of every part and compares the whole to `crc`.
        """
        headers = self._seal | {"content-type": "application/xml"}
        if condition is not None:
            headers |= condition
        if crc is not None:
            headers |= {CRC_HEADER: encode(crc), _CHECKSUM_TYPE: _WHOLE}
        reply, body = await self._ask(
            "CompleteMultipartUpload",
            "POST",
            self._path(name),
            query_string([("uploadId", upload_id)]),
            headers,
            part_list(parts, with_crc=crc is not None),
        )
        etag = completed_etag(body)
        if etag is None:  # an empty or foreign body (measured: three peers call it success)
            raise IntegrityError("CompleteMultipartUpload: the reply names no ETag")
        version_id = reply.head.get(b"x-amz-version-id")
        return Completed(etag, version_id, self._echoed(reply.head))

    async def abort_multipart_upload(self, name: str, upload_id: str) -> None:
        """AbortMultipartUpload; an upload that is gone already is no error."""
        query = query_string([("uploadId", upload_id)])
        try:
            await self._ask("AbortMultipartUpload", "DELETE", self._path(name), query, {})
        except ReplyError as error:
            if error.status != 404:
                raise

    async def list_parts(self, name: str, upload_id: str) -> list[ServerPart] | None:
        """ListParts: all parts that the server has; None when there is no such upload.

        https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListParts.html
        """
        found: list[ServerPart] = []
        marker = 0
        while True:
            query = query_string([("part-number-marker", str(marker)), ("uploadId", upload_id)])
            try:
                _, body = await self._ask(
                    "ListParts",
                    "GET",
                    self._path(name),
                    query,
                    self._seal.copy(),
                    None,
                    page_room(),
                )
            except ReplyError as error:
                if error.code in ("NoSuchUpload", "NoSuchKey"):  # the second is Ceph's
                    return None
                raise
            parts, following = parse_parts(body)
            found += parts
            if following is None:
                return found
            if following <= marker:
                raise IntegrityError("ListParts: the list stops in the middle")
            marker = following

    async def list_uploads(self, name: str) -> list[OpenUpload]:
        """ListMultipartUploads: the unfinished uploads of the object `name`.

        https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListMultipartUploads.html
        """
        return [upload for key, upload in await self.list_uploads_below(name) if key == name]

    async def list_uploads_below(self, prefix: str) -> list[tuple[str, OpenUpload]]:
        """The unfinished uploads of all objects whose names start with `prefix`, with the names."""
        found: list[tuple[str, OpenUpload]] = []
        marker = ("", "")
        seen = {marker}  # those of one name are in the order of their time, not of their ids
        path = self._bucket.path
        while True:
            params = [("encoding-type", "url"), ("prefix", prefix), ("uploads", "")]
            if marker[0]:
                params += [("key-marker", marker[0]), ("upload-id-marker", marker[1])]
            _, body = await self._ask(
                "ListMultipartUploads",
                "GET",
                path,
                query_string(sorted(params)),
                {},
                None,
                page_room(),
            )
            uploads, following = parse_uploads(body)
            found += uploads
            if following is None:
                return found
            if following in seen:
                raise IntegrityError("ListMultipartUploads: the list stops in the middle")
            seen.add(following)
            marker = following

    # All of them

    async def _ask(
        self,
        operation: str,
        method: str,
        path: str,
        query: str,
        headers: Headers,
        content: bytes | None = None,
        room: memoryview | None = None,
        *,
        again: bool = True,
    ) -> tuple[Reply, bytes]:
        """The reply to a request and its body; an error, also one of status 200, is raised."""
        size = None if content is None else len(content)
        request = self._request(method, path, query, headers, size)
        if room is None:
            room = memoryview(bytearray(ROOM_SIZE))
        reply = await self._pool.exchange(
            method, request, memoryview(content) if content else None, room, again=again
        )
        body = bytes(room[: reply.size])
        if reply.error_body is not None:
            raise self._refused(operation, reply, headers)
        if is_error(body):
            failed = replace(reply.head, status=500)
            raise error_of(operation, replace(reply, head=failed, error_body=body), headers)
        return reply, body

    def _echoed(self, head: Head) -> bool:
        """Whether the reply says that the object is encrypted as this client asks for."""
        if self._encryption is not None:
            return self._encryption.is_met_by(told_in(head.headers))
        try:
            self._check_echo("HeadObject", head)
        except NotSealedError:
            return False
        return True

"""ListObjectsV2 and ListObjectVersions, each page one attempt, and GET of an older version.

Listings have no use for the customer key and do not carry it.

See `operations` for what all requests share.
"""

from __future__ import annotations

import mmap

from sealift.errors import Cause, IntegrityError, ProtocolError, UnsafeNameError
from sealift.model import MiB
from sealift.wire.failures import error_of
from sealift.wire.http1 import Head
from sealift.wire.listing import Page, parse_page
from sealift.wire.operations import ObjectClient
from sealift.wire.sigv4 import query_string
from sealift.wire.versions import OPERATION, VersionPage, parse_versions

# 1000 names of 1024 bytes, each byte as %XX, are 3 MiB.
MAX_PAGE_SIZE = 16 * MiB


class ListingClient(ObjectClient):
    """What is asked about the names of one bucket."""

    async def list_page(
        self,
        prefix: str,
        token: str | None = None,
        delimiter: str = "",
        limit: int = 1000,
        after: str = "",
    ) -> Page:
        """One page of the names that start with `prefix`, cut after the next `delimiter`.

        It goes on where the page with the `token` ended, or behind the name `after`. Raises
        ReplyError, NetworkError, IntegrityError, UnsafeNameError.
        """
        params = [
            ("list-type", "2"),
            ("encoding-type", "url"),  # XML cannot hold every name
            ("max-keys", str(limit)),
            ("prefix", prefix),
        ]
        if delimiter:
            params.append(("delimiter", delimiter))
        if token is not None:
            params.append(("continuation-token", token))
        elif after:
            params.append(("start-after", after))
        try:
            query = query_string(params)
        except UnicodeEncodeError:
            raise UnsafeNameError("the prefix is not UTF-8") from None
        request = self._request("GET", self._bucket.path, query, {}, None)
        room = page_room()
        reply = await self._pool.exchange("GET", request, None, room)
        if reply.error_body is not None:
            raise error_of("ListObjectsV2", reply, {})
        if reply.too_long:
            raise ProtocolError(
                f"ListObjectsV2: a page of more than {MAX_PAGE_SIZE} bytes", cause=Cause.PERMANENT
            )
        page = parse_page(room[: reply.size])
        if page.next_token == "":
            raise IntegrityError(
                "ListObjectsV2: the listing stops in the middle: the server gives no next page"
            )
        return page

    async def list_versions(
        self, prefix: str, following: tuple[str, str] | None = None, limit: int = 1000
    ) -> VersionPage:
        """One page of all versions of the names that start with `prefix`.

        It goes on behind the name and version id `following`. Raises ReplyError, NetworkError,
        UnsafeNameError.
        """
        params = [("encoding-type", "url"), ("max-keys", str(limit)), ("prefix", prefix)]
        if following is not None:
            params += [("key-marker", following[0]), ("version-id-marker", following[1])]
        try:
            query = query_string([*params, ("versions", "")])
        except UnicodeEncodeError:
            raise UnsafeNameError("the prefix is not UTF-8") from None
        request = self._request("GET", self._bucket.path, query, {}, None)
        room = page_room()
        reply = await self._pool.exchange("GET", request, None, room)
        if reply.error_body is not None:
            raise error_of(OPERATION, reply, {})
        if reply.too_long:
            raise ProtocolError(
                f"{OPERATION}: a page of more than {MAX_PAGE_SIZE} bytes", cause=Cause.PERMANENT
            )
        return parse_versions(room[: reply.size])

    async def peek_version(self, name: str, version_id: str, size: int) -> Head:
        """The head of a GET of one version of an object, which has `size` bytes: of a single one.

        Its echo is checked, and what comes along is not: MiniStack sends all of them.
        """
        headers = self._seal | ({"range": "bytes=0-0"} if size else {})
        query = query_string([("versionId", version_id)])
        request = self._request("GET", self._path(name), query, headers, None)
        reply = await self._pool.exchange("GET", request, None, memoryview(bytearray(1)))
        if reply.error_body is not None:
            raise error_of("GetObject", reply, self._seal)
        self._check_echo("GetObject", reply.head)
        return reply.head


def page_room() -> memoryview:
    """Room for a page; memory that is not touched is not there: no need to begin with less."""
    return memoryview(mmap.mmap(-1, MAX_PAGE_SIZE))

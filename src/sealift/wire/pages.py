"""ListObjectsV2, each page one attempt. It has no use for the customer key and does not carry it.

See `operations` for what all requests share.
"""

from __future__ import annotations

import mmap

from sealift.errors import Cause, IntegrityError, ProtocolError, UnsafeNameError
from sealift.model import MiB
from sealift.wire.failures import error_of
from sealift.wire.listing import Page, parse_page
from sealift.wire.operations import ObjectClient
from sealift.wire.sigv4 import query_string

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


def page_room() -> memoryview:
    """Room for a page; memory that is not touched is not there: no need to begin with less."""
    return memoryview(mmap.mmap(-1, MAX_PAGE_SIZE))

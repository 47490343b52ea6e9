"""What is there on one S3 endpoint: LIST and HEAD, each tried again as the policy says."""

from __future__ import annotations

from collections.abc import AsyncIterator

from sealift.errors import IntegrityError, ObjectError, ReplyError, UsageError
from sealift.model import Location, RemoteObject
from sealift.plan import check_name, prefix_names
from sealift.session import Session
from sealift.wire.bucket import HeadFacts
from sealift.wire.listing import Page

Pages = AsyncIterator[list[RemoteObject]]


class Remote:
    """Looks at buckets over a session; the first look at a bucket tells whether settings hold."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def find(self, source: Location) -> tuple[Pages | None, str]:
        """The pages of the prefix `source`, or None when it is one object; and what names lose.

        UsageError when there is nothing.
        """
        await self._session.objects(source.bucket)
        if source.name and not source.name.endswith("/"):
            page, _, _ = await self._page(source, None, "", 1)
            if page and page[0].name == source.name:
                return None, ""
        prefix, cut = prefix_names(source)
        pages = self._object_pages(prefix)
        first = await anext(pages, None)
        if first is None:
            if source.name and not source.name.endswith("/"):
                return None, ""  # HEAD decides: it may be there and not be listed
            raise no_object(source)
        return _chain(first, pages), cut

    async def level(self, prefix: Location) -> AsyncIterator[RemoteObject | str]:
        """What is directly below a prefix, by name: objects, and deeper prefixes as text."""
        await self._session.objects(prefix.bucket)
        async for page, prefixes in self._pages(prefix, "/"):
            level: list[RemoteObject | str] = [*page, *prefixes]
            level.sort(key=lambda entry: entry if isinstance(entry, str) else entry.name)
            for entry in level:
                yield entry

    async def head(self, location: Location) -> HeadFacts:
        """HEAD of an object with the customer key."""
        name = location.name
        try:
            check_name(name)
        except ObjectError as error:
            raise UsageError(error.message, hint=error.hint) from None
        objects = await self._session.objects(location.bucket)
        return await self._session.retrier.run(name, objects.head_object, name)

    async def found(self, location: Location) -> HeadFacts:
        """As `head`, but what is not there is a mistake in the arguments: UsageError."""
        try:
            return await self.head(location)
        except ReplyError as error:
            if error.status != 404:
                raise
            raise no_object(location) from None

    async def _object_pages(self, prefix: Location) -> Pages:
        async for page, _ in self._pages(prefix):
            if page:
                yield page

    async def _pages(
        self, prefix: Location, delimiter: str = ""
    ) -> AsyncIterator[tuple[list[RemoteObject], list[str]]]:
        """All pages below a prefix: objects, and deeper prefixes up to `delimiter`."""
        token = None
        seen = set()
        while True:
            page, prefixes, token = await self._page(prefix, token, delimiter)
            yield page, prefixes
            if token is None:
                return
            if token in seen:
                raise IntegrityError(f"the listing of {prefix} goes round in circles")
            seen.add(token)

    async def _page(
        self, prefix: Location, token: str | None, delimiter: str = "", limit: int = 1000
    ) -> Page:
        objects = await self._session.objects(prefix.bucket)
        return await self._session.retrier.run(
            str(prefix), objects.list_page, prefix.name, token, delimiter, limit
        )


def no_object(location: Location) -> UsageError:
    """There is nothing at `location`."""
    return UsageError(f"there is no object at {location}", hint="look with: sealift ls")


async def _chain(first: list[RemoteObject], rest: Pages) -> Pages:
    yield first
    async for page in rest:
        yield page

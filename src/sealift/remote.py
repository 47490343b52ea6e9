"""What is there on one S3 endpoint: LIST and HEAD, each tried again as the policy says."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from itertools import pairwise, repeat
from operator import attrgetter

from sealift.errors import IntegrityError, ObjectError, ReplyError, UsageError
from sealift.model import Job, Location, RemoteObject
from sealift.name_ranges import NameRange, cut_ranges_of_names, list_ranges
from sealift.opening import Opened
from sealift.plan import check_name, prefix_names
from sealift.session import Session
from sealift.unlocking import Unlockers
from sealift.wire.bucket import HeadFacts
from sealift.wire.listing import Page
from sealift.wire.versions import Version, VersionPage

# Seconds: a page that takes longer waits for the server or the line more than for this machine,
# which reads one in 6 ms.
SLOW_PAGE = 0.025

Pages = AsyncIterator[list[RemoteObject]]

_NAME = attrgetter("name")


class Remote:
    """Looks at buckets over a session; the first look at a bucket tells whether settings hold."""

    def __init__(self, session: Session, unlockers: Unlockers) -> None:
        self._session = session
        self._unlockers = unlockers

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
        pages = self.pages(prefix)
        first = await anext(pages, None)
        if first is None:
            if source.name and not source.name.endswith("/"):
                return None, ""  # HEAD decides: it may be there and not be listed
            raise no_object(source)
        return _chain(first, pages), cut

    async def scope(self, bucket: str) -> str:
        """What tells the bucket from every other."""
        return (await self._session.objects(bucket)).scope

    async def level(self, prefix: Location) -> AsyncIterator[RemoteObject | str]:
        """What is directly below a prefix, by name: objects, and deeper prefixes as text."""
        await self._session.objects(prefix.bucket)
        async for page, prefixes in self._pages(prefix, "/"):
            level: list[RemoteObject | str] = [*page, *prefixes]
            level.sort(key=lambda entry: entry if isinstance(entry, str) else entry.name)
            for entry in level:
                yield entry

    async def head(self, location: Location, key_id: str | None = None) -> HeadFacts:
        """HEAD of an object under one customer key; None: as the run has it."""
        _check_name(location.name)
        objects = (await self._unlockers.of(location.bucket)).client(key_id)
        name = location.name
        try:
            return await self._session.retrier.run(name, objects.head_object, name)
        except ObjectError as error:
            raise await self._session.explained(error, location.bucket, name) from None

    async def open(self, location: Location, job: Job | None = None) -> Opened:
        """HEAD of an object under its customer key, which is found; `job` is one that reads it."""
        _check_name(location.name)
        unlocker = await self._unlockers.of(location.bucket)
        try:
            return await unlocker.open(location.name, job)
        except ObjectError as error:
            raise await self._session.explained(error, location.bucket, location.name) from None

    async def there(self, location: Location) -> Opened:
        """The same of an object that a command is about; UsageError when there is none."""
        if not location.name or location.name.endswith("/"):
            raise UsageError(f"{location} names no object", hint="use: sealift cp or restore")
        await self._session.objects(location.bucket)
        try:
            return await self.open(location)
        except ReplyError as error:
            if error.status != 404:
                raise
            raise no_object(location) from None

    async def only(self, location: Location) -> Pages:
        """A page with the object of this name; UsageError when LIST shows none."""
        found = await self.listed(location)
        if found is None:
            raise no_object(location)
        yield [found]

    async def listed(self, location: Location) -> RemoteObject | None:
        """The object of this name as LIST shows it, if it does."""
        await self._session.objects(location.bucket)
        page, _, _ = await self._page(location, None, "", 1)
        return page[0] if page and page[0].name == location.name else None

    async def tree(self, source: Location) -> Pages:
        """The pages of all that is below `source`: of `photos` not `photos2/x`, nor `photos`.

        UsageError when there is nothing.
        """
        is_empty = True
        async for page in self.pages(prefix_names(source)[0]):
            is_empty = False
            yield page
        if is_empty:
            raise UsageError(f"there is nothing below {source}", hint="look with: sealift ls")

    async def versions(self, prefix: Location) -> AsyncIterator[list[Version]]:
        """All versions of all names that start with `prefix`, in pages."""
        objects = await self._session.objects(prefix.bucket)
        following: tuple[str, str] | None = None
        seen = set()
        while True:
            page: VersionPage = await self._session.retrier.run(
                str(prefix), objects.list_versions, prefix.name, following
            )
            if not all(found.name.startswith(prefix.name) for found in page.versions):
                raise IntegrityError(f"the listing of {prefix} names objects outside of it")
            yield page.versions
            if page.following is None:
                return
            if page.following in seen:
                raise _endless(prefix)
            following = page.following
            seen.add(following)

    async def pages(
        self, prefix: Location, cuts: Callable[[], Awaitable[list[str]]] | None = None
    ) -> Pages:
        """The pages of all names that start with `prefix`, in the order of names.

        Where a page takes long to come, several ranges of names are listed at once. `cuts` is then
        asked for names, in order, at which to cut; else the directories below the prefix are.
        """
        await self._session.objects(prefix.bucket)
        began = time.monotonic()
        first = await self._page(prefix)
        slow = time.monotonic() - began > SLOW_PAGE
        objects, _, token = first
        cut_at = []
        if slow and token is not None and objects and _is_in_order(objects):
            cut_at = await self._cuts(prefix, cuts)
        ranges = cut_ranges_of_names(objects[-1].name if objects else "", cut_at)
        if len(ranges) == 1:
            async for page, _ in self._pages(prefix, first=first):
                if page:
                    yield page
            return
        yield objects
        async for page in list_ranges(partial(self._range, prefix), ranges):
            if page:
                yield page

    async def _cuts(
        self, prefix: Location, cuts: Callable[[], Awaitable[list[str]]] | None
    ) -> list[str]:
        names = [] if cuts is None else await cuts()
        return names or (await self._page(prefix, delimiter="/")).prefixes

    async def _range(self, prefix: Location, span: NameRange) -> Pages:
        """The pages of one range, also from a server that does not know start-after."""
        after, until = span
        page, _, token = await self._page(prefix, after=after)
        seen = set()
        while True:
            if not _is_in_order(page):  # then the end of the range would not be seen
                raise IntegrityError(f"the listing of {prefix} is not in the order of names")
            yield [
                found
                for found in page
                if found.name > after and (until is None or found.name <= until)
            ]
            if token is None or (page and until is not None and page[-1].name >= until):
                return
            if token in seen:
                raise _endless(prefix)
            seen.add(token)
            page, _, token = await self._page(prefix, token)

    async def _pages(
        self, prefix: Location, delimiter: str = "", first: Page | None = None
    ) -> AsyncIterator[tuple[list[RemoteObject], list[str]]]:
        """All pages below a prefix: objects, and deeper prefixes up to `delimiter`.

        The next page is on its way while one is being used.
        """
        page = first or await self._page(prefix, delimiter=delimiter)
        seen = set()
        coming: asyncio.Future[Page] | None = None
        try:
            while True:
                objects, prefixes, token = page
                if token is not None:
                    if token in seen:
                        raise _endless(prefix)
                    seen.add(token)
                    coming = asyncio.ensure_future(self._page(prefix, token, delimiter))
                yield objects, prefixes
                if token is None or coming is None:
                    return
                page = await coming
        finally:
            if coming is not None and not coming.cancel() and not coming.cancelled():
                coming.exception()  # seen, or nobody wants it any more

    async def _page(
        self,
        prefix: Location,
        token: str | None = None,
        delimiter: str = "",
        limit: int = 1000,
        after: str = "",
    ) -> Page:
        objects = await self._session.objects(prefix.bucket)
        page: Page = await self._session.retrier.run(
            str(prefix), objects.list_page, prefix.name, token, delimiter, limit, after
        )
        if not all(map(str.startswith, map(_NAME, page.objects), repeat(prefix.name))):
            raise IntegrityError(f"the listing of {prefix} names objects outside of it")
        return page


def _check_name(name: str) -> None:
    try:
        check_name(name)
    except ObjectError as error:
        raise UsageError(error.message, hint=error.hint) from None


def _is_in_order(page: list[RemoteObject]) -> bool:
    return all(before.name < after.name for before, after in pairwise(page))


def _endless(prefix: Location) -> IntegrityError:
    return IntegrityError(f"the listing of {prefix} goes round in circles")


def no_object(location: Location) -> UsageError:
    """There is nothing at `location`."""
    return UsageError(f"there is no object at {location}", hint="look with: sealift ls")


async def _chain(first: list[RemoteObject], rest: Pages) -> Pages:
    yield first
    async for page in rest:
        yield page

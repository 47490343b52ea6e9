"""Leaves out of a restore what an earlier one has brought back already.

The catalogue says so, and both sides agree with it: the file has the size and the mtime that it got
then, and LIST shows the size and the ETag that the object had. All else is fetched again.

Who brought a file back may have synced it alone (see `model.Durability`), so the directories of
those that are left alone are synced where that is asked for.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from functools import partial

from sealift.catalogue import Catalogue
from sealift.compare import is_as_recorded
from sealift.differences import Entries
from sealift.errors import CatalogueError
from sealift.events import Noted, Reporter, Unchanged
from sealift.files.directories import sync_directory
from sealift.files.disk import Disk
from sealift.model import Known, Location, RemoteObject
from sealift.remote import Pages


class Present:
    """What is below `directory` already, of the objects whose names begin with that of `prefix`.

    Files lie at the names of their objects without `cut`; `scope` is that of the bucket.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        scope: str,
        prefix: Location,
        cut: str,
        directory: str,
        disk: Disk,
        reporter: Reporter,
        *,
        durable: bool,
    ) -> None:
        self._entries = Entries(partial(catalogue.known, scope, prefix.name))
        self._cut = cut
        self._directory = directory
        self._disk = disk
        self._reporter = reporter
        self._durable = durable

    async def missing(self, pages: Pages) -> Pages:
        """`pages` without what is there; that is reported as unchanged."""
        there = await self._disk.run(os.path.isdir, self._directory)
        async for page in pages:
            if not there:
                yield page
                continue
            try:
                rest = await self._disk.run(self._missing, page)
            except CatalogueError as error:
                self._reporter.emit(Noted(str(error)))
                rest = page
            count = len(page) - len(rest)
            if count:
                size = sum(found.size for found in page) - sum(found.size for found in rest)
                self._reporter.emit(Unchanged(count, size))
            yield rest

    def _missing(self, page: Sequence[RemoteObject]) -> list[RemoteObject]:
        known = self._entries.up_to(page[-1].name) if page else {}
        rest: list[RemoteObject] = []
        directories = set()
        for found in page:
            if self._is_there(found, known.get(found.name)):
                directories.add(found.name.removeprefix(self._cut).rpartition("/")[0])
            else:
                rest.append(found)
        if self._durable and directories:
            try:
                self._sync(directories)
            except OSError:  # who fetches them anew says what is the matter
                return list(page)
        return rest

    def _sync(self, directories: set[str]) -> None:
        """Sync directories, and those above them up to the root of all."""
        above = {
            name[:end]
            for name in directories
            for end in (0, *(at for at, sign in enumerate(name) if sign == "/"))
        }
        for name in directories | above:
            sync_directory(os.path.join(self._directory, name))

    def _is_there(self, found: RemoteObject, known: Known | None) -> bool:
        if known is None:
            return False
        try:
            facts = os.lstat(os.path.join(self._directory, found.name.removeprefix(self._cut)))
        except (OSError, ValueError):
            return False
        return stat.S_ISREG(facts.st_mode) and is_as_recorded(
            facts.st_size, facts.st_mtime_ns, found, known
        )

"""Downloads of one object, or of what is below a prefix: what goes where, and what is left out."""

from __future__ import annotations

import os
from dataclasses import replace

from sealift.catalogue import Catalogue
from sealift.events import Reporter
from sealift.files.disk import Disk
from sealift.model import Direction, Durability, Job, Location
from sealift.options import TreeOptions
from sealift.plan import Naming, listed_root, object_path, random_name
from sealift.planning import Planner, Sieve
from sealift.remote import Pages, Remote
from sealift.runner import Runner


class Downloads:
    """Of one engine."""

    def __init__(
        self,
        remote: Remote,
        planner: Planner,
        runner: Runner,
        disk: Disk,
        catalogue: Catalogue,
        reporter: Reporter,
    ) -> None:
        self._remote = remote
        self._planner = planner
        self._runner = runner
        self._disk = disk
        self._catalogue = catalogue
        self._reporter = reporter

    async def get(self, source: Location, destination: str | None = None) -> str:
        """Download one object, without a destination to `tmp/<uuid4><suffix>`; returns the path."""
        is_new = destination is None
        if destination is None:
            directory, name = "tmp", random_name(source.name)
        else:
            directory, name = await self._path(source, destination)
        tree = TreeOptions(durability=Durability.DIR)
        await self._object(source, directory, name, tree, is_named_anew=is_new)
        return name if directory == "." else os.path.join(directory, name)

    async def restore(
        self,
        source: Location,
        destination: str,
        naming: Naming,
        tree: TreeOptions,
        *,
        resume: bool,
    ) -> None:
        """Bring back a prefix, or one object; see `Engine.restore`."""
        tree = replace(tree, durability=tree.durability or Durability.DIR)
        pages, cut = await self._remote.find(source)
        if pages is not None:
            sieve = None
            if resume and naming is Naming.KEEP:
                durable = tree.durability is Durability.DIR
                sieve = await self._missing(source, cut, destination, durable=durable)
            await self._tree(source, pages, cut, destination, naming, tree, sieve, resumes=resume)
            return
        name = source.name.rsplit("/", 1)[-1]
        is_new = naming is Naming.UUID
        if is_new:
            name = random_name(name)
        await self._object(source, destination, name, tree, is_named_anew=is_new, resumes=resume)

    async def copy(self, source: Location, destination: str, tree: TreeOptions) -> None:
        """Copy an object, or all below a prefix."""
        pages, cut = await self._remote.find(source)
        if pages is not None:
            await self._tree(source, pages, cut, destination, Naming.KEEP, tree)
        else:
            await self._object(source, *await self._path(source, destination), tree)

    async def _object(
        self,
        source: Location,
        directory: str,
        name: str,
        tree: TreeOptions,
        *,
        is_named_anew: bool = False,
        resumes: bool = True,
    ) -> None:
        opened = await self._remote.there(source)
        job = Job(
            Direction.DOWN,
            source,
            name,
            opened.head.size,
            is_named_anew=is_named_anew,
            key_id=opened.key_id,
            listed_etag=opened.head.etag,
        )
        plan = self._planner.one(job)
        await self._runner.down(plan, source.bucket, directory, tree, resumes=resumes)

    async def _tree(
        self,
        source: Location,
        pages: Pages,
        cut: str,
        directory: str,
        naming: Naming,
        tree: TreeOptions,
        sieve: Sieve | None = None,
        *,
        resumes: bool = True,
    ) -> None:
        plan = self._planner.downloads(source, pages, cut, naming, tree, directory, sieve)
        await self._runner.down(plan, source.bucket, directory, tree, resumes=resumes)

    async def _missing(self, source: Location, cut: str, directory: str, *, durable: bool) -> Sieve:
        """Leaves out of pages what is below `directory` already."""
        from sealift.present import Present  # here, as what only some commands need

        scope = await self._remote.scope(source.bucket)
        prefix = Location(source.bucket, listed_root(source))
        present = Present(
            self._catalogue,
            scope,
            prefix,
            cut,
            directory,
            self._disk,
            self._reporter,
            durable=durable,
        )
        return present.missing

    async def _path(self, source: Location, destination: str) -> tuple[str, str]:
        there = await self._disk.run(os.path.isdir, destination)
        return object_path(source, destination, is_directory=there)

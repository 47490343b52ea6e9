"""Uploads of one file, or of a tree: what goes where, and what is refused before it starts."""

from __future__ import annotations

from sealift.files.disk import Disk
from sealift.files.walk import ignore_lines
from sealift.filters import Filter
from sealift.keyring import Keyring
from sealift.model import Direction, Job, Location
from sealift.options import TreeOptions
from sealift.plan import check_name, check_size, file_location, tree_prefix, usable
from sealift.planning import Planner
from sealift.runner import Runner


class Uploads:
    """Of one engine."""

    def __init__(self, planner: Planner, runner: Runner, disk: Disk, keyring: Keyring) -> None:
        self._planner = planner
        self._runner = runner
        self._disk = disk
        self._keyring = keyring

    async def file(self, path: str, size: int, destination: Location, tree: TreeOptions) -> None:
        """Upload one file of `size` bytes; below a prefix that ends with `/` under its own name."""
        location = file_location(path, destination)
        self._keyring.check_rules(location)
        usable(check_name, location.name)
        usable(check_size, size)
        plan = self._planner.one(Job(Direction.UP, location, path, size))
        await self._runner.up(plan, location.bucket, tree)

    async def tree(self, root: str, destination: Location, tree: TreeOptions) -> None:
        """Upload what is below the directory `root`."""
        chosen = Filter(tree.rules, await self._disk.run(ignore_lines, root))
        prefix = tree_prefix(root, destination)
        self._keyring.check_rules(prefix)
        plan = self._planner.uploads(root, prefix, chosen, tree)
        await self._runner.up(plan, destination.bucket, tree)

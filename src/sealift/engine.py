"""The engine: the only place that builds things, and the public Python API.

    async with Engine(Options(customer_key=key), reporter) as engine:
        await engine.copy("photos/", "s3://bucket/photos/")

A command is one plan run on one schedule:

    plan (walk or LIST)  ->  schedule (workers)  ->  upload | download  ->  wire  ->  S3

Each job is one object. One that fails is reported by name and the others go on; what is wrong with
the settings raises UsageError before anything is touched. Cancelling a command cleans up.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, TypeVar

from sealift.catalogue import FILE_NAME, Catalogue
from sealift.errors import Cause, ObjectError, UsageError
from sealift.events import Event, Failed, Reporter, Retried, Silent
from sealift.files.disk import Disk
from sealift.files.walk import file_size, ignore_lines
from sealift.filters import Filter
from sealift.keyring import HeldKey, Keyring
from sealift.memory import Memory
from sealift.model import Direction, Job, Location, RemoteObject
from sealift.opening import Opened
from sealift.options import WHOLE_TREE, Options, TreeOptions
from sealift.plan import (
    Naming,
    check_name,
    check_size,
    contents,
    direction_of,
    file_location,
    tree_prefix,
)
from sealift.planning import Planner
from sealift.remote import Pages, Remote
from sealift.retry import Retrier
from sealift.runner import Runner
from sealift.session import Session
from sealift.unlocking import Unlockers
from sealift.wire.bucket import BucketClient, HeadFacts

if TYPE_CHECKING:
    from sealift.across import Across
    from sealift.downloads import Downloads
    from sealift.rekey.seals import RekeyOptions
    from sealift.sync import SyncOptions
    from sealift.verify.findings import VerifyOptions, VerifyReport
    from sealift.verify.verification import Verification

A = TypeVar("A")
T = TypeVar("T")


class Engine:
    """Moves objects under one customer key; use it as an async context manager."""

    def __init__(self, options: Options, reporter: Reporter | None = None) -> None:
        self._options = options
        self._keyring = options.keys()
        self._reporter: Reporter = reporter or Silent()
        self._stack = AsyncExitStack()
        self._memory = Memory.for_process(options.memory)
        self._disk = Disk()
        directory = options.state_directory
        self._catalogue = Catalogue(directory and os.path.join(directory, FILE_NAME))
        self._session = Session(options, self)
        self._unlockers = self._make_unlockers(self._session, self._keyring)
        self._remote = Remote(self._session, self._unlockers)
        self._failed_count = 0
        self._source_session = (
            self._session if options.source is None else Session(options.for_source(), self)
        )
        self._sessions = {self._session, self._source_session}
        self._planner = Planner(self._disk, self)
        self._runner = Runner(
            options,
            self._session,
            self._sessions,
            self._disk,
            self._memory,
            self._catalogue,
            self,
            self._unlockers,
        )

    async def __aenter__(self) -> Engine:
        self._stack.callback(self._catalogue.close)
        self._stack.callback(self._disk.close)
        try:
            for session in self._sessions:
                await self._stack.enter_async_context(session)
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._stack.aclose()

    # Commands

    async def put(self, path: str, destination: Location, *, if_absent: bool = False) -> None:
        """Upload one file; a bucket or a name that ends with `/` keeps the file's name.

        With `if_absent` an object that is there is left as it is.
        """
        size = await self._file_size(path)
        if size is None:
            raise UsageError(f"{path} is a directory", hint="use: sealift cp")
        await self._up_file(path, size, destination, TreeOptions(if_absent=if_absent))

    async def get(self, source: Location, destination: str | None = None) -> str:
        """Download one object, without a destination to `tmp/<uuid4><suffix>`; returns the path."""
        return await self._downloads().get(source, destination)

    async def copy(self, source: str, destination: str, tree: TreeOptions = WHOLE_TREE) -> None:
        """Copy a file, tree, object or prefix, up, down or across; `/` means "the contents".

        A file or object that is named itself moves whatever the rules of `tree` say.
        """
        direction = self._direction(source, destination)
        if direction is Direction.COPY:
            self._keyring.check_rules(Location.parse(destination))
            await self._across().copy(Location.parse(source), Location.parse(destination), tree)
        elif direction is Direction.UP:
            await self._copy_up(source, Location.parse(destination), tree)
        elif tree.if_absent:
            raise UsageError("--if-absent is for objects", hint="copy to s3://BUCKET/NAME")
        else:
            await self._downloads().copy(Location.parse(source), destination, tree)

    async def restore(
        self,
        source: Location,
        destination: str = "tmp/",
        naming: Naming = Naming.KEEP,
        tree: TreeOptions = WHOLE_TREE,
        *,
        resume: bool = True,
    ) -> None:
        """Bring back a prefix, or one object, below `destination`.

        With `resume` files that an earlier restore has brought back, and that are as they were
        then, are left alone, as far as their objects are as they were then. Each file is durable
        under its name when it is reported, unless `tree` says otherwise.
        """
        await self._downloads().restore(source, destination, naming, tree, resume=resume)

    async def sync(
        self,
        source: str,
        destination: str,
        options: SyncOptions | None = None,
        tree: TreeOptions = WHOLE_TREE,
    ) -> None:
        """Move what differs from one side to the other; both name the contents of trees.

        With `options.delete` what only the destination has is removed at the end, if all went well.
        """
        from sealift.sameness import Sameness
        from sealift.sync import Sync, SyncOptions  # here, as what only some commands need

        if not source or not destination:
            raise UsageError("one side is empty", hint="name a directory or s3://BUCKET/PREFIX")
        direction = self._direction(source, destination)
        if direction is not Direction.DOWN:
            self._keyring.check_rules(contents(Location.parse(destination)))
        up = direction is Direction.UP
        root = None if direction is Direction.COPY else source if up else destination
        there = up or await self._disk.run(os.path.lexists, destination)
        if root is not None and there and await self._file_size(root) is not None:
            raise UsageError(f"{root} is a file", hint="name a directory, or use: sealift cp")
        sync = Sync(
            options or SyncOptions(),
            tree,
            Filter(tree.rules, await self._disk.run(ignore_lines, root) if root else ()),
            self._remote,
            self._runner,
            self._disk,
            self._catalogue,
            self,
            self._planner.walk,
            self._planner.collisions,
            lambda: self._failed_count,
            self._keyring,
            Sameness(self._remote, self._disk, self._memory, self._keyring),
        )
        if up:
            await sync.run(partial(sync.up, source, Location.parse(destination)))
        elif direction is Direction.DOWN:
            await sync.run(partial(sync.down, Location.parse(source), destination))
        else:
            begin, prefix = Location.parse(source), Location.parse(destination)
            remote, side, unlocker = await self._across().sides(begin, prefix)
            await sync.run(partial(sync.across, begin, remote, side, unlocker, prefix))

    async def rekey(
        self, source: Location, options: RekeyOptions, tree: TreeOptions = WHOLE_TREE
    ) -> None:
        """Write an object, or all below a prefix, anew in place under another key."""
        from sealift.rekey.prefix import Rekey

        rekey = Rekey(
            self._options,
            options,
            self._session,
            self._remote,
            self._runner,
            self._disk,
            self._catalogue,
            self,
        )
        await rekey.run(source, tree)

    async def verify(
        self,
        local: str | None,
        remote: Location,
        options: VerifyOptions | None = None,
        tree: TreeOptions = WHOLE_TREE,
    ) -> VerifyReport:
        """Prove that both sides have the same content, and whatever else `options` ask for.

        The contents of a directory against those of a prefix, or a file against an object. Without
        `local` only how the objects are sealed is looked at, which `options` must ask for. Nothing
        is written anywhere, not even to the catalogue. The reporter hears of each finding.
        """
        return await self._verification(options, tree).sides(local, remote)

    async def verify_manifest(
        self, path: str, options: VerifyOptions | None = None
    ) -> VerifyReport:
        """Prove that every object of a manifest is as it was when that was written; see `verify`.

        By HEAD, unless `options` ask for more.
        """
        return await self._verification(options, WHOLE_TREE).manifest(path)

    def _verification(self, options: VerifyOptions | None, tree: TreeOptions) -> Verification:
        from sealift.verify.verification import (
            Verification,  # here, as what only some commands need
        )

        return Verification(
            options, tree, self._remote, self._runner, self._disk, self._catalogue, self
        )

    async def remove(self, location: Location) -> None:
        """Remove one object; in a versioned bucket a delete marker hides it."""
        await self._remove(location.bucket, self.list_one(location))

    async def remove_tree(self, source: Location, count: int | None = None) -> None:
        """Remove what `list_tree` finds, as it is listed; `count` is how much that is, if known."""
        await self._remove(source.bucket, self.list_tree(source), count)

    def list_tree(self, source: Location) -> Pages:
        """What is below `source`, in pages: of `photos` not `photos2/x`, nor an object `photos`."""
        return self._remote.tree(source)

    def list_one(self, location: Location) -> Pages:
        """A page with one object; UsageError when there is none of this name."""
        _usable(check_name, location.name)
        return self._remote.only(location)

    def list_all(self, prefix: Location) -> Pages:
        """All objects whose names start with a prefix, in pages."""
        return self._remote.pages(prefix)

    async def read(self, source: Location, fd: int) -> None:
        """Write the bytes of one object to a file descriptor; see `reading` for what is checked."""
        await self._runner.read(source, await self._remote.there(source), fd)

    async def list_level(self, prefix: Location) -> AsyncIterator[RemoteObject | str]:
        """What is directly below a prefix, by name: objects, and deeper prefixes as text."""
        async for entry in self._remote.level(prefix):
            yield entry

    async def stat(self, location: Location) -> HeadFacts:
        """HEAD of an object under its customer key."""
        return (await self.open(location)).head

    async def open(self, location: Location) -> Opened:
        """The same, with the id of that key, and how it was found."""
        return await self._remote.open(location)

    def held_key(self, key_id: str | None) -> HeldKey | None:
        """The key of this id; None: that of the run. None of UNSEALED, and of a run without one."""
        default = self._keyring.default
        wanted = key_id if key_id is not None or default is None else default.key_id
        return next((held for held in self._keyring if held.key.key_id == wanted), None)

    async def bucket_client(self, bucket: str) -> BucketClient:
        """What speaks to a bucket, one attempt a call; `retrier` makes more."""
        return await self._session.objects(bucket)

    @property
    def retrier(self) -> Retrier:
        """The policy of attempts."""
        return self._session.retrier

    # Up

    async def _copy_up(self, source: str, destination: Location, tree: TreeOptions) -> None:
        size = await self._file_size(source)
        if size is not None:
            await self._up_file(source, size, destination, tree)
            return
        chosen = Filter(tree.rules, await self._disk.run(ignore_lines, source))
        prefix = tree_prefix(source, destination)
        self._keyring.check_rules(prefix)
        plan = self._planner.uploads(source, prefix, chosen, tree)
        await self._runner.up(plan, destination.bucket, tree)

    async def _up_file(
        self, path: str, size: int, destination: Location, tree: TreeOptions
    ) -> None:
        location = file_location(path, destination)
        self._keyring.check_rules(location)
        _usable(check_name, location.name)
        _usable(check_size, size)
        plan = self._planner.one(Job(Direction.UP, location, path, size))
        await self._runner.up(plan, location.bucket, tree)

    # Down and across

    def _downloads(self) -> Downloads:
        from sealift.downloads import Downloads  # here, as what only some commands need

        return Downloads(
            self._remote, self._planner, self._runner, self._disk, self._catalogue, self
        )

    def _across(self) -> Across:
        from sealift.across import Across  # here, as what only some commands need

        session, unlockers = self._source_session, self._unlockers
        if session is not self._session:
            unlockers = self._make_unlockers(session, self._options.for_source().keys())
        return Across(self._options, session, unlockers, self._remote, self._planner, self._runner)

    def _make_unlockers(self, session: Session, keyring: Keyring) -> Unlockers:
        source = self._options.source
        is_plain = session is not self._session and source is not None and not len(source.keys())
        return Unlockers(
            session,
            keyring,
            self._catalogue,
            self._disk,
            self,
            allows_unsealed=self._options.allow_unsealed or is_plain,
        )

    def _direction(self, source: str, destination: str) -> Direction:
        direction = direction_of(source, destination)
        self._options.check_direction(direction)
        return direction

    # All of them

    async def _remove(self, bucket: str, pages: Pages, count: int | None = None) -> None:
        await self._runner.remove(self._planner.removals(pages, count), bucket)

    async def _file_size(self, path: str) -> int | None:
        return await self._disk.run(_usable, file_size, path)

    def emit(self, event: Event) -> None:
        """Pass an event on to the reporter; a server that asks to slow down slows the pace."""
        if isinstance(event, Retried) and event.error.cause is Cause.THROTTLED:
            self._runner.slow_down()
        elif isinstance(event, Failed):
            self._failed_count += 1
        self._reporter.emit(event)


def _usable(check: Callable[[A], T], argument: A) -> T:
    """Run a check on an argument of the command: its failure means that nothing was started."""
    try:
        return check(argument)
    except ObjectError as error:
        raise UsageError(error.message, hint=error.hint) from None

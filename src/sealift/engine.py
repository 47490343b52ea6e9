"""The engine: the only place that builds things, and the public Python API.

    async with Engine(Options(customer_key=key)) as engine:
        report = await engine.sync("photos/", "s3://bucket/photos/")

A command is one plan run on one schedule:

    plan (walk or LIST)  ->  schedule (workers)  ->  upload | download  ->  wire  ->  S3

Each job is one object. One that fails is reported by name and the others go on; what is wrong with
the arguments raises UsageError before anything is touched. Cancelling a command cleans up.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, nullcontext
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING

from sealift.catalogue import FILE_NAME, Catalogue
from sealift.errors import Cause, UsageError
from sealift.events import Event, Reporter, Retried, Silent
from sealift.files.disk import Disk
from sealift.files.walk import file_size, ignore_lines
from sealift.filters import Filter
from sealift.keyring import HeldKey, Keyring
from sealift.memory import Memory
from sealift.model import Direction, Location, RemoteObject
from sealift.opening import Opened
from sealift.options import WHOLE_TREE, Options, TreeOptions
from sealift.plan import (
    Naming,
    Path,
    Side,
    check_name,
    contents,
    direction_of,
    location_of,
    text_of,
    usable,
)
from sealift.planning import Planner
from sealift.remote import Pages, Remote
from sealift.retry import Retrier
from sealift.runner import Runner
from sealift.runs import Runs, check_loop, reported
from sealift.session import Session
from sealift.unlocking import Unlockers
from sealift.uploads import Uploads
from sealift.wire.bucket import BucketClient, HeadFacts

if TYPE_CHECKING:
    from sealift.across import Across
    from sealift.downloads import Downloads
    from sealift.rekey.seals import RekeyOptions
    from sealift.sync import SyncOptions
    from sealift.verify.findings import VerifyOptions, VerifyReport
    from sealift.verify.verification import Verification


class Engine(Runs):
    """Moves objects under customer keys; an async context manager, on asyncio.

    It runs one command after the other. Objects that fail are in the command's report, and told to
    the `reporter` as they happen; see `events`.
    """

    def __init__(self, options: Options, reporter: Reporter | None = None) -> None:
        self._options = options
        self._keyring = options.keys()
        super().__init__(reporter or Silent())
        self._stack = AsyncExitStack()
        self._memory = Memory.for_process(options.memory)
        self._disk = Disk()
        directory = options.state_directory
        self._catalogue = Catalogue(directory and os.path.join(directory, FILE_NAME))
        self._session = Session(options, self)
        self._unlockers = self._make_unlockers(self._session, self._keyring)
        self._remote = Remote(self._session, self._unlockers)
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
        check_loop()
        self._stack.callback(self._catalogue.close)
        self._stack.callback(self._disk.close)
        try:
            for session in self._sessions:
                await self._stack.enter_async_context(session)
        except BaseException:
            await self._stack.aclose()
            raise
        self._is_open = True
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._is_open = False
        await self._stack.aclose()

    # Commands

    @reported
    async def put(
        self, path: Path, destination: Location | str, *, if_absent: bool = False
    ) -> None:
        """Upload one file; a bucket or a name that ends with `/` keeps the file's name.

        With `if_absent` an object that is there is left as it is.
        """
        path, destination = os.fspath(path), location_of(destination)
        size = await self._file_size(path)
        if size is None:
            raise UsageError(f"{path} is a directory", hint="use: sealift cp")
        await self._uploads().file(path, size, destination, TreeOptions(if_absent=if_absent))

    @reported
    async def get(self, source: Location | str, destination: Path | None = None) -> str:
        """Download one object, without a destination to `tmp/<uuid4><suffix>`."""
        to = None if destination is None else os.fspath(destination)
        return await self._downloads().get(location_of(source), to)

    @reported
    async def copy(self, source: Side, destination: Side, tree: TreeOptions = WHOLE_TREE) -> None:
        """Copy a file, tree, object or prefix, up, down or across; `/` means "the contents".

        A file or object that is named itself moves whatever the rules of `tree` say.
        """
        source, destination = text_of(source), text_of(destination)
        direction = self._direction(source, destination)
        if direction is Direction.COPY:
            self._keyring.check_rules(Location.parse(destination))
            await self._across().copy(Location.parse(source), Location.parse(destination), tree)
        elif direction is Direction.UP:
            size = await self._file_size(source)
            if size is None:
                await self._uploads().tree(source, Location.parse(destination), tree)
            else:
                await self._uploads().file(source, size, Location.parse(destination), tree)
        elif tree.if_absent:
            raise UsageError("--if-absent is for objects", hint="copy to s3://BUCKET/NAME")
        else:
            await self._downloads().copy(Location.parse(source), destination, tree)

    @reported
    async def restore(
        self,
        source: Location | str,
        destination: Path = "tmp/",
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
        source, destination = location_of(source), os.fspath(destination)
        await self._downloads().restore(source, destination, naming, tree, resume=resume)

    @reported
    async def sync(
        self,
        source: Side,
        destination: Side,
        options: SyncOptions | None = None,
        tree: TreeOptions = WHOLE_TREE,
        *,
        guard: AbstractAsyncContextManager[None] | None = None,
    ) -> None:
        """Move what differs from one side to the other; both name the contents of trees.

        With `options.delete` what only the destination has is removed at the end, if all went well.
        `guard` is entered when the arguments were found to be right, and left at the end.
        """
        from sealift.sameness import Sameness
        from sealift.sync import Sync, SyncOptions  # here, as what only some commands need

        source, destination = text_of(source), text_of(destination)
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
            lambda: self.tally.failed_count,
            self._keyring,
            Sameness(self._remote, self._disk, self._memory, self._keyring),
        )
        async with guard or nullcontext():
            if up:
                await sync.run(partial(sync.up, source, Location.parse(destination)))
            elif direction is Direction.DOWN:
                await sync.run(partial(sync.down, Location.parse(source), destination))
            else:
                begin, prefix = Location.parse(source), Location.parse(destination)
                remote, side, unlocker = await self._across().sides(begin, prefix)
                await sync.run(partial(sync.across, begin, remote, side, unlocker, prefix))

    @reported
    async def rekey(
        self, source: Location | str, options: RekeyOptions, tree: TreeOptions = WHOLE_TREE
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
        await rekey.run(location_of(source), tree)

    async def verify(
        self,
        local: Path | None,
        remote: Location | str,
        options: VerifyOptions | None = None,
        tree: TreeOptions = WHOLE_TREE,
    ) -> VerifyReport:
        """Prove that both sides have the same content, and whatever else `options` ask for.

        The contents of a directory against those of a prefix, or a file against an object. Without
        `local` only how the objects are sealed is looked at, which `options` must ask for. Nothing
        is written anywhere, not even to the catalogue. The reporter hears of each finding.
        """
        with self.running():
            side = None if local is None else os.fspath(local)
            return await self._verification(options, tree).sides(side, location_of(remote))

    async def verify_manifest(
        self, path: Path, options: VerifyOptions | None = None
    ) -> VerifyReport:
        """Prove that every object of a manifest is as it was when that was written; see `verify`.

        By HEAD, unless `options` ask for more.
        """
        with self.running():
            return await self._verification(options, WHOLE_TREE).manifest(os.fspath(path))

    def _verification(self, options: VerifyOptions | None, tree: TreeOptions) -> Verification:
        from sealift.verify.verification import Verification  # here, as few commands need it

        return Verification(
            options, tree, self._remote, self._runner, self._disk, self._catalogue, self
        )

    @reported
    async def remove(self, location: Location | str) -> None:
        """Remove one object; in a versioned bucket a delete marker hides it."""
        location = location_of(location)
        await self._remove(location.bucket, self.list_one(location))

    @reported
    async def remove_tree(self, source: Location | str, count: int | None = None) -> None:
        """Remove what `list_tree` finds, as it is listed; `count` is how much that is, if known."""
        source = location_of(source)
        await self._remove(source.bucket, self.list_tree(source), count)

    # What is there

    def list_tree(self, source: Location | str) -> Pages:
        """What is below `source`, in pages: of `photos` not `photos2/x`, nor an object `photos`."""
        return self._remote.tree(location_of(source))

    def list_one(self, location: Location) -> Pages:
        """A page with one object; UsageError when there is none of this name."""
        usable(check_name, location.name)
        return self._remote.only(location)

    def list_all(self, prefix: Location | str) -> Pages:
        """All objects whose names start with a prefix, in pages."""
        return self._remote.pages(location_of(prefix))

    async def read(self, source: Location | str, fd: int) -> None:
        """Write the bytes of one object to a file descriptor; see `reading` for what is checked."""
        source = location_of(source)
        await self._runner.read(source, await self._remote.there(source), fd)

    async def list_level(self, prefix: Location | str) -> AsyncIterator[RemoteObject | str]:
        """What is directly below a prefix, by name: objects, and deeper prefixes as text."""
        async for entry in self._remote.level(location_of(prefix)):
            yield entry

    async def stat(self, location: Location | str) -> HeadFacts:
        """HEAD of an object under its customer key."""
        return (await self.open(location)).head

    async def open(self, location: Location | str) -> Opened:
        """The same, with the id of that key, and how it was found."""
        return await self._remote.open(location_of(location))

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

    def _uploads(self) -> Uploads:
        return Uploads(self._planner, self._runner, self._disk, self._keyring)

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

    async def _remove(self, bucket: str, pages: Pages, count: int | None = None) -> None:
        await self._runner.remove(self._planner.removals(pages, count), bucket)

    async def _file_size(self, path: str) -> int | None:
        return await self._disk.run(usable, file_size, path)

    def request_count(self) -> int:
        """How many requests were sent since the engine was opened."""
        return sum(session.request_count for session in self._sessions)

    def emit(self, event: Event) -> None:
        """Pass an event on; a server that asks to slow down slows the pace."""
        if isinstance(event, Retried) and event.error.cause is Cause.THROTTLED:
            self._runner.slow_down()
        super().emit(event)

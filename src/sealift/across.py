"""Copies from S3 to S3: the side that is read, and what goes where."""

from __future__ import annotations

from sealift.copier import Source
from sealift.errors import ObjectError, UsageError
from sealift.model import Job, Location
from sealift.options import Options, TreeOptions
from sealift.plan import contents, copied_object, copied_prefix, copy_job
from sealift.planning import Planner
from sealift.remote import Remote
from sealift.runner import Runner
from sealift.session import Session
from sealift.unlocking import Unlocker, Unlockers


class Across:
    """Of one engine; `session` reaches the source, `remote` the destination."""

    def __init__(
        self,
        options: Options,
        session: Session,
        unlockers: Unlockers,
        remote: Remote,
        planner: Planner,
        runner: Runner,
    ) -> None:
        self._session = session
        self._unlockers = unlockers
        self._there = Remote(session, unlockers)
        self._remote = remote
        self._planner = planner
        self._runner = runner
        side = options.for_source()
        self._same_server = side.same_server(options)
        # What S3 encrypts by itself may be encrypted otherwise in its place.
        self._same_seal = side.customer_key == options.customer_key and not options.encryption

    async def copy(self, source: Location, destination: Location, tree: TreeOptions) -> None:
        """Copy an object, or all below a prefix. UsageError when that is the destination."""
        pages, cut = await self._there.find(source)
        if pages is None:
            target = copied_object(source, destination)
            opened = await self._there.there(source)
            try:
                job = copy_job(source, opened.head.size, target, opened.head.etag)
            except ObjectError as error:
                raise UsageError(error.message, hint=error.hint) from None
            job.source_key_id = opened.key_id
            plan = self._planner.one(job)
            in_place = target == source
        else:
            prefix = copied_prefix(source, destination, same_server=self._same_server)
            plan = self._planner.copies(source, pages, cut, prefix, tree)
            in_place = prefix == Location(source.bucket, cut)
        if in_place and self._same_server and self._same_seal:
            raise UsageError(
                "the source and the destination are the same object", hint="give another name"
            )
        side, unlocker = await self._side(source.bucket)
        await self._runner.across(plan, destination.bucket, side, unlocker, tree)

    async def sides(
        self, source: Location, destination: Location
    ) -> tuple[Remote, Source, Unlocker]:
        """What lists the source of a sync, what reads it, and what finds the keys for that.

        UsageError when one prefix is inside the other.
        """
        begin, prefix = contents(source), contents(destination)
        names = sorted((begin.name, prefix.name), key=len)
        if names[1].startswith(names[0]):
            there = await self._there.scope(begin.bucket)
            if there == await self._remote.scope(prefix.bucket):
                raise UsageError(
                    f"one of {begin} and {prefix} is inside the other", hint="take others"
                )
        return self._there, *await self._side(source.bucket)

    async def _side(self, bucket: str) -> tuple[Source, Unlocker]:
        objects = await self._session.objects(bucket)
        unlocker = await self._unlockers.of(bucket)

        async def explained(error: ObjectError, job: Job) -> ObjectError:
            name = job.source.name if job.source else ""
            return await self._session.explained(error, bucket, name)

        side = Source(objects, self._session.retrier, self._same_server, explained, unlocker.client)
        return side, unlocker

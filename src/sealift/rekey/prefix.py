"""Rekeys what is below a prefix: what is to be looked at, the report, and what is left over."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import anyio

from sealift.catalogue import Catalogue
from sealift.checksums import encode
from sealift.compare import is_of
from sealift.differences import Entries
from sealift.errors import CatalogueError, ObjectError
from sealift.events import Noted, PlanComplete, Planned, Rekeying, Reporter, Skipped, Unchanged
from sealift.files.disk import Disk
from sealift.keyed import Move, Plan
from sealift.keyring import Keyring
from sealift.manifest import RecordFile
from sealift.model import UNSEALED, Direction, Job, Known, Location, RemoteObject
from sealift.options import Options, TreeOptions
from sealift.plan import listed_root
from sealift.planning import taken
from sealift.rekey.rehearsal import probe_token
from sealift.rekey.rekeyer import Outcome, Rekeyer, check_usable
from sealift.rekey.seals import RekeyOptions, is_proof
from sealift.remote import Pages, Remote
from sealift.resources import Resources
from sealift.runner import Runner
from sealift.session import Session


class Rekey:
    """Of one engine; `run` is to be called once."""

    def __init__(
        self,
        options: Options,
        rekey: RekeyOptions,
        session: Session,
        remote: Remote,
        runner: Runner,
        disk: Disk,
        catalogue: Catalogue,
        reporter: Reporter,
    ) -> None:
        self._options = options
        self._rekey = rekey
        self._keyring: Keyring = options.keys()
        self._session = session
        self._remote = remote
        self._runner = runner
        self._disk = disk
        self._catalogue = catalogue
        self._reporter = reporter
        self._report: RecordFile | None = None
        self._probes: list[str] = []

    async def run(self, source: Location, tree: TreeOptions) -> None:
        """Rekey an object or all below a prefix. UsageError when there is none."""
        check_usable(self._rekey, self._keyring)
        self._reporter.emit(Rekeying())
        pages, _ = await self._remote.find(source)
        prefix = source if pages is None else Location(source.bucket, listed_root(source))
        if pages is None:
            pages, tree = self._remote.only(source), TreeOptions()
        if self._rekey.report is not None:
            self._report = await self._disk.run(RecordFile, self._rekey.report)
        try:
            await self._run(prefix, taken(source, pages, tree))
        finally:
            if self._report is not None:
                with anyio.CancelScope(shield=True):  # what was done is told, also when interrupted
                    await self._disk.run(self._report.commit)

    async def _run(self, prefix: Location, pages: Pages) -> None:
        moves = not self._rekey.dry_run
        rekeyer: Rekeyer | None = None

        def make(resources: Resources) -> Move:
            nonlocal rekeyer
            rekeyer = Rekeyer(
                resources,
                self._keyring,
                self._rekey,
                self._options.part_size,
                prefix,
                self._reporter,
                self._add,
            )
            return rekeyer.move if moves else rekeyer.foresee

        plan = self._plan(prefix, pages)
        await self._runner.rekey(plan, prefix.bucket, make, moves=moves)
        assert rekeyer is not None
        if moves:
            await self._sweep(prefix.bucket, rekeyer.dead_tokens)
        count = rekeyer.old_version_count
        if count:
            self._reporter.emit(
                Noted(
                    f"{count} old versions stay under their old keys, which they are to be read "
                    "with (--remove-old-versions removes each once the new one is verified)"
                )
            )

    # What is to be looked at

    async def _plan(self, prefix: Location, pages: Pages) -> Plan:
        scope = await self._remote.scope(prefix.bucket)
        entries = Entries(partial(self._catalogue.known, scope, prefix.name))
        async for page in pages:
            try:
                known = await self._disk.run(entries.up_to, page[-1].name) if page else {}
            except CatalogueError as error:
                self._reporter.emit(Noted(str(error)))
                known = {}
            jobs, done = [], []
            for found in page:
                if probe_token(found.name) is not None:
                    self._probes.append(found.name)
                    self._reporter.emit(Skipped(found.name, "made by sealift to try the server"))
                    continue
                job = _job(prefix.bucket, found, known.get(found.name))
                if is_proof(self._rekey.target, job.key_id):
                    done.append(job)
                else:
                    jobs.append(job)
            if done:
                self._reporter.emit(Unchanged(len(done), sum(job.size for job in done)))
                await self._add([_unchanged(job, self._rekey) for job in done])
            self._reporter.emit(Planned(len(jobs), sum(job.size for job in jobs)))
            yield jobs
        self._reporter.emit(PlanComplete())

    async def _sweep(self, bucket: str, tokens: frozenset[str]) -> None:
        """Remove the probes of runs that were killed."""
        objects = await self._session.objects(bucket)
        for name in self._probes:
            if probe_token(name) in tokens:
                try:
                    await self._session.retrier.run(name, objects.erase_object, name)
                except ObjectError as error:
                    self._reporter.emit(Noted(f"{name} could not be removed: {error}"))

    # The report

    async def _add(self, ended: Sequence[Outcome]) -> None:
        if self._report is None or not ended:
            return
        records = [self._record(one) for one in ended]
        with anyio.CancelScope(shield=True):
            await self._disk.run(self._write, self._report, records)

    def _write(self, report: RecordFile, records: Sequence[dict[str, object]]) -> None:
        for record in records:
            report.write(record)

    def _record(self, ended: Outcome) -> dict[str, object]:
        job, error = ended.job, ended.error
        return {
            "bucket": job.location.bucket,
            "name": job.location.name,
            "size": job.size,
            "outcome": ended.outcome,
            "from": None if ended.seal is None else str(ended.seal),
            "to": str(self._rekey.target),
            "way": None if ended.way is None else ended.way.value,
            "crc64nvme": None if ended.crc is None else encode(ended.crc),
            "old_version_id": ended.old_version_id,
            "version_id": ended.version_id,
            "error": None if error is None else str(error),
        }


def _job(bucket: str, found: RemoteObject, known: Known | None) -> Job:
    """The rekey of a listed object; an entry of the catalogue counts where LIST agrees with it."""
    job = Job(Direction.REKEY, Location(bucket, found.name), found.name, found.size)
    if known is not None and is_of(known, found):
        job.key_id = known.key_id or UNSEALED
        job.mtime_ns, job.crc, job.version_id = known.mtime_ns, known.crc, known.version_id
    return job


def _unchanged(job: Job, rekey: RekeyOptions) -> Outcome:
    return Outcome(job, "unchanged", rekey.target, None, job.crc, job.version_id, job.version_id)

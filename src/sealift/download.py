"""One object coming down: one GetObject, or concurrent ranges of one version of it (`ranged`).

Bytes are verified before the file gets its name: exact length and range, one ETag, and the whole
CRC64NVME wherever the server or the object's metadata holds one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sealift.checksums import crc64
from sealift.errors import IntegrityError, NotSealedError, ObjectChangedError, ObjectError
from sealift.files.names import split_name
from sealift.files.target import Target, TargetFile
from sealift.metadata import FileFacts
from sealift.model import MAX_RANGE_SIZE, Job
from sealift.ranged import RangedDownloader, counted_if_kept, note_facts
from sealift.resources import Resources, Settle
from sealift.wire.bucket import HeadFacts

# How often an object is begun anew when it is replaced meanwhile, or its bytes do not add up.
START_COUNT = 3


class _Fetched(NamedTuple):
    """A whole object in memory, and where it goes."""

    job: Job
    parts: list[str]
    data: memoryview
    facts: FileFacts


class Downloader:
    """Moves objects down; shared by all workers of a run.

    A call to the disk has at most `files_at_once` files open, of a batch that may be larger.
    With `preserve_mode` files get the permissions that the metadata name; with `markers` an empty
    object whose path ends with `/` makes a directory.
    """

    def __init__(
        self,
        resources: Resources,
        part_size: int,
        target: Target,
        files_at_once: int,
        *,
        preserve_mode: bool = False,
        markers: bool = False,
    ) -> None:
        self._objects = resources.objects
        self._disk = resources.disk
        self._memory = resources.memory
        self._retrier = resources.retrier
        self._note_done = resources.note_done
        self._explained = resources.explained
        self._range_size = min(part_size, MAX_RANGE_SIZE)
        self._ranged = RangedDownloader(
            resources, self._range_size, target, preserve_mode=preserve_mode
        )
        self._target = target
        self._files_at_once = files_at_once
        self._preserve_mode = preserve_mode
        self._markers = markers

    async def move(self, jobs: Sequence[Job], settle: Settle) -> None:
        """Fetch the objects of `jobs`, one or several small ones; `settle` hears how each ended.

        Small objects are fetched one after the other and written by one call to the disk.
        What fails goes the careful way, one by one.
        """
        if self._markers:
            jobs = await self._make_directories(jobs, settle)
        failed: dict[Job, ObjectError | None] = {}
        if len(jobs) > 1:
            for job, outcome in (await self._get_each(jobs)).items():
                if isinstance(outcome, bool):
                    settle(job, outcome)
                else:
                    failed[job] = outcome
        elif jobs:
            failed[jobs[0]] = None
        for job, error in failed.items():
            try:
                checked = await self._download(job, error)
            except ObjectError as reason:
                settle(job, await self._explained(reason, job))
            else:
                settle(job, checked)

    async def _make_directories(self, jobs: Sequence[Job], settle: Settle) -> list[Job]:
        """Make the directories that markers stand for; nothing is fetched. Returns the other jobs.

        What is settled is not checked: an empty object has no byte to compare.
        """
        files = []
        for job in jobs:
            if job.size or not job.path.endswith("/"):
                files.append(job)
                continue
            try:
                parts = split_name(job.path[:-1])
                await self._disk.run(self._target.make_directory, parts)
            except ObjectError as error:
                settle(job, error)
            else:
                settle(job, False)
        return files

    async def _download(self, job: Job, failed: ObjectError | None) -> bool:
        """Write the object of `job` below the target; returns whether a stored CRC64NVME agreed.

        Raises ObjectError; then no file of that name was made, and an older one is untouched.
        `failed` is the error of a first attempt that was made already.
        """
        for start in range(1, START_COUNT + 1):
            try:
                if job.size <= self._range_size:
                    return await self._retrier.run(
                        job.location.name, self._get_whole_once, job, failed=failed
                    )
                return await self._ranged.fetch(job, await self._head(job))
            except (ObjectChangedError, IntegrityError) as error:
                if start == START_COUNT or isinstance(error, NotSealedError):
                    raise
                failed = None
                job.moved = 0
                job.size = (await self._head(job)).size
        raise AssertionError

    async def _head(self, job: Job) -> HeadFacts:
        name = job.location.name
        return await self._retrier.run(name, self._objects.head_object, name)

    # One request

    async def _get_each(self, jobs: Sequence[Job]) -> dict[Job, bool | ObjectError | None]:
        """Fetch small objects one after the other, then write them all; how each ended.

        After the first error no further request is made: None stands for what was not tried.
        """
        outcomes: dict[Job, bool | ObjectError | None] = dict.fromkeys(jobs)
        fetched: list[_Fetched] = []
        async with self._memory.buffer(sum([job.size for job in jobs])) as room:
            try:
                start = 0
                for job in jobs:
                    end = start + job.size
                    try:
                        fetched.append(await self._get_whole(job, room[start:end]))
                    except ObjectError as error:
                        outcomes[job] = error
                        break
                    self._retrier.note_success()
                    start = end
                saved = await self._disk.run_brief(self._save_each, fetched)
            except BaseException:
                for one in fetched:
                    one.job.moved -= one.job.size
                raise
        for one, outcome in zip(fetched, saved, strict=True):
            outcomes[one.job] = outcome
            if isinstance(outcome, ObjectError):
                one.job.moved -= one.job.size
        return outcomes

    async def _get_whole_once(self, job: Job) -> bool:
        async with self._memory.buffer(job.size) as room:
            fetched = await self._get_whole(job, room)
            with counted_if_kept(job, job.size):
                (outcome,) = await self._disk.run(self._save_each, [fetched])
                if isinstance(outcome, ObjectError):
                    raise outcome
        return outcome

    async def _get_whole(self, job: Job, room: memoryview) -> _Fetched:
        parts = split_name(job.path)
        received = await self._objects.get_object(job.location.name, room, None, None, job)
        self._note_done()
        if received.size != job.size:
            job.moved -= received.size
            raise ObjectChangedError("the object is shorter than planned: it was replaced")
        job.etag = received.etag
        job.version_id = received.version_id
        return _Fetched(job, parts, room, received.facts)

    def _save_each(self, fetched: Sequence[_Fetched]) -> list[bool | ObjectError]:
        """Verify and write whole objects: whether a stored CRC64NVME agreed, or what failed."""
        step = self._files_at_once
        return [
            outcome
            for start in range(0, len(fetched), step)
            for outcome in self._save_some(fetched[start : start + step])
        ]

    def _save_some(self, fetched: Sequence[_Fetched]) -> list[bool | ObjectError]:
        outcomes: list[bool | ObjectError] = []
        written: dict[int, TargetFile] = {}
        try:
            for number, one in enumerate(fetched):
                try:
                    note_facts(one.job, crc64(one.data), one.facts)
                    file = written[number] = self._target.create(one.parts)
                    file.write(one.data, 0)
                    if one.facts.mtime_ns is not None:
                        file.set_mtime(one.facts.mtime_ns)
                    if self._preserve_mode and one.facts.mode is not None:
                        file.set_mode(one.facts.mode)
                except ObjectError as error:
                    outcomes.append(error)
                    if number in written:
                        self._target.discard(written.pop(number))
                else:
                    outcomes.append(one.facts.crc is not None)
            errors = self._target.commit_each(list(written.values()))
        except BaseException:
            for file in written.values():
                self._target.discard(file)
            raise
        for number, failure in zip(written, errors, strict=True):
            if failure is not None:
                outcomes[number] = failure
        return outcomes

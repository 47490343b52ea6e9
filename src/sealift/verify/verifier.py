"""Looks at objects and says what of each is not as it should be; moves and records nothing."""

from __future__ import annotations

from collections.abc import Sequence

from sealift.errors import ObjectError, ReplyError
from sealift.model import Job, Location
from sealift.resources import Settle, Sight
from sealift.schedule import BATCH_SIZE
from sealift.verify.contents import Comparer, HiddenError, Subject
from sealift.verify.findings import Finding, Noticed, VerifyOptions, VerifyReport, error_of
from sealift.verify.proving import Keyed, hidden_in_archive
from sealift.verify.reading import FileReader, ObjectReader


class Verifier:
    """Looks at the objects of a run; what it finds goes to `settle` and into `report`.

    `subjects` has one for each job that comes.
    """

    def __init__(
        self,
        sight: Sight,
        options: VerifyOptions,
        subjects: dict[Job, Subject],
        report: VerifyReport,
    ) -> None:
        self._sight = sight
        self._keyring = sight.keyring
        self._files = FileReader(sight.disk, sight.memory)
        objects = ObjectReader(sight.retrier, sight.memory, sight.spread, sight.range_size)
        self._comparer = Comparer(sight.retrier, self._files, objects, is_deep=options.is_deep)
        self._options = options
        self._subjects = subjects
        self._report = report
        self._keyed: dict[str, Keyed] = {}

    async def see(self, jobs: Sequence[Job], settle: Settle) -> None:
        """Settle each job: whether a stored checksum was compared, or all that is wrong with it."""
        subjects = [(job, self._subjects.pop(job)) for job in jobs]
        crcs = await self._read_small(subjects)
        for job, subject in subjects:
            noticed = list(subject.noticed)
            checked = False
            try:
                checked = await self._look(job, subject, crcs.get(job), noticed)
            except HiddenError as reason:
                noticed.append(reason.noticed)
            except ObjectError as error:
                noticed.append(_noticed(error, subject))
            self._sight.note_done()
            if noticed:
                self._report.note(_name(job, subject), noticed)
                settle(job, error_of(noticed, _version(subject)))
            else:
                settle(job, checked)

    async def _read_small(
        self, subjects: Sequence[tuple[Job, Subject]]
    ) -> dict[Job, int | ObjectError]:
        """The CRCs of all small files, by one call to the disk."""
        small = [
            (job, subject.path)
            for job, subject in subjects
            if subject.path is not None and subject.compares and job.size <= BATCH_SIZE
        ]
        if not small:
            return {}
        crcs = await self._files.crc_of_each([(path, job.size) for job, path in small])
        return dict(zip([job for job, _ in small], crcs, strict=True))

    async def _look(
        self, job: Job, subject: Subject, crc: int | ObjectError | None, noticed: list[Noticed]
    ) -> bool:
        """Add to `noticed` what is wrong; whether a stored checksum was compared, and is right."""
        keyed = self._keyed.get(job.location.bucket) or await self._open(job.location.bucket)
        key_id = None
        if self._options.is_sealed:
            expected = self._expected(job.location, subject)
            proof = await keyed.prover.prove(
                job.location.name, job.size, expected, subject.recorded, subject.version_id
            )
            noticed += proof.noticed
            key_id = proof.key_id
            if not proof.noticed:
                self._report.sealed_count += 1
            if key_id is None:
                return False
            job.key_id = key_id
            self._report.note_key(key_id)
        if not subject.compares:
            return False
        if isinstance(crc, ObjectError):
            raise crc
        judged, found_id = await self._comparer.compare(keyed, job, subject, key_id, crc)
        job.key_id = found_id
        if key_id is None:
            self._report.note_key(found_id)
        noticed += judged.noticed
        if judged.how is not None:
            self._report.note_content(judged.how)
        return judged.checked

    async def _open(self, bucket: str) -> Keyed:
        objects = await self._sight.open_bucket(bucket)
        keyed = self._keyed[bucket] = Keyed.of(
            objects,
            self._keyring,
            self._sight.retrier,
            bucket,
            lambda name: self._sight.read_tag(Location(bucket, name)),
        )
        return keyed

    def _expected(self, location: Location, subject: Subject) -> list[str]:
        """The keys that an object may be under; none named: any at hand is right."""
        if self._options.key_id is not None:
            return [self._options.key_id]
        recorded = [subject.recorded] if subject.recorded else []
        if subject.is_line and recorded:
            return recorded
        rule = self._keyring.rule_for(location)
        if rule is not None:
            return [rule]
        default = self._keyring.default
        return list(dict.fromkeys([*([] if default is None else [default.key_id]), *recorded]))


def _version(subject: Subject) -> str:
    return "" if subject.version_id is None else f"version {subject.version_id}: "


def _name(job: Job, subject: Subject) -> str:
    return job.location.name + (f"?versionId={subject.version_id}" if subject.version_id else "")


def _noticed(error: ObjectError, subject: Subject) -> Noticed:
    """What failed while an object was looked at, as a finding."""
    if isinstance(error, ReplyError):
        if error.code == "InvalidObjectState":
            return hidden_in_archive()
        if error.status == 404 and subject.is_line:
            return Noticed(Finding.ALTERED, error.message, error.hint)
    return Noticed(Finding.UNREADABLE, error.message, error.hint, error.cause)

"""What one command of the engine has done, for programs. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from sealift.errors import RunError, SealiftError
from sealift.events import Tally


@dataclass(frozen=True, slots=True)
class Failure:
    """The object or file `name` could not be moved or removed, or is not as it should be."""

    name: str
    error: SealiftError


@dataclass(frozen=True, slots=True)
class Report:
    """Counts are of objects or files, sizes in bytes.

    `moved` is what was transferred, complete, verified and durable; of these `checked_count` agreed
    with a CRC64NVME that S3 has stored. `unchanged` is what was the same on both sides already,
    `skipped_counts` what was left out, by the reason. `failures` are the first 1,000 of
    `failed_count`. `would_counts` is what a dry run would do, by the act: `upload`, `download`,
    `copy`, `remove`, `rekey`. `key_counts` has the objects done under each customer key that is not
    the default one, by key id. `path` is the file that `get` was to write.
    `request_count` has all HTTP requests, those that were made again too.
    """

    moved_count: int
    moved_size: int
    checked_count: int
    unchanged_count: int
    unchanged_size: int
    removed_count: int
    failed_count: int
    failures: tuple[Failure, ...]
    skipped_counts: Mapping[str, int]
    would_counts: Mapping[str, int]
    key_counts: Mapping[str, int]
    request_count: int
    retry_count: int
    seconds: float
    path: str | None = None

    @property
    def ok(self) -> bool:
        """Whether nothing failed."""
        return not self.failed_count

    def raise_for_failures(self) -> None:
        """Raise RunError when something failed; the first error is its cause."""
        if self.failures:
            first = self.failures[0]
            more = f" and {self.failed_count - 1:,} more" if self.failed_count > 1 else ""
            raise RunError(f"{first.name}{more} failed: {first.error}") from first.error


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a running command has come: counts of objects, sizes in bytes.

    `moved_size` has those of unfinished objects, too. The plan grows until `plan_complete`.
    """

    moved_count: int
    moved_size: int
    planned_count: int
    planned_size: int
    plan_complete: bool
    failed_count: int


def report_of(tally: Tally, seconds: float, path: str | None = None) -> Report:
    """The report of a command that has ended."""
    return Report(
        moved_count=tally.done_count,
        moved_size=tally.done_size,
        checked_count=tally.checked_count,
        unchanged_count=tally.unchanged_count,
        unchanged_size=tally.unchanged_size,
        removed_count=tally.removed_count,
        failed_count=tally.failed_count,
        failures=tuple(Failure(failed.name, failed.error) for failed in tally.failures),
        skipped_counts=MappingProxyType(dict(tally.skipped)),
        would_counts=MappingProxyType({act: count for act, (count, _) in tally.would.items()}),
        key_counts=MappingProxyType(dict(tally.key_counts)),
        request_count=tally.request_count,
        retry_count=tally.retry_count,
        seconds=seconds,
        path=path,
    )


def progress_of(tally: Tally) -> Progress:
    """How far a command is whose events are added up in `tally`."""
    return Progress(
        moved_count=tally.done_count,
        moved_size=tally.moved_size,
        planned_count=tally.planned_count,
        planned_size=tally.planned_size,
        plan_complete=tally.plan_complete,
        failed_count=tally.failed_count,
    )

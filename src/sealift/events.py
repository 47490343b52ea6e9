"""What happens during a run, told to the side: the domain declares, a console draws.

Events come once or a few times an object; bytes in between are counted on `Job.moved`, which a
screen polls, so that progress costs the hot path one addition.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from sealift.errors import ObjectError, Obstacle, SealiftError
from sealift.model import Job


@dataclass(slots=True)
class Planned:
    """The plan grew by `count` objects and `size` bytes."""

    count: int
    size: int


@dataclass(slots=True)
class PlanComplete:
    """No more objects will be planned."""


@dataclass(slots=True)
class Verifying:
    """The run moves nothing: what is done is that objects were found to be as they should."""


@dataclass(slots=True)
class Rekeying:
    """What is done is that objects come under another key."""


@dataclass(slots=True)
class Started:
    job: Job


@dataclass(slots=True)
class Finished:
    """`job` is complete, verified and durable; `checked` says that a stored CRC64NVME agreed."""

    job: Job
    checked: bool
    note: str = ""


@dataclass(slots=True)
class Failed:
    """`name` could not be moved or removed; `job` is None when there was none for it."""

    name: str
    error: SealiftError
    job: Job | None = None


@dataclass(slots=True)
class RemovalPlanned:
    """`count` more objects or files are to be removed."""

    count: int


@dataclass(slots=True)
class Removed:
    """The object or file `name` is there no more."""

    name: str


@dataclass(slots=True)
class Skipped:
    name: str
    reason: str


@dataclass(slots=True)
class Unchanged:
    """`count` objects of `size` bytes are the same on both sides.

    With `job` it is one that was planned, and turned out not to need moving.
    """

    count: int
    size: int
    job: Job | None = None


@dataclass(slots=True)
class Would:
    """A dry run would do this: `act` is `upload`, `download`, `copy`, `remove` or `rekey`.

    `name` is the file or the URI that it is done to, `to` where that goes, if anywhere.
    """

    act: str
    name: str
    to: str
    size: int
    job: Job | None = None


@dataclass(slots=True)
class OlderKey:
    """The object that `job` reads is under another of the keys at hand than a new one would get."""

    job: Job


@dataclass(slots=True)
class Retried:
    """An attempt at `name` failed and is made again after `delay` seconds."""

    name: str
    attempt: int
    delay: float
    error: ObjectError


@dataclass(slots=True)
class Noted:
    """Something the user should know that is no failure."""

    text: str


@dataclass(slots=True)
class Reported:
    """What a run that verifies has found in all; see `findings.VerifyReport.record`."""

    record: Mapping[str, object]


@dataclass(slots=True)
class Traffic:
    """A command has ended that sent `request_count` HTTP requests, without the control plane's."""

    request_count: int


Event = (
    Planned
    | PlanComplete
    | Verifying
    | Rekeying
    | Started
    | Finished
    | Failed
    | RemovalPlanned
    | Removed
    | Skipped
    | Unchanged
    | Would
    | OlderKey
    | Retried
    | Noted
    | Reported
    | Traffic
)


class Reporter(Protocol):
    """Takes events as they happen; must return at once."""

    def emit(self, event: Event) -> None: ...


class Silent:
    """Says nothing."""

    def emit(self, event: Event) -> None:
        """Drop the event."""


@dataclass(slots=True)
class Tally:
    """Adds up a run: the numbers of the closing table and of the exit code.

    `key_counts` are the objects done under each customer key that their jobs name (see `Job`),
    `older_key_count` those read under another one than new objects get; `obstacles` those that no
    key at hand has opened, `missing_keys` those of them that are under a key known by its id.
    """

    planned_count: int = 0
    planned_size: int = 0
    plan_complete: bool = False
    verifies: bool = False
    rekeys: bool = False
    done_count: int = 0
    done_size: int = 0
    checked_count: int = 0
    failed_count: int = 0
    planned_removal_count: int = 0
    removed_count: int = 0
    skipped: dict[str, int] = field(default_factory=dict)
    unchanged_count: int = 0
    unchanged_size: int = 0
    would: dict[str, tuple[int, int]] = field(default_factory=dict)
    request_count: int = 0
    retry_count: int = 0
    key_counts: dict[str, int] = field(default_factory=dict)
    older_key_count: int = 0
    obstacles: dict[Obstacle, int] = field(default_factory=dict)
    missing_keys: dict[str, int] = field(default_factory=dict)
    active: dict[int, Job] = field(default_factory=dict)
    failures: list[Failed] = field(default_factory=list)

    MAX_FAILURES_KEPT = 1000
    MAX_KEYS_KEPT = 1000

    def emit(self, event: Event) -> None:
        # The two that come for every object go first, and without the cost of a pattern.
        if isinstance(event, Finished):
            job = event.job
            self.active.pop(id(job), None)
            self.done_count += 1
            self.done_size += job.size
            self.checked_count += event.checked
            if job.key_id is not None:
                self.key_counts[job.key_id] = self.key_counts.get(job.key_id, 0) + 1
            return
        if isinstance(event, Started):
            self.active[id(event.job)] = event.job
            return
        match event:
            case Planned(count, size):
                self.planned_count += count
                self.planned_size += size
            case PlanComplete():
                self.plan_complete = True
            case Verifying():
                self.verifies = True
            case Rekeying():
                self.rekeys = True
            case Failed(_, error, failed):
                if failed is not None:
                    self.active.pop(id(failed), None)
                self.failed_count += 1
                if isinstance(error, ObjectError) and error.obstacle is not None:
                    self._note_obstacle(error.obstacle, error.key_id)
                if len(self.failures) < self.MAX_FAILURES_KEPT:
                    self.failures.append(event)
            case Removed():
                self.removed_count += 1
            case RemovalPlanned(count):
                self.planned_removal_count += count
            case Skipped(_, reason):
                self.skipped[reason] = self.skipped.get(reason, 0) + 1
            case Unchanged(count, size, moot):
                self.unchanged_count += count
                self.unchanged_size += size
                if moot is not None:
                    self._unplan(moot)
            case Would(act, _, _, size, moot):
                count, total = self.would.get(act, (0, 0))
                self.would[act] = count + 1, total + size
                if moot is not None:
                    self._unplan(moot)
            case OlderKey():
                self.older_key_count += 1
            case Retried():
                self.retry_count += 1
            case Traffic(count):
                self.request_count += count
            case _:
                pass

    def _note_obstacle(self, obstacle: Obstacle, key_id: str | None) -> None:
        self.obstacles[obstacle] = self.obstacles.get(obstacle, 0) + 1
        if key_id is not None and (
            key_id in self.missing_keys or len(self.missing_keys) < self.MAX_KEYS_KEPT
        ):
            self.missing_keys[key_id] = self.missing_keys.get(key_id, 0) + 1

    def _unplan(self, job: Job) -> None:
        self.active.pop(id(job), None)
        self.planned_count -= 1
        self.planned_size -= job.size

    @property
    def left_count(self) -> int:
        """How many of the planned objects are neither moved nor removed nor failed."""
        planned = self.planned_count + self.planned_removal_count
        return max(planned - self.done_count - self.removed_count - self.failed_count, 0)

    @property
    def moved_size(self) -> int:
        """Bytes moved so far, those of unfinished objects included."""
        return self.done_size + sum(job.moved for job in self.active.values())


class Fanout:
    """Passes each event to several reporters."""

    def __init__(self, reporters: Sequence[Reporter]) -> None:
        self._reporters = tuple(reporters)

    def emit(self, event: Event) -> None:
        for reporter in self._reporters:
            reporter.emit(event)

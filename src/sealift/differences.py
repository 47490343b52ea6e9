"""What a sync moves and removes, decided name by name.

Source and destination are merged in the order of names, with the catalogue's entries of the
objects at hand, and compared by the table in `compare`. Memory holds a page of each, and moving
begins with the first pairs. What is left over at the destination is kept on disk until everything
has been moved.
"""

from __future__ import annotations

import json
import tempfile
from bisect import bisect_right
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, repeat
from operator import attrgetter
from types import NoneType
from typing import Generic, NamedTuple, Protocol, TypeVar

from sealift.collisions import Collisions
from sealift.compare import Verdict
from sealift.errors import CatalogueError, LocalFileError, ObjectError
from sealift.events import Failed, Noted, PlanComplete, Planned, Reporter, Unchanged
from sealift.files.disk import Disk
from sealift.files.walk import Passed
from sealift.filters import Filter
from sealift.merge import Side, merge
from sealift.model import ABSENT, Job, Known, Location, RemoteObject, bare_etag
from sealift.plan import is_marker
from sealift.resources import Settle

# Names that are removed by one request (S3's limit), and the bytes of them that memory may hold.
REMOVE_COUNT = 1000
EXTRAS_IN_MEMORY = 4 << 20

_NAME = attrgetter("name")
_SIZE = attrgetter("size")


class Entry(Protocol):
    """A file or an object."""

    @property
    def name(self) -> str: ...
    @property
    def size(self) -> int: ...


S = TypeVar("S", bound=Entry)
D = TypeVar("D", bound=Entry)

# Finds out whether a source and what is at its destination are the same.
Question = Callable[[], Awaitable[bool]]


class Entries:
    """The catalogue's entries of one prefix, handed out as the listing goes on.

    `fetch` gives those after a name, in order, some at a time; it is called in a thread.
    """

    def __init__(self, fetch: Callable[[str], list[Known]]) -> None:
        self._fetch = fetch
        self._rows: list[Known] = []
        self._after: str | None = ""

    def lacks(self, last: str) -> bool:
        """Whether more has to be fetched before all up to the name `last` are here."""
        return self._after is not None and not (self._rows and self._rows[-1].name > last)

    def fetch(self) -> None:
        """Fetch some more: a brief call, where `up_to` may take many."""
        rows = [] if self._after is None else self._fetch(self._after)
        self._after = rows[-1].name if rows else None
        self._rows += rows

    def up_to(self, last: str) -> dict[str, Known]:
        """The next entries, up to the name `last`."""
        while self.lacks(last):
            self.fetch()
        end = bisect_right(self._rows, last, key=_NAME)
        found, self._rows = self._rows[:end], self._rows[end:]
        return dict(zip(map(_NAME, found), found, strict=True))


class Extra(NamedTuple):
    """What only the destination has; `name` is relative to its root.

    `directory` is the innermost one around it that the source has an object for, as `a/b/`, or "".
    """

    name: str
    size: int
    directory: str


class Extras:
    """Names to remove, in the order they were found; beyond some MiB they wait in a file."""

    def __init__(self) -> None:
        self._file = tempfile.SpooledTemporaryFile(  # noqa: SIM115
            EXTRAS_IN_MEMORY, "w+", encoding="ascii"
        )
        self.count = 0

    def add(self, extra: Extra) -> None:
        """Keep a name. LocalFileError."""
        try:
            self._file.write(json.dumps(extra) + "\n")
        except OSError as reason:
            raise LocalFileError("write to", tempfile.gettempdir(), reason) from None
        self.count += 1

    def batches(self) -> Iterator[list[Extra]]:
        """All of them, as many at a time as one request removes."""
        self._file.seek(0)
        while lines := list(islice(self._file, REMOVE_COUNT)):
            yield [Extra(*json.loads(line)) for line in lines]

    def close(self) -> None:
        self._file.close()


class Listed:
    """The objects below a prefix, with what the catalogue knows of the page at hand in `known`.

    Objects that only stand for a directory are left out unless there are to be `markers`, and
    always the one that stands for the prefix itself. Nothing is to be done for those of which
    `is_made` says that the directory is there.
    """

    def __init__(
        self,
        prefix: Location,
        pages: AsyncIterator[list[RemoteObject]],
        entries: Entries,
        chosen: Filter,
        disk: Disk,
        reporter: Reporter,
        *,
        markers: bool,
        is_made: Callable[[str], bool] = lambda _: False,
    ) -> None:
        self.prefix = prefix
        self._reporter = reporter
        self._pages = pages
        self._entries = entries
        self._takes = None if chosen.is_open else chosen.takes
        self._disk = disk
        self._markers = markers
        self._is_made = is_made
        self.known: dict[str, Known] = {}

    def side(self) -> Side[RemoteObject | Passed]:
        """The objects as a side to merge, by their names below the prefix."""
        return Side(str(self.prefix), self.pages(), len(self.prefix.name))

    async def pages(self) -> AsyncIterator[list[RemoteObject | Passed]]:
        """The pages; each replaces `known`."""
        async for page in self._pages:
            try:
                while self._entries.lacks(page[-1].name):
                    await self._disk.run_brief(self._entries.fetch)
                self.known = self._entries.up_to(page[-1].name)
            except CatalogueError as error:
                self.known = {}
                self._reporter.emit(Noted(str(error)))
            if self._takes is None and not any(map(str.endswith, map(_NAME, page), repeat("/"))):
                yield list(page)
            else:
                yield list(self._chosen(page))

    def _chosen(self, page: list[RemoteObject]) -> Iterator[RemoteObject | Passed]:
        takes, cut = self._takes, len(self.prefix.name)
        for found in page:
            name = found.name[cut:]
            if takes is not None and not takes(name):
                continue
            if not is_marker(found):
                yield found
            elif self._markers and name:
                yield Passed(found.name, "is there") if self._is_made(name) else found


@dataclass(slots=True)
class Rules(Generic[S, D]):
    """One direction: how its sides are compared, and what is to be done for a source.

    `question` is for pairs that must be asked about, `note_same` hears of those that are the same,
    `expected` tells what a job expects at its place, of what was found there (see `model.Job`);
    `collisions` is for where files are written. `are_same` sees pairs in a row, as two sequences,
    and answers True only when `compare` would call each the same and `note_same` need not hear.
    """

    compare: Callable[[S, D], Verdict]
    make_job: Callable[[S], Job]
    question: Callable[[Job, S, D], Question]
    note_same: Callable[[S, D], None]
    expected: Callable[[D | Passed | None], str | None] = lambda _: None
    collisions: Collisions | None = None
    are_same: Callable[[Sequence[S], Sequence[D]], bool] | None = None


def expected(found: RemoteObject | Passed | None) -> str | None:
    """What a job expects at its place in a bucket: what LIST has shown there."""
    if found is None:
        return ABSENT
    return None if isinstance(found, Passed) else bare_etag(found.etag)


class SyncPlan(Generic[S, D]):
    """What one sync moves and removes. `source_count` counts all that the source has."""

    def __init__(self, rules: Rules[S, D], reporter: Reporter, *, keep_extras: bool) -> None:
        self._rules = rules
        self._keep_extras = keep_extras
        self._reporter = reporter
        self._questions: dict[Job, Question] = {}
        self._directories: list[str] = []
        self.extras = Extras()
        self.source_count = 0

    async def jobs(
        self, source: Side[S | Passed], found: Side[D | Passed]
    ) -> AsyncIterator[list[Job]]:
        """Batches of what is to be moved, or to be asked about and then moved."""
        async for pairs in merge(source, found):
            jobs = self._decide(pairs)
            if jobs:
                self._reporter.emit(Planned(len(jobs), sum([job.size for job in jobs])))
            yield jobs
        self._reporter.emit(PlanComplete())

    def _decide(self, pairs: list[tuple[str, S | Passed | None, D | Passed | None]]) -> list[Job]:
        if self._are_same(pairs):
            return []
        jobs: list[Job] = []
        same_count = same_size = 0
        collisions, compare = self._rules.collisions, self._rules.compare
        for name, ours, found in pairs:
            # A link or a device is replaced if it must, and never removed.
            theirs = None if isinstance(found, Passed) else found
            if ours is None:
                if theirs is not None and self._keep_extras:
                    self.extras.add(Extra(name, theirs.size, self._directory_of(name)))
                continue
            self.source_count += 1
            if name.endswith("/"):
                self._directory_of(name)
                self._directories.append(name)
            if isinstance(ours, Passed):
                continue
            try:
                if collisions is not None:
                    collisions.check(name)
                verdict = Verdict.DIFFERENT if theirs is None else compare(ours, theirs)
                if verdict is Verdict.SAME and theirs is not None:
                    self._rules.note_same(ours, theirs)
                    same_count += 1
                    same_size += ours.size
                    continue
                job = self._rules.make_job(ours)
                job.expects = self._rules.expected(found)
            except ObjectError as error:
                self._reporter.emit(Failed(name, error))
                continue
            if verdict is Verdict.ASK and theirs is not None:
                self._questions[job] = self._rules.question(job, ours, theirs)
            jobs.append(job)
        if same_count:
            self._reporter.emit(Unchanged(same_count, same_size))
        return jobs

    def _are_same(self, pairs: list[tuple[str, S | Passed | None, D | Passed | None]]) -> bool:
        """Whether nothing is to be done for any of `pairs`, which is then told and counted.

        Most pairs of most syncs come here: steps are taken for all of them at once.
        """
        if self._rules.are_same is None or self._rules.collisions is not None:
            return False
        names, ours, theirs = zip(*pairs, strict=True)
        if {NoneType, Passed} & {*map(type, ours), *map(type, theirs)}:
            return False
        if any(map(str.endswith, names, repeat("/"))) or not self._rules.are_same(ours, theirs):
            return False
        self.source_count += len(pairs)
        self._reporter.emit(Unchanged(len(pairs), sum(map(_SIZE, ours))))
        return True

    def _directory_of(self, name: str) -> str:
        """The innermost directory around `name` that the source has an object for, or ""."""
        directories = self._directories
        while directories and not name.startswith(directories[-1]):
            directories.pop()
        return directories[-1] if directories else ""

    async def differing(self, jobs: Sequence[Job], settle: Settle) -> list[Job]:
        """Those of `jobs` that differ, where that had to be asked; `settle` hears what failed."""
        if not self._questions:
            return list(jobs)
        different = []
        for job in jobs:
            question = self._questions.pop(job, None)
            try:
                same = question is not None and await question()
            except ObjectError as error:
                settle(job, error)
                continue
            if same:
                settle(job, None)
            else:
                different.append(job)
        return different

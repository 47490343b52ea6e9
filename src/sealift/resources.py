"""What every transfer of a run shares; the engine makes it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sealift.errors import ObjectError
from sealift.files.disk import Disk
from sealift.keyring import Keyring
from sealift.ledger import Ledger
from sealift.memory import Memory
from sealift.model import Job, Location, Spread
from sealift.retry import Retrier
from sealift.wire.bucket import BucketClient

if TYPE_CHECKING:
    from sealift.capabilities import Capabilities

# Hears how a job ended: whether a checksum of every byte was compared, or what failed; None says
# that there was nothing to move.
Settle = Callable[[Job, bool | ObjectError | None], None]

Explained = Callable[[ObjectError, Job], Awaitable[ObjectError]]


@dataclass(frozen=True, slots=True)
class Resources:
    """The data plane, the disk, the memory budget, the retry policy, the journal, how pieces are
    spread.

    `note_done` is called after each request that moved an object whole. `explained` turns the
    error of a job into one that says why, if it was a refusal. `recall` reads what is remembered
    of the server.
    """

    objects: BucketClient
    disk: Disk
    memory: Memory
    retrier: Retrier
    spread: Spread
    note_done: Callable[[], None]
    ledger: Ledger
    explained: Explained
    recall: Callable[[], Awaitable[Capabilities]]


@dataclass(frozen=True, slots=True)
class Sight:
    """What those share who only look: buckets by name, the keys at hand, the key id in an object's
    tag, and as `Resources` has them the disk, the memory budget, the retry policy, the schedule.

    Objects are read in ranges of `range_size` bytes.
    """

    open_bucket: Callable[[str], Awaitable[BucketClient]]
    keyring: Keyring
    read_tag: Callable[[Location], Awaitable[str | None]]
    disk: Disk
    memory: Memory
    retrier: Retrier
    spread: Spread
    note_done: Callable[[], None]
    range_size: int

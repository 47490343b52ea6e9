"""What a run is told, complete and checked: the engine's only argument besides the reporter."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from sealift.encryption import ServerSide
from sealift.errors import UsageError
from sealift.keyring import Keyring
from sealift.keys import CustomerKey
from sealift.model import (
    DEFAULT_PART_SIZE,
    MAX_PART_SIZE,
    MIN_PART_SIZE,
    Direction,
    Durability,
    MiB,
)
from sealift.retry import Policy
from sealift.wire.connection import Deadlines

MAX_CONCURRENCY = 1024
# Beyond this more requests in flight cost memory and bring nothing (s5cmd too stops here).
ADAPTIVE_CEILING = 256
DEFAULT_MEMORY = 256 * MiB


@dataclass(frozen=True, slots=True)
class TreeOptions:
    """What of a tree takes part, and what goes with it.

    `rules` are (is_include, glob) in the order given, the last one that matches decides (see
    `filters`). `follow_links` takes symbolic links for what they lead to; else they are skipped.
    `preserve_mode` keeps the permissions of files in the metadata and brings them back. `markers`
    turns empty directories into empty objects whose names end with `/`, and the reverse.
    `durability` is that of downloaded files; None: as the command has it. `if_absent` leaves
    objects alone that are there already.
    """

    rules: tuple[tuple[bool, str], ...] = ()
    follow_links: bool = False
    preserve_mode: bool = False
    markers: bool = False
    durability: Durability | None = None
    if_absent: bool = False


WHOLE_TREE = TreeOptions()


@dataclass(frozen=True, slots=True)
class SourceOptions:
    """How the source of an s3-to-s3 copy is reached; complete, nothing is taken from `Options`.

    `customer_key` None means that the source is not sealed.
    """

    customer_key: CustomerKey | None
    profile: str | None = None
    region: str | None = None
    endpoint_url: str | None = None
    ca_bundle: str | None = None


@dataclass(frozen=True, slots=True)
class Options:
    """Settings of an engine. Sizes in bytes, `max_bandwidth` in bytes per second.

    `customer_key` None means that objects are neither sealed nor expected to be; `keyring` has the
    other keys at hand, and rules that may name another one for some objects. With `allow_unsealed`
    objects are read that are under no customer key, though there is one. Without a customer key
    S3 encrypts by itself as `encryption` asks (None: as the bucket has it). With `tag_key_id` each
    object written under a customer key has its id as a tag. `memory` bounds the whole process, not
    only the buffers. `concurrency` None finds the number of requests in flight by itself. `source`
    None means that both sides of an s3-to-s3 copy are reached alike. The catalogue and the journal
    are kept in `state_directory`, None means the user's own. `words` are the arguments of the
    command, for the journal; by `aim`, those that say what is moved, it knows the command again.
    """

    customer_key: CustomerKey | None
    profile: str | None = None
    region: str | None = None
    endpoint_url: str | None = None
    ca_bundle: str | None = None
    concurrency: int | None = None
    part_size: int = DEFAULT_PART_SIZE
    memory: int = DEFAULT_MEMORY
    max_bandwidth: float | None = None
    state_directory: str | None = None
    words: tuple[str, ...] = ()
    aim: tuple[str, ...] = ()
    policy: Policy = field(default_factory=Policy)
    deadlines: Deadlines = field(default_factory=Deadlines)
    source: SourceOptions | None = None
    keyring: Keyring = field(default_factory=Keyring)
    allow_unsealed: bool = False
    encryption: ServerSide | None = None
    tag_key_id: bool = False

    def for_source(self) -> Options:
        """The options by which the source of an s3-to-s3 copy is reached."""
        source = self.source
        if source is None:
            return self
        return replace(
            self,
            customer_key=source.customer_key,
            profile=source.profile,
            region=source.region,
            endpoint_url=source.endpoint_url,
            ca_bundle=source.ca_bundle,
            source=None,
            encryption=None,
        )

    def keys(self) -> Keyring:
        """All keys at hand; `customer_key` seals what no rule names."""
        return self.keyring.with_default(self.customer_key)

    def same_server(self, other: Options) -> bool:
        """Whether one server, asked by one identity, has the buckets of both."""
        return (self.endpoint_url, self.profile) == (other.endpoint_url, other.profile)

    def check_direction(self, direction: Direction) -> None:
        """UsageError for what is of no use in moves of this direction."""
        if self.source is not None and direction is not Direction.COPY:
            raise UsageError(
                "options of the source are for copies from s3 to s3", hint="leave --source-... out"
            )
        if self.tag_key_id and direction is Direction.DOWN:
            raise UsageError("--tag-key-id is for objects", hint="leave it out")

    def __post_init__(self) -> None:
        if self.customer_key is not None and self.encryption is not None:
            raise UsageError(
                "S3 encrypts under a customer key or by itself", hint="give one of the two"
            )
        if self.concurrency is not None and not 1 <= self.concurrency <= MAX_CONCURRENCY:
            raise UsageError(
                f"--concurrency {self.concurrency} is out of range",
                hint=f"give 1 to {MAX_CONCURRENCY}",
            )
        if not MIN_PART_SIZE <= self.part_size <= MAX_PART_SIZE:
            raise UsageError(
                f"--part-size {self.part_size} is out of range", hint="S3 takes 5MiB to 5GiB"
            )
        if self.max_bandwidth is not None and self.max_bandwidth <= 0:
            raise UsageError("--max-bandwidth must be more than 0", hint="write for example 50MiB")

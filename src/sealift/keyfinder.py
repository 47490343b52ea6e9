"""Finds which of the keys at hand an object is under.

What is known or said of it is tried first: the catalogue's entry, as far as LIST agrees with it,
the object's tag, the rule for its name, the key that fit the last one. Then every other key at
hand, and in the end none. None of these is proof, for an object may have been sealed anew, with the
same ETag, by others: only the server's answer under a key is. Each try is one GET of at most one
byte.
"""

from __future__ import annotations

import enum
from collections.abc import Awaitable, Callable, Collection
from typing import NamedTuple

from sealift.errors import (
    Denial,
    NotSealedError,
    ObjectChangedError,
    ObjectError,
    Obstacle,
    ReplyError,
    UnsealedError,
    WrongCustomerKeyError,
)
from sealift.keyring import Keyring
from sealift.model import UNSEALED, ByteRange, Location
from sealift.retry import Retrier
from sealift.wire.bucket import BucketClient

# Tells the key id that an object's tag names, which takes no key to read; None: it has no such tag.
TagReader = Callable[[str], Awaitable[str | None]]

_USE = "use the key that the object was sealed with"
# So many keys left to try cost as many requests, half of them on average, as the tag and its key.
TAG_PAYS_FROM = 3
# Of so many directories it is remembered which key fit last.
MAX_DIRECTORY_COUNT = 1000


class Sealing(enum.Enum):
    """How an object is sealed, as far as can be told with the keys at hand."""

    KEY = "under a key at hand"
    NONE = "under no customer key"
    MISSING = "under a key that is not at hand"
    UNKNOWN = "under none of the keys at hand"
    ARCHIVED = "archived"


class Sealed(NamedTuple):
    """`key_id` is that of the key at hand, or of the missing one; UNSEALED for none; None:
    unknown."""

    sealing: Sealing
    key_id: str | None


class KeyFinder:
    """Of one bucket; `read_tag` None: tags are not looked at."""

    def __init__(
        self,
        objects: BucketClient,
        keyring: Keyring,
        retrier: Retrier,
        bucket: str,
        read_tag: TagReader | None = None,
    ) -> None:
        self._objects = objects
        self._keyring = keyring
        self._retrier = retrier
        self._bucket = bucket
        self._read_tag = read_tag
        self._last: str | None = None
        self._fits: dict[str, str] = {}

    def guess(self, name: str, recorded: str | None) -> str | None:
        """The key at hand that an object is most likely under, without a request; None: any.

        `recorded` is what the catalogue says, where LIST agrees with it.
        """
        for key_id in (recorded, *self._evidence(name)):
            if key_id is not None and (key_id == UNSEALED or self._keyring.get(key_id)):
                return key_id
        return None

    def note_fit(self, key_id: str, name: str | None = None) -> None:
        """An object was under this key: the next one may be, those in its directory before all."""
        self._last = key_id
        if name is not None:
            directory = directory_of(name)
            if self._fits.get(directory) != key_id:
                if len(self._fits) == MAX_DIRECTORY_COUNT:
                    del self._fits[next(iter(self._fits))]
                self._fits[directory] = key_id

    def new_directory(self, name: str) -> str | None:
        """The directory of an object, if it is not known which key fit last there."""
        directory = directory_of(name)
        return None if directory in self._fits else directory

    async def find(
        self,
        name: str,
        size: int | None,
        recorded: str | None,
        refused: Collection[str] = (),
        *,
        reads_tag: bool = True,
    ) -> Sealed:
        """How the object `name` of `size` bytes is sealed; keys `refused` are known not to fit.

        With UNSEALED among these it is known to be under a customer key. Its size may be unknown.
        Without its tag, if it `reads_tag` not, a key that is missing may not be known.
        Raises ObjectError for what is no matter of keys, as that the object is gone.
        """
        untried = self._untried(name, recorded, refused)
        is_sealed = UNSEALED in refused
        named = [] if recorded is None else [recorded]
        # To try all the others takes fewer requests as long as these are few.
        is_tag_read = reads_tag and len(untried) >= TAG_PAYS_FROM and recorded not in untried
        if is_tag_read:
            named += await self._tagged(name)
            untried.sort(key=lambda key_id: key_id not in named)
        for key_id in untried:
            sealing = await self._try(name, size, key_id)
            if sealing is Sealing.KEY:
                self.note_fit(key_id, name)
                return Sealed(sealing, key_id)
            if sealing in (Sealing.NONE, Sealing.ARCHIVED):
                return Sealed(sealing, UNSEALED if sealing is Sealing.NONE else None)
            is_sealed = is_sealed or sealing is Sealing.UNKNOWN
        if not is_sealed:
            sealing = await self._try(name, size, UNSEALED)
            if sealing in (Sealing.NONE, Sealing.ARCHIVED):
                return Sealed(sealing, UNSEALED if sealing is Sealing.NONE else None)
        if reads_tag and not is_tag_read:
            named += await self._tagged(name)
        missing = [key_id for key_id in named if key_id and self._keyring.get(key_id) is None]
        if missing:
            return Sealed(Sealing.MISSING, missing[-1])
        return Sealed(Sealing.UNKNOWN, None)

    def _untried(self, name: str, recorded: str | None, refused: Collection[str]) -> list[str]:
        """The keys at hand that may fit, the likely ones first."""
        likely = [recorded, *self._evidence(name)]
        default = self._keyring.default
        if default is not None:
            likely.append(default.key_id)
        likely += [key.key_id for key in self._keyring.triable_in(self._bucket)]
        return [
            key_id
            for key_id in dict.fromkeys(likely)
            if key_id and key_id not in refused and self._keyring.get(key_id) is not None
        ]

    def _evidence(self, name: str) -> tuple[str | None, ...]:
        """What this run has seen comes before the rule, which is about new objects."""
        return (
            self._fits.get(directory_of(name)),
            self._keyring.rule_for(Location(self._bucket, name)),
            self._last,
        )

    async def _tagged(self, name: str) -> list[str]:
        tagged = None if self._read_tag is None else await self._read_tag(name)
        return [] if tagged is None else [tagged]

    async def _try(self, name: str, size: int | None, key_id: str) -> Sealing | None:
        """What a GET under a key tells: UNKNOWN, it is under another one; None: nothing."""
        objects = self._objects.under(self._keyring.select(key_id))
        room = memoryview(bytearray(1))
        span = None if size == 0 else ByteRange(0, 1)
        try:
            try:
                await self._retrier.run(name, objects.get_object, name, room, span, None, None)
            except ObjectChangedError:  # it may be empty
                if size is not None:
                    raise
                await self._retrier.run(name, objects.get_object, name, room, None, None, None)
        except (UnsealedError, NotSealedError):
            return Sealing.NONE
        except WrongCustomerKeyError:
            return Sealing.UNKNOWN
        except ReplyError as error:
            if error.code == "InvalidObjectState":
                return Sealing.ARCHIVED
            if error.code == "AccessDenied":  # AWS, to another key than the object's
                return None
            raise
        return Sealing.NONE if key_id == UNSEALED else Sealing.KEY


def directory_of(name: str) -> str:
    """What objects beside this one have in common with it."""
    return name[: name.rfind("/") + 1]


def is_about_key(error: ObjectError) -> bool:
    """Whether a move may go well under another key, or under none."""
    return isinstance(error, WrongCustomerKeyError | NotSealedError) or (
        isinstance(error, ReplyError)
        and error.code == "AccessDenied"
        and error.denial is not Denial.POLICY
    )


def told(error: ObjectError, sealed: Sealed) -> ObjectError:
    """The error of an object that no key at hand opens, with what is known of it by now."""
    match sealed.sealing:
        case Sealing.NONE:
            error.obstacle = Obstacle.PLAIN
            error.hint = (
                "the object is not sealed with a customer key; "
                "if it is to be taken as it is, add --allow-unsealed"
            )
        case Sealing.MISSING:
            error.obstacle = Obstacle.MISSING_KEY
            error.key_id = sealed.key_id
            _say(error, f"it is under the customer key {sealed.key_id}, which is not at hand")
            error.hint = f"{_USE}; look with: sealift key list"
        case Sealing.UNKNOWN if isinstance(error, WrongCustomerKeyError):
            error.obstacle = Obstacle.UNKNOWN_KEY
            _say(error, "it is under none of the customer keys at hand")
            error.hint = f"{_USE}; look with: sealift key list"
        case Sealing.ARCHIVED:
            error.obstacle = Obstacle.ARCHIVED
            error.hint = "the object is archived; restore it from the archive first"
    return error


def _say(error: ObjectError, text: str) -> None:
    """Put what was found out in the place of the server's text."""
    if isinstance(error, ReplyError):
        error.message = error.message.replace(error.text.rstrip("."), text) if error.text else text


def classed(error: ObjectError) -> ObjectError:
    """An error that is not about keys; one of an archived object says so."""
    if isinstance(error, ReplyError) and error.code == "InvalidObjectState":
        error.obstacle = Obstacle.ARCHIVED
    return error


def tells_of_a_key(error: ObjectError) -> bool:
    """Whether the object is under a customer key for sure, though another one."""
    return isinstance(error, WrongCustomerKeyError) and not isinstance(error, UnsealedError)

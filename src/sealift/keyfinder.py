"""Finds which of the keys at hand an object is under.

What is known or said of it is tried first: the catalogue's entry, as far as LIST agrees with it,
the object's tag, the rule for its name, the key that fit the last one. Then every other key at
hand, and in the end none. None of these is proof, for an object may have been sealed anew, with the
same ETag, by others: only the server's answer under a key is. Each try is one GET of at most one
byte.
"""

from __future__ import annotations

import enum
from collections.abc import Awaitable, Callable, Collection, Iterator
from typing import NamedTuple

from sealift.errors import (
    NotSealedError,
    ObjectError,
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

    def guess(self, name: str, recorded: str | None) -> str | None:
        """The key at hand that an object is most likely under, without a request; None: any.

        `recorded` is what the catalogue says, where LIST agrees with it.
        """
        for key_id in (recorded, self._keyring.rule_for(Location(self._bucket, name)), self._last):
            if key_id is not None and (key_id == UNSEALED or self._keyring.get(key_id)):
                return key_id
        return None

    def note_fit(self, key_id: str) -> None:
        """An object was under this key: the next one may be, too."""
        self._last = key_id

    async def find(
        self, name: str, size: int, recorded: str | None, refused: Collection[str] = ()
    ) -> Sealed:
        """How the object `name` of `size` bytes is sealed; keys `refused` are known not to fit.

        Raises ObjectError for what is no matter of keys, as that the object is gone.
        """
        tagged = await self._tagged(name)
        named = [key_id for key_id in (recorded, tagged) if key_id is not None]
        tried = set(refused)
        for key_id in self._candidates(name, named):
            if key_id in tried or (key_id != UNSEALED and self._keyring.get(key_id) is None):
                continue
            tried.add(key_id)
            sealing = await self._try(name, size, key_id)
            if sealing is Sealing.KEY:
                self.note_fit(key_id)
                return Sealed(sealing, key_id)
            if sealing is not None:
                return Sealed(sealing, UNSEALED if sealing is Sealing.NONE else None)
        missing = [key_id for key_id in named if key_id and self._keyring.get(key_id) is None]
        if missing:
            return Sealed(Sealing.MISSING, missing[-1])
        return Sealed(Sealing.UNKNOWN, None)

    def _candidates(self, name: str, named: list[str]) -> Iterator[str]:
        yield from named
        rule = self._keyring.rule_for(Location(self._bucket, name))
        for key_id in (rule, self._last):
            if key_id is not None:
                yield key_id
        default = self._keyring.default
        if default is not None:
            yield default.key_id
        yield from [key.key_id for key in self._keyring.triable_in(self._bucket)]
        yield UNSEALED

    async def _tagged(self, name: str) -> str | None:
        return None if self._read_tag is None else await self._read_tag(name)

    async def _try(self, name: str, size: int, key_id: str) -> Sealing | None:
        """What a GET under a key tells; None: the object is under another one."""
        objects = self._objects.under(self._keyring.select(key_id))
        span = ByteRange(0, 1) if size else None
        room = memoryview(bytearray(1))
        try:
            await self._retrier.run(name, objects.get_object, name, room, span, None, None)
        except (UnsealedError, NotSealedError):
            return Sealing.NONE
        except WrongCustomerKeyError:
            return None
        except ReplyError as error:
            if error.code == "InvalidObjectState":
                return Sealing.ARCHIVED
            if error.code == "AccessDenied":  # AWS, to another key than the object's
                return None
            raise
        return Sealing.NONE if key_id == UNSEALED else Sealing.KEY


def is_about_key(error: ObjectError) -> bool:
    """Whether a move may go well under another key, or under none."""
    return isinstance(error, WrongCustomerKeyError | NotSealedError) or (
        isinstance(error, ReplyError) and error.code == "AccessDenied"
    )

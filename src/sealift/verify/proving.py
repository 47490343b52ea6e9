"""Whether an object can be read without its customer key, and under which key it is.

Each is found out by asking: a GET without a key must be refused, and refused for want of the key;
one with the key must be answered, with the echo of that key. A refusal that may have other reasons,
as 403, proves nothing. Of an archived object no byte is to be had: there HEAD takes the place of
GET. Its refusals have no body, but then the two requests differ in nothing but the key.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from sealift.encryption import ServerSide, told_in
from sealift.errors import NotSealedError, ReplyError, UnsealedError, WrongCustomerKeyError
from sealift.keyfinder import KeyFinder, Sealed, Sealing, TagReader
from sealift.keyring import Keyring
from sealift.model import UNSEALED, ByteRange
from sealift.retry import Retrier
from sealift.verify.findings import Finding, Noticed
from sealift.wire.bucket import BucketClient, HeadFacts
from sealift.wire.http1 import Head

# What servers answer when a key is wanted, in words of their own (measured: Ceph the second).
_KEY_WANTED = ("InvalidRequest", "InvalidArgument")
_ARCHIVED = "InvalidObjectState"

KEY_HINT = "give the key, see: sealift key list"


class Clients:
    """The clients of one bucket under each customer key, made when they are first needed."""

    def __init__(self, objects: BucketClient, keyring: Keyring) -> None:
        self._objects = objects
        self._keyring = keyring
        self._under: dict[str, BucketClient] = {}

    def has(self, key_id: str) -> bool:
        """Whether the key is at hand."""
        return self._keyring.get(key_id) is not None

    def under(self, key_id: str) -> BucketClient:
        """The client under a key at hand, or under none for UNSEALED. CustomerKeyError."""
        client = self._under.get(key_id)
        if client is None:
            client = self._objects.under(self._keyring.select(key_id))
            self._under[key_id] = client
        return client


class Proof(NamedTuple):
    """How an object is sealed: the key at hand that it is under, UNSEALED for none, None: unknown.

    What is noticed speaks against it; without, it is sealed as it should be.
    """

    key_id: str | None
    noticed: tuple[Noticed, ...]


class _Open(NamedTuple):
    """It was read without a key; `told` is what the server says of its own encryption."""

    told: ServerSide | None


class _Which(NamedTuple):
    """An object of `size` bytes: what stands there, or one of its older versions."""

    name: str
    size: int
    version_id: str | None


class _Archived(Exception):  # noqa: N818 - a way to go, no fault
    """GET cannot tell."""


class Prover:
    """Of the objects of one bucket."""

    def __init__(
        self, clients: Clients, finder: KeyFinder, retrier: Retrier, triable: Sequence[str]
    ) -> None:
        self._clients = clients
        self._finder = finder
        self._retrier = retrier
        self._triable = triable

    async def prove(
        self,
        name: str,
        size: int,
        expected: Sequence[str],
        recorded: str | None,
        version_id: str | None = None,
    ) -> Proof:
        """Ask about the object `name` of `size` bytes, which should be under a key `expected`.

        Without one any key at hand is as good. `version_id` is that of an older version. Raises
        ObjectError for what is no matter of keys.
        """
        which = _Which(name, size, version_id)
        try:
            return await self._prove(which, expected, recorded)
        except _Archived:
            if version_id is not None:
                return Proof(None, (hidden_in_archive(),))
            return await self._prove_archived(name, expected)

    async def _prove(self, which: _Which, expected: Sequence[str], recorded: str | None) -> Proof:
        plain = await self._open(which)
        if isinstance(plain, _Open):
            return _unsealed(plain.told)
        noticed = [] if plain is None else [plain]
        tried = {UNSEALED}
        likely = [*self._first(expected, self._finder.guess(which.name, recorded))]
        if which.version_id is not None:  # the finder knows of current ones only
            likely = [*dict.fromkeys([*likely, *self._triable])]
        for key_id in likely:
            tried.add(key_id)
            try:
                fits = await self._opens(which, key_id)
            except (UnsealedError, NotSealedError):
                return _judged(Sealed(Sealing.NONE, UNSEALED), expected, noticed)
            if fits:
                self._finder.note_fit(key_id)
                return _judged(Sealed(Sealing.KEY, key_id), expected, noticed)
        found = Sealed(Sealing.UNKNOWN, None)
        if which.version_id is None:
            found = await self._finder.find(which.name, which.size, recorded, tried)
        if found.sealing is Sealing.ARCHIVED:
            raise _Archived
        missing = [key_id for key_id in expected if not self._clients.has(key_id)]
        if found.sealing is Sealing.UNKNOWN and missing:
            found = Sealed(Sealing.MISSING, missing[0])
        return _judged(found, expected, noticed)

    async def _open(self, which: _Which) -> _Open | Noticed | None:
        """A GET without a key: None when it was refused for want of the key."""
        try:
            head = await self._get(which, UNSEALED)
        except WrongCustomerKeyError:
            return None
        except ReplyError as error:
            if error.status == 400 and error.code in _KEY_WANTED:
                return None
            return _denied(error)
        return _Open(told_in(head.headers))

    async def _opens(self, which: _Which, key_id: str) -> bool:
        """Whether a GET under a key is answered, with the echo of it.

        UnsealedError and NotSealedError where the object needs no key.
        """
        try:
            await self._get(which, key_id)
        except UnsealedError:
            raise
        except WrongCustomerKeyError:
            return False
        except ReplyError as error:
            if error.code == "AccessDenied":  # AWS, to another key than the object's
                return False
            raise
        return True

    async def _get(self, which: _Which, key_id: str) -> Head:
        name, size, version_id = which
        objects, run = self._clients.under(key_id), self._retrier.run
        try:
            if version_id is not None:
                return await run(name, objects.peek_version, name, version_id, size)
            span, room = ByteRange(0, 1) if size else None, memoryview(bytearray(1))
            return (await run(name, objects.get_object, name, room, span, None, None)).head
        except ReplyError as error:
            if error.code == _ARCHIVED:
                raise _Archived from None
            raise

    def _first(self, expected: Sequence[str], guess: str | None) -> Iterator[str]:
        """The keys to try before all others are."""
        yield from filter(self._clients.has, expected)
        if guess and guess not in expected:
            yield guess

    async def _prove_archived(self, name: str, expected: Sequence[str]) -> Proof:
        """The same by HEAD."""
        noticed: list[Noticed] = []
        try:
            head = await self._head(name, UNSEALED)
        except ReplyError as error:
            # What a HEAD meant that was refused by 400 is asked by GET: archived, as before.
            if error.code != _ARCHIVED and (error.status != 400 or error.code):
                noticed.append(_denied(error))
        else:
            return _unsealed(head.encryption)
        for key_id in dict.fromkeys([*self._first(expected, None), *self._triable]):
            try:
                await self._head(name, key_id)
            except (ReplyError, NotSealedError):
                continue
            return _judged(Sealed(Sealing.KEY, key_id), expected, noticed)
        text = "it is archived, and under none of the customer keys at hand"
        return Proof(None, (*noticed, Noticed(Finding.ARCHIVED, text, KEY_HINT)))

    async def _head(self, name: str, key_id: str) -> HeadFacts:
        head = self._clients.under(key_id).head_object
        return await self._retrier.run(name, head, name)


class Keyed(NamedTuple):
    """One bucket under all keys; `default` is the id of the key that is tried where nothing is
    known, UNSEALED without one."""

    clients: Clients
    finder: KeyFinder
    prover: Prover
    default: str

    @classmethod
    def of(
        cls,
        objects: BucketClient,
        keyring: Keyring,
        retrier: Retrier,
        bucket: str,
        read_tag: TagReader,
    ) -> Keyed:
        """The bucket that `objects` speaks to."""
        clients = Clients(objects, keyring)
        finder = KeyFinder(objects, keyring, retrier, bucket, read_tag)
        triable = [key.key_id for key in keyring.triable_in(bucket)]
        default = UNSEALED if keyring.default is None else keyring.default.key_id
        return cls(clients, finder, Prover(clients, finder, retrier, triable), default)


def _unsealed(told: ServerSide | None) -> Proof:
    """It was read without a key."""
    if told is None:
        text = "it is stored UNENCRYPTED, as far as S3 tells: it was read without a customer key"
        return Proof(UNSEALED, (Noticed(Finding.UNENCRYPTED, text),))
    text = f"it is under {told} only: it was read without a customer key"
    return Proof(UNSEALED, (Noticed(Finding.SERVER_SIDE, text),))


def _denied(error: ReplyError) -> Noticed:
    """The refusal of a request without a key that may have another reason; else it is raised."""
    if error.status != 403:
        raise error
    text = f"not proven that it cannot be read without the key: {error.message}"
    return Noticed(Finding.NOT_PROVEN, text, "a policy may refuse whoever has the key, too")


def _judged(found: Sealed, expected: Sequence[str], noticed: list[Noticed]) -> Proof:
    """What an object that was refused without a key is under, against what it should be."""
    key_id = found.key_id
    match found.sealing:
        case Sealing.KEY:
            if expected and key_id not in expected:
                text = f"it is under the customer key {key_id}, not {' or '.join(expected)}"
                noticed.append(Noticed(Finding.UNEXPECTED_KEY, text))
            return Proof(key_id, tuple(noticed))
        case Sealing.NONE if noticed:  # no other reason is known why it was denied without a key
            text = "it is under no customer key, as the answer to a GET with one says"
            return Proof(UNSEALED, (*noticed, Noticed(Finding.UNENCRYPTED, text)))
        case Sealing.NONE:
            text = "it was refused without a key, and answered without the echo of one"
            return Proof(None, (Noticed(Finding.NOT_PROVEN, text),))
        case _:
            return Proof(None, (*noticed, hidden(found)))


def hidden_in_archive() -> Noticed:
    """No byte of the object is to be had."""
    text = "it is archived: it cannot be read"
    return Noticed(Finding.ARCHIVED, text, "restore it from the archive first")


def hidden(found: Sealed) -> Noticed:
    """Why the key of an object could not be told."""
    match found.sealing:
        case Sealing.MISSING:
            text = f"it is said to be under the customer key {found.key_id}, which is not at hand"
            return Noticed(Finding.KEY_MISSING, text, KEY_HINT)
        case Sealing.ARCHIVED:
            return hidden_in_archive()
    return Noticed(Finding.KEY_UNKNOWN, "it is under none of the customer keys at hand", KEY_HINT)

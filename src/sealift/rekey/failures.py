"""What the failure of one attempt to rekey an object means for the next."""

from __future__ import annotations

from sealift.errors import (
    Cause,
    IntegrityError,
    NotSealedError,
    ObjectChangedError,
    ObjectError,
    Obstacle,
    OvertakenError,
    ReplyError,
)
from sealift.keyfinder import is_about_key
from sealift.ways import is_beyond
from sealift.wire.bucket import HeadFacts


def has_same_bytes(before: HeadFacts, now: HeadFacts, torn: NotSealedError | None) -> bool:
    """Whether an object has the bytes that it had `before`, as far as its head tells.

    One that was just written without a seal (`torn`) is taken for ours by its size.
    """
    if before.size != now.size:
        return False
    if None not in (before.facts.crc, now.facts.crc):
        return before.facts.crc == now.facts.crc
    return torn is not None or before.etag == now.etag


def told(error: ObjectError) -> ObjectError:
    """`error`, in words for what is no matter of this command."""
    if isinstance(error, ReplyError) and error.code == "InvalidObjectState":
        return archived()
    return error


def archived() -> ObjectError:
    """The object is in an archive."""
    error = ObjectError(
        "the object is archived and cannot be read; it was left as it is", hint="restore it first"
    )
    error.obstacle = Obstacle.ARCHIVED
    return error


def locked(key_id: str | None) -> ObjectError:
    """The object is under a customer key that is not at hand; its id, where that is known."""
    key = "a customer key that" if key_id is None else f"the customer key {key_id}, which"
    error = ObjectError(
        f"the object is under {key} is not at hand; it was left as it is",
        hint="look with: sealift key list",
    )
    error.obstacle = Obstacle.UNKNOWN_KEY if key_id is None else Obstacle.MISSING_KEY
    error.key_id = key_id
    return error


def is_bare(error: ObjectError) -> bool:
    """Whether a HEAD was refused, whose reply has no body to tell why."""
    return (
        isinstance(error, ReplyError) and error.operation == "HeadObject" and not error.code
        and error.status in (400, 403)
    )  # fmt: skip


def is_worth_another(error: ObjectError) -> bool:
    """Whether to look at the object again, and to begin it anew."""
    if isinstance(error, IntegrityError | ObjectChangedError | OvertakenError):
        return error.cause is not Cause.PERMANENT or isinstance(error, _PASSING)
    return is_about_key(error) or is_bare(error) or is_beyond(error, in_place=True)


# The server is at fault, and another way may do; or the object has changed.
_PASSING = (NotSealedError, ObjectChangedError, OvertakenError)

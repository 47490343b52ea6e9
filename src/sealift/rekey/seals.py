"""How objects are encrypted, and what a rekey makes of each. Pure.

| the object is                  | and taken by `--from-key`    | then it is |
|--------------------------------|------------------------------|------------|
| as `--to-key` wants it         | -                            | SAME       |
| otherwise                      | yes                          | MOVE       |
| otherwise                      | no                           | OTHER      |

`--to-key none` leaves alone what S3 encrypts under its own key (SSE-S3): AWS does so to every
object that asks for nothing.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from sealift.encryption import S3, ServerSide
from sealift.errors import ObjectError, Obstacle
from sealift.model import UNSEALED

_LOOK = "look with: sealift key list"


class Seal(NamedTuple):
    """Under a customer key, or (UNSEALED) as S3 encrypts by itself, if it does."""

    key_id: str = UNSEALED
    encryption: ServerSide | None = None

    def __str__(self) -> str:
        """As `--to-key` has it: a key id, `none`, `s3`, `kms` or `kms:KEY`."""
        if self.key_id:
            return self.key_id
        if self.encryption is None:
            return "none"
        if self.encryption.algorithm == S3:
            return "s3"
        named = self.encryption.kms_key_id
        return "kms" if named is None else f"kms:{named}"

    @property
    def text(self) -> str:
        """For people."""
        if self.key_id:
            return f"the customer key {self.key_id}"
        return "no encryption" if self.encryption is None else f"SSE {self}"

    def is_met_by(self, other: Seal) -> bool:
        """Whether an object under `other` is as this one is wanted."""
        if self.key_id or other.key_id:
            return self.key_id == other.key_id
        if self.encryption is None:
            return other.encryption is None or other.encryption.algorithm == S3
        return self.encryption.is_met_by(other.encryption)


class From(NamedTuple):
    """What a rekey takes: objects under `key_id`, or under any key at hand (None).

    `others` are kinds of what is under no customer key: `none`, `s3`, `kms`; where `key_id` is
    UNSEALED these alone are taken.
    """

    key_id: str | None = None
    others: frozenset[str] = frozenset()

    def takes(self, seal: Seal) -> bool:
        """Whether an object under `seal` is to be moved."""
        if seal.key_id:
            return self.key_id is None or self.key_id == seal.key_id
        return str(seal).partition(":")[0] in self.others


KINDS = frozenset({"none", "s3", "kms"})
ANY_KEY = From()


@dataclass(frozen=True, slots=True)
class RekeyOptions:
    """`target` is what objects are to be under, `source` which are taken.

    `report` is a file that gets one JSON object a line. `remove_old_versions` removes the version
    that was read, once the new one has been verified.
    """

    target: Seal
    source: From = ANY_KEY
    dry_run: bool = False
    report: str | None = None
    remove_old_versions: bool = False


class Verdict(enum.Enum):
    MOVE = "move"
    SAME = "same"
    OTHER = "other"


def decide(seal: Seal, options: RekeyOptions) -> Verdict:
    """What becomes of an object under `seal`; the table above."""
    if options.target.is_met_by(seal):
        return Verdict.SAME
    return Verdict.MOVE if options.source.takes(seal) else Verdict.OTHER


def not_taken(seal: Seal) -> ObjectError:
    """The object is neither as wanted nor what is taken."""
    error = ObjectError(
        f"the object is under {seal.text}, neither of the two; it was left as it is",
        hint=f"to take it too: --from-key {str(seal).partition(':')[0]}, or any",
    )
    if not seal.key_id:
        error.obstacle = Obstacle.PLAIN
    return error


def is_proof(target: Seal, recorded: str | None) -> bool:
    """Whether an entry of the catalogue with the key id `recorded` tells that an object is done.

    It does not tell what S3 encrypts by itself.
    """
    return bool(target.key_id) and target.key_id == recorded


def first_guess(
    recorded: str | None, last: str | None, source: From, at_hand: Iterable[str]
) -> str | None:
    """The key id under which to look at an object first: the likeliest that is at hand.

    What the catalogue says, what the object before was under, what `--from-key` says.
    """
    usable = {UNSEALED, *at_hand}
    return next((one for one in (recorded, last, source.key_id) if one in usable), None)

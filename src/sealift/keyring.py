"""The customer keys at hand, and which of them seals what. Pure.

A key is found by its id, as the catalogue, the journal and an object's tag name it. Which key new
objects get is said by rules: the longest prefix that an object's URI begins with decides, and the
default key seals what no rule names.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from sealift.errors import CustomerKeyError
from sealift.keys import CustomerKey
from sealift.model import UNSEALED, Location


class HeldKey(NamedTuple):
    """A customer key and what people know it by.

    `source` says where it was read, as `SSE_CUSTOMER_KEY_BASE64 in .env`; `created` in seconds
    since the epoch, where that is known.
    """

    key: CustomerKey
    source: str
    label: str = ""
    created: float | None = None


class Rule(NamedTuple):
    """Objects whose names begin with that of `prefix` are sealed under the key `key_id`."""

    prefix: Location
    key_id: str


class Keyring:
    """`held` are all keys, the first of one id counts; `default` seals what no rule names."""

    def __init__(
        self,
        held: Sequence[HeldKey] = (),
        rules: Sequence[Rule] = (),
        default: CustomerKey | None = None,
    ) -> None:
        self.default = default
        self._held: dict[str, HeldKey] = {}
        if default is not None:
            held = [*held, HeldKey(default, "the command")]
        for one in held:
            self._held.setdefault(one.key.key_id, one)
        self.rules = sorted(rules, key=lambda rule: -len(rule.prefix.name))

    def __iter__(self) -> Iterator[HeldKey]:
        return iter(self._held.values())

    def __len__(self) -> int:
        return len(self._held)

    def get(self, key_id: str) -> CustomerKey | None:
        """The key of this id, if it is at hand."""
        held = self._held.get(key_id)
        return None if held is None else held.key

    def require(self, key_id: str) -> CustomerKey:
        """The key of this id. CustomerKeyError when it is not at hand."""
        key = self.get(key_id)
        if key is None:
            raise CustomerKeyError(
                f"the customer key {key_id} is not at hand",
                hint="look with: sealift key list",
            )
        return key

    def named(self, key_id: str) -> HeldKey:
        """The one key whose id begins with `key_id`; CustomerKeyError for none or several."""
        wanted = key_id.lower()
        found = [one for one in self if wanted and one.key.key_id.startswith(wanted)]
        if len(found) == 1:
            return found[0]
        hint = "look with: sealift key list"
        if found:
            ids = ", ".join(one.key.key_id for one in found)
            raise CustomerKeyError(f"several key ids begin with {key_id}: {ids}", hint=hint)
        raise CustomerKeyError(f"the customer key {key_id} is not at hand", hint=hint)

    def with_default(self, default: CustomerKey | None) -> Keyring:
        """The same keys and rules, with another default."""
        return Keyring(list(self), self.rules, default)

    def with_more(self, held: Sequence[HeldKey]) -> Keyring:
        """The same rules, with further keys."""
        return Keyring([*self, *held], self.rules, self.default)

    def rule_for(self, location: Location) -> str | None:
        """The id of the key that a rule names for `location`."""
        for rule in self.rules:
            prefix = rule.prefix
            if prefix.bucket == location.bucket and location.name.startswith(prefix.name):
                return rule.key_id
        return None

    def key_ids_in(self, bucket: str) -> Callable[[str], str | None]:
        """What tells of a name in `bucket` the id of the key that a new object gets; None: none."""
        default = None if self.default is None else self.default.key_id
        if not self.has_rules_in(bucket):
            return lambda _: default
        return lambda name: self.rule_for(Location(bucket, name)) or default

    def has_rules_in(self, bucket: str) -> bool:
        """Whether not all new objects in `bucket` get the same key."""
        return any(rule.prefix.bucket == bucket for rule in self.rules)

    def triable_in(self, bucket: str) -> list[CustomerKey]:
        """The keys that may be tried on objects of `bucket`.

        Whoever serves it gets to see them: those that rules name for other buckets only stay away.
        """
        here = {rule.key_id for rule in self.rules if rule.prefix.bucket == bucket}
        elsewhere = {rule.key_id for rule in self.rules} - here
        return [held.key for held in self if held.key.key_id not in elsewhere]

    def check_rules(self, prefix: Location) -> None:
        """CustomerKeyError when a key is not at hand that rules name for objects below `prefix`.

        No other may stand in for it.
        """
        for rule in self.rules:
            name = rule.prefix.name
            if (
                rule.prefix.bucket == prefix.bucket
                and (name.startswith(prefix.name) or prefix.name.startswith(name))
                and self.get(rule.key_id) is None
            ):
                raise CustomerKeyError(
                    f"the customer key {rule.key_id}, which a rule names for {rule.prefix}, "
                    "is not at hand",
                    hint="look with: sealift key list",
                )

    def select(self, key_id: str) -> CustomerKey | None:
        """The key of this id, None for UNSEALED. CustomerKeyError when it is not at hand."""
        return None if key_id == UNSEALED else self.require(key_id)

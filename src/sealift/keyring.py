"""The customer keys at hand, and which of them seals what. Pure.

A key is found by its id, as the catalogue, the journal and an object's tag name it. Which key new
objects get is said by rules: the longest prefix that an object's URI begins with decides, and the
default key seals what no rule names.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from sealift.errors import CustomerKeyError
from sealift.keys import CustomerKey
from sealift.model import Location


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
            held = [*held, HeldKey(default, "")]
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

    def rule_for(self, location: Location) -> str | None:
        """The id of the key that a rule names for `location`."""
        for rule in self.rules:
            prefix = rule.prefix
            if prefix.bucket == location.bucket and location.name.startswith(prefix.name):
                return rule.key_id
        return None

    def sealing(self, location: Location) -> CustomerKey | None:
        """The key that a new object gets; None: none is configured.

        CustomerKeyError when the one that a rule names is not at hand: no other may stand in.
        """
        key_id = self.rule_for(location)
        return self.default if key_id is None else self.require(key_id)

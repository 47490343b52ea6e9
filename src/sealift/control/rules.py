"""The settings of a bucket as S3 has them, and what a change of one of them leaves as it was. Pure.

https://docs.aws.amazon.com/AmazonS3/latest/API/API_ServerSideEncryptionRule.html,
API_BlockedEncryptionTypes.html and API_LifecycleRule.html
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

CUSTOMER_KEYS = "SSE-C"
NOTHING = "NONE"


@dataclass(frozen=True)
class Encryption:
    """The rules of a bucket's default encryption, as botocore reads them; S3 has one or none."""

    rules: tuple[Mapping[str, Any], ...] = ()

    @property
    def blocked(self) -> frozenset[str] | None:
        """The types of encryption that writes may not ask for; None where nothing is said of it."""
        told = [rule["BlockedEncryptionTypes"] for rule in self.rules
                if rule.get("BlockedEncryptionTypes")]  # fmt: skip
        if not told:
            return None
        types = (name for each in told for name in each.get("EncryptionType", ()))
        return frozenset(types) - {NOTHING}

    @property
    def blocks_customer_keys(self) -> bool:
        """Whether writes under a customer key are refused."""
        return CUSTOMER_KEYS in (self.blocked or ())

    def allowing_customer_keys(self) -> Encryption:
        """The same rules without that; other types that are blocked stay so.

        The call that sets them replaces the whole of them, so all the rest is said again. Without a
        rule, as no bucket of AWS is since January 2023, nothing is blocked, and none is made up.
        """
        left = sorted((self.blocked or frozenset()) - {CUSTOMER_KEYS}) or [NOTHING]
        return Encryption(
            tuple(
                {**rule, "BlockedEncryptionTypes": {"EncryptionType": left}} for rule in self.rules
            )
        )

    def __str__(self) -> str:
        """The default of objects that ask for nothing, as `aws:kms arn:...`."""
        return ", ".join(filter(None, map(_default, self.rules))) or "none"


def _default(rule: Mapping[str, Any]) -> str:
    default = rule.get("ApplyServerSideEncryptionByDefault") or {}
    words = (default.get("SSEAlgorithm"), default.get("KMSMasterKeyID"))
    return " ".join(filter(None, words))


def days_to_abort(rules: Iterable[Mapping[str, Any]]) -> int | None:
    """After how many days lifecycle rules abort every unfinished upload; None: they do not.

    Those that hold for some objects only do not count.
    """
    days = [
        rule["AbortIncompleteMultipartUpload"].get("DaysAfterInitiation")
        for rule in rules
        if rule.get("Status") == "Enabled"
        and rule.get("AbortIncompleteMultipartUpload")
        and _is_for_all(rule)
    ]
    return min((each for each in days if each is not None), default=None)


def _is_for_all(rule: Mapping[str, Any]) -> bool:
    """Whether a rule has no filter; `Prefix` beside it is how older ones say it."""
    chosen = dict(rule.get("Filter") or {})
    return not (chosen.pop("Prefix", "") or rule.get("Prefix")) and not chosen

"""The account of this process, if one was asked for: a module of its own, for it loads nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sealift.cli.account import Account

# At most one.
_ACCOUNTS: list[Account] = []


def begin(account: Account) -> None:
    """From now on it is that of this process."""
    _ACCOUNTS[:] = [account]


def current() -> Account | None:
    """That of this process."""
    return _ACCOUNTS[0] if _ACCOUNTS else None

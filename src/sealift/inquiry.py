"""Finds out why requests are refused, where the reply alone does not say; see `refusals`.

Nothing is asked before a request is refused, and of the refused writes and reads of a run only the
first is asked about. What cannot be found out, for want of the right to ask, stays unknown.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

import anyio

from sealift.errors import Denial, ObjectError, ReplyError, SealiftError, WrongCustomerKeyError
from sealift.refusals import READS, WRITES, Evidence, judge
from sealift.wire.bucket import BucketClient

if TYPE_CHECKING:
    from sealift.control.bucket_settings import BucketSettings

# Seconds: a failure is not held up for longer to be explained.
TIME_LIMIT = 10.0


class Inquiry:
    """Of one run on the bucket that `objects` reaches; `settings` opens the control plane."""

    def __init__(
        self,
        bucket: str,
        objects: BucketClient,
        settings: Callable[[str], Awaitable[BucketSettings]],
    ) -> None:
        self._bucket = bucket
        self._objects = objects
        self._settings = settings
        self._asking = anyio.Lock()
        self._blocked: bool | None = None
        self._may_list: bool | None = None
        self._has_asked: set[str] = set()

    async def explained(self, error: ReplyError, name: str) -> ReplyError:
        """`error`, of a request about the object `name`, with the cause as far as it is known."""
        seen = Evidence(error.operation, error.status, error.code, error.text, error.sealed)
        told = judge(seen)
        besides = error.hint.removeprefix(told.hint) if told is not None else ""
        seen = replace(seen, bucket=self._bucket)
        if error.denial is Denial.UNKNOWN:
            async with self._asking:
                with anyio.move_on_after(TIME_LIMIT):
                    seen = await self._ask(seen, name)
            seen = replace(seen, blocked=self._blocked, may_list=self._may_list)
        verdict = judge(seen)
        if verdict is None or error.denial is None:
            return error
        if verdict.denial is Denial.WRONG_KEY and error.denial is Denial.UNKNOWN:
            error = _as_wrong_key(error)
        if error.denial is not Denial.WRONG_KEY:  # which replies know more of
            error.hint = verdict.hint + besides
        error.denial = verdict.denial
        return error

    async def _ask(self, seen: Evidence, name: str) -> Evidence:
        if seen.operation in WRITES and seen.sealed and self._is_first("write"):
            with suppress(SealiftError):
                settings = await self._settings(self._bucket)
                self._blocked = (await settings.encryption()).blocks_customer_keys
        elif seen.operation in READS and self._is_first("read"):
            return await self._ask_of_read(seen, name)
        return seen

    async def _ask_of_read(self, seen: Evidence, name: str) -> Evidence:
        listed, status = None, None
        try:
            page = await self._objects.list_page(name, None, "", 1)
        except ReplyError as error:
            self._may_list = False if error.status == 403 else None
        except ObjectError:
            pass
        else:
            self._may_list = True
            listed = any(found.name == name for found in page.objects)
        if seen.sealed:
            try:
                await self._objects.under(None).read_first_byte(name)
            except ReplyError as error:
                status = error.status
            except ObjectError:
                pass
        return replace(seen, listed=listed, unsealed_status=status)

    def _is_first(self, kind: str) -> bool:
        is_first = kind not in self._has_asked
        self._has_asked.add(kind)
        return is_first


def _as_wrong_key(error: ReplyError) -> WrongCustomerKeyError:
    told = WrongCustomerKeyError(
        error.operation,
        error.status,
        error.code,
        error.text,
        cause=error.cause,
        hint="use the key that the object was sealed with",
    )
    told.sealed, told.denial, told.attempts = error.sealed, Denial.WRONG_KEY, error.attempts
    return told

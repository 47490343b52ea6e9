"""Which failures end a run: those that every object that is left would meet. Pure.

| failures                                          | why they are no matter of one object      |
|---------------------------------------------------|-------------------------------------------|
| credentials expired, also after they were renewed | all requests are signed with them         |
| a write is refused, for the bucket blocks SSE-C   | it refuses each                           |
| the first writes of the run are all refused       | a bucket that takes no SSE-C refuses each |
"""

from __future__ import annotations

from sealift.errors import Cause, Denial, ObjectError, ReplyError
from sealift.refusals import WRITES

# So many objects fail before the run is given up. Fewer refusals may be about their names; a
# command that moves one object has said all by its failure.
EXPIRED_COUNT = 2
REFUSED_COUNT = 8


class Outlook:
    """Hears how the objects of one run failed."""

    def __init__(self) -> None:
        self._expired_count = 0
        self._refused_count = 0

    def note_success(self) -> None:
        """An object went well: what failed before it was no matter of all."""
        self._expired_count = 0

    def end_after(self, error: ObjectError, *, has_written: bool) -> ObjectError | None:
        """What to end the run with, if `error` is the one to end it.

        `has_written` says that the server has taken something in this run.
        """
        if error.cause is Cause.EXPIRED:
            self._expired_count += 1
        elif _is_refused_write(error) and not has_written:
            self._refused_count += 1
        if (
            self._expired_count < EXPIRED_COUNT
            and self._refused_count < REFUSED_COUNT
            and not _is_blocked(error)
        ):
            return None
        return ObjectError(f"no more objects are tried: {error.message}", hint=error.hint)


def _is_blocked(error: ObjectError) -> bool:
    return isinstance(error, ReplyError) and error.denial is Denial.SSE_C_BLOCKED


def _is_refused_write(error: ObjectError) -> bool:
    return (
        isinstance(error, ReplyError)
        and error.operation in WRITES
        and error.status == 403
        and error.code in ("AccessDenied", "")
    )

"""What ends a run, and what is the matter of one object."""

from __future__ import annotations

import pytest

from sealift.errors import Cause, NetworkError, ObjectError, ReplyError
from sealift.outlook import EXPIRED_COUNT, REFUSED_COUNT, Outlook
from sealift.replies import reply_error


def refused(
    operation: str = "PutObject", status: int = 403, code: str = "AccessDenied"
) -> ReplyError:
    return reply_error(operation, status, code, "Access Denied", {}, sealed=True)


def expired(operation: str = "GetObject") -> ReplyError:
    return reply_error(operation, 400, "ExpiredToken", "It has expired.", {}, sealed=True)


def ends_after(*errors: ObjectError, has_written: bool = False) -> int | None:
    """The number of the failure that ends the run."""
    outlook = Outlook()
    for number, error in enumerate(errors, 1):
        if outlook.end_after(error, has_written=has_written):
            return number
    return None


@pytest.mark.parametrize("operation", ["PutObject", "CreateMultipartUpload", "CopyObject"])
@pytest.mark.parametrize("code", ["AccessDenied", ""])
def test_refused_writes_before_any_was_taken_end_it(operation: str, code: str) -> None:
    error = refused(operation, code=code)
    assert ends_after(*[error] * 20) == REFUSED_COUNT
    assert ends_after(*[error] * 20, has_written=True) is None


def test_the_end_says_what_to_do() -> None:
    outlook = Outlook()
    *_, end = (outlook.end_after(refused(), has_written=False) for _ in range(REFUSED_COUNT))
    assert end is not None
    assert end.message.startswith("no more objects are tried: PutObject 403 AccessDenied")
    assert "BlockedEncryptionTypes" in end.hint
    assert end.cause is Cause.PERMANENT


def test_expired_credentials_end_it_whatever_was_done() -> None:
    errors = [expired(), expired("PutObject")]
    assert ends_after(*errors) == ends_after(*errors, has_written=True) == EXPIRED_COUNT


@pytest.mark.parametrize(
    "error",
    [
        refused("GetObject"),
        refused("DeleteObject"),
        refused(code="SignatureDoesNotMatch"),
        refused(status=400, code="AccessDenied"),
        reply_error("PutObject", 500, "InternalError", "", {}, sealed=True),
        NetworkError("connection lost"),
        ObjectError("no"),
    ],
    ids=str,
)
def test_other_failures_are_those_of_their_objects(error: ObjectError) -> None:
    assert ends_after(*[error] * 100) is None

"""What error replies mean: statuses, codes, and the texts of the dialects (measured on both)."""

from __future__ import annotations

import pytest

from sealift.errors import Cause, ReplyError, WrongCustomerKeyError
from sealift.replies import http_seconds, parse_error_body, reply_error

MUST = "Requests specifying Server Side Encryption with Customer provided keys must provide "
MD5_TEXT = "The calculated MD5 hash of the key did not match the hash that was provided."
NEEDED = (
    "The object was stored using a form of Server Side Encryption. "
    "The correct parameters must be provided to retrieve the object."
)
PART_DIFFERS = "The provided encryption parameters did not match the ones used originally."
PART_NEEDS = (
    "The multipart upload initiate requested encryption. "
    "Subsequent part requests must include the appropriate encryption parameters."
)
NOT_APPLICABLE = "The encryption parameters are not applicable to this object."


def error_of(
    status: int,
    code: str = "",
    text: str = "",
    operation: str = "GetObject",
    *,
    sealed: bool = True,
    **headers: str,
) -> ReplyError:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return reply_error(operation, status, code, text, named, sealed=sealed)


@pytest.mark.parametrize(
    ("status", "code", "cause"),
    [
        (503, "SlowDown", Cause.THROTTLED),
        (503, "", Cause.THROTTLED),
        (503, "ServiceUnavailable", Cause.THROTTLED),
        (429, "", Cause.THROTTLED),
        (429, "TooManyRequests", Cause.THROTTLED),
        (400, "RequestLimitExceeded", Cause.THROTTLED),
        (500, "InternalError", Cause.SERVER),
        (200, "InternalError", Cause.SERVER),  # an error in a reply of status 200
        (200, "SlowDown", Cause.THROTTLED),
        (500, "", Cause.SERVER),
        (502, "", Cause.SERVER),
        (504, "", Cause.SERVER),
        (400, "RequestTimeout", Cause.STALLED),
        (408, "", Cause.STALLED),
        (403, "RequestTimeTooSkewed", Cause.SKEWED),
        (403, "RequestInTheFuture", Cause.SKEWED),
        (400, "ExpiredToken", Cause.EXPIRED),
        (400, "BadDigest", Cause.BAD_DIGEST),
        (400, "XAmzContentSHA256Mismatch", Cause.BAD_DIGEST),
        (400, "IncompleteBody", Cause.BAD_DIGEST),
        (409, "OperationAborted", Cause.CONFLICT),
        (409, "ConditionalRequestConflict", Cause.CONFLICT),
        (404, "NoSuchKey", Cause.PERMANENT),
        (404, "NoSuchUpload", Cause.PERMANENT),
        (403, "AccessDenied", Cause.PERMANENT),
        (403, "SignatureDoesNotMatch", Cause.PERMANENT),
        (400, "InvalidArgument", Cause.PERMANENT),
        (416, "InvalidRange", Cause.PERMANENT),
        (301, "PermanentRedirect", Cause.PERMANENT),
        (307, "", Cause.PERMANENT),
        (501, "NotImplemented", Cause.PERMANENT),
    ],
)
def test_causes(status: int, code: str, cause: Cause) -> None:
    error = error_of(status, code)
    assert error.cause is cause
    assert (error.status, error.code, error.operation) == (status, code, "GetObject")


@pytest.mark.parametrize(
    ("status", "code", "text", "operation", "sealed"),
    [
        # Ceph
        (400, "InvalidArgument", MD5_TEXT, "GetObject", True),
        (400, "InvalidArgument", MUST + "a valid encryption algorithm.", "GetObject", False),
        (400, "InvalidArgument", MD5_TEXT, "UploadPart", True),
        (400, "InvalidArgument", MUST + "a valid encryption algorithm.", "UploadPart", False),
        (400, "", "", "HeadObject", True),
        # MiniStack, MinIO
        (403, "AccessDenied", MUST + "the correct secret key.", "GetObject", True),
        (400, "InvalidRequest", NEEDED, "GetObject", False),
        (400, "InvalidRequest", PART_DIFFERS, "UploadPart", True),
        (400, "InvalidRequest", PART_DIFFERS, "CompleteMultipartUpload", True),
        (400, "InvalidRequest", PART_NEEDS, "UploadPart", False),
        (400, "InvalidRequest", PART_NEEDS, "CompleteMultipartUpload", False),
        (400, "InvalidRequest", NOT_APPLICABLE, "GetObject", True),
        (400, "InvalidRequest", NOT_APPLICABLE, "UploadPart", True),
        (403, "", "", "HeadObject", True),
    ],
)
def test_texts_about_the_customer_key(
    status: int, code: str, text: str, operation: str, sealed: bool
) -> None:
    error = error_of(status, code, text, operation, sealed=sealed)
    assert isinstance(error, WrongCustomerKeyError)
    assert error.cause is Cause.PERMANENT
    assert "key" in error.hint


@pytest.mark.parametrize(
    ("status", "code", "text", "operation", "sealed"),
    [
        (403, "AccessDenied", "Access Denied", "GetObject", True),
        (403, "AccessDenied", MUST + "the correct secret key.", "GetObject", False),
        (404, "", "", "HeadObject", True),
        (403, "", "", "HeadObject", False),
        (400, "InvalidDigest", "", "PutObject", True),
        (403, "", "", "GetObject", True),
    ],
)
def test_other_refusals_do_not_blame_the_key(
    status: int, code: str, text: str, operation: str, sealed: bool
) -> None:
    error = error_of(status, code, text, operation, sealed=sealed)
    assert not isinstance(error, WrongCustomerKeyError)


@pytest.mark.parametrize("operation", ["PutObject", "UploadPart", "CreateMultipartUpload"])
def test_a_refused_write_names_the_default_of_new_buckets(operation: str) -> None:
    assert "BlockedEncryptionTypes" in error_of(403, "AccessDenied", "", operation).hint
    assert "Blocked" not in error_of(403, "AccessDenied", "", operation, sealed=False).hint


def test_redirects_name_where_to_and_nothing_more() -> None:
    there = error_of(307, location="https://elsewhere.example/x")
    assert there.hint == (
        "redirects are not followed; the server named https://elsewhere.example/x"
    )
    region = error_of(301, "PermanentRedirect", x_amz_bucket_region="eu-west-1", location="x")
    assert "--region eu-west-1" in region.hint
    assert error_of(302).hint == ""


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("3", 3.0), ("0", 0.0), ("-1", None), ("soon", None), ("٣", None), ("", None), ("1.5", None)],
)
def test_retry_after(value: str, seconds: float | None) -> None:
    assert error_of(503, retry_after=value).retry_after == seconds
    assert error_of(503).retry_after is None


def test_a_huge_retry_after_stays_a_number() -> None:
    assert error_of(503, retry_after="9" * 400).retry_after == 999_999.0


def test_the_message_names_the_request_and_no_header() -> None:
    error = error_of(500, "InternalError", "oops", x_amz_request_id="R1", date="D", secret="S")
    assert str(error) == "GetObject 500 InternalError: oops (request R1)"
    assert error.date == "D"
    assert str(error_of(502)) == "GetObject 502"


@pytest.mark.parametrize(
    ("date", "expected"),
    [
        ("Thu, 01 Jan 1970 00:00:10 GMT", 10.0),
        ("not a date", None),
        ("", None),
        (None, None),
    ],
)
def test_http_dates(date: str | None, expected: float | None) -> None:
    assert http_seconds(date) == expected


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"", ("", "")),
        (b"<html>Bad gateway</html>", ("", "")),
        (b"<Error><Code>SlowDown</Code><Message>Slow &amp; steady</Message></Error>",
         ("SlowDown", "Slow & steady")),
        (b"<?xml?>\n<Error>\n <Code> NoSuchKey </Code></Error>", ("NoSuchKey", "")),
        (b"<Code>a<b/></Code>", ("", "")),
        (b"<Code>" + b"x" * 101 + b"</Code>", ("", "")),
        (b"<Message>\xff</Message>", ("", "�")),
        (b"<Code>Cut</Code><Message>no end", ("Cut", "no end")),
    ],
)  # fmt: skip
def test_error_documents(body: bytes, expected: tuple[str, str]) -> None:
    assert parse_error_body(body) == expected


def test_a_message_is_bounded() -> None:
    _, message = parse_error_body(b"<Message>" + b"m" * 100_000 + b"</Message>")
    assert len(message) == 1000

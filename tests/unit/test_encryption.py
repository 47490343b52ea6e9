"""What S3 encrypts by itself: how it is asked for, and what is believed of a reply."""

from __future__ import annotations

import pytest

from sealift.encryption import KMS, S3, ServerSide, not_as_asked, parse_sse, told_in
from sealift.errors import UsageError

ARN = "arn:aws:kms:eu-west-1:111122223333:key/1234abcd"
ALIAS = "arn:aws:kms:eu-west-1:111122223333:alias/backup"


@pytest.mark.parametrize(
    ("text", "encryption"),
    [
        ("none", None),
        ("s3", ServerSide(S3)),
        ("kms", ServerSide(KMS)),
        ("kms:1234abcd", ServerSide(KMS, "1234abcd")),
        (f"kms:{ARN}", ServerSide(KMS, ARN)),
    ],
)
def test_what_is_typed(text: str, encryption: ServerSide | None) -> None:
    assert parse_sse(text) == encryption


@pytest.mark.parametrize(
    "text", ["", "S3", "s3:x", "c", "kms:", "kms: ", "kms:a\r\nb", "kms:a b", "kms:ä", "aes256"]
)
def test_what_is_no_encryption(text: str) -> None:
    with pytest.raises(UsageError):
        parse_sse(text)


def test_the_headers_that_ask() -> None:
    assert ServerSide(S3).headers() == {"x-amz-server-side-encryption": "AES256"}
    assert ServerSide(KMS, ARN).headers() == {
        "x-amz-server-side-encryption": "aws:kms",
        "x-amz-server-side-encryption-aws-kms-key-id": ARN,
    }


@pytest.mark.parametrize(
    ("asked", "told", "is_met"),
    [
        (ServerSide(S3), ServerSide(S3), True),
        (ServerSide(S3), None, False),
        (ServerSide(S3), ServerSide(KMS, ARN), False),
        (ServerSide(KMS), ServerSide(S3), False),
        (ServerSide(KMS), ServerSide(KMS), True),
        (ServerSide(KMS), ServerSide(KMS, ARN), True),
        (ServerSide(KMS, ARN), ServerSide(KMS, ARN), True),
        (ServerSide(KMS, "1234abcd"), ServerSide(KMS, ARN), True),
        (ServerSide(KMS, "abcd"), ServerSide(KMS, ARN), False),
        (ServerSide(KMS, ARN), ServerSide(KMS, ARN + "e"), False),
        (ServerSide(KMS, ARN), ServerSide(KMS), False),
        (ServerSide(KMS, "alias/backup"), ServerSide(KMS, ARN), True),
        (ServerSide(KMS, ALIAS), ServerSide(KMS, ARN), True),
        (ServerSide(KMS, ALIAS), ServerSide(KMS), False),
    ],
)
def test_what_meets_what_was_asked_for(
    asked: ServerSide, told: ServerSide | None, is_met: bool
) -> None:
    assert asked.is_met_by(told) is is_met


def test_what_a_reply_tells() -> None:
    assert told_in({}) is None
    # Those of SSE-C begin alike.
    assert told_in({b"x-amz-server-side-encryption-customer-algorithm": b"AES256"}) is None
    told = {b"x-amz-server-side-encryption": b"aws:kms"}
    assert told_in(told) == ServerSide(KMS)
    told[b"x-amz-server-side-encryption-aws-kms-key-id"] = ARN.encode()
    assert told_in(told) == ServerSide(KMS, ARN)


def test_the_error_says_how_the_bytes_are_stored() -> None:
    plain = not_as_asked("PutObject", ServerSide(S3), None)
    assert (plain.stored, "UNENCRYPTED" in str(plain)) == ("UNENCRYPTED", True)
    other = not_as_asked("PutObject", ServerSide(KMS, "a"), ServerSide(S3))
    assert (other.stored, "kms:a" in str(other)) == ("under AES256", True)
    created = not_as_asked("CreateMultipartUpload", ServerSide(S3), None)
    assert "nothing was sent" in str(created)

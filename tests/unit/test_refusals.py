"""Each piece of evidence leads to one cause, and to what can be done about it."""

from __future__ import annotations

from typing import Any

import pytest

from sealift.errors import Denial
from sealift.refusals import Evidence, judge

# https://docs.aws.amazon.com/AmazonS3/latest/userguide/troubleshoot-403-errors.html
USER = "User: arn:aws:iam::123456789012:user/MaryMajor is not authorized to perform: s3:GetObject"
BLOCKED = (
    "User: arn:aws:iam::123456789012:user/MaryMajor  is not authorized to perform: s3:PutObject "
    'on resource: "arn:aws:s3:::b/o" because this bucket has blocked upload requests that specify '
    "Server Side Encryption with Customer provided keys (SSE-C). "
    "Please specify a different server-side encryption type"
)


def seen(operation: str = "GetObject", text: str = "Access Denied", **known: Any) -> Evidence:
    facts = {"status": 403, "code": "AccessDenied", "sealed": True} | known
    return Evidence(operation=operation, text=text, **facts)


ROWS = [
    # by code, whatever the operation
    (seen(code="RequestTimeTooSkewed"), Denial.CLOCK, "set this machine's clock"),
    (seen("PutObject", code="SignatureDoesNotMatch"), Denial.CREDENTIALS, "secret key"),
    (seen(code="InvalidAccessKeyId"), Denial.CREDENTIALS, "access key"),
    (seen(code="InvalidToken", status=400), Denial.CREDENTIALS, "session token"),
    (seen(code="InvalidObjectState"), Denial.ARCHIVED, "restore it from the archive"),
    # by message
    (seen("PutObject", BLOCKED, bucket="b"), Denial.SSE_C_BLOCKED, "--allow-sse-c s3://b"),
    (seen("CopyObject", BLOCKED, sealed=False), Denial.SSE_C_BLOCKED, "--allow-sse-c"),
    (seen("DeleteObject", "Access Denied because object protected by object lock."),
     Denial.LOCKED, "retention"),
    (seen(text=f"{USER} with an explicit deny in a resource control policy"),
     Denial.POLICY, "resource control policy of the organisation forbids s3:GetObject"),
    (seen(text=f"{USER} because no service control policy allows the s3:GetObject action"),
     Denial.POLICY, "service control policy of the organisation must allow s3:GetObject"),
    (seen(text=f"{USER} because no VPC endpoint policy allows the s3:GetObject action"),
     Denial.POLICY, "VPC endpoint must allow s3:GetObject"),
    (seen(text=f"{USER} with an explicit deny in a permissions boundary"),
     Denial.POLICY, "the permissions boundary of your user or role forbids"),
    (seen(text=f"{USER} because no session policy allows the s3:GetObject action"),
     Denial.POLICY, "the policy of this session must allow"),
    (seen("PutObject", f"{USER} with an explicit deny in a resource-based policy"),
     Denial.POLICY, "the bucket's policy forbids s3:PutObject, perhaps only under SSE-C"),
    (seen("HeadObject", f"{USER} with an explicit deny in an identity-based policy"),
     Denial.POLICY, "a policy of your user or role forbids s3:GetObject;"),
    # a message says more than what was found out
    (seen("PutObject", f"{USER} with an explicit deny in a session policy", blocked=True),
     Denial.POLICY, "session"),
    # by what was found out
    (seen("PutObject", blocked=True, bucket="b"), Denial.SSE_C_BLOCKED, "s3://b"),
    (seen("CreateMultipartUpload", blocked=True), Denial.SSE_C_BLOCKED, "April 2026"),
    (seen("PutObject", blocked=False), Denial.POLICY, "does not block SSE-C"),
    (seen("PutObject", blocked=True, sealed=False), Denial.UNKNOWN, "your rights"),
    (seen("GetObject", blocked=True), Denial.UNKNOWN, "your rights"),
    (seen(may_list=True, listed=True, unsealed_status=400), Denial.WRONG_KEY, "use the key"),
    (seen(may_list=False, unsealed_status=400), Denial.WRONG_KEY, "use the key"),
    (seen(may_list=True, listed=True, unsealed_status=403), Denial.POLICY, "no right to read"),
    (seen("HeadObject", may_list=False, unsealed_status=403), Denial.MISSING, "check the name"),
    (seen("HeadObject", code="", text="", may_list=False), Denial.MISSING, "check the name"),
    (seen(may_list=True, listed=False, unsealed_status=403), Denial.UNKNOWN, "your rights"),
    # by nothing
    (seen("PutObject"), Denial.UNKNOWN, "BlockedEncryptionTypes to NONE"),
    (seen("PutObject", sealed=False), Denial.UNKNOWN, "check your rights"),
    (seen("DeleteObjects"), Denial.UNKNOWN, "none is locked"),
    (seen("ListObjectsV2", may_list=False), Denial.UNKNOWN, "it takes s3:ListBucket"),
    (seen("ListObjectVersions", sealed=False), Denial.UNKNOWN, "s3:ListBucketVersions"),
    (seen("ListMultipartUploads"), Denial.UNKNOWN, "s3:ListBucketMultipartUploads"),
    (seen("ListParts"), Denial.UNKNOWN, "s3:ListMultipartUploadParts"),
    (seen("GetBucketWebsite", sealed=False), Denial.UNKNOWN, "check your rights on the bucket"),
    (seen("CopyObject", blocked=False), Denial.POLICY, "s3:GetObject of what is copied"),
    (seen("CopyObject", sealed=False), Denial.UNKNOWN, "s3:GetObject of what is copied"),
    (seen(code="", text=""), Denial.UNKNOWN, "this is the object's customer key"),
]  # fmt: skip


@pytest.mark.parametrize(("evidence", "denial", "told"), ROWS, ids=range(len(ROWS)))
def test_cause_and_advice(evidence: Evidence, denial: Denial, told: str) -> None:
    verdict = judge(evidence)
    assert verdict is not None
    assert verdict.denial is denial
    assert told in verdict.hint


@pytest.mark.parametrize(
    ("status", "code"),
    [(404, "NoSuchKey"), (404, ""), (400, "InvalidArgument"), (503, "SlowDown"), (301, ""),
     (403, "SomethingNew")],
)  # fmt: skip
def test_what_is_no_refusal_of_access(status: int, code: str) -> None:
    assert judge(seen(status=status, code=code)) is None


@pytest.mark.parametrize("operation", ["ListObjectsV2", "PutObject", "AbortMultipartUpload"])
def test_no_customer_key_is_doubted_where_none_has_a_say(operation: str) -> None:
    verdict = judge(seen(operation, sealed=False))
    assert verdict is not None
    assert "customer key" not in verdict.hint

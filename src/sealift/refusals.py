"""Why a server refused a request: one table from the evidence to a cause and what to do. Pure.

A 403 says little by itself. What tells is the code, since 2024 on AWS also the message, and, where
neither does, what else the server answers: what the bucket is set to, whether LIST shows the
object, how it answers to the same request without the customer key.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/troubleshoot-403-errors.html
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from sealift.errors import Denial

DELETES = frozenset({"DeleteObject", "DeleteObjects"})
WRITES = frozenset({"PutObject", "UploadPart", "CreateMultipartUpload", "CopyObject"})
READS = frozenset({"GetObject", "HeadObject"})
COPIES = frozenset({"CopyObject", "UploadPartCopy"})
TAGGING = frozenset({"GetObjectTagging", "PutObjectTagging"})


@dataclass(frozen=True, slots=True)
class Evidence:
    """A refused request, and what else is known; None where it is not.

    `sealed` says that a customer key was sent. `blocked`: GetBucketEncryption says that SSE-C is.
    `may_list`: LIST is not refused, and `listed` that it shows the object. `unsealed_status` is
    what the same read without the customer key was answered.
    """

    operation: str
    status: int
    code: str
    text: str
    sealed: bool
    bucket: str = "BUCKET"
    blocked: bool | None = None
    may_list: bool | None = None
    listed: bool | None = None
    unsealed_status: int | None = None


class Verdict(NamedTuple):
    """A cause, and what to do about it."""

    denial: Denial
    hint: str


_BLOCKED_TEXT = "blocked upload requests that specify server side encryption with customer"
_LOCKED_TEXT = "object protected by object lock"
# "with an explicit deny in a resource-based policy", "because no session policy allows the ...".
_POLICY = re.compile(
    r"(?:with an (explicit deny) in an? |because no )"
    r"(service control policy|resource control policy|vpc endpoint policy|permissions boundary"
    r"|session policy|resource-based policy|identity-based policy)",
    re.IGNORECASE,
)
_WHOSE = {
    "service control policy": "a service control policy of the organisation",
    "resource control policy": "a resource control policy of the organisation",
    "vpc endpoint policy": "the policy of the VPC endpoint",
    "permissions boundary": "the permissions boundary of your user or role",
    "session policy": "the policy of this session",
    "resource-based policy": "the bucket's policy",
    "identity-based policy": "a policy of your user or role",
}
_ACTIONS = {
    "GetObject": "s3:GetObject",
    "HeadObject": "s3:GetObject",
    "ListObjectsV2": "s3:ListBucket",
    "ListObjectVersions": "s3:ListBucketVersions",
    "ListMultipartUploads": "s3:ListBucketMultipartUploads",
    "ListParts": "s3:ListMultipartUploadParts",
    "DeleteObject": "s3:DeleteObject",
    "DeleteObjects": "s3:DeleteObject",
    "GetBucketEncryption": "s3:GetEncryptionConfiguration",
    "PutBucketEncryption": "s3:PutEncryptionConfiguration",
    "GetBucketLifecycleConfiguration": "s3:GetLifecycleConfiguration",
    "GetBucketVersioning": "s3:GetBucketVersioning",
    "AbortMultipartUpload": "s3:AbortMultipartUpload",
} | dict.fromkeys((*WRITES, "CompleteMultipartUpload", "UploadPartCopy"), "s3:PutObject")

_HINT_OF_CODE = {
    "RequestTimeTooSkewed": Verdict(Denial.CLOCK, "set this machine's clock"),
    "RequestInTheFuture": Verdict(Denial.CLOCK, "set this machine's clock"),
    "SignatureDoesNotMatch": Verdict(
        Denial.CREDENTIALS, "check the secret key of your profile"
    ),
    "InvalidAccessKeyId": Verdict(Denial.CREDENTIALS, "check the access key of your profile"),
    "InvalidToken": Verdict(Denial.CREDENTIALS, "check the session token of your profile"),
    "InvalidObjectState": Verdict(
        Denial.ARCHIVED, "the object is archived; restore it from the archive first"
    ),
}  # fmt: skip


_MISSING_HINT = (
    "who may not list a bucket is told the same of objects that are not there: "
    "check the name, then your right to read: s3:GetObject"
)
_PERHAPS_BLOCKED_HINT = (
    "since April 2026 new AWS buckets refuse SSE-C until PutBucketEncryption sets "
    "BlockedEncryptionTypes to NONE; otherwise check your rights on the bucket"
)


def judge(seen: Evidence) -> Verdict | None:
    """The first row of the table that fits; None: the request was not refused access."""
    by_code = _HINT_OF_CODE.get(seen.code)
    if by_code is not None:
        return by_code
    if seen.code != "AccessDenied" and (seen.status != 403 or seen.code):
        return None
    for fits, denial, hint in _TABLE:
        if fits(seen):
            return Verdict(denial, hint if isinstance(hint, str) else hint(seen))
    raise AssertionError


def _is_sealed_write(seen: Evidence) -> bool:
    return seen.sealed and seen.operation in WRITES


def _blocked_hint(seen: Evidence) -> str:
    return (
        "the bucket blocks SSE-C, as AWS has it by default since April 2026; "
        f"to allow it, run: sealift doctor --allow-sse-c s3://{seen.bucket}"
    )


def _policy_hint(seen: Evidence) -> str:
    found = _POLICY.search(seen.text)
    assert found is not None
    explicit, policy = found[1], found[2].lower()
    action = _ACTIONS.get(seen.operation, "this")
    if not explicit:
        return f"{_WHOSE[policy]} must allow {action}"
    if _is_sealed_write(seen):
        action = f"{action}, perhaps only under SSE-C"
    return f"{_WHOSE[policy]} forbids {action}; ask who administers it"


def _unblocked_hint(seen: Evidence) -> str:
    return (
        "the bucket does not block SSE-C, so a policy refuses it: you need "
        f"{_needed(seen)}, and no policy may forbid SSE-C"
    )


def _needed(seen: Evidence) -> str:
    """The rights that a request takes, empty where they are not known."""
    action = _ACTIONS.get(seen.operation, "")
    return f"{action}, s3:GetObject of what is copied" if seen.operation in COPIES else action


def _rights_hint(seen: Evidence) -> str:
    """Of what no customer key has a say in."""
    needed = _needed(seen)
    return f"check your rights on the bucket{f'; it takes {needed}' if needed else ''}"


_TABLE: tuple[tuple[Callable[[Evidence], bool], Denial, str | Callable[[Evidence], str]], ...] = (
    # What the message says outright.
    (lambda seen: _BLOCKED_TEXT in seen.text.lower(), Denial.SSE_C_BLOCKED, _blocked_hint),
    (lambda seen: _LOCKED_TEXT in seen.text.lower(), Denial.LOCKED,
     "Object Lock protects the object until its retention ends"),
    (lambda seen: bool(_POLICY.search(seen.text)), Denial.POLICY, _policy_hint),
    # What was found out since.
    (lambda seen: _is_sealed_write(seen) and seen.blocked is True, Denial.SSE_C_BLOCKED,
     _blocked_hint),
    (lambda seen: _is_sealed_write(seen) and seen.blocked is False, Denial.POLICY,
     _unblocked_hint),
    (lambda seen: seen.operation in READS and seen.unsealed_status == 400, Denial.WRONG_KEY,
     "use the key that the object was sealed with"),
    (lambda seen: seen.operation in READS and seen.listed is True, Denial.POLICY,
     "the object is there, and you have no right to read it: s3:GetObject"),
    (lambda seen: seen.operation in READS and seen.may_list is False, Denial.MISSING,
     _MISSING_HINT),
    # What remains.
    (lambda seen: seen.operation in TAGGING, Denial.POLICY,
     lambda seen: f"you need the right s3:{seen.operation}"),
    (_is_sealed_write, Denial.UNKNOWN,
     _PERHAPS_BLOCKED_HINT),
    (lambda seen: seen.operation in DELETES, Denial.UNKNOWN,
     "check your right to remove objects, and that none is locked"),
    (lambda seen: seen.operation in READS, Denial.UNKNOWN,
     "check your rights on the bucket, and that this is the object's customer key"),
    (lambda _: True, Denial.UNKNOWN, _rights_hint),
)  # fmt: skip

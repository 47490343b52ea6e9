"""What S3 encrypts by itself, under keys of its own or of KMS: as asked for, and as told. Pure.

Source: https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObject.html: PutObject, CopyObject
and CreateMultipartUpload ask for it, and S3 refuses it with whatever reads or comes after them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from sealift.errors import NotSealedError, UsageError

HEADER = "x-amz-server-side-encryption"
KMS_KEY_HEADER = "x-amz-server-side-encryption-aws-kms-key-id"
# SSE-S3 and SSE-KMS, as S3 names them.
S3 = "AES256"
KMS = "aws:kms"
# SSE-C, as `--sse` has it.
CUSTOMER = "c"
# A key is told by its ARN, whatever named it: arn:aws:kms:REGION:ACCOUNT:key/ID
_ALIAS = "alias/"
_KMS_TEXT = re.compile("kms(?::([!-~]+))?")

RIGHTS = (
    "check the key's name, that it is enabled, and your rights to use it "
    "(kms:GenerateDataKey, for parts kms:Decrypt too)"
)
"""What to do about SSE-KMS that was refused."""


class ServerSide(NamedTuple):
    """SSE-S3 (`AES256`) or SSE-KMS (`aws:kms`), that under a key of one's own if it is named."""

    algorithm: str
    kms_key_id: str | None = None

    def headers(self) -> dict[str, str]:
        """The headers that ask for it."""
        asked = {HEADER: self.algorithm}
        if self.kms_key_id is not None:
            asked[KMS_KEY_HEADER] = self.kms_key_id
        return asked

    def is_met_by(self, told: ServerSide | None) -> bool:
        """Whether what a reply tells is what was asked for here.

        Which key an alias stands for only KMS knows: the reply has to name one.
        """
        if told is None or told.algorithm != self.algorithm:
            return False
        asked, key = self.kms_key_id, told.kms_key_id
        if asked is None:
            return True
        return key is not None and (_ALIAS in asked or key == asked or key.endswith(f"/{asked}"))

    def __str__(self) -> str:
        return self.algorithm if self.kms_key_id is None else f"{self.algorithm}:{self.kms_key_id}"


def not_as_asked(operation: str, asked: ServerSide, told: ServerSide | None) -> NotSealedError:
    """The error of a reply that does not tell of the encryption `asked` for."""
    stored = "UNENCRYPTED" if told is None else f"under {told}"
    if operation == "CreateMultipartUpload":
        text = f"the server did not take the encryption {asked}; nothing was sent"
    else:
        text = f"the server did not encrypt by {asked}: the bytes were stored {stored}"
    error = NotSealedError(
        f"{operation}: {text}", hint="the server may not know it; choose another one by --sse"
    )
    error.stored = stored
    return error


def told_in(headers: Mapping[bytes, bytes]) -> ServerSide | None:
    """What a reply tells of an object; None: S3 did not encrypt it by itself."""
    algorithm = headers.get(HEADER.encode())
    if not algorithm:
        return None
    key = headers.get(KMS_KEY_HEADER.encode())
    return ServerSide(algorithm.decode("latin-1"), key.decode("latin-1") if key else None)


def parse_sse(text: str) -> ServerSide | None:
    """`s3`, `kms` or `kms:KEY` as typed; None of `none`. UsageError of anything else."""
    kms = _KMS_TEXT.fullmatch(text)
    if kms is not None:
        return ServerSide(KMS, kms[1])
    if text == "s3":
        return ServerSide(S3)
    if text == "none":
        return None
    raise UsageError(f"--sse {text} is unknown", hint="give none, s3, kms, kms:KEY or c")

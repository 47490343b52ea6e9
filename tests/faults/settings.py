"""What a bucket is set to, and AWS's block of SSE-C, which no server here has.

Documents and messages as in
https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetBucketEncryption.html and
https://docs.aws.amazon.com/AmazonS3/latest/userguide/troubleshoot-403-errors.html
"""

from __future__ import annotations

import re

from .customer import Dialect, S3Error
from .messages import Reply, Request, element, text, xml_reply

_NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
_SEALS = ("PutObject", "CopyObject", "CreateMultipartUpload", "UploadPart", "UploadPartCopy")
_ALGORITHM = "x-amz-server-side-encryption-customer-algorithm"
_USER = "arn:aws:iam::123456789012:user/MaryMajor"


def encryption_document(*blocked: str, rule: str = "<SSEAlgorithm>AES256</SSEAlgorithm>") -> bytes:
    """A default encryption by `rule`; `blocked` are the types that writes may not ask for."""
    types = element("BlockedEncryptionTypes", *(text("EncryptionType", name) for name in blocked))
    default = element("ApplyServerSideEncryptionByDefault", rule)
    kept = "<BucketKeyEnabled>true</BucketKeyEnabled>"
    return (
        f'<ServerSideEncryptionConfiguration xmlns="{_NAMESPACE}">'
        f"<Rule>{default}{kept}{types if blocked else ''}</Rule>"
        "</ServerSideEncryptionConfiguration>"
    ).encode()


class Settings:
    """Of all buckets of a server. None: it says that there is none.

    `tells` False has a blocked write refused in the words for other accounts.
    """

    def __init__(self, dialect: Dialect) -> None:
        self.encryption = encryption_document() if dialect == "aws" else None
        self.lifecycle: bytes | None = None
        self.versioning = ""
        self.caller: str | None = None
        self.tells = True

    @property
    def blocks_customer_keys(self) -> bool:
        return b"<EncryptionType>SSE-C</EncryptionType>" in (self.encryption or b"")

    def serve(self, request: Request) -> Reply | None:
        """The reply to what is about settings; None: it is not."""
        try:
            if self.blocks_customer_keys and _ALGORITHM in request.headers:
                self._refuse(request)
            return self._answer(request)
        except S3Error as error:
            return error.reply()

    def _refuse(self, request: Request) -> None:
        if request.operation not in _SEALS:
            return
        if not self.tells:
            raise S3Error(403, "AccessDenied", "Access Denied")
        raise S3Error(
            403,
            "AccessDenied",
            f"User: {_USER}  is not authorized to perform: s3:PutObject on resource: "
            f'"arn:aws:s3:::{request.bucket}/{request.name}" because this bucket has blocked '
            "upload requests that specify Server Side Encryption with Customer provided keys "
            "(SSE-C). Please specify a different server-side encryption type",
        )

    def _answer(self, request: Request) -> Reply | None:
        match request.operation:
            case "GetBucketEncryption":
                code = "ServerSideEncryptionConfigurationNotFoundError"
                return _document(self.encryption, code)
            case "PutBucketEncryption":
                self.encryption = _on_one_line(request.body)
                return Reply(200)
            case "GetBucketLifecycleConfiguration":
                return _document(self.lifecycle, "NoSuchLifecycleConfiguration")
            case "GetBucketVersioning":
                status = text("Status", self.versioning) if self.versioning else ""
                return xml_reply(200, element("VersioningConfiguration", status))
        if request.bucket == "" and b"Action=GetCallerIdentity" in request.body and self.caller:
            result = element("GetCallerIdentityResult", text("Arn", self.caller))
            return xml_reply(200, element("GetCallerIdentityResponse", result))
        return None


def _document(body: bytes | None, code: str) -> Reply:
    if body is None:
        raise S3Error(404, code, "There is none.")
    return Reply(200, {"content-type": "application/xml"}, body)


def _on_one_line(document: bytes) -> bytes:
    return re.sub(rb">\s+<", b"><", document)

"""The XML documents of multipart uploads and of copies. Pure.

Source: https://docs.aws.amazon.com/AmazonS3/latest/API/API_CompleteMultipartUpload.html,
API_CreateMultipartUpload.html, API_CopyObject.html and API_UploadPartCopy.html. Of a reply one
field is wanted, so no parser is fed with a stranger's bytes.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from sealift.checksums import encode
from sealift.errors import ProtocolError
from sealift.model import PartDone
from sealift.wire.documents import escaped

_NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
_UPLOAD_ID = re.compile(rb"<(?:\w+:)?UploadId>\s*([^<]{1,4096}?)\s*</")
_ETAG = re.compile(rb"<(?:\w+:)?ETag>\s*([^<]{1,1024}?)\s*</")
_ERROR = re.compile(rb"\s*(?:<\?[^>]*>\s*)?<(?:\w+:)?Error[\s>]")


def part_list(parts: Sequence[PartDone], *, with_crc: bool) -> bytes:
    """The body of CompleteMultipartUpload; `with_crc` names the CRC64NVME of every part."""
    entries = [
        f"<Part><PartNumber>{part.number}</PartNumber><ETag>{escaped(part.etag)}</ETag>"
        + (f"<ChecksumCRC64NVME>{encode(part.crc)}</ChecksumCRC64NVME></Part>"
           if with_crc and part.crc is not None else "</Part>")
        for part in parts
    ]  # fmt: skip
    return (
        f'<CompleteMultipartUpload xmlns="{_NAMESPACE}">'
        f"{''.join(entries)}</CompleteMultipartUpload>"
    ).encode()


def upload_id(body: bytes) -> str:
    """The upload id in the reply to CreateMultipartUpload; ProtocolError where there is none."""
    found = _UPLOAD_ID.search(body)
    if found is None:
        raise ProtocolError("CreateMultipartUpload: the reply has no UploadId")
    return _text(found[1])


def named_etag(body: bytes) -> str | None:
    """The ETag in the reply to CompleteMultipartUpload or a copy; None: then it is no success."""
    found = _ETAG.search(body)
    return None if found is None else _text(found[1])


def is_error(body: bytes) -> bool:
    """Whether a reply of status 200 is an error: S3 may begin to answer before it has failed."""
    return _ERROR.match(body) is not None


def _text(raw: bytes) -> str:
    from html import unescape

    return unescape(raw.decode("utf-8", "replace"))

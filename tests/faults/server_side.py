"""What S3 encrypts by itself, and object tags, as the two dialects take them from headers."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Mapping
from urllib.parse import parse_qsl

from .customer import Dialect, S3Error
from .messages import Reply, element, text, xml_reply

_ALGORITHM = "x-amz-server-side-encryption"
_KMS_KEY = "x-amz-server-side-encryption-aws-kms-key-id"
ENCRYPTION = (_ALGORITHM, _KMS_KEY)

Tags = Mapping[str, str]


def server_side(headers: Mapping[str, str], dialect: Dialect) -> dict[str, str]:
    """The headers that tell of the encryption asked for: Ceph 16 passes SSE-S3 over."""
    if headers.get(_ALGORITHM, "AES256") == "AES256" and dialect == "ceph":
        return {}
    return {name: headers[name] for name in ENCRYPTION if name in headers}


def sent_tags(headers: Mapping[str, str]) -> Tags:
    """The tags that a write brings along."""
    return dict(parse_qsl(headers.get("x-amz-tagging", ""), keep_blank_values=True))


def listed_tags(document: bytes) -> Tags:
    """The tags in the body of PutObjectTagging."""
    found = ET.fromstring(document).iterfind("{*}TagSet/{*}Tag")
    tags = {tag.findtext("{*}Key") or "": tag.findtext("{*}Value") or "" for tag in found}
    if len(tags) > 10:
        raise S3Error(400, "InvalidTag", "Object tags cannot be greater than 10")
    return tags


def tags_reply(tags: Tags | None) -> Reply:
    """None: Ceph 16 answers nothing about tags that CreateMultipartUpload was given."""
    if tags is None:
        return Reply(200, {"content-type": "application/xml"})
    rows = [element("Tag", text("Key", name), text("Value", tags[name])) for name in tags]
    return xml_reply(200, element("Tagging", element("TagSet", *rows)))

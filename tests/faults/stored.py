"""What lies in the in-memory S3, and the rules over it that need no server."""

from __future__ import annotations

import hashlib
import re
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from dataclasses import dataclass, field

from .customer import Dialect, S3Error
from .digests import check_checksum
from .messages import Reply, Request, element, text, xml_reply

_RANGE = re.compile(r"bytes=(\d*)-(\d*)(?:,|$)")  # of several ranges only the first is served


@dataclass(frozen=True, slots=True)
class Stored:
    """An object, or a part on its way to one. `etag` has no quotes."""

    body: bytes = field(repr=False)
    headers: Mapping[str, str]
    etag: str
    customer_key_md5: str | None
    crc64nvme: str | None  # None on Ceph, which keeps none
    modified: float
    sums: Mapping[str, str] = field(default_factory=dict)  # algorithm -> what came with the body

    @property
    def size(self) -> int:
        return len(self.body)


@dataclass(slots=True)
class Upload:
    """A multipart upload that is neither complete nor aborted."""

    bucket: str
    name: str
    headers: Mapping[str, str]
    customer_key_md5: str | None
    created: float
    parts: dict[int, Stored] = field(default_factory=dict)


def parse_range(header: str, size: int) -> tuple[int, int]:
    """First and last byte of the range; both servers measured refuse a malformed one."""
    match = _RANGE.match(header)
    first, last = match.groups() if match else ("", "")
    if first:
        start, end = int(first), min(int(last) if last else size - 1, size - 1)
    else:
        start, end = max(size - int(last or 0), 0), size - 1
    if start > end:
        message = "The requested range is not satisfiable"
        raise S3Error(416, "InvalidRange", message, {"ActualObjectSize": str(size)})
    return start, end


def parse_xml(document: bytes) -> ET.Element:
    try:
        return ET.fromstring(document)
    except ET.ParseError:
        message = "The XML you provided was not well-formed"
        raise S3Error(400, "MalformedXML", message) from None


def _named_part(upload: Upload, number: int, node: ET.Element) -> Stored | None:
    """The part a Complete names, None when it is not the one the server has."""
    part = upload.parts.get(number)
    if part is None or (node.findtext("{*}ETag") or "").strip('"') != part.etag:
        return None
    claimed = node.findtext("{*}ChecksumCRC64NVME")
    return part if claimed in (None, part.crc64nvme) or part.crc64nvme is None else None


def listed_parts(
    upload: Upload, document: bytes, dialect: Dialect, min_part_size: int
) -> list[Stored]:
    """The parts a Complete names, in order, or the refusal it deserves."""
    listed: dict[int, ET.Element] = {}
    for node in parse_xml(document).iterfind("{*}Part"):
        number = int(node.findtext("{*}PartNumber") or 0)
        if dialect == "aws" and listed and number <= max(listed):
            raise S3Error(400, "InvalidPartOrder", "The parts were not in ascending order.")
        listed[number] = node
    if not listed:
        raise S3Error(400, "MalformedXML", "The XML you provided was not well-formed")
    parts = [_named_part(upload, number, node) for number, node in sorted(listed.items())]
    found = [part for part in parts if part is not None]
    # AWS completes a subset of the parts, Ceph does not.
    subset = dialect == "ceph" and set(listed) != set(upload.parts)
    if subset or len(found) < len(parts):
        message = "One or more of the specified parts could not be found."
        raise S3Error(400, "InvalidPart", message)
    if any(part.size < min_part_size for part in found[:-1]):
        message = "Your proposed upload is smaller than the minimum allowed size"
        raise S3Error(400, "EntityTooSmall", message)
    return found


def composite_etag(parts: list[Stored]) -> str:
    digest = hashlib.md5(b"".join(bytes.fromhex(part.etag) for part in parts))
    return f"{digest.hexdigest()}-{len(parts)}"


def check_whole(headers: Mapping[str, str], stored: Stored) -> None:
    """The full-object claims of a Complete, which AWS checks and older Ceph ignores."""
    if headers.get("x-amz-checksum-type", "FULL_OBJECT") != "FULL_OBJECT":
        raise S3Error(400, "InvalidRequest", "CRC64NVME takes the checksum type FULL_OBJECT only.")
    calculated = stored.crc64nvme or ""
    check_checksum("crc64nvme", headers.get("x-amz-checksum-crc64nvme", calculated), calculated)
    claimed = headers.get("x-amz-mp-object-size", str(stored.size))
    if claimed != str(stored.size):
        message = f"x-amz-mp-object-size {claimed} does not match what was computed: {stored.size}"
        raise S3Error(400, "InvalidRequest", message)


def completed_reply(request: Request, stored: Stored) -> Reply:
    checksum = stored.crc64nvme
    sums = [text("ChecksumCRC64NVME", checksum), text("ChecksumType", "FULL_OBJECT")]
    root = element(
        "CompleteMultipartUploadResult",
        text("Bucket", request.bucket),
        text("Key", request.name),
        text("ETag", f'"{stored.etag}"'),
        *(sums if checksum else []),
    )
    return xml_reply(200, root)

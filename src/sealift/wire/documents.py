"""The XML documents that S3 answers with: groups of named texts. Pure.

expat reads them, with a handler for a start, one for an end and a list's `append` for text: 6 us a
group, where botocore takes more than 50. A document type is refused as soon as the parser sees
one, so there are no entities to expand.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from xml.parsers import expat

from sealift.errors import ProtocolError

# What XML 1.0 cannot hold, neither as it is nor by reference (sections 2.2 and 4.1).
_NO_XML = re.compile(
    rb"[\x00-\x08\x0b\x0c\x0e-\x1f]|\xef\xbf[\xbe\xbf]"
    rb"|&#x0*(?:[0-8bcef]|1[0-9a-f]|fff[ef]);|&#0*(?:[0-8]|1[124-9]|2[0-9]|3[01]|6553[45]);",
    re.IGNORECASE,
)
# What stands for it: private, and at the far end of Unicode.
_SUBSTITUTES = 0x10FF00
_SUBSTITUTE = re.compile("[\U0010ff00-\U0010ff1f\U0010fffe\U0010ffff]")
_SUBSTITUTE_BYTES = re.compile(rb"\xf4\x8f(?:\xbc[\x80-\x9f]|\xbf[\xbe\xbf])")

# Owner and RestoreStatus of a listed object have children of their own: 4 levels.
MAX_DEPTH = 16

Fields = dict[str, str]


def malformed(operation: str, what: str) -> ProtocolError:
    """The error of a reply to `operation` that `what`, as "is no XML"."""
    return ProtocolError(f"{operation}: the reply {what}")


def read_document(
    operation: str,
    document: bytes | memoryview,
    root: str,
    groups: Mapping[str, list[Fields]],
    *,
    depth: int = 2,
) -> Fields:
    """Append the texts of each group to its list in `groups`; return those of the root itself.

    A group is an element at `depth`, where `root` is at 1, named by its key, with leaves in it. The
    order of elements is the server's own, and what is not named is passed over, whatever namespace
    it is in. Raises ProtocolError, and ExpatError where the document is no XML.
    """
    head: Fields = {}
    fields: Fields = {}
    texts: list[str] = []
    leaf_depth = depth + 1
    level = 0
    is_leaf = False

    def start(name: str, _: dict[str, str]) -> None:
        nonlocal level, fields, is_leaf
        level += 1
        is_leaf = True
        texts.clear()
        if level == leaf_depth:  # most of them
            return
        if level == depth:
            fields = {}
        elif level == 1 and _local(name) != root:
            raise malformed(operation, f"is no {root}")
        elif level > MAX_DEPTH:
            raise malformed(operation, "is nested too deeply")

    def end(name: str) -> None:
        nonlocal level, is_leaf
        if level == leaf_depth:
            if is_leaf:
                fields[_local(name) if ":" in name else name] = "".join(texts)
        elif level == depth:
            name = _local(name)
            if name in groups:
                groups[name].append(fields)
            elif is_leaf:
                head[name] = "".join(texts)
        level -= 1
        is_leaf = False

    def refuse_document_type(*_: object) -> None:
        raise malformed(operation, "has a document type")

    parser = expat.ParserCreate("utf-8")  # whatever the document declares
    parser.buffer_text = True
    parser.StartDoctypeDeclHandler = refuse_document_type
    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = texts.append
    parser.Parse(document, True)
    return head


def escaped(text: str) -> str:
    """`text` as the content of an element."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _local(name: str) -> str:
    """A name without its namespace's prefix."""
    return name.rpartition(":")[2]


# What is no XML


def read_repaired(
    operation: str, document: bytes | memoryview, root: str, groups: Mapping[str, list[Fields]]
) -> Fields:
    """As `read_document`, also where a name made the document no XML. Raises ProtocolError only.

    Ceph 16 encodes the names that it lists as URLs, but neither the prefix that it repeats nor the
    token or marker, which is the last name of the page: a control character in either becomes a
    reference that no parser takes. `_original` puts back what stood there.
    """
    try:
        return read_document(operation, document, root, groups)
    except expat.ExpatError:
        for rows in groups.values():
            rows.clear()
    try:
        head = read_document(operation, _make_xml(operation, document), root, groups)
    except expat.ExpatError as error:
        raise malformed(operation, f"is no XML ({expat.ErrorString(error.code)})") from None
    for fields in (head, *(row for rows in groups.values() for row in rows)):
        for name, text in fields.items():
            fields[name] = _SUBSTITUTE.sub(_original, text)
    return head


def _make_xml(operation: str, body: bytes | memoryview) -> bytes:
    if _SUBSTITUTE_BYTES.search(body):
        raise malformed(operation, "is no XML, and holds what would stand for it")
    return _NO_XML.sub(_substitute, bytes(body))


def _substitute(found: re.Match[bytes]) -> bytes:
    text = found[0].decode()
    if text.startswith("&#"):
        digits = text[2:-1].lower()
        code = int(digits[1:], 16) if digits.startswith("x") else int(digits)
    else:
        code = ord(text)
    return chr(_SUBSTITUTES + (code & 0xFF)).encode()


def _original(found: re.Match[str]) -> str:
    low = ord(found[0]) - _SUBSTITUTES
    return chr(low if low < 0x20 else 0xFF00 + low)

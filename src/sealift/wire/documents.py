"""The XML documents that S3 answers with: groups of named texts. Pure.

expat reads them, with a handler for a start, one for an end and a list's `append` for text: 6 us a
group, where botocore takes more than 50. A document type is refused as soon as the parser sees
one, so there are no entities to expand.
"""

from __future__ import annotations

from collections.abc import Mapping
from xml.parsers import expat

from sealift.errors import ProtocolError

# Owner and RestoreStatus of a listed object have children of their own: 4 levels.
MAX_DEPTH = 16

Fields = dict[str, str]


def malformed(operation: str, what: str) -> ProtocolError:
    """The error of a reply to `operation` that `what`, as "is no XML"."""
    return ProtocolError(f"{operation}: the reply {what}")


def read_document(
    operation: str, document: bytes | memoryview, root: str, groups: Mapping[str, list[Fields]]
) -> Fields:
    """Append the texts of each group to its list in `groups`; return those of the root itself.

    A group is an element directly below `root`, named by its key, with leaves in it. The order of
    elements is the server's own, and what is not named is passed over, whatever namespace it is
    in. Raises ProtocolError, and ExpatError where the document is no XML.
    """
    head: Fields = {}
    fields: Fields = {}
    texts: list[str] = []
    depth = 0
    is_leaf = False

    def start(name: str, _: dict[str, str]) -> None:
        nonlocal depth, fields, is_leaf
        depth += 1
        is_leaf = True
        texts.clear()
        if depth == 3:  # most of them
            return
        if depth == 2:
            fields = {}
        elif depth == 1 and _local(name) != root:
            raise malformed(operation, f"is no {root}")
        elif depth > MAX_DEPTH:
            raise malformed(operation, "is nested too deeply")

    def end(name: str) -> None:
        nonlocal depth, is_leaf
        if depth == 3:
            if is_leaf:
                fields[_local(name) if ":" in name else name] = "".join(texts)
        elif depth == 2:
            name = _local(name)
            if name in groups:
                groups[name].append(fields)
            elif is_leaf:
                head[name] = "".join(texts)
        depth -= 1
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

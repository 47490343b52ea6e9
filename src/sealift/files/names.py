"""Object names as paths below a directory: which can be one, and of what components. Pure."""

from __future__ import annotations

import os
import re

from sealift.errors import UnsafeNameError

MAX_COMPONENT_SIZE = 255
# A component that needs a closer look.
_ODD = re.compile(r"/\.{0,2}/|\0")


def split_name(name: str) -> list[str]:
    """The components of an object's name as a path below the target.

    UnsafeNameError for names that no path can stand for exactly, or that would leave the target.
    """
    parts = name.split("/")
    if name.isascii() and len(name) <= MAX_COMPONENT_SIZE and not _ODD.search(f"/{name}/"):
        return parts
    for part in parts:
        if part in ("", ".", ".."):
            raise UnsafeNameError(
                f"a name with the component {part!r} is not written to disk",
                hint="get it by itself under a name of your own: sealift get URI FILE",
            )
        if "\0" in part:
            raise UnsafeNameError("a name with a NUL byte cannot be a file")
        try:
            size = len(os.fsencode(part))
        except UnicodeEncodeError:
            raise UnsafeNameError("a name that is not Unicode cannot be a file") from None
        if size > MAX_COMPONENT_SIZE:
            raise UnsafeNameError(
                f"a component of the name has {size} bytes, a file name {MAX_COMPONENT_SIZE}"
            )
    return parts

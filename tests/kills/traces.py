"""What must not be left behind: temporary files, and the customer key in any form."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterable
from pathlib import Path


def files_below(*directories: Path) -> list[Path]:
    """All files, also hidden ones."""
    return [
        Path(directory, name)
        for start in directories
        for directory, _, names in os.walk(start)
        for name in names
    ]


def temporary_files(*directories: Path) -> list[Path]:
    """Files of unfinished downloads."""
    return [path for path in files_below(*directories) if path.name.startswith(".sealift-")]


def files_with_key(key: bytes, paths: Iterable[Path]) -> list[Path]:
    """Those of the files `paths` that hold a customer key: its bytes, or in base64 or hex."""
    text = base64.b64encode(key).rstrip(b"=")
    forms = (key, text, key.hex().encode(), key.hex().upper().encode())
    found = []
    for path in paths:
        content = path.read_bytes()
        if any(form in content for form in forms):
            found.append(path)
    return found

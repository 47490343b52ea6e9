"""Whether a file system takes two names for one, found without writing to it."""

from __future__ import annotations

import os
import sys


def folds_case(directory: str) -> bool:
    """Whether `A` is `a` where `directory` is, or is to be made.

    A name in the nearest directory that exists is looked up with its case swapped; where there is
    none with letters, that directory's own name, and so on upwards on the same file system. When
    nothing tells: False.
    """
    path = os.path.realpath(directory)
    while not os.path.isdir(path):
        path = os.path.dirname(path)
    try:
        with os.scandir(path) as entries:
            inside = next((e.path for e in entries if e.name.swapcase() != e.name), None)
        if inside is not None:
            return os.path.samestat(os.lstat(inside), os.lstat(_swapped(inside)))
        device = os.stat(path).st_dev
        while (above := os.path.dirname(path)) != path and os.stat(above).st_dev == device:
            if _swapped(path) != path:
                return os.path.samefile(path, _swapped(path))
            path = above
    except OSError:
        pass
    return False


def _swapped(path: str) -> str:
    """`path` with the case of its last component swapped."""
    head, name = os.path.split(path)
    return os.path.join(head, name.swapcase())


def folds_form() -> bool:
    """Whether composed and decomposed characters are the same in names, as macOS has it."""
    return sys.platform == "darwin"

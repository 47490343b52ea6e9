"""Whether a file system takes two names for one, found without writing to it."""

from __future__ import annotations

import os
import sys


def folds_case(directory: str) -> bool:
    """Whether `A` is `a` where `directory` is, or is to be made.

    The nearest directory above that exists and has letters in its name is looked up under its name
    with the case swapped. One that has none tells nothing: False.
    """
    path = os.path.abspath(directory)
    while path != os.path.dirname(path):
        head, name = os.path.split(path)
        if name.swapcase() != name and os.path.isdir(path):
            try:
                return os.path.samefile(path, os.path.join(head, name.swapcase()))
            except OSError:
                return False
        path = head
    return False


def folds_form() -> bool:
    """Whether composed and decomposed characters are the same in names, as macOS has it."""
    return sys.platform == "darwin"

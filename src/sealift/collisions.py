"""Names that cannot stand side by side in a directory: found before the second is written. Pure.

S3 holds `d` and `d/x` at once, and `A` and `a`; a directory does not, or not every one. Names come
in the order of their UTF-8 bytes, so the first of two is always the same one: it is kept.
"""

from __future__ import annotations

from sealift.errors import UnsafeNameError


class Collisions:
    """Checks names one after the other.

    `folds_case` and `folds_form`: the file system takes `A` for `a`, or a composed character for a
    decomposed one (https://unicode.org/reports/tr15/). Only then memory grows with the names, by
    some 100 bytes each, and the first of two is the one that is checked first.
    """

    def __init__(self, *, folds_case: bool = False, folds_form: bool = False) -> None:
        self._folds_case = folds_case
        self._folds_form = folds_form
        # Each is the beginning of the next, and all of them of the name that came last.
        self._begun: list[str] = []
        # By the hash of the folded path; the name of a directory is that of its first file.
        self._files: dict[int, str] = {}
        self._directories: dict[int, str] = {}

    def check(self, name: str) -> None:
        """UnsafeNameError when an earlier name is in the way of this one."""
        begun = self._begun
        while begun and not name.startswith(begun[-1]):
            begun.pop()
        for earlier in begun:
            if name.startswith("/", len(earlier)):
                raise UnsafeNameError(
                    f"the object {earlier} is a file where this name needs a directory",
                    hint="get it by itself to another place",
                )
        if self._folds_case or self._folds_form:
            self._check_folded(name)
        begun.append(name)

    def has_place_of(self, name: str) -> bool:
        """Whether a name that was checked takes the place of this other one."""
        path = hash(self._fold(name))
        return path in self._files or path in self._directories

    def _check_folded(self, name: str) -> None:
        folded = self._fold(name)
        path = hash(folded)
        above = [hash(folded[:end]) for end, sign in enumerate(folded) if sign == "/"]
        taken = self._directories.get(path) or self._files.get(path, name)
        for earlier in (taken, *(self._files.get(directory, name) for directory in above)):
            if earlier != name:
                raise UnsafeNameError(
                    f"this file system takes the name for that of the object {earlier}",
                    hint="get it by itself to another place",
                )
        for directory in above:
            self._directories.setdefault(directory, name)
        if not folded.endswith("/"):
            self._files[path] = name

    def _fold(self, name: str) -> str:
        folded = name
        if self._folds_form:
            from unicodedata import normalize  # here: few runs need it

            folded = normalize("NFC", name)
        return folded.casefold() if self._folds_case else folded

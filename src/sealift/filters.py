"""Which names of a tree take part: include and exclude rules, lines of an ignore file. Pure.

Rules are those of `aws s3`: globs on the whole name relative to the root of the tree, in which `*`
matches `/` too, and the last one that matches decides
(https://docs.aws.amazon.com/cli/latest/reference/s3/#use-of-exclude-and-include-filters).
Ignore files are those of git (https://git-scm.com/docs/gitignore): what is below an ignored
directory is ignored, whatever later lines say. A name takes part when both let it pass.
"""

from __future__ import annotations

import os.path
import re
import warnings
from collections.abc import Sequence
from fnmatch import translate
from itertools import groupby

from sealift.errors import UsageError

# As fnmatch reads it: a `]` that comes first stands for itself.
_CLASS = re.compile(r"\[!?+\]?+[^\]]*\]")
_WILD = re.compile(r"[*?\[]")
# The last component of an ignore pattern when it is nothing but stars.
_LAST_STARS = re.compile(r"(^!?|/)(\*\*?)(?=/?\s*$)")


class Filter:
    """Tells the names that take part; may be shared by threads.

    `rules` are (is_include, glob) in the order in which they were given; without one that matches a
    name takes part. `ignore_lines` are those of the ignore file at the root. Raises UsageError,
    which names a pattern that cannot be meant.
    """

    def __init__(
        self, rules: Sequence[tuple[bool, str]] = (), ignore_lines: Sequence[str] = ()
    ) -> None:
        for _, glob in rules:
            _check(glob)
        self._last_first = [_Rule(is_include, glob) for is_include, glob in reversed(rules)]
        # One regex with a group for each run of rules of one kind: the group tells the verdict.
        runs = [(kind, list(run)) for kind, run in groupby(reversed(rules), lambda rule: rule[0])]
        self._verdicts = [True, *(kind for kind, _ in runs)]
        groups = ["|".join(translate(glob) for _, glob in run) for _, run in runs]
        self._match = re.compile("|".join(f"({group})" for group in groups)).match
        self._has_rules = not all(self._verdicts)
        self._ignored = _Ignored(ignore_lines) if ignore_lines else None

    @property
    def is_open(self) -> bool:
        """Whether every name takes part, so that none need be asked about."""
        return not self._has_rules and (self._ignored is None or self._ignored.is_empty)

    def takes(self, name: str) -> bool:
        """Whether the file `name`, relative to the root with `/`, takes part.

        A name that ends with `/` is that of a directory's marker.
        """
        if self._has_rules:
            found = self._match(name)
            if found is not None and not self._verdicts[found.lastindex or 0]:
                return False
        return self._ignored is None or name not in self._ignored

    def may_hold(self, directory: str) -> bool:
        """Whether something below `directory`, as `dir/sub/`, may take part.

        False only when surely nothing does: then it need not be read.
        """
        if self._ignored is not None and directory in self._ignored:
            return False
        for rule in self._last_first:
            if rule.is_include:
                if rule.start.startswith(directory) or directory.startswith(rule.start):
                    return True
            elif rule.takes_all_below(directory):
                return False
        return True


class _Rule:
    """One rule; all names that match begin with `start`."""

    __slots__ = ("_is_tail_open", "_match", "is_include", "start")

    def __init__(self, is_include: bool, glob: str) -> None:
        wild = _WILD.search(glob)
        self.is_include = is_include
        self.start = glob[: wild.start()] if wild else glob
        self._is_tail_open = glob.endswith("*")
        self._match = re.compile(translate(glob)).match

    def takes_all_below(self, directory: str) -> bool:
        # A last `*` that matches to the end of the directory's name matches what follows as well.
        return self._is_tail_open and self._match(directory) is not None


def is_pattern(line: str) -> bool:
    """Whether a line of an ignore file says anything of names."""
    return bool(line.strip()) and not line.startswith("#")


class _Ignored:
    """The names that an ignore file takes out, ready to be asked in their order."""

    def __init__(self, lines: Sequence[str]) -> None:
        from pathspec.patterns.gitignore.spec import GitIgnoreSpecPattern  # most runs need none

        self._last_first = []
        for line in lines:
            if not is_pattern(line):
                continue
            # Of a `[` in a set, as in `[[]`, `re` warns that it may mean more in a later Python.
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", FutureWarning)
                try:
                    pattern = GitIgnoreSpecPattern(_LAST_STARS.sub(_named_stars, line))
                except ValueError:
                    raise _malformed(line) from None
                if pattern.regex is None or pattern.include is None:
                    raise _malformed(line)
                # In these regexes a `.` may stand for a line feed: names may hold one.
                regex = re.compile(pattern.regex.pattern, re.DOTALL)
            self._last_first.append((pattern.include, regex.fullmatch))
        self._last_first.reverse()
        # Directories are asked about again and again: one that is not ignored, one that is.
        self._open = ""
        self._closed = ""

    @property
    def is_empty(self) -> bool:
        return not self._last_first

    def __contains__(self, name: str) -> bool:
        directory = name[: name.rfind("/") + 1]
        if directory != self._open:
            closed = self._closed
            if (closed and name.startswith(closed)) or self._closes(directory):
                return True
            self._open = directory
        return directory != name and self._matches(name)

    def _closes(self, directory: str) -> bool:
        """Whether `directory` or one above it is ignored."""
        known = os.path.commonprefix((directory, self._open))  # noqa: RUF071 - of characters
        end = directory.find("/", len(known))
        while end >= 0:
            if self._matches(directory[: end + 1]):
                self._closed = directory[: end + 1]
                return True
            end = directory.find("/", end + 1)
        return False

    def _matches(self, path: str) -> bool:
        """Whether the last pattern that matches just this path, a directory's with `/`, ignores."""
        for is_ignored, matches in self._last_first:
            if matches(path):
                return is_ignored
        return False


def _named_stars(stars: re.Match[str]) -> str:
    """The same pattern in the form whose regex reads to the end of the path."""
    return stars[1] + ("?*" if stars[2] == "*" else "**/?*")


def _check(glob: str) -> None:
    """UsageError for globs that cannot be meant."""
    if not glob or "\0" in glob:
        raise UsageError(f"{glob!r} is not a pattern", hint="write for example '*.jpg'")
    if glob.startswith("/"):
        raise UsageError(
            f"the pattern {glob!r} matches nothing: names are relative to the root of the tree",
            hint="leave out the first /",
        )
    if "[" in _CLASS.sub("", glob):
        raise UsageError(
            f"the pattern {glob!r} has a [ without its ]", hint="write [[] for the character ["
        )


def _malformed(line: str) -> UsageError:
    return UsageError(
        f"{line!r} is not a pattern of an ignore file",
        hint="write the file's lines as in .gitignore",
    )

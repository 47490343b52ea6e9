"""The last rule that matches decides, as in aws s3; ignore files mean what they mean to git."""

from __future__ import annotations

import fnmatch
import os
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealift.errors import UsageError
from sealift.filters import Filter

globs = st.text(st.sampled_from("ab/*?[]!-.\n é"), min_size=1, max_size=6)
names = st.lists(
    st.text(st.sampled_from("ab[-.\n é*"), min_size=1, max_size=3), min_size=1, max_size=4
).map("/".join)
rule_lists = st.lists(st.tuples(st.booleans(), globs), max_size=6)


def made(rules: list[tuple[bool, str]], lines: list[str] | None = None) -> Filter | None:
    try:
        return Filter(rules, lines or [])
    except UsageError:
        return None


def expected(rules: list[tuple[bool, str]], name: str) -> bool:
    verdict = True
    for is_include, glob in rules:
        if fnmatch.fnmatchcase(name, glob):
            verdict = is_include
    return verdict


@given(rule_lists, st.lists(names, min_size=1, max_size=8))
def test_the_last_rule_that_matches_decides(
    rules: list[tuple[bool, str]], found: list[str]
) -> None:
    chosen = made(rules)
    if chosen is None:
        return
    assert [chosen.takes(name) for name in found] == [expected(rules, name) for name in found]
    if chosen.is_open:
        assert all(expected(rules, name) for name in found)


@given(rule_lists, st.lists(globs, max_size=4), st.lists(names, min_size=1, max_size=8))
def test_what_is_not_read_holds_nothing_that_is_taken(
    rules: list[tuple[bool, str]], lines: list[str], found: list[str]
) -> None:
    chosen = made(rules, lines)
    if chosen is None:
        return
    for name in found:
        if chosen.takes(name):
            for end in (at + 1 for at, letter in enumerate(name) if letter == "/"):
                assert chosen.may_hold(name[:end])


@pytest.mark.parametrize(
    ("rules", "taken", "left"),
    [
        ([], "a d/a", ""),
        ([(False, "*.tmp")], "a d/a.tmp.x a.TMP", "a.tmp d/e/a.tmp"),
        ([(False, "*"), (True, "*.jpg")], "a.jpg d/e/a.jpg", "a d/a.png"),
        ([(True, "*.jpg"), (False, "*")], "", "a.jpg"),
        ([(False, "d/*"), (True, "d/e/*"), (False, "*.o")], "a d/e/f", "d/a d/e/f.o"),
        ([(False, "d?e")], "de d//e", "d/e d.e"),
        ([(False, "[ab]/[!a]")], "a/a c/b", "a/b b/c"),
        ([(False, "d")], "d/a", "d"),
        ([(False, "[[]a]")], "a", "[a]"),
    ],
)
def test_rules(rules: list[tuple[bool, str]], taken: str, left: str) -> None:
    chosen = Filter(rules)
    assert all(chosen.takes(name) for name in taken.split())
    assert not any(chosen.takes(name) for name in left.split())


@pytest.mark.parametrize(
    ("rules", "directory", "may_hold"),
    [
        ([], "d/", True),
        ([(False, "d/*")], "d/", False),
        ([(False, "d/*")], "d/e/", False),
        ([(False, "d/*")], "dd/", True),
        ([(False, "*/.git/*")], "a/.git/", False),
        ([(False, "d/*.o")], "d/", True),
        ([(False, "*"), (True, "*.jpg")], "d/", True),
        ([(False, "*"), (True, "photos/*")], "docs/", False),
        ([(False, "*"), (True, "photos/2024/*")], "photos/", True),
        ([(False, "*"), (True, "photos/2024/*")], "photos/2023/", False),
        ([(False, "*"), (True, "photos/*"), (False, "photos/raw/*")], "photos/raw/", False),
    ],
)
def test_directories_of_which_nothing_is_taken(
    rules: list[tuple[bool, str]], directory: str, may_hold: bool
) -> None:
    assert Filter(rules).may_hold(directory) is may_hold


def test_an_open_filter_says_so() -> None:
    assert Filter().is_open
    assert Filter([(True, "*.jpg")]).is_open
    assert Filter((), ["", "# nothing", "  "]).is_open
    assert not Filter([(False, "*.jpg")]).is_open
    assert not Filter((), ["*.jpg"]).is_open


@pytest.mark.parametrize(
    ("glob", "words"),
    [("", "''"), ("a\0", "pattern"), ("/a", "'/a'"), ("a[b", "'a[b'"), ("[!]", "'[!]'"),
     ("[]", "'[]'")],
)  # fmt: skip
def test_a_pattern_that_cannot_be_meant_is_named(glob: str, words: str) -> None:
    with pytest.raises(UsageError, match=re.escape(words)):
        Filter([(False, "*.fine"), (True, glob)])


# Ignore files. All cases were compared with git 2.39.

IGNORED = [
    (["*.tmp"], "a.tmp d/a.tmp x.tmp/a", "a.tmpx d/a"),
    (["/a"], "a a/x", "d/a d/a/x"),
    (["a/"], "a/x d/a/x", "a d/a"),
    (["d/a"], "d/a d/a/x", "e/d/a a"),
    (["d/*"], "d/a d/a/x", "d"),
    (["d/*", "!d/keep"], "d/a", "d/keep"),
    (["d/", "!d/keep"], "d/a d/keep", "keep"),
    (["d/**", "!d/keep"], "d/a d/e/keep", "d/keep"),
    (["d/**", "!e"], "d/a d/e/f", "e"),
    (["*", "!*/", "!*.py"], "a d/a d/e/a", "a.py d/e/a.py"),
    (["*", "!d"], "a d/a", "d"),
    (["**/cache"], "cache/a d/cache d/e/cache/f", "caches"),
    (["d/**/x"], "d/x d/e/x d/e/f/x", "x d/xx"),
    (["a", "!/c", "!b/c"], "a b/c/a/x a/c", "c/x b/c/x"),
    (["!*", "c/b"], "c/b/x", "b/x c/x"),
    (["# comment", "", "\\#a", "\\!b"], "#a !b", "a b comment"),
    (["a "], "a d/a", "ab"),
    (["[ab]?"], "ax bx d/ax", "cx a"),
]


@pytest.mark.parametrize(("lines", "left", "taken"), IGNORED)
def test_ignore_lines(lines: list[str], left: str, taken: str) -> None:
    for order in (sorted, lambda found: sorted(found, reverse=True)):
        chosen = Filter((), lines)
        names = order([*left.split(), *taken.split()])
        assert {name for name in names if chosen.takes(name)} == set(taken.split())


def test_names_are_ignored_whatever_is_in_them() -> None:
    chosen = Filter((), ["sub/*.o", "caf*", "\udcff"])
    assert not chosen.takes("sub/line\nfeed.o")
    assert not chosen.takes("line\nfeed/café")
    assert not chosen.takes("dir/\udcff")
    assert chosen.takes("line\nfeed/x")


def test_ignored_directories_hold_nothing() -> None:
    chosen = Filter((), ["build/", "!build/keep", "*.d"])
    assert not chosen.may_hold("a/build/")
    assert not chosen.may_hold("build/deep/")
    assert not chosen.may_hold("x.d/")
    assert chosen.may_hold("a/")


def test_a_name_takes_part_when_both_let_it_pass() -> None:
    chosen = Filter([(False, "*"), (True, "*.jpg")], ["private/", "a.jpg"])
    assert chosen.takes("d/b.jpg")
    assert not chosen.takes("private/b.jpg")
    assert not chosen.takes("d/a.jpg")
    assert not chosen.takes("d/b.png")


@pytest.mark.parametrize("line", ["!", "/", "a[", "a\\"])
def test_a_line_that_cannot_be_meant_is_named(line: str) -> None:
    with pytest.raises(UsageError, match=re.escape(repr(line))):
        Filter((), ["*.fine", line])


def test_the_order_of_names_does_not_matter() -> None:
    """What is remembered of directories is true whatever comes next."""
    lines = ["b/", "!b/", "*/c/", "d*"]
    found = [
        os.path.join(a, b, c) for a in ("a", "b", "d") for b in ("b", "c", "d") for c in ("c", "x")
    ]
    alone = {name: Filter((), lines).takes(name) for name in found}
    chosen = Filter((), lines)
    for name in [*found, *reversed(found), *found[::3], *found[1::3]]:
        assert chosen.takes(name) is alone[name]


def test_an_ignore_line_with_a_bracket_in_a_set_says_nothing_on_the_screen() -> None:
    """Python warns of regular expressions that a later version may read in another way."""
    chosen = Filter([], ["[[]x"])
    assert not chosen.takes("[x")
    assert chosen.takes("x")

"""Names that cannot stand side by side, found before the second is written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealift.collisions import Collisions
from sealift.errors import UnsafeNameError


def refused(names: list[str], **folds: bool) -> list[str]:
    collisions = Collisions(**folds)
    found = []
    for name in sorted(names):
        try:
            collisions.check(name)
        except UnsafeNameError:
            found.append(name)
    return found


def test_a_name_below_a_file_is_refused_whatever_stands_between() -> None:
    assert refused(["d", "d!", "d-x", "d.y", "d/f", "d/g/h", "d0", "e"]) == ["d/f", "d/g/h"]


def test_the_error_names_the_file_that_is_in_the_way() -> None:
    collisions = Collisions()
    collisions.check("a/d")
    collisions.check("a/d-")
    with pytest.raises(UnsafeNameError, match="a/d is a file where this name needs a directory"):
        collisions.check("a/d/x")


def test_case_and_form_matter_only_where_the_file_system_folds_them() -> None:
    names = ["A", "a", "\u00e9", "e\u0301"]
    assert refused(names) == []
    assert refused(names, folds_case=True) == ["a"]
    assert refused(names, folds_form=True) == ["\u00e9"]
    assert refused(names, folds_case=True, folds_form=True) == ["a", "\u00e9"]


def test_a_folded_name_may_be_that_of_a_directory() -> None:
    assert refused(["A", "a/x"], folds_case=True) == ["a/x"]
    assert refused(["A/x", "a"], folds_case=True) == ["a"]
    assert refused(["A/x", "a/y", "b/A/x", "b/a"], folds_case=True) == ["b/a"]
    assert refused(["A/", "a/x", "a/"], folds_case=True) == []
    assert refused(["A", "a/"], folds_case=True) == ["a/"]


NAME = st.lists(st.text("ab-.0", min_size=1, max_size=2), min_size=1, max_size=3).map("/".join)


@given(st.sets(NAME, max_size=12))
def test_exactly_those_below_an_earlier_name_are_refused(names: set[str]) -> None:
    kept: set[str] = set()
    expected = []
    for name in sorted(names):
        parts = name.split("/")
        if any("/".join(parts[:depth]) in kept for depth in range(1, len(parts))):
            expected.append(name)
        else:
            kept.add(name)
    assert refused(list(names)) == expected


FOLDED = st.lists(st.text("aAb", min_size=1, max_size=1), min_size=1, max_size=3).map("/".join)


@given(st.sets(FOLDED, max_size=12))
def test_where_case_folds_exactly_those_that_meet_an_earlier_name_are_refused(
    names: set[str],
) -> None:
    kept: set[str] = set()
    expected = []
    for name in sorted(names):
        folded = name.lower()
        meets = folded in kept or any(
            one.startswith(f"{other}/")
            for earlier in kept
            for one, other in ((folded, earlier), (earlier, folded))
        )
        if meets:
            expected.append(name)
        else:
            kept.add(folded)
    assert refused(list(names), folds_case=True) == expected


def test_a_name_that_is_listed_twice_is_not_in_its_own_way() -> None:
    collisions = Collisions()
    for name in ("a", "a", "b"):
        collisions.check(name)

"""docs/reliability.md names a test for each of the forty cases, and each test that has a number.

docs/security.md names tests that exist.
"""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).parent.parent
_TEST = re.compile(r"^(?:async )?def (test_case_(\d\d)_\w+)", re.MULTILINE)
_ROW = re.compile(r"^\| (\d+) \|(.+)\|$", re.MULTILINE)
_NAMED = re.compile(r"`(tests/[\w/]+\.py)`|`(test_case_\w+)`")
_PROMISED = re.compile(r"`(tests/[\w/]+\.py)`|`(test_\w+)`")


def numbered() -> dict[int, set[str]]:
    """The tests that have a number, as `file::name`."""
    found: dict[int, set[str]] = defaultdict(set)
    for path in ROOT.glob("tests/**/test_*.py"):
        for name, number in _TEST.findall(path.read_text()):
            found[int(number)].add(f"{path.relative_to(ROOT)}::{name}")
    return found


def documented() -> dict[int, set[str]]:
    """The tests that the table names: a file, then tests of it."""
    found: dict[int, set[str]] = {}
    for number, rest in _ROW.findall((ROOT / "docs/reliability.md").read_text()):
        file = ""
        names = found.setdefault(int(number), set())
        for path, name in _NAMED.findall(rest):
            file = path or file
            if name:
                names.add(f"{file}::{name}")
    return found


def test_each_case_has_a_test_and_each_test_its_place_in_the_table() -> None:
    assert sorted(numbered()) == list(range(1, 41))
    assert documented() == numbered()


def test_the_promises_of_security_name_tests_that_exist() -> None:
    named = 0
    for line in (ROOT / "docs/security.md").read_text().splitlines():
        file = ""
        for path, name in _PROMISED.findall(line):
            file = path or file
            text = (ROOT / file).read_text()
            assert not name or re.search(rf"^(async )?def {name}\(", text, re.MULTILINE), name
            named += 1
    assert named > 20

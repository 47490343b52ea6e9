"""The table of what counts as different: one case a row, and no row without one."""

from __future__ import annotations

import re

import pytest

from sealift import compare
from sealift.compare import (
    Method,
    Verdict,
    are_surely_same,
    compare_file,
    compare_objects,
    is_sealed_otherwise,
    known_crc,
)
from sealift.files.walk import FileEntry
from sealift.model import Known, RemoteObject

NANO = 1_000_000_000
MODE = 0o100644
FILE = FileEntry("/t/a", "a", 5, 1_000 * NANO, MODE)
OBJECT = RemoteObject("p/a", 5, '"e1"', 2_000.0)
ENTRY = Known("p/a", 5, "e1", None, 77, 1_000 * NANO, "key")

FILE_CHANGED = FileEntry("/t/a", "a", 5, 1_500 * NANO, MODE)
FILE_NEWER = FileEntry("/t/a", "a", 5, 2_000 * NANO + 1, MODE)
OTHER_SIZE = FileEntry("/t/a", "a", 6, 1_000 * NANO, MODE)
REPLACED = OBJECT._replace(etag='"e2"')

# When a run that was killed began, in seconds.
KILLED = 3_000.0

SAME, DIFFERENT, ASK = Verdict

ROWS = {
    1: [
        (FILE, OBJECT, ENTRY, Method.TIMES, SAME),
        (FILE, OBJECT, ENTRY, Method.SIZE, SAME),
        (FILE, OBJECT, ENTRY, Method.CHECKSUM, SAME),
        # the entry goes before the clock: stored by a server whose clock is behind
        (FILE, OBJECT._replace(modified=1.0), ENTRY, Method.TIMES, SAME),
    ],
    2: [
        (OTHER_SIZE, OBJECT, known, method, DIFFERENT)
        for known in (ENTRY, None)
        for method in Method
    ],
    3: [
        (FILE_NEWER, OBJECT, None, Method.SIZE, SAME),
        (FILE_CHANGED, REPLACED, ENTRY, Method.SIZE, SAME),
    ],
    4: [
        (FILE, OBJECT, ENTRY, Method.REBUILD, ASK),
        (FILE, OBJECT, None, Method.REBUILD, ASK),
    ],
    5: [(FILE_CHANGED, OBJECT, ENTRY, Method.CHECKSUM, ASK)],
    6: [
        (FILE, OBJECT, None, Method.CHECKSUM, ASK),
        (FILE, REPLACED, ENTRY, Method.CHECKSUM, ASK),
        (FILE_CHANGED, OBJECT, ENTRY._replace(crc=None), Method.CHECKSUM, ASK),
    ],
    7: [
        (FILE, OBJECT, ENTRY._replace(mtime_ns=None), Method.TIMES, ASK),
        (FILE_NEWER, OBJECT, ENTRY._replace(mtime_ns=None, crc=None), Method.TIMES, ASK),
    ],
    8: [
        (FILE_CHANGED, OBJECT, ENTRY, Method.TIMES, DIFFERENT),
        (FILE, REPLACED, ENTRY, Method.TIMES, DIFFERENT),
        (FILE_CHANGED, REPLACED, ENTRY, Method.TIMES, DIFFERENT),
        (FILE, REPLACED, ENTRY._replace(mtime_ns=None), Method.TIMES, DIFFERENT),
    ],
    9: [(FILE_NEWER, OBJECT, None, Method.TIMES, DIFFERENT)],
    10: [(FILE._replace(ctime_ns=3_000 * NANO), OBJECT, None, Method.TIMES, ASK)],
    11: [
        (FILE, OBJECT, None, Method.TIMES, SAME),
        (FILE._replace(ctime_ns=2_990 * NANO), OBJECT, None, Method.TIMES, SAME),
        (FileEntry("/t/a", "a", 5, 2_000 * NANO, MODE), OBJECT, None, Method.TIMES, SAME),
    ],
}  # fmt: skip


@pytest.mark.parametrize("row", sorted(ROWS))
def test_row_of_the_table(row: int) -> None:
    for file, found, known, method, verdict in ROWS[row]:
        assert compare_file(file, found, known, method, KILLED) is verdict


ALL_ROWS = [case for row in ROWS.values() for case in row]


@pytest.mark.parametrize(("file", "found", "known", "method", "verdict"), ALL_ROWS)
def test_pairs_in_a_row_are_the_same_only_if_the_table_says_so_of_each(
    file: FileEntry, found: RemoteObject, known: Known | None, method: Method, verdict: Verdict
) -> None:
    for key_id in ("key", "other", None):
        surely = are_surely_same([file], [found], [known], method, key_id)
        sealed_otherwise = is_sealed_otherwise(known, found, key_id)
        assert not surely or (verdict is SAME and not sealed_otherwise)
        for before, after in ((0, 2), (1, 1), (2, 0)):
            among = [(FILE, OBJECT, ENTRY)] * before + [(file, found, known)]
            among += [(FILE, OBJECT, ENTRY)] * after
            files, objects, entries = zip(*among, strict=True)
            alone = key_id == "key" and method is not Method.REBUILD and surely
            assert are_surely_same(files, objects, entries, method, key_id) == alone


def test_what_agrees_with_the_catalogue_is_seen_without_the_table() -> None:
    for method in (Method.TIMES, Method.SIZE, Method.CHECKSUM):
        assert are_surely_same([FILE] * 3, [OBJECT] * 3, [ENTRY] * 3, method, "key")
    assert are_surely_same([FILE] * 3, [REPLACED] * 3, [None, ENTRY, None], Method.SIZE, "key")


def test_a_young_file_is_not_asked_about_when_no_run_was_killed() -> None:
    ((file, found, known, method, _),) = ROWS[10]
    assert compare_file(file, found, known, method) is SAME


def test_every_row_has_a_case() -> None:
    numbers = re.findall(r"^\| (\d+) ", compare.__doc__ or "", re.MULTILINE)
    assert [int(number) for number in numbers] == sorted(ROWS)


def test_crc_of_the_entry_counts_only_while_the_object_half_holds() -> None:
    assert known_crc(ENTRY, OBJECT) == 77
    assert known_crc(ENTRY._replace(mtime_ns=1), OBJECT) == 77
    assert known_crc(ENTRY, REPLACED) is None
    assert known_crc(ENTRY, OBJECT._replace(size=6)) is None
    assert known_crc(None, OBJECT) is None


def test_objects_compare_by_size_then_by_time_and_by_what_was_copied() -> None:
    newer, older = OBJECT._replace(modified=3_000.0), OBJECT._replace(modified=1_000.0)
    copied = ENTRY._replace(mtime_ns=None)
    assert compare_objects(OBJECT, OBJECT._replace(size=6), None, Method.SIZE) is DIFFERENT
    assert compare_objects(newer, OBJECT, None, Method.SIZE) is SAME
    assert compare_objects(newer, OBJECT, None, Method.TIMES) is DIFFERENT
    assert compare_objects(OBJECT, OBJECT, None, Method.TIMES) is DIFFERENT  # replaced, perhaps
    assert compare_objects(older, OBJECT, None, Method.TIMES) is SAME
    assert compare_objects(older, OBJECT, copied, Method.TIMES) is SAME
    assert compare_objects(older, REPLACED, copied, Method.TIMES) is DIFFERENT
    assert compare_objects(older, OBJECT, copied, Method.CHECKSUM) is ASK


def test_an_entry_tells_that_an_object_is_under_another_key() -> None:
    assert is_sealed_otherwise(ENTRY, OBJECT, "other")
    assert not is_sealed_otherwise(ENTRY, OBJECT, "key")
    assert not is_sealed_otherwise(ENTRY, REPLACED, "other")
    assert not is_sealed_otherwise(None, OBJECT, "other")

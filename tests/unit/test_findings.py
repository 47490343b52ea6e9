"""What is found of objects adds up to a report that programs can read for years."""

from __future__ import annotations

import itertools
import json
import re
from pathlib import Path

import pytest

from sealift.errors import Cause
from sealift.verify.contents import Judged, judge
from sealift.verify.findings import MAX_NAMED, Finding, How, Noticed, VerifyReport, error_of

DOCUMENT = (Path(__file__).parents[2] / "docs" / "verify.md").read_text()


@pytest.mark.parametrize(
    ("known", "stored", "read", "how", "found"),
    [
        (1, 1, None, How.CHECKSUM, []),
        (1, None, 1, How.READING, []),
        (1, 1, 1, How.READING, []),
        (1, 2, 1, None, [Finding.CHECKSUM]),
        (1, 2, 2, None, [Finding.CONTENT]),
        (1, None, 2, None, [Finding.CONTENT]),
        (1, 1, 2, None, [Finding.CONTENT, Finding.CHECKSUM]),
        (1, 2, 3, None, [Finding.CONTENT, Finding.CHECKSUM]),
        (0, 0, None, How.CHECKSUM, []),
        (0, None, 0, How.READING, []),
    ],
)
def test_which_of_file_object_and_stored_checksum_is_wrong(
    known: int, stored: int | None, read: int | None, how: How | None, found: list[Finding]
) -> None:
    judged = judge(known, stored, read, is_line=False)
    assert (judged.how, [one.finding for one in judged.noticed]) == (how, found)


@pytest.mark.parametrize(
    ("known", "stored", "read", "how", "found"),
    [
        (1, 1, None, How.CHECKSUM, []),
        (None, 1, None, How.SIZE, []),
        (None, 1, 1, How.READING, []),
        (None, None, 1, How.SIZE, []),
        (None, 1, 2, None, [Finding.CHECKSUM]),
        (1, None, None, None, [Finding.ALTERED]),
        (1, 2, None, None, [Finding.ALTERED]),
        (1, 1, 2, None, [Finding.ALTERED, Finding.CHECKSUM]),
    ],
)
def test_what_is_not_as_the_manifest_says(
    known: int | None, stored: int | None, read: int | None, how: How | None, found: list[Finding]
) -> None:
    judged = judge(known, stored, read, is_line=True)
    assert (judged.how, [one.finding for one in judged.noticed]) == (how, found)


def test_nothing_is_right_that_was_not_held_against_anything_equal() -> None:
    values = (None, 1, 2)
    for known, stored, read in itertools.product((1, 2), values, values):
        judged = judge(known, stored, read, is_line=True)
        if judged.how is not None:
            assert known == (stored if read is None else read)
            assert stored in (None, known)
        if judged.checked:
            assert stored is not None
        assert isinstance(judged, Judged)


def test_all_that_is_wrong_with_an_object_is_one_error() -> None:
    error = error_of(
        [
            Noticed(Finding.SIZE, "too long", "look"),
            Noticed(Finding.UNENCRYPTED, "plain", "look", Cause.EXPIRED),
        ]
    )
    assert str(error) == "too long; plain; look"
    assert error.findings == ("size-differs", "unencrypted")
    assert error.cause is Cause.EXPIRED


def test_a_report_keeps_so_many_names_and_counts_all() -> None:
    report = VerifyReport("s3://b/")
    assert report.is_verified
    for number in range(MAX_NAMED + 5):
        report.note(f"n{number}", [Noticed(Finding.SIZE, ""), Noticed(Finding.SIZE, "")])
    assert not report.is_verified
    assert report.findings == {Finding.SIZE: MAX_NAMED + 5}
    assert len(report.names[Finding.SIZE]) == MAX_NAMED


def test_the_record_is_what_the_document_says() -> None:
    report = VerifyReport("s3://b/")
    report.note_key("")
    report.note_key("k")
    record = json.loads(json.dumps(report.record()))
    table = DOCUMENT[DOCUMENT.index("| field |") :]
    rows = re.findall(r"^\| (`.*?) \|", table, re.MULTILINE)
    assert {name for row in rows for name in re.findall(r"`(\w+)`", row)} == set(record)
    assert record["unsealed_count"] == 1
    assert record["keys"] == {"k": 1}
    assert set(record["findings"]) == {one.value for one in Finding}


@pytest.mark.parametrize("finding", Finding)
def test_every_finding_is_documented(finding: Finding) -> None:
    assert re.search(rf"^\| .*`{finding.value}`", DOCUMENT, re.MULTILINE)

"""What is written down is read back as it was, and nothing is believed that cannot be."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sealift.checksums import crc64
from sealift.journal_rows import Content, Row, content_of, rows_of, run_row
from sealift.model import MAX_PART_COUNT, MAX_PART_SIZE, PartDone
from sealift.records import (
    DownloadPlanned,
    DownloadRecord,
    Ended,
    PartAdded,
    RangeAdded,
    RangeDone,
    RunRecord,
    UploadCompleting,
    UploadCreated,
    UploadPlanned,
    UploadRecord,
    UploadState,
)

# Names of files that are no UTF-8 come as lone surrogates.
TEXT = st.text(st.characters(codec="utf-8") | st.integers(0xDC80, 0xDCFF).map(chr))
HEX = "0123456789abcdef"
TOKENS = st.text(HEX, min_size=16, max_size=16)
CRCS = st.integers(0, 2**64 - 1)
TIMES = st.floats(0, 1e11)
PATHS = TEXT.map(lambda text: f"/{text}")
RUNS = st.builds(
    RunRecord, TOKENS, TIMES, st.lists(TEXT).map(tuple), PATHS, TEXT, PATHS | st.none()
)


@st.composite
def uploads(draw: st.DrawFn) -> UploadRecord:
    part_size = draw(st.integers(1, MAX_PART_SIZE))
    record = UploadRecord(
        draw(st.text(HEX, min_size=32, max_size=32)),
        draw(TEXT),
        draw(TEXT),
        draw(TEXT),
        draw(st.none() | st.tuples(*[st.integers(-(2**63), 2**64)] * 5)),
        draw(st.integers(0, part_size * MAX_PART_COUNT)),
        part_size,
        draw(st.none() | TOKENS),
        draw(st.none() | CRCS),
        draw(TIMES),
    )
    if draw(st.booleans()):
        return record
    numbers = draw(st.lists(st.integers(1, MAX_PART_COUNT), unique=True, max_size=5))
    return record._replace(
        state=UploadState.CREATED,
        upload_id=draw(TEXT.filter(bool)),
        keeps_crc=draw(st.booleans()),
        parts=tuple(
            PartDone(number, draw(st.integers(1, part_size)), draw(TEXT), draw(st.none() | CRCS))
            for number in numbers
        ),
    )


@st.composite
def downloads(draw: st.DrawFn) -> DownloadRecord:
    size = draw(st.integers(1, 2**50))
    starts = draw(st.lists(st.integers(0, size - 1), unique=True, max_size=5))
    name = f".sealift-{draw(TOKENS)}-{draw(st.integers(0, 10**9))}.tmp"
    return DownloadRecord(
        name,
        draw(TEXT),
        draw(TEXT),
        draw(PATHS),
        "d/" + draw(TEXT.filter(lambda text: ".." not in text)),
        draw(TEXT),
        draw(st.none() | TEXT),
        size,
        draw(st.integers(1, 2**40)),
        draw(st.none() | TOKENS),
        tuple(RangeDone(start, draw(st.integers(1, size - start)), draw(CRCS)) for start in starts),
    )


def by_name(records: list[Any]) -> dict[str, Any]:
    return {record[0]: record for record in records}


@settings(max_examples=50)
@given(
    RUNS,
    st.lists(uploads(), unique_by=lambda record: record.marker, max_size=3),
    st.lists(downloads(), unique_by=lambda record: record.temporary, max_size=3),
    st.randoms(),
)
def test_all_comes_back(
    run: RunRecord, sent: list[UploadRecord], fetched: list[DownloadRecord], chance: Any
) -> None:
    """In whatever order the rows are read."""
    rows = [run_row(run)]
    for upload in sent:
        rows += rows_of(UploadPlanned(upload))
    for download in fetched:
        rows += rows_of(DownloadPlanned(download))
    chance.shuffle(rows)
    content = content_of(rows)
    assert content.run == run._replace(words=tuple(run.words), aim=tuple(run.aim))
    assert by_name([_sorted(record) for record in content.uploads]) == by_name(
        [_sorted(record) for record in sent]
    )
    assert by_name([_ordered(record) for record in content.downloads]) == by_name(
        [_ordered(record) for record in fetched]
    )
    assert (content.dropped, content.is_cut) == (0, False)


def _sorted(record: UploadRecord) -> UploadRecord:
    return record._replace(parts=sorted(record.parts, key=lambda part: part.number))


def _ordered(record: DownloadRecord) -> DownloadRecord:
    return record._replace(ranges=sorted(record.ranges))


# One upload and one download, step by step

MARKER = "f" * 32
UPLOAD = UploadRecord(MARKER, "s", "n", "/f", (1, 2, 3, 4, 5), 25, 10, "k", 7, 1.5)
TEMPORARY = ".sealift-0123456789abcdef-0.tmp"
DOWNLOAD = DownloadRecord(TEMPORARY, "s", "n", "/root", "d/f", "e", "v", 25, 10, "k")
PART = PartDone(2, 10, '"e"', 3)


def read(*changes: Any) -> Content:
    return content_of([row for change in changes for row in rows_of(change)])


def test_an_upload_step_by_step() -> None:
    steps = [
        UploadPlanned(UPLOAD),
        UploadCreated(MARKER, "id", True),
        PartAdded(MARKER, PART),
        UploadCompleting(MARKER),
    ]
    created = UPLOAD._replace(state=UploadState.CREATED, upload_id="id", keeps_crc=True)
    with_part = created._replace(parts=(PART,))
    assert [read(*steps[:count]).uploads for count in range(1, 5)] == [
        [UPLOAD],
        [created],
        [with_part],
        [with_part._replace(state=UploadState.COMPLETING)],
    ]


def test_what_belongs_to_nothing_is_left_out() -> None:
    """Its upload or download was dropped, or has ended."""
    content = read(
        UploadCreated(MARKER, "id", True),
        PartAdded(MARKER, PART),
        UploadCompleting(MARKER),
        RangeAdded(TEMPORARY, RangeDone(0, 10, 1)),
    )
    assert content == Content()


def test_parts_without_an_upload_id_prove_nothing() -> None:
    content = read(UploadPlanned(UPLOAD), PartAdded(MARKER, PART), UploadCompleting(MARKER))
    assert content.uploads == [UPLOAD]


def test_an_end_adds_no_row() -> None:
    assert rows_of(Ended(MARKER)) == []


# Damage

ROWS = [
    *rows_of(UploadPlanned(UPLOAD)),
    *rows_of(UploadCreated(MARKER, "id", True)),
    *rows_of(PartAdded(MARKER, PART)),
]


@pytest.mark.parametrize("field", range(5))
@pytest.mark.parametrize("value", [None, 0, 2, 1.5, "", "x", b"\xff", "\ufffd"])
def test_a_row_that_was_altered_is_dropped(field: int, value: object) -> None:
    altered = list(ROWS[2])
    altered[field] = value
    if altered == list(ROWS[2]):
        return
    content = content_of([*ROWS[:2], tuple(altered)])
    assert content.dropped == 1
    created = UPLOAD._replace(state=UploadState.CREATED, upload_id="id", keeps_crc=True)
    assert content.uploads == [created]


@settings(max_examples=200)
@given(st.integers(0, len(ROWS) - 1), st.integers(0, 4), st.integers(0, 500))
def test_any_single_bit_is_missed(row: int, field: int, bit: int) -> None:
    """Of text; a bit of a number is another number."""
    altered = list(ROWS[row])
    raw = bytearray(str(altered[field]).encode())
    raw[bit // 8 % len(raw)] ^= 1 << bit % 8
    text = raw.decode("utf-8", "replace")
    altered[field] = int(text) if isinstance(altered[field], int) and text.isdecimal() else text
    rows = [*ROWS]
    rows[row] = tuple(altered)
    assert content_of(rows).dropped == 1


def row(kind: str, name: str, number: int, value: object) -> Row:
    """A row that is whole, whatever it says."""
    data = json.dumps(value)
    return kind, name, number, data, f"{crc64(f'{kind} {name} {number} {data}'.encode()):016x}"


def test_these_rows_are_as_those_of_the_program() -> None:
    assert row("upload", MARKER, 0, UPLOAD[:10]) == ROWS[0]


def changed(record: Any, **changes: object) -> list[object]:
    return list(record._replace(**changes)[:10])


@pytest.mark.parametrize(
    ("kind", "name", "number", "value"),
    [
        ("upload", "other", 0, changed(UPLOAD)),
        ("upload", MARKER, 1, changed(UPLOAD)),
        ("upload", MARKER, 0, None),
        ("upload", MARKER, 0, "0123456789"),
        ("upload", MARKER, 0, {}),
        ("upload", MARKER, 0, changed(UPLOAD)[:9]),
        ("upload", MARKER, 0, [*changed(UPLOAD), 1]),
        ("upload", MARKER, 0, changed(UPLOAD, size=-1)),
        ("upload", MARKER, 0, changed(UPLOAD, size="25")),
        ("upload", MARKER, 0, changed(UPLOAD, size=10 * MAX_PART_COUNT + 1)),
        ("upload", MARKER, 0, changed(UPLOAD, part_size=0)),
        ("upload", MARKER, 0, changed(UPLOAD, part_size=MAX_PART_SIZE + 1)),
        ("upload", MARKER, 0, changed(UPLOAD, planned_at="now")),
        ("upload", MARKER, 0, changed(UPLOAD, name=None)),
        ("upload", MARKER, 0, changed(UPLOAD, identity=7)),
        ("download", "other", 0, changed(DOWNLOAD)),
        ("download", "../x", 0, changed(DOWNLOAD, temporary="../x")),
        ("download", TEMPORARY, 10, changed(DOWNLOAD)),
        ("download", TEMPORARY, 0, changed(DOWNLOAD, root="root")),
        ("download", TEMPORARY, 0, changed(DOWNLOAD, path="../f")),
        ("download", TEMPORARY, 0, changed(DOWNLOAD, path="d/../../f")),
        ("download", TEMPORARY, 0, changed(DOWNLOAD, path="/etc/f")),
        ("download", TEMPORARY, 0, changed(DOWNLOAD, range_size=0)),
        ("download", TEMPORARY, 0, changed(DOWNLOAD, size="25")),
        ("download", TEMPORARY, 0, []),
        ("run", "x" * 16, 0, ["y" * 16, 1.5, [], "/", "s", None]),
        ("run", "short", 0, ["short", 1.5, [], "/", "s", None]),
        ("run", "x" * 16, 1, ["x" * 16, 1.5, [], "/", "s", None]),
        ("run", "x" * 16, 0, ["x" * 16, 1e300, [], "/", "s", None]),
        ("run", "x" * 16, 0, ["x" * 16, float("nan"), [], "/", "s", None]),
        ("run", "x" * 16, 0, ["x" * 16, -1.0, [], "/", "s", None]),
        ("run", "x" * 16, 0, ["x" * 16, 1.5, [7], "/", "s", None]),
        ("run", "x" * 16, 0, ["x" * 16, 1.5, "words", "/", "s", None]),
        ("run", "x" * 16, 0, ["x" * 16, 1.5, [], "/", "s", "relative"]),
    ],
)
def test_nothing_is_believed_that_cannot_be(
    kind: str, name: str, number: int, value: object
) -> None:
    assert content_of([row(kind, name, number, value)]) == Content(dropped=1)


@pytest.mark.parametrize(
    ("number", "value"),
    [
        (0, [10, "e", 3]),
        (-1, [10, "e", 3]),
        (MAX_PART_COUNT + 1, [10, "e", 3]),
        (1, [0, "e", 3]),
        (1, [11, "e", 3]),
        (1, [10, None, 3]),
        (1, [10, "e", -1]),
        (1, [10, "e", 2**64]),
        (1, [10, "e"]),
        (1, None),
        (1, 7),
    ],
)
def test_a_part_that_cannot_be_is_dropped_alone(number: int, value: object) -> None:
    content = content_of([*ROWS, row("part", MARKER, number, value)])
    (upload,) = content.uploads
    assert upload.parts == (PART,)
    assert content.dropped == 1


@pytest.mark.parametrize(
    ("start", "value"),
    [(-1, [10, 3]), (20, [6, 3]), (25, [1, 3]), (0, [0, 3]), (0, [-5, 3]), (0, [10, -1]),
     (0, [10, 2**64]), (0, [10]), (0, ["10", 3]), (0, "ab"), (2**62, [2**62, 0])],
)  # fmt: skip
def test_a_range_that_cannot_be_is_dropped_alone(start: int, value: object) -> None:
    known = RangeDone(10, 10, 5)
    rows = [*rows_of(DownloadPlanned(DOWNLOAD)), *rows_of(RangeAdded(TEMPORARY, known))]
    content = content_of([*rows, row("range", TEMPORARY, start, value)])
    assert content.downloads == [DOWNLOAD._replace(ranges=(known,))]
    assert content.dropped == 1


@pytest.mark.parametrize("value", [None, [], ["", True], ["id"], [7, True], ["id", 1], "ab"])
def test_without_a_believable_id_an_upload_is_only_planned(value: object) -> None:
    part = rows_of(PartAdded(MARKER, PART))
    content = content_of([ROWS[0], row("created", MARKER, 0, value), *part])
    assert content.uploads == [UPLOAD]
    assert content.dropped == 1


def test_a_kind_of_a_later_version_is_passed_over() -> None:
    assert content_of([row("novelty", "x", 0, [1])]) == Content()

"""How the journal writes records down, and what it believes when it reads them. Pure."""

from __future__ import annotations

import json
import os.path
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar, TypeVarTuple

from sealift.checksums import crc64
from sealift.model import MAX_PART_COUNT, MAX_PART_SIZE, TEMPORARY_NAME, PartDone
from sealift.records import (
    Change,
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

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

# Kind, name (marker, temporary file or token), number (part, start of range), JSON, CRC64.
Row = tuple[str, str, int, str, str]

# What rows of one kind and name say, by their numbers; and all rows, by kind and name.
_Rows = dict[int, Any]
_Found = defaultdict[str, defaultdict[str, _Rows]]

_RUN, _UPLOAD, _CREATED, _COMPLETING = "run", "upload", "created", "completing"
_PART, _DOWNLOAD, _RANGE = "part", "download", "range"
# All that an upload or a download may have rows of.
TRANSFER_KINDS = (_UPLOAD, _CREATED, _COMPLETING, _PART, _DOWNLOAD, _RANGE)

_RUN_TYPES = (str, float, list, str, str, str | None, list)
_LAST_TIME = 2.5e11  # seconds since the epoch: the year 9892
_UPLOAD_TYPES = (
    str, str, str, str, list | None, int, int, str | None, int | None, float,
)  # fmt: skip
_DOWNLOAD_TYPES = (str, str, str, str, str, str, str | None, int, int, str | None)


@dataclass(slots=True)
class Content:
    """What the file of a run says; `dropped` counts the rows that cannot be believed.

    `is_cut`: what was written last is missing, as far as can be told.
    """

    run: RunRecord | None = None
    uploads: list[UploadRecord] = field(default_factory=list)
    downloads: list[DownloadRecord] = field(default_factory=list)
    dropped: int = 0
    is_cut: bool = False


def run_row(run: RunRecord) -> Row:
    """The row of a run."""
    return _row(_RUN, run.token, 0, run)


def rows_of(change: Change) -> list[Row]:
    """The rows that a change adds; `Ended` has none, it removes all of its name."""
    match change:
        case UploadPlanned(record):
            rows = [_row(_UPLOAD, record.marker, 0, record[:10])]
            if record.state is not UploadState.PLANNED:
                rows += _created(record.marker, record.upload_id, record.keeps_crc)
            return rows + [_part(record.marker, part) for part in record.parts]
        case UploadCreated(marker, upload_id, keeps_crc):
            return _created(marker, upload_id, keeps_crc)
        case PartAdded(marker, part):
            return [_part(marker, part)]
        case UploadCompleting(marker):
            return [_row(_COMPLETING, marker, 0, None)]
        case DownloadPlanned(record):
            rows = [_row(_DOWNLOAD, record.temporary, 0, record[:10])]
            return rows + [_range(record.temporary, done) for done in record.ranges]
        case RangeAdded(temporary, done):
            return [_range(temporary, done)]
        case Ended():
            return []


def content_of(rows: Iterable[tuple[Any, ...]]) -> Content:
    """What rows say, as far as it can be believed."""
    content = Content()
    found: _Found = defaultdict(lambda: defaultdict(dict))
    for row in rows:
        kind, name, number, data, crc = row
        if not isinstance(data, str) or _sum(kind, name, number, data) != crc:
            content.dropped += 1
            continue
        found[kind][name][number] = json.loads(data)
    for name, run in found[_RUN].items():
        content.run = _believed(content, _run_record, name, run)
    for name, planned in found[_UPLOAD].items():
        upload = _believed(content, _upload_record, name, planned)
        if upload is not None:
            content.uploads.append(_with_progress(content, upload, found))
    for name, planned in found[_DOWNLOAD].items():
        download = _believed(content, _download_record, name, planned)
        if download is not None:
            content.downloads.append(_with_ranges(content, download, found[_RANGE][name]))
    return content


def _believed(content: Content, make: Callable[[*Ts], T | None], *args: *Ts) -> T | None:
    try:
        return make(*args)
    except (TypeError, ValueError, KeyError):
        content.dropped += 1
        return None


def _run_record(token: str, rows: _Rows) -> RunRecord:
    run = RunRecord(*_typed(rows[0], _RUN_TYPES))
    _require(run.token == token and len(token) == 16 and 0 <= run.started_at < _LAST_TIME)
    _require(run.root is None or os.path.isabs(run.root))
    _require(all(isinstance(word, str) for word in (*run.words, *run.aim)))
    return run._replace(words=tuple(run.words), aim=tuple(run.aim))


def _upload_record(name: str, rows: _Rows) -> UploadRecord:
    record = UploadRecord(*_typed(rows[0], _UPLOAD_TYPES))
    _require(record.marker == name and 0 < record.part_size <= MAX_PART_SIZE)
    _require(0 <= record.size <= record.part_size * MAX_PART_COUNT)
    if record.identity is None:
        return record
    return record._replace(identity=tuple(record.identity))


def _with_progress(content: Content, record: UploadRecord, found: _Found) -> UploadRecord:
    name = record.marker
    created = _believed(content, _created_id, found[_CREATED][name])
    if created is None:
        return record
    parts = [
        _believed(content, _part_done, record, number, data)
        for number, data in found[_PART][name].items()
    ]
    completing = name in found[_COMPLETING]
    return record._replace(
        state=UploadState.COMPLETING if completing else UploadState.CREATED,
        upload_id=created[0],
        keeps_crc=created[1],
        parts=tuple(part for part in parts if part is not None),
    )


def _created_id(rows: _Rows) -> tuple[str, bool] | None:
    if not rows:
        return None
    upload_id, keeps_crc = _typed(rows[0], (str, bool))
    _require(upload_id != "")
    return upload_id, keeps_crc


def _part_done(record: UploadRecord, number: int, data: object) -> PartDone:
    part = PartDone(number, *_typed(data, (int, str, int | None)))
    _require(1 <= number <= MAX_PART_COUNT and 0 < part.size <= record.part_size)
    _require(part.crc is None or _is_crc(part.crc))
    return part


def _download_record(name: str, rows: _Rows) -> DownloadRecord:
    record = DownloadRecord(*_typed(rows[0], _DOWNLOAD_TYPES))
    _require(record.temporary == name and TEMPORARY_NAME.fullmatch(name) is not None)
    _require(os.path.isabs(record.root) and ".." not in record.path.split("/"))
    _require(not os.path.isabs(record.path) and record.range_size > 0)
    return record


def _with_ranges(content: Content, record: DownloadRecord, rows: _Rows) -> DownloadRecord:
    ranges = [_believed(content, _range_done, record, start, data) for start, data in rows.items()]
    return record._replace(ranges=tuple(done for done in ranges if done is not None))


def _range_done(record: DownloadRecord, start: int, data: object) -> RangeDone:
    done = RangeDone(start, *_typed(data, (int, int)))
    _require(0 <= start < start + done.size <= record.size and _is_crc(done.crc))
    return done


def _is_crc(value: int) -> bool:
    return 0 <= value < 1 << 64


def _typed(data: object, kinds: Sequence[Any]) -> list[Any]:
    """`data`, which must be a list of values of these kinds."""
    _require(isinstance(data, list) and len(data) == len(kinds))
    assert isinstance(data, list)
    _require(all(map(isinstance, data, kinds)))
    return data


def _require(holds: bool) -> None:
    if not holds:
        raise ValueError


def _created(marker: str, upload_id: str, keeps_crc: bool) -> list[Row]:
    return [_row(_CREATED, marker, 0, (upload_id, keeps_crc))]


def _part(marker: str, part: PartDone) -> Row:
    return _row(_PART, marker, part.number, (part.size, part.etag, part.crc))


def _range(temporary: str, done: RangeDone) -> Row:
    return _row(_RANGE, temporary, done.start, (done.size, done.crc))


def _row(kind: str, name: str, number: int, value: object) -> Row:
    data = json.dumps(value)
    return kind, name, number, data, _sum(kind, name, number, data)


def _sum(kind: object, name: object, number: object, data: str) -> str:
    return f"{crc64(f'{kind} {name} {number} {data}'.encode()):016x}"

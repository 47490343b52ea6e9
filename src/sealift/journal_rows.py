"""How the journal writes records down, and what it believes when it reads them. Pure."""

from __future__ import annotations

import json
import os.path
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from sealift.checksums import crc64
from sealift.model import MAX_PART_COUNT, TEMPORARY_NAME, PartDone
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

# Kind, name (marker, temporary file or token), number (part, start of range), JSON, CRC64.
Row = tuple[str, str, int, str, str]

_RUN, _UPLOAD, _CREATED, _COMPLETING = "run", "upload", "created", "completing"
_PART, _DOWNLOAD, _RANGE = "part", "download", "range"


@dataclass(slots=True)
class Content:
    """What the file of a run says; `dropped` counts the rows that cannot be believed."""

    run: RunRecord | None = None
    uploads: list[UploadRecord] = field(default_factory=list)
    downloads: list[DownloadRecord] = field(default_factory=list)
    dropped: int = 0


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
    found: dict[str, dict[str, dict[int, Any]]] = defaultdict(lambda: defaultdict(dict))
    for row in rows:
        kind, name, number, data, crc = row
        if not isinstance(data, str) or _sum(kind, name, number, data) != crc:
            content.dropped += 1
            continue
        found[kind][name][number] = json.loads(data)
    for name, run in found[_RUN].items():
        content.run = _believed(content, _run_record, name, run[0])
    for name, planned in found[_UPLOAD].items():
        upload = _believed(content, _upload_record, planned[0], found, name)
        if upload is not None:
            content.uploads.append(upload)
    for name, planned in found[_DOWNLOAD].items():
        download = _believed(content, _download_record, planned[0], found, name)
        if download is not None:
            content.downloads.append(download)
    return content


def _believed(content: Content, make: Any, *args: Any) -> Any:
    try:
        return make(*args)
    except (TypeError, ValueError, KeyError, IndexError):
        content.dropped += 1
        return None


def _run_record(token: str, data: list[Any]) -> RunRecord:
    run = RunRecord(*data)
    _require(run.token == token and len(token) == 16)
    return run._replace(words=tuple(run.words), aim=tuple(run.aim))


def _upload_record(data: list[Any], found: Any, name: str) -> UploadRecord:
    record = UploadRecord(*data)
    _require(record.marker == name and record.size >= 0 and record.part_size > 0)
    identity = record.identity
    record = record._replace(identity=None if identity is None else tuple(identity))  # type: ignore[arg-type]
    created = found[_CREATED].get(name)
    if created is None:
        return record
    upload_id, keeps_crc = created[0]
    _require(isinstance(upload_id, str) and upload_id != "")
    parts = [
        PartDone(number, *data)
        for number, data in found[_PART][name].items()
        if 1 <= number <= MAX_PART_COUNT
    ]
    completing = name in found[_COMPLETING]
    return record._replace(
        state=UploadState.COMPLETING if completing else UploadState.CREATED,
        upload_id=upload_id,
        keeps_crc=bool(keeps_crc),
        parts=tuple(parts),
    )


def _download_record(data: list[Any], found: Any, name: str) -> DownloadRecord:
    record = DownloadRecord(*data)
    _require(record.temporary == name and TEMPORARY_NAME.fullmatch(name) is not None)
    _require(os.path.isabs(record.root) and ".." not in record.path.split("/"))
    _require(not os.path.isabs(record.path) and record.range_size > 0)
    ranges = [
        RangeDone(start, *data)
        for start, data in found[_RANGE][name].items()
        if 0 <= start < start + data[0] <= record.size
    ]
    return record._replace(ranges=tuple(ranges))


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

"""Which parts of a dead run's upload are of use, and which uploads of a name were its."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from sealift.errors import Cause, ReplyError
from sealift.model import PartDone
from sealift.records import UploadRecord
from sealift.retry import Policy, Retrier
from sealift.uploads_left import abort_left, usable_parts
from sealift.wire.multipart import OpenUpload, ServerPart

OURS = PartDone(2, 10, '"e"', 7)
# 25 bytes: parts of 10, 10 and 5.
RECORD = UploadRecord("m", "s", "n", "/f", None, 25, 10, None, None, 10_000.0, parts=(OURS,))


@pytest.mark.parametrize(
    ("listed", "crc"),
    [
        # What the record has.
        (ServerPart(2, 10, '"e"', None), 7),
        (ServerPart(2, 10, "e", None), 7),
        (ServerPart(2, 10, '"other"', None), None),
        (ServerPart(2, 9, '"e"', None), None),
        # What the server tells; it knows better what it has.
        (ServerPart(2, 10, '"e"', 7), 7),
        (ServerPart(2, 10, '"other"', 8), 8),
        (ServerPart(2, 10, '"e"', 8), 8),
        (ServerPart(1, 10, '"x"', 0), 0),
        (ServerPart(3, 5, '"x"', 2**64 - 1), 2**64 - 1),
        # What is no part of this file.
        (ServerPart(1, 10, '"x"', None), None),
        (ServerPart(3, 10, '"x"', 9), None),
        (ServerPart(2, 0, '"e"', 9), None),
        (ServerPart(4, 5, '"x"', 9), None),
        (ServerPart(4, 0, '"x"', 9), None),
        (ServerPart(0, 10, '"x"', 9), None),
    ],
)
def test_a_part_is_of_use(listed: ServerPart, crc: int | None) -> None:
    usable = usable_parts(RECORD, [listed])
    if crc is None:
        assert usable == {}
    else:
        assert usable == {listed.number: PartDone(listed.number, listed.size, listed.etag, crc)}


def test_a_part_whose_checksum_nobody_knows_is_of_no_use() -> None:
    """The server copied it."""
    record = RECORD._replace(parts=(PartDone(2, 10, '"e"', None),))
    assert usable_parts(record, [ServerPart(2, 10, '"e"', None)]) == {}


def test_what_the_server_does_not_have_is_of_no_use() -> None:
    assert usable_parts(RECORD, []) == {}


def test_the_etag_is_as_the_server_writes_it() -> None:
    usable = usable_parts(RECORD, [ServerPart(2, 10, "e", None)])
    assert usable[2].etag == "e"


def test_of_a_part_sent_again_the_last_record_counts() -> None:
    again = PartDone(2, 10, '"later"', 8)
    record = RECORD._replace(parts=(OURS, again))
    assert usable_parts(record, [ServerPart(2, 10, '"later"', None)])[2].crc == 8
    assert usable_parts(record, [ServerPart(2, 10, '"e"', None)]) == {}


class Bucket:
    """What `abort_left` asks of a bucket."""

    def __init__(self, *found: OpenUpload) -> None:
        self.found = list(found)
        self.aborted: list[tuple[str, str]] = []
        self.with_parts: set[str] = set()
        self.refuses: Callable[[str], bool] = lambda _: False

    async def list_uploads(self, name: str) -> list[OpenUpload]:
        assert name == "n"
        return self.found

    async def list_parts(self, name: str, upload_id: str) -> list[ServerPart]:
        assert name == "n"
        return [ServerPart(1, 5, "e", None)] if upload_id in self.with_parts else []

    async def abort_multipart_upload(self, name: str, upload_id: str) -> None:
        if self.refuses(upload_id):
            raise ReplyError("Abort", 403, "AccessDenied", "no", cause=Cause.PERMANENT)
        self.aborted.append((name, upload_id))


async def nothing(*_: object) -> None:
    pass


async def abort(bucket: Any, record: UploadRecord, alive: frozenset[str] = frozenset()) -> int:
    retrier = Retrier(
        Policy(), clock=lambda: 0.0, sleep=nothing, chance=lambda: 0.0, repair=nothing,
        on_retry=lambda *_: None,
    )  # fmt: skip
    return await abort_left(bucket, retrier, record, alive)


@pytest.mark.anyio
async def test_an_upload_of_known_id_is_aborted_whatever_else_is_there() -> None:
    bucket = Bucket(OpenUpload("other", 10_000.0))
    assert await abort(bucket, RECORD._replace(upload_id="id")) == 1
    assert bucket.aborted == [("n", "id")]


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("initiated", "is_ours"),
    [(10_000.0, True), (10_999.0, True), (9_941.0, True), (9_939.0, False), (11_001.0, False),
     (0.0, False)],
)  # fmt: skip
async def test_an_upload_of_unknown_id_fits_by_its_time(initiated: float, is_ours: bool) -> None:
    bucket = Bucket(OpenUpload("id", initiated))
    assert await abort(bucket, RECORD) == is_ours
    assert bucket.aborted == [("n", "id")] * is_ours


@pytest.mark.anyio
async def test_all_that_fit_are_aborted_but_for_those_of_runs_that_go_on() -> None:
    """The reply to Create was lost more than once."""
    bucket = Bucket(*(OpenUpload(text, 10_000.0) for text in ("a", "b", "c")))
    assert await abort(bucket, RECORD, frozenset({"b", "z"})) == 2
    assert bucket.aborted == [("n", "a"), ("n", "c")]


@pytest.mark.anyio
async def test_one_that_has_parts_is_somebody_elses() -> None:
    bucket = Bucket(OpenUpload("a", 10_000.0), OpenUpload("b", 10_000.0))
    bucket.with_parts = {"a"}
    assert await abort(bucket, RECORD) == 1
    assert bucket.aborted == [("n", "b")]


@pytest.mark.anyio
async def test_a_refusal_is_told() -> None:
    bucket = Bucket()
    bucket.refuses = lambda _: True
    with pytest.raises(ReplyError):
        await abort(bucket, RECORD._replace(upload_id="id"))

"""Edges of S3: pages of listings, 5 GiB, 10,000 parts. The rest of case 40 is shown by properties.

5 GiB are not moved here: what is asked for at such sizes is seen from the first requests, and the
last bytes are moved by themselves.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.faults import Match, Reply, Status
from tests.faults.plan import Plan
from tests.kit import KEY

from sealift.engine import Engine
from sealift.errors import IntegrityError, ObjectChangedError
from sealift.files.source import SourceFile
from sealift.files.target import Target
from sealift.model import MAX_PART_COUNT, ByteRange, GiB, Location, MiB, cut_parts, part_size_for
from sealift.ways import MAX_COPY_OBJECT_SIZE
from sealift.wire.bucket import BucketClient

from .conftest import PART_SIZE, SEAL, Site

pytestmark = pytest.mark.anyio

PAGE = 1000
SIZE = 5 * GiB + 1
TAIL = bytes(range(256)) * 40
DENIED = Status(403, "AccessDenied")


# Pages


@pytest.mark.parametrize(
    ("count", "requests"),
    [(PAGE - 1, 1), (PAGE, 1), (PAGE + 1, 2), (2 * PAGE, 2), (2 * PAGE + 1, 3)],
)
async def test_case_40_names_around_the_end_of_a_page(
    site: Site, monkeypatch: pytest.MonkeyPatch, count: int, requests: int
) -> None:
    monkeypatch.setattr("sealift.remote.SLOW_PAGE", 60.0)  # else ranges are listed side by side
    names = [f"p/{number:04}" for number in range(count)]
    for name in names:
        site.server.store(name, b"")
    async with site.engine() as engine:
        site.server.requests.clear()
        found = [one.name async for page in engine.list_all(Location("bucket", "p/"))
                 for one in page]  # fmt: skip
    assert found == names
    asked = [sent for sent in site.server.seen("ListObjectsV2") if "max-keys" in sent.query]
    assert len([sent for sent in asked if sent.query["max-keys"] != "0"]) == requests


EMPTY = "<ListBucketResult><IsTruncated>true</IsTruncated>{}</ListBucketResult>"


@pytest.mark.parametrize("second", [False, True], ids=["first page", "second page"])
@pytest.mark.parametrize("command", ["restore", "copy", "sync", "list", "remove"])
async def test_case_40_an_empty_page_that_names_no_next_is_an_error(
    site: Site, command: str, second: bool
) -> None:
    """Not the end of the listing, nor a loop; and nothing is removed."""
    for number in range(PAGE + 1 if second else 1):
        site.server.store(f"p/{number:04}", b"x", customer_key=KEY)
    before = dict(site.server.objects)
    bad = site.server.script(
        Match(
            operation="ListObjectsV2",
            where=lambda sent: (
                ("continuation-token" in sent.query) == second and sent.query["max-keys"] == "1000"
            ),
            times=None,
        ),
        Status(200, body=EMPTY.format("").encode()),
    )

    async with site.engine() as engine:
        with pytest.raises(IntegrityError, match="the server gives no next page"):
            await run(engine, command, site.directory)

    assert 1 <= bad.used <= 3  # it may be the fault of the line
    assert site.server.objects == before or command == "remove"
    assert len(site.server.seen("DeleteObjects")) <= second


async def run(engine: Engine, command: str, directory: Path) -> None:
    prefix = Location("bucket", "p/")
    out = directory / "out"
    match command:
        case "restore":
            await engine.restore(prefix, str(out))
        case "copy":
            await engine.copy("s3://bucket/p/", str(out))
        case "sync":
            await engine.sync("s3://bucket/p/", str(out))
        case "list":
            _ = [page async for page in engine.list_all(prefix)]
        case "remove":
            await engine.remove_tree(prefix)


# 5 GiB


class OfSize:
    """The reply tells of an object of SIZE bytes."""

    def shape(self, plan: Plan) -> None:
        plan.reshape.append(self._larger)

    def _larger(self, reply: Reply) -> Reply:
        body = bytes(reply.body).replace(b"<Size>1</Size>", b"<Size>%d</Size>" % SIZE)
        if reply.body:
            return replace(reply, body=body, headers={**reply.headers, "content-length": ""})
        return reply.but(content_length=str(SIZE))


async def test_case_40_a_file_of_more_than_5_gib_goes_in_parts(site: Site) -> None:
    path = site.directory / "large"
    with path.open("wb") as file:
        file.truncate(SIZE)
    site.server.script(Match(operation="UploadPart", times=None), DENIED)

    async with site.engine(concurrency=3) as engine:
        await engine.put(str(path), Location("bucket", "large"))

    assert set(site.record.failed) == {"large"}
    assert not site.server.seen("PutObject")
    parts = site.server.seen("UploadPart")
    assert 1 <= len(parts) <= 3
    for sent in parts:
        assert sent.body_length == PART_SIZE
        assert sent.headers[SEAL + "algorithm"] == "AES256"
    assert not site.server.uploads


async def test_case_40_an_object_of_more_than_5_gib_is_fetched_in_ranges(site: Site) -> None:
    site.server.store("large", b"x", customer_key=KEY)
    site.server.script(Match(operation="HeadObject", times=None), OfSize())
    site.server.script(Match(operation="GetObject", times=None), DENIED)

    await site.get("large", concurrency=3)

    assert set(site.record.failed) == {"large"}
    ranges = [sent.headers["range"] for sent in site.server.seen("GetObject")]
    asked_why, ranges = ranges[3:], ranges[:3]
    starts = [number * PART_SIZE for number in range(3)]
    assert ranges == [f"bytes={start}-{start + PART_SIZE - 1}" for start in starts]
    assert set(asked_why) == {"bytes=0-0"}
    assert not site.out.exists()


@pytest.mark.parametrize(("size", "whole"), [(MAX_COPY_OBJECT_SIZE, True), (SIZE, False)])
async def test_case_40_more_than_5_gib_are_copied_in_parts(
    site: Site, monkeypatch: pytest.MonkeyPatch, size: int, whole: bool
) -> None:
    monkeypatch.setattr("tests.engine.test_limits.SIZE", size)
    site.server.store("large", b"x", customer_key=KEY)
    site.server.script(Match(operation="HeadObject", times=None), OfSize())
    for operation in ("CopyObject", "UploadPartCopy"):
        site.server.script(Match(operation=operation, times=None), DENIED)

    async with site.engine() as engine:
        await engine.copy("s3://bucket/large", "s3://bucket/copy")

    assert set(site.record.failed) == {"copy"}
    assert len(site.server.seen("CopyObject")) == whole
    assert bool(site.server.seen("UploadPartCopy")) is not whole
    assert not site.server.uploads


@pytest.fixture
async def client(site: Site) -> AsyncIterator[BucketClient]:
    async with site.engine() as engine:
        yield await engine.bucket_client("bucket")


async def test_case_40_the_last_bytes_of_more_than_5_gib(
    site: Site, client: BucketClient, tmp_path: Path
) -> None:
    """Out of a file, into the last part that there may be; out of an object, into a file."""
    total = SIZE + len(TAIL)
    span = ByteRange(SIZE, total)
    path = tmp_path / "large"
    with path.open("wb") as file:
        file.truncate(SIZE)
        file.seek(SIZE)
        file.write(TAIL)
    room = memoryview(bytearray(len(TAIL)))

    source = SourceFile(str(path))
    digest = source.read_part(room, span.start, True)
    source.close()
    assert (source.size, room) == (total, TAIL)
    upload_id = await started(client)
    stored = await client.upload_part(
        "large", upload_id, MAX_PART_COUNT, room, len(TAIL), digest, None
    )
    assert stored.etag
    assert site.server.uploads[upload_id].parts[MAX_PART_COUNT].body == TAIL

    kept = site.server.store("large", b"", customer_key=KEY)
    with path.open("r+b") as file:
        body = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
    site.server.objects["bucket", "large"] = replace(kept, body=body)
    back = memoryview(bytearray(len(TAIL)))
    received = await client.get_object("large", back, span, f'"{kept.etag}"', None)
    assert (received.size, received.total, back) == (len(TAIL), total, TAIL)

    target = Target(str(tmp_path / "out"))
    made = target.create(["large"])
    made.write(back, span.start)
    target.commit(made)
    target.close()
    with (tmp_path / "out" / "large").open("rb") as file:
        assert os.fstat(file.fileno()).st_size == total
        assert os.pread(file.fileno(), 2 * len(TAIL), span.start) == TAIL
    with pytest.raises(ObjectChangedError):
        await client.get_object("large", back, ByteRange(total, total + 1), None, None)


async def started(client: BucketClient) -> str:
    from sealift.metadata import FileFacts

    start = await client.create_multipart_upload(
        "large", "text/plain", FileFacts(None, marker="m"), None, whole_crc=True
    )
    return start.upload_id


def test_case_40_ten_thousand_parts_are_enough_for_any_file() -> None:
    for size, wanted in (
        (MAX_PART_COUNT * 8 * MiB, 8 * MiB),
        (MAX_PART_COUNT * 8 * MiB + 1, 9 * MiB),
    ):
        part_size = part_size_for(size, 8 * MiB)
        *_, last = cut_parts(size, part_size)
        assert part_size == wanted
        assert last.number <= MAX_PART_COUNT
        assert last.span.end == size

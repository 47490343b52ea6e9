"""A slow part or range is sent once more, and the object is right whichever copy wins."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.faults import Delay, Match
from tests.faults.messages import Request
from tests.kit import KEY, Do

from sealift import hedge as hedge_module

from .conftest import LARGE, Site

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """After two requests one may be sent again, when it takes 0.3 s."""
    monkeypatch.setattr(hedge_module, "SHARE", 2)
    monkeypatch.setattr(hedge_module, "LEAST_WAIT", 0.3)


def slow() -> Delay:
    return Delay(5.0)


def is_last(asked: Request) -> bool:
    return "range" in asked.headers and not asked.headers["range"].startswith(
        ("bytes=0-", "bytes=5")
    )


async def test_case_05_a_slow_part_is_sent_once_more(site: Site) -> None:
    site.server.script(Match(operation="UploadPart", part=3), slow())

    await site.put("x", LARGE, concurrency=1)

    assert site.record.finished == {"x"}
    assert site.body("x") == LARGE
    assert [asked.part for asked in site.server.seen("UploadPart")] == [1, 2, 3, 3]
    assert site.record.retries == []


@pytest.mark.parametrize("same_bytes", [True, False])
async def test_a_copy_of_a_part_that_comes_late_is_completed_under_its_etag(
    site: Site, same_bytes: bool
) -> None:
    """Under SSE-C on AWS the second copy of a part has another ETag than the first."""

    def come_late() -> None:
        (upload,) = site.server.uploads.values()
        body = upload.parts[2].body if same_bytes else b"other"
        upload.parts[2] = replace(upload.parts[2], body=body, etag="f" * 32)

    site.server.script(Match(operation="CompleteMultipartUpload"), Do(come_late))

    await site.put("x", LARGE)

    if same_bytes:
        assert site.record.finished == {"x"}
        assert site.body("x") == LARGE
        assert len(site.server.seen("CompleteMultipartUpload")) == 2
    else:
        assert "InvalidPart" in str(site.record.failed["x"])
        assert ("bucket", "x") not in site.server.objects
    assert not site.server.uploads


async def test_a_slow_range_is_fetched_once_more(site: Site) -> None:
    site.server.store("x", LARGE, customer_key=KEY)
    site.server.script(Match(operation="GetObject", where=is_last), slow())

    await site.get("x", concurrency=1)

    assert site.record.finished == {"x"}
    assert site.out.read_bytes() == LARGE
    (job,) = [event.job for event in site.record.jobs() if event.job][:1]
    assert job.moved == len(LARGE)
    assert len(site.server.seen("GetObject")) == 4
    assert site.record.retries == []

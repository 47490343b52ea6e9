"""What `doctor` has learned spares requests, and never a check."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from tests.engine.conftest import LARGE, Site, assert_one_object, count
from tests.faults import FlipRequest, Match, NoEcho
from tests.kit import CUSTOMER_KEY, OTHER_KEY

from sealift.capabilities import FILE_NAME, Capabilities, remember
from sealift.errors import NotSealedError
from sealift.keys import CustomerKey
from sealift.options import SourceOptions

pytestmark = pytest.mark.anyio


@pytest.fixture
def state(tmp_path: Path) -> str:
    return str(tmp_path / "own-state")


def learn(site: Site, state: str, **flags: bool) -> None:
    remember(state, f"{site.server.endpoint_url}/any", Capabilities(**flags), time.time())


@pytest.mark.parametrize("dialect", ["ceph"])
async def test_no_upload_is_created_in_vain(site: Site, state: str) -> None:
    learn(site, state, keeps_whole_crc=False)
    await site.put("x", LARGE, state_directory=state)
    assert_one_object(site)
    assert count(site, "CreateMultipartUpload", "AbortMultipartUpload") == (1, 0)
    assert "x-amz-meta-sealift-crc64nvme" in site.server.objects["bucket", "x"].headers


@pytest.mark.parametrize("dialect", ["aws", "ceph"])
@pytest.mark.parametrize("learned", [True, False])
async def test_a_hint_that_is_wrong_harms_nothing(site: Site, state: str, learned: bool) -> None:
    learn(site, state, keeps_whole_crc=learned, checks_crc=learned, checks_md5=not learned)
    await site.put("x", LARGE, state_directory=state)
    assert_one_object(site)


@pytest.mark.parametrize("dialect", ["ceph"])
async def test_what_is_damaged_is_not_believed(site: Site, state: str) -> None:
    learn(site, state, keeps_whole_crc=False)
    os.truncate(os.path.join(state, FILE_NAME), 50)
    await site.put("x", LARGE, state_directory=state)
    assert count(site, "CreateMultipartUpload", "AbortMultipartUpload") == (2, 1)


async def test_what_is_said_to_check_crc_gets_md5_until_it_shows(site: Site, state: str) -> None:
    learn(site, state, checks_crc=True, checks_md5=False)
    site.server.script(Match(operation="PutObject"), FlipRequest())
    await site.put("x", b"content", state_directory=state)
    first, second = site.server.seen("PutObject")
    assert "content-md5" in first.headers
    assert "content-md5" in second.headers
    assert site.body("x") == b"content"


async def test_no_seal_is_taken_on_trust(site: Site, state: str) -> None:
    learn(site, state, **dict.fromkeys(("checks_crc", "checks_md5", "copies_sealed"), True))
    site.server.script(Match(operation="PutObject", times=None), NoEcho())
    record = await site.put("x", b"content", state_directory=state)
    assert isinstance(record.failed["x"], NotSealedError)
    assert not site.server.objects


@pytest.mark.parametrize("key", [OTHER_KEY, None], ids=["sealed", "plain"])
@pytest.mark.parametrize("copies", [True, False])
async def test_no_copy_is_asked_for_in_vain(
    site: Site, state: str, key: bytes | None, copies: bool
) -> None:
    learn(site, state, copies_sealed=copies)
    for number in range(5):
        site.server.store(f"p/{number}", b"x", customer_key=key)
    side = SourceOptions(
        None if key is None else CustomerKey(key),
        endpoint_url=site.server.endpoint_url,
        ca_bundle=str(site.certificate.ca_file),
    )
    async with site.engine(source=side, state_directory=state) as engine:
        await engine.copy("s3://bucket/p/", "s3://bucket/q/")
    assert len(site.record.finished) == 5
    assert count(site, "CopyObject", "PutObject") == ((5, 0) if copies else (0, 5))
    for number in range(5):
        stored = site.server.objects["bucket", f"q/{number}"]
        assert stored.customer_key_md5 == CUSTOMER_KEY.md5


async def test_it_says_nothing_of_copies_that_are_not_sealed(site: Site, state: str) -> None:
    learn(site, state, copies_sealed=False)
    site.server.store("p/a", b"x")
    async with site.engine(customer_key=None, state_directory=state) as engine:
        await engine.copy("s3://bucket/p/", "s3://bucket/q/")
    assert count(site, "CopyObject", "PutObject") == (1, 0)

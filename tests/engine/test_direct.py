"""Runs that the environment alone leads to the server, without botocore."""

from __future__ import annotations

import os

import pytest
from tests.faults import Match, Redirect, Status
from tests.kit import Do, assert_signed

from sealift.errors import SettingsError
from sealift.model import Location
from sealift.retry import Policy

from .conftest import LARGE, Site

pytestmark = pytest.mark.anyio
LIST = Match(operation="ListObjectsV2")


@pytest.fixture(autouse=True)
def keys(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both keys are in the environment."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AK")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "SK")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "TOKEN-1")


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Opening the control plane is a failure."""
    monkeypatch.setattr("sealift.control.open_control", None)


@pytest.mark.usefixtures("alone")
async def test_an_object_there_and_back(site: Site) -> None:
    await site.put("x", LARGE)
    await site.get("x")
    assert site.out.read_bytes() == LARGE
    first = site.server.requests[0]
    assert first.target == "/bucket?encoding-type=url&list-type=2&max-keys=0&prefix="
    for request in site.server.requests:
        assert_signed(request)
        assert request.headers["x-amz-security-token"] == "TOKEN-1"


@pytest.mark.usefixtures("alone")
@pytest.mark.parametrize("offset", [1200, -1200])
async def test_case_38_a_wrong_clock_is_put_right_once(site: Site, offset: int) -> None:
    site.server.clock_offset = offset
    await site.put("x", LARGE)
    assert site.record.finished == {"x"}
    assert len(site.record.notes) == 1
    assert len(site.record.retries) == 1


@pytest.mark.usefixtures("alone")
async def test_case_38_expired_credentials_are_read_anew(site: Site) -> None:
    """A program that uses the engine may have set others."""

    def expire() -> None:
        site.server.expired_tokens.add("TOKEN-1")
        os.environ["AWS_SESSION_TOKEN"] = "TOKEN-2"

    site.server.script(Match(operation="PutObject"), Do(expire))
    await site.put("x", b"content")
    assert site.record.finished == {"x"}
    assert site.server.requests[-1].headers["x-amz-security-token"] == "TOKEN-2"


@pytest.mark.usefixtures("alone")
async def test_case_38_credentials_that_stay_expired_fail(site: Site) -> None:
    site.server.script(
        Match(operation="PutObject"), Do(lambda: site.server.expired_tokens.add("TOKEN-1"))
    )
    await site.put("x", b"content")
    assert "ExpiredToken" in str(site.record.failed["x"])
    assert "renew your credentials" in site.record.failed["x"].hint
    assert len(site.server.seen("PutObject")) == 2


@pytest.mark.usefixtures("alone")
@pytest.mark.parametrize(
    ("status", "code", "hint"),
    [
        (404, "NoSuchBucket", "check the bucket's name"),
        (403, "InvalidAccessKeyId", "check the access key"),
        (403, "SignatureDoesNotMatch", "check the secret key"),
    ],
)
async def test_wrong_settings_show_at_first_contact(
    site: Site, status: int, code: str, hint: str
) -> None:
    site.server.script(LIST, Status(status, code))
    with pytest.raises(SettingsError, match=code) as caught:
        await site.put("x", b"content")
    assert hint in caught.value.hint
    assert len(site.server.requests) == 1


@pytest.mark.usefixtures("alone")
async def test_a_bucket_that_may_not_be_listed(site: Site) -> None:
    site.server.script(LIST, Status(403, "AccessDenied"))
    await site.put("x", b"content")
    assert site.record.finished == {"x"}


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (301, "PermanentRedirect"),
        (307, "TemporaryRedirect"),
        (400, "AuthorizationHeaderMalformed"),
        (400, "IllegalLocationConstraintException"),
    ],
)
async def test_another_region_is_left_to_botocore(site: Site, status: int, code: str) -> None:
    headers = {"x-amz-bucket-region": "eu-north-1"}
    body = f"<Error><Code>{code}</Code><Region>eu-north-1</Region></Error>".encode()
    elsewhere = Status(status, headers=headers, body=body)
    site.server.script(LIST, elsewhere, elsewhere)
    async with site.engine() as engine:
        await engine.put(site.file("source", LARGE), Location("bucket", "x"))
        await engine.get(Location("bucket", "x"), str(site.out))
    assert site.out.read_bytes() == LARGE
    assert not site.record.retries
    for operation in ("CreateMultipartUpload", "UploadPart", "HeadObject", "GetObject"):
        for request in site.server.seen(operation):
            assert_signed(request, "eu-north-1")


async def test_case_28_a_redirect_that_botocore_cannot_read_is_told_all_the_same(
    site: Site,
) -> None:
    target = "https://elsewhere.example/\x9b"
    redirect = site.server.script(
        Match(operation="ListObjectsV2", times=None), Redirect(307, target)
    )
    with pytest.raises(SettingsError, match="307") as caught:
        await site.put("x", b"content", policy=Policy(budget=0.2, longest_wait=0.02))
    assert caught.value.hint == f"redirects are not followed; the server named {target}"
    assert redirect.used == len(site.server.requests) >= 2


async def test_a_name_that_needs_botocore_gets_it(site: Site) -> None:
    site.server.s3.buckets.add("under_score")
    async with site.engine() as engine:
        await engine.copy(site.file("f", b"content"), "s3://under_score/")
    assert site.server.objects["under_score", "f"].body == b"content"

"""Uploads under faults: what ends well, what fails, and what is left on the server."""

from __future__ import annotations

import asyncio
from pathlib import Path

import anyio
import pytest
from tests.faults import (
    ConnectProxy,
    Fault,
    FaultServer,
    Match,
    NoEcho,
    Redirect,
    ResetRequest,
    Status,
    key_md5_of,
)
from tests.kit import CUSTOMER_KEY, KEY, Certificate, Do, assert_signed

from sealift import session as session_module
from sealift import upload as upload_module
from sealift.errors import (
    IntegrityError,
    ReplyError,
    SettingsError,
    WrongCustomerKeyError,
)
from sealift.memory import Memory
from sealift.model import Location, MiB
from sealift.wire.connection import Deadlines

from .conftest import LARGE, PART_SIZE, SEAL, Site, assert_accounted, write_credentials

pytestmark = pytest.mark.anyio
both_dialects = pytest.mark.parametrize("dialect", ["aws", "ceph"])

PUT = Match(operation="PutObject")
SMALL = b"small" * 100


def assert_stored(site: Site, name: str, content: bytes) -> None:
    stored = site.server.objects["bucket", name]
    assert stored.body == content
    assert stored.customer_key_md5 == CUSTOMER_KEY.md5


async def put_tree(site: Site, *names: str, **changes: object) -> None:
    for name in names:
        site.file(f"tree/{name}", SMALL + name.encode())
    async with site.engine(**changes) as engine:
        await engine.copy(f"{site.directory}/tree/", "s3://bucket/")


# Faults that pass


async def test_case_06_a_short_storm_of_503_passes(site: Site) -> None:
    storm = site.server.script(
        Match(operation="PutObject", times=12), Status(503, "SlowDown", retry_after=0)
    )
    names = [f"n{number}" for number in range(20)]
    await put_tree(site, *names)
    assert storm.used == 12
    assert site.record.finished == set(names)
    assert len(site.record.retries) == 12
    for name in names:
        assert_stored(site, name, SMALL + name.encode())


async def test_case_06_a_storm_at_the_first_request_passes(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that asks to slow down is there: it gets more than the time for wrong settings."""
    monkeypatch.setattr(session_module, "FIRST_CONTACT_BUDGET", 0.0)
    storm = site.server.script(Match(operation="ListObjectsV2", times=4), Status(503, "SlowDown"))
    await site.put("x", SMALL)
    assert storm.used == 4
    assert_stored(site, "x", SMALL)


async def test_what_is_no_storm_fails_the_first_request_soon(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session_module, "FIRST_CONTACT_BUDGET", 0.0)
    site.server.script(Match(operation="ListObjectsV2", times=4), Status(500, "InternalError"))
    with pytest.raises(SettingsError, match="InternalError"):
        await site.put("x", SMALL)
    assert len(site.server.requests) == 1


async def test_case_07_one_object_fails_and_the_others_go_on(site: Site) -> None:
    site.server.script(
        Match(operation="PutObject", name="bad", times=None), Status(500, "InternalError")
    )
    await put_tree(site, "a", "bad", "c")
    assert site.record.finished == {"a", "c"}
    assert isinstance(site.record.failed["bad"], ReplyError)
    tries = len([request for request in site.server.seen("PutObject") if request.name == "bad"])
    assert tries == site.record.failed["bad"].attempts == 8


# Complete


@both_dialects
@pytest.mark.parametrize(
    "fault",
    [
        Status(503, "SlowDown"),
        Status(500, "InternalError"),
    ],
    ids=str,
)
async def test_a_complete_that_went_wrong_ends_well(site: Site, fault: Fault) -> None:
    site.server.script(Match(operation="CompleteMultipartUpload"), fault)
    await site.put("x", LARGE)
    assert site.record.finished == {"x"}
    assert_stored(site, "x", LARGE)
    assert not site.server.uploads
    assert len(site.server.seen("UploadPart")) == 3
    assert len(site.server.seen("CompleteMultipartUpload")) == 2


async def test_case_11_a_failed_complete_does_not_touch_what_another_stored(site: Site) -> None:
    """Ceph answers HEAD of a plain object without echo: it is not ours, so it stays."""
    site.server.s3.dialect = "ceph"
    site.server.store("x", b"another's, not sealed")
    site.server.script(
        Match(operation="CompleteMultipartUpload", times=None), Status(500, "InternalError")
    )
    await site.put("x", LARGE)
    assert isinstance(site.record.failed["x"], ReplyError)
    assert site.body("x") == b"another's, not sealed"
    assert not site.server.seen("DeleteObject")


# Uploads that fail leave nothing


@pytest.mark.parametrize(
    ("operation", "fault"),
    [
        ("UploadPart", Status(403, "AccessDenied")),
        ("UploadPart", NoEcho()),
        ("CreateMultipartUpload", NoEcho()),
        ("CreateMultipartUpload", Status(200, body=b"")),
        ("CompleteMultipartUpload", Status(400, "InvalidPart")),
    ],
    ids=str,
)
async def test_a_failed_upload_is_aborted(site: Site, operation: str, fault: Fault) -> None:
    site.server.store("x", b"older", customer_key=KEY)
    site.server.script(Match(operation=operation, times=None), fault)
    site.server.script(Match(operation="AbortMultipartUpload"), Status(503, "SlowDown"))
    await site.put("x", LARGE)
    assert set(site.record.failed) == {"x"}
    assert_accounted(site, {"x"})
    if operation != "CreateMultipartUpload":
        assert not site.server.uploads
    assert site.body("x") == b"older"
    assert not site.server.seen("DeleteObject")


async def test_an_upload_that_stays_is_named(site: Site) -> None:
    site.server.script(Match(operation="UploadPart", times=None), Status(403, "AccessDenied"))
    site.server.script(Match(operation="AbortMultipartUpload", times=None), Status(403))
    await site.put("x", LARGE)
    (upload_id,) = site.server.uploads
    assert upload_id in str(site.record.failed["x"])


# Not sealed


async def test_case_23_what_cannot_be_removed_is_said(site: Site) -> None:
    site.server.script(PUT, NoEcho())
    site.server.script(Match(operation="DeleteObject", times=None), Status(403, "AccessDenied"))
    await site.put("x", SMALL)
    assert "could not be removed" in str(site.record.failed["x"])


async def test_an_interrupt_waits_for_the_removal(site: Site) -> None:
    scope = anyio.CancelScope()
    loop = asyncio.get_running_loop()
    interrupt = Do(lambda: loop.call_soon_threadsafe(scope.cancel))
    site.server.script(PUT, NoEcho())
    site.server.script(Match(operation="DeleteObject"), (interrupt, Status(500)))
    with scope:
        await site.put("x", SMALL)
    assert scope.cancelled_caught
    assert len(site.server.seen("DeleteObject")) == 2
    assert not site.server.objects


async def test_case_23_a_completed_object_without_echo_is_removed(site: Site) -> None:
    """Ceph's Complete has no echo at all, so HEAD must show it."""
    site.server.s3.dialect = "ceph"
    site.server.script(Match(operation="HeadObject"), NoEcho())
    await site.put("x", LARGE)
    assert "UNENCRYPTED" in str(site.record.failed["x"])
    assert not site.server.objects


# The file changes


# Who and when


@both_dialects
@pytest.mark.parametrize("offset", [1200, -1200])
async def test_case_38_a_wrong_clock_is_put_right_once(site: Site, offset: int) -> None:
    site.server.clock_offset = offset
    site.file("tree/large", LARGE)
    await put_tree(site, "small")
    assert site.record.finished == {"small", "large"}
    assert len(site.record.notes) == 1
    assert "clock" in site.record.notes[0]
    refused, *accepted = site.server.requests
    assert refused.operation == "ListObjectsV2"
    assert len(site.record.retries) == 1
    for request in accepted:
        assert_signed(request)


@pytest.mark.parametrize("content", [SMALL, LARGE], ids=["put", "parts"])
async def test_case_38_expired_credentials_are_read_anew(
    site: Site, credentials_file: Path, content: bytes
) -> None:
    def expire() -> None:
        site.server.expired_tokens.add("TOKEN-1")
        write_credentials(credentials_file, "TOKEN-2")

    first = "PutObject" if content is SMALL else "CreateMultipartUpload"
    site.server.script(Match(operation=first), Do(expire))
    await site.put("x", content)
    assert_stored(site, "x", content)
    assert [event.error.code for event in site.record.retries] == ["ExpiredToken"]
    last = site.server.requests[-1]
    assert last.headers["x-amz-security-token"] == "TOKEN-2"
    assert_signed(last)


@pytest.mark.usefixtures("credentials_file")
async def test_case_38_credentials_that_stay_expired_fail(site: Site) -> None:
    site.server.script(PUT, Do(lambda: site.server.expired_tokens.add("TOKEN-1")))
    await site.put("x", SMALL)
    assert "ExpiredToken" in str(site.record.failed["x"])
    assert len(site.server.seen("PutObject")) == 2


# The customer key

MISMATCH = {
    "aws": Status(
        400,
        "InvalidRequest",
        "The provided encryption parameters did not match the ones used originally.",
    ),
    "ceph": Status(
        400,
        "InvalidArgument",
        "The calculated MD5 hash of the key did not match the hash that was provided.",
    ),
}


@both_dialects
@pytest.mark.parametrize("operation", ["UploadPart", "CompleteMultipartUpload"])
async def test_case_25_a_part_under_another_key_is_not_sent_again(
    site: Site, dialect: str, operation: str
) -> None:
    part = 2 if operation == "UploadPart" else None
    refusal = site.server.script(
        Match(operation=operation, part=part, times=None), MISMATCH[dialect]
    )
    await site.put("x", LARGE)
    error = site.record.failed["x"]
    assert isinstance(error, WrongCustomerKeyError)
    assert "use the key that the object was sealed with" in error.hint
    assert refusal.used == 1
    assert not site.record.retries
    assert not site.server.uploads
    assert not site.server.objects


# What every request carries


@both_dialects
async def test_the_customer_key_is_on_every_request_that_takes_it(site: Site) -> None:
    await site.put("x", LARGE)
    sealed = [
        request
        for operation in ("CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload")
        for request in site.server.seen(operation)
    ]
    assert len(sealed) >= 5
    for request in sealed:
        shown = [request.headers.get(SEAL + part) for part in ("algorithm", "key", "key-md5")]
        assert shown == [value for _, value in CUSTOMER_KEY.headers()]
        assert_signed(request)
    assert site.server.objects["bucket", "x"].customer_key_md5 == key_md5_of(KEY)


# Redirects and certificates on the control plane


@pytest.mark.parametrize("status", [301, 307])
@pytest.mark.parametrize(
    "operation", ["ListObjectsV2", "CreateMultipartUpload", "CompleteMultipartUpload", "UploadPart"]
)
async def test_case_28_redirects_are_not_followed(
    site: Site, certificate: Certificate, operation: str, status: int
) -> None:
    with FaultServer(certificate) as other, FaultServer(None, tls=False) as plain:
        targets = [there.endpoint_url for there in (other, plain)]
        script = site.server.script(
            Match(operation=operation, times=None),
            *(Redirect(status, f"{target}/bucket/x") for target in targets),
        )
        for _ in targets:
            if operation == "ListObjectsV2":
                with pytest.raises(SettingsError, match=str(status)):
                    await site.put("x", LARGE)
            else:
                await site.put("x", LARGE)
                assert isinstance(site.record.failed["x"], ReplyError)
        assert script.used >= 2
        assert (other.connections, plain.connections) == (0, 0)


@pytest.mark.parametrize("trusted", [True, False])
async def test_case_29_certificates_are_checked_through_a_proxy(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trusted: bool
) -> None:
    with ConnectProxy() as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        if trusted:
            await site.put("x", LARGE)
            assert_stored(site, "x", LARGE)
        else:
            (tmp_path / "strange").mkdir()
            stranger = Certificate.make(tmp_path / "strange")
            with pytest.raises(SettingsError, match="not trusted"):
                await site.put("x", SMALL, ca_bundle=str(stranger.ca_file))
            assert not site.server.requests
        assert set(proxy.connects) == {f"localhost:{site.server.port}"}
        assert b"x-amz" not in b"".join(proxy.heads)


async def test_case_27_plain_http_is_refused_before_a_socket_opens(site: Site) -> None:
    with FaultServer(None, tls=False) as plain:
        with pytest.raises(SettingsError, match="https"):
            await site.put("x", SMALL, endpoint_url=plain.endpoint_url)
        assert plain.connections == 0


async def test_case_39_a_host_that_does_not_exist_fails_at_once(site: Site) -> None:
    with pytest.raises(SettingsError, match="cannot find the host"):
        await site.put("x", SMALL, endpoint_url="https://nowhere.invalid")
    assert not site.record.retries


# Counting


async def test_failed_attempts_are_not_counted(site: Site) -> None:
    site.server.script(Match(operation="UploadPart", part=2), ResetRequest(1_000_000))
    site.server.script(Match(operation="UploadPart", part=3), Status(503, "SlowDown"))
    path = site.file("source", LARGE)
    async with site.engine() as engine:
        await engine.put(path, Location("bucket", "x"))
    (finished,) = [event for event in site.record.events if type(event).__name__ == "Finished"]
    assert finished.job.moved == finished.job.size == len(LARGE)
    assert len(LARGE) > 2 * PART_SIZE


async def test_bytes_after_complete_are_compared(site: Site) -> None:
    """An object with our marker and another size is no success."""
    site.server.s3.dialect = "ceph"

    def cut() -> None:
        stored = site.server.objects["bucket", "x"]
        site.server.store("x", b"cut", customer_key=KEY, headers=stored.headers)

    site.server.script(Match(operation="HeadObject"), Do(cut))
    await site.put("x", LARGE)
    assert isinstance(site.record.failed["x"], IntegrityError)


# Memory


@both_dialects
@pytest.mark.usefixtures("quick_watch")
async def test_parts_that_wait_for_memory_do_not_stall(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three parts, and memory to stream one at a time: the others wait before they begin."""
    monkeypatch.setattr(upload_module, "MAX_BUFFERED_PART_SIZE", 1 * MiB)
    monkeypatch.setattr(Memory, "for_process", lambda _: Memory(upload_module.CHUNK_SIZE))
    changes = {"max_bandwidth": 4.0 * MiB, "deadlines": Deadlines(progress=0.4)}
    await site.put("x", LARGE, **changes)
    assert_stored(site, "x", LARGE)
    assert not site.record.retries


async def test_parts_that_wait_for_memory_learn_meanwhile_that_crc_is_checked(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One part at a time: only the first is sent before the server shows what it checks."""
    monkeypatch.setattr(Memory, "for_process", lambda _: Memory(8 * MiB))
    await site.put("x", LARGE, concurrency=8)
    assert_stored(site, "x", LARGE)
    parts = site.server.seen("UploadPart")
    assert ["content-md5" in part.headers for part in parts] == [True, False, False]


async def test_a_file_too_large_to_be_held_is_not_put_at_once(site: Site) -> None:
    """--part-size is no leave to hold so much: a part of it is streamed."""
    content = bytes(17 * MiB)
    await site.put("x", content, part_size=64 * MiB)
    assert_stored(site, "x", content)
    assert not site.server.seen("PutObject")
    assert len(site.server.seen("UploadPart")) == 1

"""Encryption by the server, and the tag of the customer key, when the server does otherwise."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.faults import Match, NoEcho, Status
from tests.kit import CUSTOMER_KEY, KEY, OTHER_KEY

from sealift.encryption import KMS, S3, ServerSide
from sealift.errors import NotSealedError, ReplyError, UsageError
from sealift.keys import CustomerKey
from sealift.model import Location
from sealift.options import Options, SourceOptions
from sealift.retry import Policy
from sealift.sync import Method, SyncOptions

from .conftest import LARGE, Record, Site, count

pytestmark = pytest.mark.anyio

HEADER = "x-amz-server-side-encryption"
KMS_KEY = ServerSide(KMS, "key-1")
TAG = {"sealift-key-id": CUSTOMER_KEY.key_id}
SIZES = pytest.mark.parametrize("content", [b"small", LARGE], ids=["small", "parts"])


def told(site: Site, name: str) -> str | None:
    return site.server.objects["bucket", name].headers.get(HEADER)


def test_one_of_two_ways_to_encrypt() -> None:
    with pytest.raises(UsageError):
        Options(CUSTOMER_KEY, encryption=KMS_KEY)


# By the server


@SIZES
@pytest.mark.parametrize("encryption", [ServerSide(S3), KMS_KEY, None])
async def test_there_and_back(site: Site, content: bytes, encryption: ServerSide | None) -> None:
    await site.put("x", content, customer_key=None, encryption=encryption)
    await site.get("x", customer_key=None, encryption=encryption)
    assert not site.record.failed
    assert site.out.read_bytes() == content
    assert told(site, "x") == (encryption and encryption.algorithm)
    assert not any("customer" in name for sent in site.server.requests for name in sent.headers)


@SIZES
@pytest.mark.parametrize("dialect", ["ceph"])
async def test_what_was_stored_in_plain_text_does_not_stay(site: Site, content: bytes) -> None:
    await site.put("x", content, customer_key=None, encryption=ServerSide(S3))
    assert isinstance(site.record.failed["x"], NotSealedError)
    assert not site.server.objects
    assert not site.server.uploads
    assert count(site, "UploadPart", "GetObject") == (0, 0)


async def test_a_whole_that_lost_its_encryption_does_not_stay(site: Site) -> None:
    """Complete tells nothing of it, so HEAD is asked."""
    site.server.script(Match(operation="HeadObject"), NoEcho())
    await site.put("x", LARGE, customer_key=None, encryption=KMS_KEY)
    assert isinstance(site.record.failed["x"], NotSealedError)
    assert not site.server.objects
    assert not site.server.uploads


async def test_an_unfinished_upload_under_another_encryption_begins_anew(
    site: Site, tmp_path: Path
) -> None:
    state = str(tmp_path / "state")
    options = {"state_directory": state, "policy": Policy(budget=0.3, longest_wait=0.02)}
    refused = True
    site.server.script(
        Match(operation="UploadPart", part=2, times=None, where=lambda _: refused),
        Status(503, "ServiceUnavailable"),
    )
    await site.put("x", LARGE, customer_key=None, encryption=ServerSide(S3), **options)
    (left,) = site.server.uploads
    refused = False
    site.record = Record()
    await _put_again(site, customer_key=None, encryption=KMS_KEY, **options)
    assert not site.record.failed
    assert count(site, "AbortMultipartUpload") == (1,)
    assert left not in site.server.uploads
    assert told(site, "x") == KMS
    assert site.body("x") == LARGE


async def test_an_unfinished_upload_under_the_same_encryption_goes_on(
    site: Site, tmp_path: Path
) -> None:
    options = {"customer_key": None, "encryption": KMS_KEY, "state_directory": str(tmp_path / "s")}
    refused = True
    site.server.script(
        Match(operation="UploadPart", part=2, times=None, where=lambda _: refused),
        Status(503, "ServiceUnavailable"),
    )
    await site.put("x", LARGE, policy=Policy(budget=0.3, longest_wait=0.02), **options)
    refused = False
    site.record = Record()
    before = count(site, "CreateMultipartUpload")
    await _put_again(site, **options)
    assert not site.record.failed
    assert count(site, "CreateMultipartUpload") == before
    assert told(site, "x") == KMS


async def _put_again(site: Site, **changes: object) -> None:
    """The same file, untouched."""
    async with site.engine(**changes) as engine:
        await engine.put(str(site.directory / "source"), Location("bucket", "x"))


def side(site: Site, key: bytes | None) -> SourceOptions:
    return SourceOptions(
        None if key is None else CustomerKey(key),
        endpoint_url=site.server.endpoint_url,
        ca_bundle=str(site.certificate.ca_file),
    )


@pytest.mark.parametrize("dialect", ["aws", "ceph"])
@pytest.mark.parametrize("key", [KEY, None], ids=["sealed", "plain"])
async def test_copies_are_encrypted_anew(site: Site, key: bytes | None) -> None:
    """Ceph refuses sealed sources, and passes the encryption of copies over: those do not stay."""
    site.server.store("p/small", b"small", customer_key=key)
    site.server.store("p/large", LARGE, customer_key=key)
    changes = {"source": side(site, key), "customer_key": None, "encryption": KMS_KEY}
    async with site.engine(**changes) as engine:
        await engine.copy("s3://bucket/p/", "s3://bucket/q/")
    assert not site.record.failed
    assert [told(site, name) for name in ("q/small", "q/large")] == [KMS, KMS]
    assert [site.body(name) for name in ("q/small", "q/large")] == [b"small", LARGE]


async def test_a_copy_in_place_to_another_encryption(site: Site) -> None:
    site.server.store("p/x", b"small")
    async with site.engine(customer_key=None, encryption=KMS_KEY) as engine:
        await engine.copy("s3://bucket/p/", "s3://bucket/p/")
        await engine.copy("s3://bucket/p/x", "s3://bucket/p/x")
    assert (told(site, "p/x"), site.body("p/x")) == (KMS, b"small")
    async with site.engine(customer_key=None) as engine:
        with pytest.raises(UsageError, match="same object"):
            await engine.copy("s3://bucket/p/x", "s3://bucket/p/x")


# What sync makes of it


async def _sync(site: Site, options: SyncOptions | None = None, **changes: object) -> set[str]:
    """What a sync of the tree moves."""
    site.record = Record()
    async with site.engine(**changes) as engine:
        await engine.sync(str(site.directory / "tree"), "s3://bucket/t/", options)
    assert not site.record.failed
    return site.record.finished


@pytest.mark.parametrize("dialect", ["aws", "ceph"])
async def test_what_is_known_to_be_sealed_otherwise_is_different(
    site: Site, tmp_path: Path
) -> None:
    state = str(tmp_path / "state")
    site.file("tree/x", b"small")
    sealed = {"state_directory": state}
    kms = {"state_directory": state, "customer_key": None, "encryption": KMS_KEY}
    assert await _sync(site, **kms) == {"t/x"}
    assert await _sync(site, **kms) == set()
    assert await _sync(site, **sealed) == {"t/x"}
    assert await _sync(site, **sealed) == set()
    assert await _sync(site, **kms) == {"t/x"}
    assert told(site, "t/x") == KMS


@pytest.mark.parametrize("dialect", ["aws", "ceph"])
async def test_what_is_asked_about_and_is_sealed_otherwise_is_different(site: Site) -> None:
    """Without a catalogue; Ceph serves plain objects to whoever shows a customer key."""
    ask = SyncOptions(method=Method.REBUILD)
    site.file("tree/x", b"small")
    await _sync(site)
    other = {"customer_key": None, "encryption": KMS_KEY}
    assert await _sync(site, ask, **other) == {"t/x"}
    assert await _sync(site, ask, **other) == set()
    assert await _sync(site, ask, customer_key=None, encryption=ServerSide(KMS, "key-2")) == {"t/x"}
    assert await _sync(site, ask, customer_key=None) == set()
    assert await _sync(site, ask) == {"t/x"}
    assert await _sync(site, ask) == set()


# The tag of the customer key


@SIZES
async def test_the_tag_goes_along(site: Site, content: bytes) -> None:
    """And the server is asked once whether it has kept it."""
    await site.put("x", content, tag_key_id=True)
    assert site.server.s3.tags["bucket", "x"] == TAG
    assert count(site, "GetObjectTagging", "PutObjectTagging") == (1, 0)


async def test_a_tree_asks_once(site: Site) -> None:
    for number in range(40):
        site.file(f"tree/{number}", b"x")
    async with site.engine(tag_key_id=True, concurrency=1) as engine:
        await engine.copy(f"{site.directory}/tree/", "s3://bucket/t/")
    assert len(site.record.finished) == 40
    assert all(site.server.s3.tags[place] == TAG for place in site.server.objects)
    assert count(site, "GetObjectTagging", "PutObjectTagging") == (1, 0)


@pytest.mark.parametrize("dialect", ["ceph"])
async def test_a_tag_that_the_server_loses_is_written_by_itself(site: Site) -> None:
    await site.put("x", LARGE, tag_key_id=True)
    assert not site.record.failed
    assert site.server.s3.tags["bucket", "x"] == TAG
    assert count(site, "GetObjectTagging", "PutObjectTagging") == (1, 1)


async def test_an_upload_begun_without_the_tag_gets_it(site: Site, tmp_path: Path) -> None:
    """Also when the server has shown by then that it keeps tags that come along."""
    state = str(tmp_path / "state")
    refused = True
    site.server.script(
        Match(operation="UploadPart", name="t/x", part=2, times=None, where=lambda _: refused),
        Status(503, "ServiceUnavailable"),
    )
    for name in ("a", "x"):
        site.file(f"tree/{name}", LARGE)

    async def copy(**changes: object) -> None:
        async with site.engine(state_directory=state, concurrency=1, **changes) as engine:
            await engine.copy(f"{site.directory}/tree/", "s3://bucket/t/")

    await copy(policy=Policy(budget=0.3, longest_wait=0.02))
    assert set(site.record.failed) == {"t/x"}
    refused = False
    site.record = Record()
    site.server.requests.clear()
    await copy(tag_key_id=True)
    assert site.record.finished == {"t/a", "t/x"}
    assert count(site, "CreateMultipartUpload", "AbortMultipartUpload") == (1, 0)
    assert [site.server.s3.tags["bucket", name] for name in ("t/a", "t/x")] == [TAG, TAG]


@pytest.mark.parametrize("dialect", ["aws", "ceph"])
async def test_copies_keep_the_other_tags(site: Site) -> None:
    tags = {"x-amz-tagging": "a=1&sealift-key-id=old"}
    for name, body in (("p/small", b"small"), ("p/large", LARGE)):
        site.server.store(name, body, customer_key=OTHER_KEY, headers=tags)
    async with site.engine(source=side(site, OTHER_KEY), tag_key_id=True) as engine:
        await engine.copy("s3://bucket/p/", "s3://bucket/q/")
    assert not site.record.failed
    for name in ("q/small", "q/large"):
        assert site.server.s3.tags["bucket", name] == {"a": "1"} | TAG


async def test_what_goes_through_memory_has_all_tags_along(site: Site) -> None:
    site.server.script(Match(operation="CopyObject"), Status(501, "NotImplemented"))
    tags = {"x-amz-tagging": "a=1"}
    for name, body in (("p/small", b"small"), ("p/large", LARGE)):
        site.server.store(name, body, customer_key=OTHER_KEY, headers=tags)
    async with site.engine(source=side(site, OTHER_KEY), tag_key_id=True, concurrency=1) as engine:
        await engine.copy("s3://bucket/p/", "s3://bucket/q/")
    assert not site.record.failed
    for name in ("q/small", "q/large"):
        assert site.server.s3.tags["bucket", name] == {"a": "1"} | TAG
    assert count(site, "CopyObject", "PutObjectTagging") == (1, 0)


async def test_a_copy_that_gets_no_tag_is_not_made_again(site: Site) -> None:
    site.server.store("p", b"small", customer_key=KEY)
    site.server.script(
        Match(operation="GetObjectTagging", name="q", times=None), Status(403, "AccessDenied")
    )
    site.server.script(
        Match(operation="PutObjectTagging", times=None), Status(501, "NotImplemented")
    )
    async with site.engine(tag_key_id=True) as engine:
        await engine.copy("s3://bucket/p", "s3://bucket/q")
    assert "keeps no tags" in str(site.record.failed["q"])
    assert count(site, "CopyObject", "GetObject") == (1, 0)


async def test_no_right_to_look_at_tags_is_enough(site: Site) -> None:
    site.server.script(Match(operation="GetObjectTagging", times=None), Status(403, "AccessDenied"))
    await site.put("x", b"small", tag_key_id=True)
    assert not site.record.failed
    assert count(site, "PutObjectTagging") == (1,)


@pytest.mark.parametrize("dialect", ["ceph"])
@pytest.mark.parametrize(
    ("status", "code", "hint"),
    [(403, "AccessDenied", "s3:PutObjectTagging"), (501, "NotImplemented", "keeps no tags")],
)
async def test_an_object_that_gets_no_tag_is_a_failure(
    site: Site, status: int, code: str, hint: str
) -> None:
    site.server.script(Match(operation="PutObjectTagging", times=None), Status(status, code))
    await site.put("x", LARGE, tag_key_id=True)
    error = site.record.failed["x"]
    assert isinstance(error, ReplyError)
    assert hint in error.hint
    assert "the object is there" in error.hint
    assert site.body("x") == LARGE


@pytest.mark.parametrize(
    ("changes", "right"),
    [
        ({"customer_key": None, "encryption": KMS_KEY}, "kms:GenerateDataKey"),
        ({"tag_key_id": True}, "s3:PutObjectTagging"),
    ],
)
async def test_a_refused_write_names_the_rights_that_it_takes(
    site: Site, changes: dict[str, object], right: str
) -> None:
    """Besides what is found out about the refusal."""
    site.server.script(Match(operation="PutObject", times=None), Status(403, "AccessDenied"))
    await site.put("x", b"small", **changes)
    first, _, besides = site.record.failed["x"].hint.partition("; ")
    assert first
    assert right in besides


async def test_a_tag_is_no_difference(site: Site, tmp_path: Path) -> None:
    state = str(tmp_path / "state")
    site.file("tree/x", b"small")
    assert await _sync(site, state_directory=state) == {"t/x"}
    assert await _sync(site, state_directory=state, tag_key_id=True) == set()
    site.server.s3.tags["bucket", "t/x"] = TAG
    assert await _sync(site, state_directory=state) == set()


async def test_files_have_no_tags(site: Site) -> None:
    async with site.engine(tag_key_id=True) as engine:
        with pytest.raises(UsageError, match="--tag-key-id"):
            await engine.copy("s3://bucket/x", str(site.out))

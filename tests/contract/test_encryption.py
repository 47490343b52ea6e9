"""--sse and --tag-key-id on real servers: SSE-KMS on both, SSE-S3 on MiniStack alone.

Ceph 16 knows no SSE-S3 and answers 200 all the same, MiniStack and Ceph lose tags of multipart
uploads: what the bucket holds in the end counts, as boto3 sees it.
"""

from __future__ import annotations

import json
import secrets
from pathlib import Path
from typing import Any

import pytest
from tests.contract.site import PART_SIZE, Site, boto_seal, make_tree, noise, read_tree
from tests.servers.ceph import KMS_KEY_IDS

from sealift.encryption import KMS, S3, ServerSide
from sealift.errors import NotSealedError
from sealift.keys import CustomerKey

KMS_ID, OTHER_KMS_ID = KMS_KEY_IDS
KMS_KEY = ServerSide(KMS, KMS_ID)
FILES = {"empty": b"", "small": b"content", "parts": noise(PART_SIZE + 1)}
KEYLESS = {
    "SSE_CUSTOMER_KEY_BASE64": None,
    "SSE_CUSTOMER_KEY_MD5": None,
}  # of the command's environment


def told(site: Site, name: str) -> tuple[str | None, str | None]:
    """The encryption of an object, and its key of KMS, by boto3 without a customer key."""
    head = site.boto.head_object(Bucket=site.bucket, Key=name)
    return head.get("ServerSideEncryption"), head.get("SSEKMSKeyId")


def tags(site: Site, name: str) -> dict[str, str]:
    found = site.boto.get_object_tagging(Bucket=site.bucket, Key=name)["TagSet"]
    return {tag["Key"]: tag["Value"] for tag in found}


def cli(site: Site, *words: object, status: int = 0) -> str:
    """Run a command without a customer key; its stderr."""
    ended = site.cli(*words, env=site.environment(**KEYLESS))
    assert ended.status == status, ended
    return ended.stderr


def test_a_tree_under_a_key_of_kms(site: Site) -> None:
    tree = make_tree(site.work / "t", FILES)
    part_size = ("--part-size", str(PART_SIZE))
    cli(site, "cp", f"{tree}/", site.uri("t/"), "--sse", f"kms:{KMS_ID}", *part_size)
    assert {told(site, f"t/{name}") for name in FILES} == {("aws:kms", KMS_ID)}
    cli(site, "restore", site.uri("t/"), "back", "--sse", "none", *part_size)
    assert read_tree(site.work / "back") == FILES
    # A customer key opens none of them, and without --sse there has to be one.
    failed = site.cli("restore", site.uri("t/"), "other").stderr
    assert failed.count("--allow-unsealed") >= len(FILES)
    assert site.cli("restore", site.uri("t/"), "other", "--allow-unsealed").status == 0
    assert read_tree(site.work / "other") == FILES
    assert "there is no customer key" in cli(site, "get", site.uri("t/small"), status=2)


def test_no_encryption_of_ours(site: Site) -> None:
    (site.work / "file").write_bytes(b"content")
    cli(site, "put", "file", site.uri("x"), "--sse", "none")
    assert told(site, "x")[1] is None
    cli(site, "get", site.uri("x"), "back", "--sse", "none")
    assert (site.work / "back").read_bytes() == b"content"


@pytest.mark.parametrize("server", ["ministack"], indirect=True)
def test_sse_s3(site: Site) -> None:
    tree = make_tree(site.work / "t", FILES)
    record = site.copy(f"{tree}/", site.uri("t/"), customer_key=None, encryption=ServerSide(S3))
    assert not record.failed
    assert {told(site, f"t/{name}") for name in FILES} == {("AES256", None)}


@pytest.mark.parametrize("server", ["ceph"], indirect=True)
def test_what_ceph_stores_in_plain_text_does_not_stay(site: Site) -> None:
    tree = make_tree(site.work / "t", FILES)
    part_size = ("--part-size", str(PART_SIZE))
    said = cli(site, "cp", f"{tree}/", site.uri("t/"), "--sse", "s3", *part_size, status=1)
    assert said.count("UNENCRYPTED") >= 2
    assert "nothing was sent" in said
    assert (site.names(), site.uploads()) == ([], [])
    record = site.copy(tree, site.uri("t/"), customer_key=None, encryption=ServerSide(S3))
    assert all(isinstance(error, NotSealedError) for error in record.failed.values())
    assert len(record.failed) == len(FILES)
    assert (site.names(), site.uploads()) == ([], [])


@pytest.mark.parametrize("server", ["ceph"], indirect=True)
def test_a_key_that_kms_does_not_have(site: Site) -> None:
    (site.work / "file").write_bytes(b"content")
    said = cli(site, "put", "file", site.uri("x"), "--sse", "kms:nobodys", status=1)
    assert "check the key's name" in said
    assert site.names() == []


def test_there_and_back_between_encryptions(site: Site) -> None:
    """SSE-C to SSE-KMS to SSE-C; the customer key of the settings is that of the source."""
    tree = make_tree(site.work / "t", FILES)
    part_size = ("--part-size", str(PART_SIZE))
    for words in (
        ("cp", f"{tree}/", site.uri("c/")),
        ("cp", site.uri("c/"), site.uri("k/"), "--sse", f"kms:{KMS_ID}"),
        ("cp", site.uri("k/"), site.uri("k/"), "--sse", f"kms:{OTHER_KMS_ID}", "--source-sse",
         "kms"),
        ("sync", site.uri("k/"), site.uri("d/"), "--source-sse", "kms"),
        ("sync", site.uri("d/"), "back"),
    ):  # fmt: skip
        ended = site.cli(*words, *part_size)
        assert ended.status == 0, ended
    assert {told(site, f"k/{name}") for name in FILES} == {("aws:kms", OTHER_KMS_ID)}
    assert all(site.boto_get(f"d/{name}") == content for name, content in FILES.items())
    assert read_tree(site.work / "back") == FILES


def test_sync_sends_again_what_is_encrypted_otherwise(site: Site) -> None:
    tree = make_tree(site.work / "t", FILES)
    sync = ("sync", tree, site.uri("t/"), "--json", "--part-size", str(PART_SIZE))
    kms = ("--sse", f"kms:{KMS_ID}")

    def moved(*words: object) -> int:
        ended = site.cli(*sync, *words)
        assert ended.status == 0, ended
        events = [json.loads(line) for line in ended.stdout.splitlines()]
        return sum(event["event"] == "done" for event in events)

    assert [moved(), moved(), moved(*kms), moved(*kms), moved(), moved()] == [3, 0, 3, 0, 3, 0]
    assert moved("--rebuild") == 0
    assert moved(*kms, "--rebuild") == 3
    assert moved("--sse", f"kms:{OTHER_KMS_ID}", "--rebuild") == 3
    assert moved("--rebuild") == 3


# The tag of the customer key


def test_all_that_is_sent_has_the_tag(site: Site) -> None:
    tree = make_tree(site.work / "t", FILES)
    words = ("--tag-key-id", "--part-size", str(PART_SIZE))
    wanted = {"sealift-key-id": site.customer_key.key_id}
    for command in (
        ("put", tree / "small", site.uri("put/small")),
        ("cp", f"{tree}/", site.uri("cp/")),
        ("sync", tree, site.uri("sync/")),
    ):
        assert site.cli(*command, *words).status == 0
    names = ["put/small", *(f"{way}/{name}" for way in ("cp", "sync") for name in FILES)]
    assert [tags(site, name) for name in names] == [wanted] * len(names)
    again = site.cli("sync", tree, site.uri("sync/"), "--json", "--part-size", str(PART_SIZE))
    assert '"done"' not in again.stdout


def test_a_copy_keeps_the_tags_of_its_source(site: Site, tmp_path: Path) -> None:
    """Under another customer key, whole and in parts."""
    raw = secrets.token_bytes(32)
    (tmp_path / "key").write_bytes(raw)
    (tmp_path / "key").chmod(0o600)
    seal: dict[str, Any] = {"Tagging": "a=b%20%26&sealift-key-id=old", **boto_seal(raw)}
    for name in ("small", "parts"):
        site.boto_put(f"p/{name}", FILES[name], seal)
    ended = site.cli(
        "cp", site.uri("p/"), site.uri("q/"), "--source-key-file", tmp_path / "key",
        "--tag-key-id", "--part-size", str(PART_SIZE),
    )  # fmt: skip
    assert ended.status == 0, ended
    for name in ("small", "parts"):
        assert tags(site, f"q/{name}") == {"a": "b &", "sealift-key-id": site.customer_key.key_id}
        assert site.boto_get(f"q/{name}") == FILES[name]


def test_what_is_under_several_keys_is_copied_to_other_encryption(
    site: Site, tmp_path: Path
) -> None:
    """What is written takes no key, what is read takes those at hand."""
    keys = tmp_path / "keys"
    keys.mkdir()
    for name in ("one", "two"):
        raw = secrets.token_bytes(32)
        (keys / name).write_bytes(raw)
        (keys / name).chmod(0o600)
        site.boto_put(f"p/{name}", name.encode(), boto_seal(raw))
    words = ("cp", site.uri("p/"), site.uri("q/"), "--sse", "none", "--key-dir", keys)
    ended = site.cli(*words)
    assert ended.status == 0, ended
    for name in ("one", "two"):
        found = site.boto.get_object(Bucket=site.bucket, Key=f"q/{name}")
        assert found["Body"].read() == name.encode()


def test_tags_are_read_without_the_customer_key(site: Site) -> None:
    site.boto_put("x", b"content")
    read: dict[str, str] = {}

    async def command(engine: Any) -> None:
        client = (await engine.bucket_client(site.bucket)).under(CustomerKey.generate())
        await client.put_object_tagging("x", {"a b": "ü <&>", "sealift-key-id": "0123"})
        read.update(await client.get_object_tagging("x"))

    site.run(command, customer_key=None)
    assert read == tags(site, "x") == {"a b": "ü <&>", "sealift-key-id": "0123"}

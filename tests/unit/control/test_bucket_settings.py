"""Bucket settings by botocore, as far as it knows them and as far as it was taught."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from tests.faults import FaultServer, Match, Status, encryption_document
from tests.kit import Certificate

from sealift.control import open_control
from sealift.control.bucket_settings import BucketSettings
from sealift.control.rules import Encryption, days_to_abort
from sealift.errors import ReplyError, SealiftError

KMS = "<SSEAlgorithm>aws:kms</SSEAlgorithm><KMSMasterKeyID>arn:aws:kms:k/1</KMSMasterKeyID>"
AES = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return Certificate.make(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def server(certificate: Certificate, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[
    FaultServer
]:  # fmt: skip
    for name, value in {
        "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "s", "AWS_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": str(tmp_path / "none"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "none"),
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    with FaultServer(certificate) as server:
        server.ca_file = str(certificate.ca_file)  # type: ignore[attr-defined]
        yield server


def ask(server: FaultServer, question: Callable[[BucketSettings], Awaitable[Any]]) -> Any:
    async def main() -> Any:
        async with open_control(
            profile=None,
            region=None,
            endpoint_url=server.endpoint_url,
            ca_bundle=server.ca_file,  # type: ignore[attr-defined]
        ) as control:
            return await question(control.settings("bucket"))

    return anyio.run(main)


@pytest.mark.parametrize(
    ("document", "blocked", "blocks"),
    [
        (encryption_document(), None, False),
        (encryption_document("NONE"), frozenset(), False),
        (encryption_document("SSE-C"), {"SSE-C"}, True),
        (encryption_document("SSE-X", "SSE-C"), {"SSE-X", "SSE-C"}, True),
        (None, None, False),
    ],
)
def test_what_is_blocked(
    server: FaultServer, document: bytes | None, blocked: set[str] | None, blocks: bool
) -> None:
    server.settings.encryption = document
    found = ask(server, BucketSettings.encryption)
    assert found.blocked == blocked
    assert found.blocks_customer_keys is blocks


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (encryption_document("SSE-C", rule=KMS), encryption_document("NONE", rule=KMS)),
        (encryption_document("SSE-C"), encryption_document("NONE")),
        (encryption_document("SSE-C", "SSE-X"), encryption_document("SSE-X")),
        (encryption_document(), encryption_document("NONE")),
    ],
)
def test_what_is_allowed_keeps_the_rest_of_the_rule(
    server: FaultServer, before: bytes, after: bytes
) -> None:
    server.settings.encryption = before

    async def allow(settings: BucketSettings) -> Encryption:
        found = await settings.encryption()
        await settings.set_encryption(found.allowing_customer_keys())
        return await settings.encryption()

    found = ask(server, allow)

    assert not found.blocks_customer_keys
    server.settings.encryption = after
    assert found == ask(server, BucketSettings.encryption)
    (sent,) = server.seen("PutBucketEncryption")
    assert sent.body.count(b"<Rule>") == 1


def test_a_bucket_without_a_rule_gets_none() -> None:
    assert Encryption().allowing_customer_keys() == Encryption()


def test_the_key_of_kms_is_told(server: FaultServer) -> None:
    server.settings.encryption = encryption_document(rule=KMS)
    assert str(ask(server, BucketSettings.encryption)) == "aws:kms arn:aws:kms:k/1"


@pytest.mark.parametrize("question", [
    BucketSettings.encryption, BucketSettings.days_to_abort, BucketSettings.versioning,
])  # fmt: skip
def test_who_may_not_ask_is_told_so(
    server: FaultServer, question: Callable[[BucketSettings], Awaitable[Any]]
) -> None:
    server.script(Match(times=None), Status(403, "AccessDenied", "Access Denied"))
    with pytest.raises(ReplyError) as caught:
        ask(server, question)
    assert (caught.value.status, caught.value.code) == (403, "AccessDenied")


def test_the_rest(server: FaultServer) -> None:
    assert ask(server, BucketSettings.region) == "us-east-1"
    assert ask(server, BucketSettings.versioning) == ""
    assert ask(server, BucketSettings.days_to_abort) is None
    server.settings.versioning = "Enabled"
    server.settings.lifecycle = (
        b"<LifecycleConfiguration><Rule><ID>x</ID><Status>Enabled</Status><Filter><Prefix/>"
        b"</Filter><AbortIncompleteMultipartUpload><DaysAfterInitiation>7</DaysAfterInitiation>"
        b"</AbortIncompleteMultipartUpload></Rule></LifecycleConfiguration>"
    )
    assert ask(server, BucketSettings.versioning) == "Enabled"
    assert ask(server, BucketSettings.days_to_abort) == 7


@pytest.mark.parametrize("arn", ["arn:aws:iam::1:user/U", None])
def test_who_signs(server: FaultServer, arn: str | None) -> None:
    """The server itself is asked, never AWS about credentials that are none of its own."""
    server.settings.caller = arn

    async def main() -> str:
        async with open_control(
            profile=None,
            region=None,
            endpoint_url=server.endpoint_url,
            ca_bundle=server.ca_file,  # type: ignore[attr-defined]
        ) as control:
            return await control.caller()

    if arn is None:
        with pytest.raises(SealiftError):
            anyio.run(main)
    else:
        assert anyio.run(main) == arn


ABORT = {"AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 3}}


@pytest.mark.parametrize(
    ("rules", "days"),
    [
        ([], None),
        ([{"Status": "Enabled", **ABORT}], 3),
        ([{"Status": "Enabled", "Filter": {}, **ABORT}], 3),
        ([{"Status": "Enabled", "Filter": {"Prefix": ""}, **ABORT}], 3),
        ([{"Status": "Enabled", "Prefix": "", **ABORT}], 3),
        ([{"Status": "Disabled", **ABORT}], None),
        ([{"Status": "Enabled", "Prefix": "logs/", **ABORT}], None),
        ([{"Status": "Enabled", "Filter": {"Prefix": "logs/"}, **ABORT}], None),
        ([{"Status": "Enabled", "Filter": {"Tag": {"Key": "k", "Value": "v"}}, **ABORT}], None),
        ([{"Status": "Enabled", "Expiration": {"Days": 1}}], None),
        ([{"Status": "Enabled", **ABORT},
          {"Status": "Enabled", "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1}}], 1),
    ],
)  # fmt: skip
def test_rules_that_abort_every_upload(rules: list[dict[str, Any]], days: int | None) -> None:
    assert days_to_abort(rules) == days

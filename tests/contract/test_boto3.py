"""boto3 and sealift read each other's objects under one customer key, and nobody else reads any."""

from __future__ import annotations

import io
import secrets
from typing import Any

import pytest
from boto3.s3.transfer import TransferConfig
from botocore.exceptions import ClientError
from tests.contract.site import PART_SIZE, Site, boto_seal, noise

SIZES = {"empty": 0, "small": 1000, "multipart": 2 * PART_SIZE + 999}


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
def test_boto3_gets_what_sealift_put(site: Site, size: int) -> None:
    content = noise(size)
    (site.work / "file.csv").write_bytes(content)

    site.copy("file.csv", site.uri("p/"))

    head = site.boto_head("p/file.csv")
    assert head["SSECustomerKeyMD5"] == site.customer_key.md5
    assert head["ContentType"] == "text/csv"
    assert site.boto_get("p/file.csv") == content
    tail = (
        site.boto.get_object(
            Bucket=site.bucket, Key="p/file.csv", Range=f"bytes={size // 2}-", **site.seal
        )
        if size
        else None
    )
    assert tail is None or tail["Body"].read() == content[size // 2 :]


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
def test_sealift_gets_what_boto3_put(site: Site, size: int) -> None:
    content = noise(size)
    site.boto.upload_fileobj(
        io.BytesIO(content),
        site.bucket,
        "p/file",
        ExtraArgs=site.seal,
        Config=TransferConfig(multipart_threshold=PART_SIZE, multipart_chunksize=PART_SIZE),
    )
    head = site.boto_head("p/file")
    assert ("-" in head["ETag"]) == (size > PART_SIZE)

    record = site.restore("p/", "back")

    assert not record.failed
    restored = site.work / "back" / "file"
    assert restored.read_bytes() == content
    assert restored.stat().st_mtime == head["LastModified"].timestamp()


@pytest.mark.parametrize("size", [1000, PART_SIZE + 1], ids=["small", "multipart"])
@pytest.mark.parametrize("seal", [{}, boto_seal(secrets.token_bytes(32))], ids=["none", "wrong"])
def test_nobody_reads_it_without_the_customer_key(
    site: Site, size: int, seal: dict[str, Any]
) -> None:
    (site.work / "file").write_bytes(noise(size))
    site.copy("file", site.uri())

    for read in (site.boto.get_object, site.boto.head_object):
        with pytest.raises(ClientError) as refused:
            read(Bucket=site.bucket, Key="file", **seal)
        assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] in (400, 403)
    with pytest.raises(ClientError):
        site.boto.get_object(Bucket=site.bucket, Key="file", Range="bytes=0-9", **seal)

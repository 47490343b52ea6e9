"""What a bucket is set to; each call is one attempt.

botocore 1.40 does not know `BlockedEncryptionTypes`: it leaves it out of what it reads, and refuses
to send it. `teach` has its loader merge it into the model, from a file of this package.
"""

from __future__ import annotations

import importlib.resources
from typing import Any

from sealift.control.rules import Encryption, days_to_abort
from sealift.control.translate import translated
from sealift.errors import ReplyError

_EXTRAS = "ssec"


def teach(core: Any) -> None:
    """Teach a botocore session, before it makes a client, what `models` has."""
    loader = core.get_component("data_loader")
    if _EXTRAS not in loader.extras_types:
        loader.search_paths.append(str(importlib.resources.files("sealift.control") / "models"))
        loader.extras_types.append(_EXTRAS)


class BucketSettings:
    """The settings of `bucket`, asked of and told to a client of botocore's."""

    def __init__(self, client: Any, bucket: str) -> None:
        self._client = client
        self._bucket = bucket

    async def encryption(self) -> Encryption:
        """GetBucketEncryption; needs s3:GetEncryptionConfiguration."""
        try:
            with translated("GetBucketEncryption"):
                reply = await self._client.get_bucket_encryption(Bucket=self._bucket)
        except ReplyError as error:
            if error.code == "ServerSideEncryptionConfigurationNotFoundError":
                return Encryption()
            raise
        return Encryption(tuple(reply["ServerSideEncryptionConfiguration"].get("Rules", ())))

    async def set_encryption(self, encryption: Encryption) -> None:
        """PutBucketEncryption, in place of all rules; needs s3:PutEncryptionConfiguration."""
        configuration = {"Rules": list(encryption.rules)}
        with translated("PutBucketEncryption"):
            await self._client.put_bucket_encryption(
                Bucket=self._bucket, ServerSideEncryptionConfiguration=configuration
            )

    async def days_to_abort(self) -> int | None:
        """GetBucketLifecycleConfiguration; see `rules.days_to_abort`."""
        try:
            with translated("GetBucketLifecycleConfiguration"):
                reply = await self._client.get_bucket_lifecycle_configuration(Bucket=self._bucket)
        except ReplyError as error:
            if error.code == "NoSuchLifecycleConfiguration":
                return None
            raise
        return days_to_abort(reply.get("Rules", ()))

    async def versioning(self) -> str:
        """GetBucketVersioning: `Enabled`, `Suspended`, or empty where it never was enabled."""
        with translated("GetBucketVersioning"):
            reply = await self._client.get_bucket_versioning(Bucket=self._bucket)
        return str(reply.get("Status", ""))

    async def region(self) -> str:
        """GetBucketLocation: the region that the bucket is in."""
        with translated("GetBucketLocation"):
            reply = await self._client.get_bucket_location(Bucket=self._bucket)
        told = reply.get("LocationConstraint") or "us-east-1"
        return {"EU": "eu-west-1"}.get(told, told)

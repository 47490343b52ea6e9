"""What the tests of `rekey` share: keys, objects under them, and what must be true afterwards."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

from tests.contract.site import Boto, Record, Site, boto_seal

from sealift.encryption import KMS, S3, ServerSide
from sealift.keyring import HeldKey, Keyring
from sealift.keys import CustomerKey
from sealift.model import UNSEALED
from sealift.options import TreeOptions
from sealift.rekey.seals import ANY_KEY, From, RekeyOptions, Seal

KMS_KEY = "testkey-1"


class Keys:
    """An old and a new customer key, the site's own being the old one, and the seals of others."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.raw = {"old": site.seal["SSECustomerKey"], "new": secrets.token_bytes(32)}
        self.key = {name: CustomerKey(raw) for name, raw in self.raw.items()}
        self.ring = Keyring([HeldKey(key, "a test") for key in self.key.values()])

    def seal(self, name: str) -> Seal:
        """That of `old`, `new`, `none`, `s3`, `kms`."""
        others = {"none": None, "s3": ServerSide(S3), "kms": ServerSide(KMS, KMS_KEY)}
        if name in others:
            return Seal(UNSEALED, others[name])
        return Seal(self.key[name].key_id)

    def source(self, name: str | None) -> From:
        if name is None:
            return ANY_KEY
        return From(UNSEALED, frozenset({name})) if name not in self.raw else From(self.id(name))

    def id(self, name: str) -> str:
        return self.key[name].key_id

    def boto(self, name: str, *, writes: bool = False) -> dict[str, Any]:
        """The arguments by which boto3 reads, or writes, what is under the seal."""
        if name in self.raw:
            return boto_seal(self.raw[name])
        if not writes or name == "none":
            return {}
        if name == "s3":
            return {"ServerSideEncryption": S3}
        return {"ServerSideEncryption": KMS, "SSEKMSKeyId": KMS_KEY}

    def put(self, name: str, body: bytes, seal: str = "old", **described: Any) -> dict[str, Any]:
        reply: dict[str, Any] = self.site.boto.put_object(
            Bucket=self.site.bucket,
            Key=name,
            Body=body,
            **self.boto(seal, writes=True),
            **described,
        )
        return reply

    def read(self, name: str, seal: str = "new") -> bytes | None:
        """The object's bytes; None where they are not to be had by this seal."""
        try:
            reply = self.site.boto.get_object(Bucket=self.site.bucket, Key=name, **self.boto(seal))
        except self.site.boto.exceptions.ClientError:
            return None
        if seal in self.raw and not reply.get("SSECustomerKeyMD5"):
            return None  # Ceph: a plain object
        body: bytes = reply["Body"].read()
        return body

    def head(self, name: str, seal: str = "new") -> dict[str, Any]:
        head: dict[str, Any] = self.site.boto.head_object(
            Bucket=self.site.bucket, Key=name, **self.boto(seal)
        )
        return head

    def tags(self, name: str) -> dict[str, str]:
        reply = self.site.boto.get_object_tagging(Bucket=self.site.bucket, Key=name)
        return {tag["Key"]: tag["Value"] for tag in reply.get("TagSet") or ()}

    def rekey(
        self,
        name: str = "",
        to: str = "new",
        source: str | None = None,
        *,
        record: Record | None = None,
        tree: TreeOptions = TreeOptions(),  # noqa: B008 - frozen
        keyring: Keyring | None = None,
        changes: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> Record:
        """`Engine.rekey` of an object or prefix, with the keys at hand."""
        order = RekeyOptions(self.seal(to), self.source(source), **options)
        return self.site.run(
            lambda engine: engine.rekey(self.site.location(name), order, tree),
            record=record,
            **{"customer_key": None, "keyring": keyring or self.ring} | dict(changes or {}),
        )


def versions(boto: Boto, bucket: str) -> list[tuple[str, str]]:
    """Name and version id of all versions of a bucket, and of delete markers."""
    reply = boto.list_object_versions(Bucket=bucket)
    return [
        (entry["Key"], entry["VersionId"])
        for kind in ("Versions", "DeleteMarkers")
        for entry in reply.get(kind, ())
    ]

"""The calls of the control plane. Each is one attempt; the engine's retrier repeats them.

The customer key goes on every call that S3 lets carry it, encoded by hand: botocore encodes it for
some operations only (not for ListParts), and not at all when the MD5 is given.
"""

from __future__ import annotations

import datetime
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import aioboto3
from aiobotocore.config import AioConfig
from aiobotocore.session import get_session

from sealift.checksums import encode
from sealift.control.hooks import NotSentError, keep_back, sign_again, signed_region
from sealift.control.session import ControlSession, silence_debug_logs
from sealift.control.translate import translated
from sealift.errors import (
    IntegrityError,
    NotSealedError,
    ObjectError,
    ProtocolError,
    ReplyError,
    SettingsError,
    WrongCustomerKeyError,
)
from sealift.keys import ALGORITHM, ALGORITHM_HEADER, KEY_MD5_HEADER, CustomerKey
from sealift.metadata import FileFacts
from sealift.model import Location, PartDone
from sealift.tls import client_context
from sealift.wire.address import Server
from sealift.wire.operations import Bucket, Identity, not_sealed_message
from sealift.wire.sigv4 import Credentials

_PROBE_NAME = "x"


@dataclass(frozen=True, slots=True)
class HeadFacts:
    """What HEAD says of an object. `modified` in seconds since the epoch.

    `sealed` says that the reply echoed the customer key that was sent (or that none was sent).
    """

    size: int
    etag: str
    version_id: str | None
    modified: float
    storage_class: str
    content_type: str
    key_md5: str | None
    facts: FileFacts
    sealed: bool


@dataclass(frozen=True, slots=True)
class MultipartStart:
    """A created upload. `whole_crc` says that the server will keep a CRC64NVME of the whole."""

    upload_id: str
    whole_crc: bool


class Control:
    """A client for one endpoint and one customer key (None: no SSE-C)."""

    def __init__(
        self,
        session: Any,
        client: Any,
        profile: str | None,
        ca_bundle: str | None,
        customer_key: CustomerKey | None,
    ) -> None:
        self.ca_bundle = ca_bundle
        self._session = session
        self._profile = profile
        self._client = client
        self._sealed = customer_key is not None
        self._seal: dict[str, str] = {}
        self._key_md5 = ""
        if customer_key is not None:
            names = ("SSECustomerAlgorithm", "SSECustomerKey", "SSECustomerKeyMD5")
            values = (value for _, value in customer_key.headers())
            self._seal = dict(zip(names, values, strict=True))
            self._key_md5 = customer_key.md5
        self.identity: Identity | None = None
        client.meta.events.register("before-send.s3", self._correct_clock)
        client.meta.events.register("before-call.s3.HeadObject", _ask_once)
        client.meta.events.register("before-send.s3.GetObjectAcl", keep_back)

    # Where and who

    async def credentials(self) -> Credentials:
        """The current credentials, refreshed by botocore when they are about to expire."""
        with translated("credentials"):
            found = await self._session.get_credentials()
            if found is None:
                raise SettingsError(
                    "no AWS credentials found",
                    hint="give a profile by --profile or PROFILE, or set AWS_ACCESS_KEY_ID",
                )
            frozen = await found.get_frozen_credentials()
        return Credentials(frozen.access_key, frozen.secret_key, frozen.token)

    async def reload_credentials(self) -> None:
        """Read the credentials anew from their source: what is cached has expired.

        The session and the client are kept; botocore's cached credentials are replaced.
        """
        with translated("credentials"):
            fresh = aioboto3.Session(
                profile_name=self._profile, region_name=self._client.meta.region_name
            )
            found = await fresh.get_credentials()
        if found is not None:
            self._session = fresh
            self._client._request_signer._credentials = found

    async def locate(self, bucket: str) -> tuple[Server, Bucket]:
        """The server of a bucket and how the bucket is reached there; no request is made.

        botocore's endpoint rules decide (addressing style, dual stack, access points, the region
        that a redirect named): they are read off a GetObjectAcl, of no other use here, that is
        signed and then not sent. A presigned URL would tell less: it goes to the global endpoint,
        which redirects new buckets of other regions, and it forgets the region of a redirect.
        """
        with translated("endpoint"):
            try:
                await self._client.get_object_acl(Bucket=bucket, Key=_PROBE_NAME)
            except NotSentError as found:
                parts = urlsplit(found.url)
                region = signed_region(found.authorization)
            else:
                raise AssertionError("the request was sent")
        server = Server.from_url(f"{parts.scheme}://{parts.netloc}")
        return server, Bucket(server.netloc, parts.path.removesuffix(_PROBE_NAME), region)

    def _correct_clock(self, request: Any, **_: Any) -> None:
        """Sign again with the server's time when this machine's clock is known to be wrong."""
        if self.identity is not None and self.identity.clock_offset:
            sign_again(request, self.identity)

    # Looking

    async def reach(self, bucket: str) -> None:
        """Ask whether bucket, endpoint, credentials and clock are right: a listing of no names.

        botocore follows a redirect to the bucket's region, and remembers it. A HEAD would not do:
        its errors have no body to tell what is wrong.
        """
        with translated("ListObjectsV2"):
            await self._client.list_objects_v2(Bucket=bucket, MaxKeys=0)

    async def head_object(self, location: Location, *, check_echo: bool = True) -> HeadFacts:
        """HEAD with the customer key, its echo checked."""
        try:
            with translated("HeadObject", sealed=self._sealed):
                reply = await self._client.head_object(
                    Bucket=location.bucket, Key=location.name, ChecksumMode="ENABLED", **self._seal
                )
        except WrongCustomerKeyError as error:
            raise await self._told_by_get(location, error) from None
        if check_echo:
            self._check_echo("HeadObject", reply)
        modified = _seconds(reply.get("LastModified"))
        return HeadFacts(
            size=_required("HeadObject", reply, "ContentLength"),
            etag=_required("HeadObject", reply, "ETag"),
            version_id=reply.get("VersionId"),
            modified=modified,
            storage_class=reply.get("StorageClass", "STANDARD"),
            content_type=reply.get("ContentType", ""),
            key_md5=reply.get("SSECustomerKeyMD5"),
            facts=FileFacts.from_reply(
                reply.get("Metadata", {}), reply.get("ChecksumCRC64NVME"), modified
            ),
            sealed=self._echoed(reply),
        )

    async def _told_by_get(self, location: Location, bare: ReplyError) -> ObjectError:
        """What a refused HEAD meant, which has no body to tell: the error of a GET of one byte.

        A wrong key, expired credentials and a wrong clock all answer 400 or 403 to HEAD.
        """
        try:
            with translated("HeadObject", sealed=self._sealed):
                reply = await self._client.get_object(
                    Bucket=location.bucket, Key=location.name, Range="bytes=0-0", **self._seal
                )
                reply["Body"].close()
        except ReplyError as told:
            return bare if told.status == 416 else told
        except ObjectError as failed:
            return failed
        return bare

    # Multipart uploads

    async def create_multipart_upload(
        self, location: Location, content_type: str | None, facts: FileFacts, *, whole_crc: bool
    ) -> MultipartStart:
        """CreateMultipartUpload; with `whole_crc` the server is asked to keep the whole's CRC."""
        params: dict[str, Any] = {"Metadata": facts.metadata(), **self._seal}
        if content_type is not None:
            params["ContentType"] = content_type
        if whole_crc:
            params |= {"ChecksumAlgorithm": "CRC64NVME", "ChecksumType": "FULL_OBJECT"}
        with translated("CreateMultipartUpload", sealed=self._sealed):
            reply = await self._client.create_multipart_upload(
                Bucket=location.bucket, Key=location.name, **params
            )
        upload_id = _required("CreateMultipartUpload", reply, "UploadId")
        try:
            self._check_echo("CreateMultipartUpload", reply)
        except NotSealedError as error:
            try:
                await self.abort_multipart_upload(location, upload_id)
            except ObjectError:
                error.hint = f"the unfinished upload {upload_id} is still on the server"
            raise
        return MultipartStart(upload_id, reply.get("ChecksumType") == "FULL_OBJECT")

    async def complete_multipart_upload(
        self, location: Location, upload_id: str, parts: Sequence[PartDone], crc: int | None
    ) -> tuple[str, bool]:
        """CompleteMultipartUpload; returns the ETag and whether the reply echoed the customer key.

        With `crc` the server holds a CRC64NVME of every part and compares the whole to `crc`.
        """
        whole: dict[str, Any] = {}
        entries: list[dict[str, Any]] = [
            {"PartNumber": part.number, "ETag": part.etag} for part in parts
        ]
        if crc is not None:
            whole = {"ChecksumCRC64NVME": encode(crc), "ChecksumType": "FULL_OBJECT"}
            for entry, part in zip(entries, parts, strict=True):
                entry["ChecksumCRC64NVME"] = encode(part.crc)
        with translated("CompleteMultipartUpload", sealed=self._sealed):
            reply = await self._client.complete_multipart_upload(
                Bucket=location.bucket,
                Key=location.name,
                UploadId=upload_id,
                MultipartUpload={"Parts": entries},
                **whole,
                **self._seal,
            )
        etag = reply.get("ETag")
        if not etag:  # 200 with an empty or foreign body (measured: three peers call it success)
            raise IntegrityError("CompleteMultipartUpload: the reply names no ETag")
        return etag, self._echoed(reply)

    async def abort_multipart_upload(self, location: Location, upload_id: str) -> None:
        """AbortMultipartUpload; an upload that is gone already is no error."""
        try:
            with translated("AbortMultipartUpload"):
                await self._client.abort_multipart_upload(
                    Bucket=location.bucket, Key=location.name, UploadId=upload_id
                )
        except ObjectError as error:
            if getattr(error, "status", None) != 404:
                raise

    async def delete_object(self, location: Location, version_id: str | None = None) -> None:
        """DeleteObject; with `version_id` that version for good."""
        params = {} if version_id is None else {"VersionId": version_id}
        with translated("DeleteObject"):
            await self._client.delete_object(Bucket=location.bucket, Key=location.name, **params)

    async def create_bucket(self, bucket: str) -> None:
        """CreateBucket in the client's region."""
        region = self._client.meta.region_name
        params: dict[str, Any] = {}
        if region not in (None, "us-east-1", "aws-global"):
            params = {"CreateBucketConfiguration": {"LocationConstraint": region}}
        with translated("CreateBucket"):
            await self._client.create_bucket(Bucket=bucket, **params)

    # The echo

    def _echoed(self, reply: Mapping[str, Any]) -> bool:
        if not self._sealed:
            return True
        headers = reply["ResponseMetadata"]["HTTPHeaders"]
        return (headers.get(ALGORITHM_HEADER), headers.get(KEY_MD5_HEADER)) == (
            ALGORITHM,
            self._key_md5,
        )

    def _check_echo(self, operation: str, reply: Mapping[str, Any]) -> None:
        if not self._echoed(reply):
            raise NotSealedError(not_sealed_message(operation))


@asynccontextmanager
async def open_control(
    *,
    profile: str | None,
    region: str | None,
    endpoint_url: str | None,
    ca_bundle: str | None,
    customer_key: CustomerKey | None,
) -> AsyncIterator[Control]:
    """A control plane by the AWS configuration chain; arguments go before it."""
    silence_debug_logs()
    config = AioConfig(
        signature_version="s3v4",
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        retries={"total_max_attempts": 1},
        connect_timeout=10,
        read_timeout=60,
        max_pool_connections=64,
        http_session_cls=ControlSession,
    )
    with translated("settings"):
        core = get_session()
        session = aioboto3.Session(botocore_session=core, profile_name=profile, region_name=region)
        ca_bundle = ca_bundle or core.get_config_variable("ca_bundle")
        client_context(ca_bundle)  # a bundle that cannot be read shows now
        maker = session.client("s3", endpoint_url=endpoint_url, verify=ca_bundle, config=config)
        client = await maker.__aenter__()
    silence_debug_logs()
    try:
        Server.from_url(client.meta.endpoint_url)  # refuses plain HTTP
        yield Control(session, client, profile, ca_bundle, customer_key)
    finally:
        await maker.__aexit__(None, None, None)


def _ask_once(params: dict[str, Any], **_: Any) -> None:
    """Keep botocore from taking a 400 to HEAD for another region and asking again, with the key."""
    params["context"].get("s3_redirect", {})["redirected"] = True


def _required(operation: str, reply: Mapping[str, Any], name: str) -> Any:
    """A field that no reply may lack."""
    value = reply.get(name)
    if value is None:
        raise ProtocolError(f"{operation}: the reply has no {name}")
    return value


def _seconds(moment: datetime.datetime | None) -> float:
    return moment.timestamp() if moment is not None else 0.0

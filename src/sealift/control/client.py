"""The calls of the control plane. Each is one attempt; the engine's retrier repeats them.

None of them has a use for the customer key, and none gets it.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import aioboto3
from aiobotocore.config import AioConfig
from aiobotocore.session import get_session

from sealift.control.bucket_settings import BucketSettings, teach
from sealift.control.hooks import NotSentError, keep_back, sign_again, signed_region
from sealift.control.session import ControlSession, silence_debug_logs
from sealift.control.translate import translated
from sealift.environment import chosen_region
from sealift.errors import SettingsError
from sealift.tls import client_context
from sealift.wire.address import Server, is_of_aws
from sealift.wire.identity import Identity
from sealift.wire.operations import Bucket
from sealift.wire.sigv4 import Credentials

_PROBE_NAME = "x"
_CALLER_TIMEOUT = 5.0


class Control:
    """A client for one endpoint. `identity` is whose clock its signatures follow, if anyone's."""

    def __init__(
        self, session: Any, client: Any, profile: str | None, ca_bundle: str | None
    ) -> None:
        self.ca_bundle = ca_bundle
        self._session = session
        self._profile = profile
        self._client = client
        self.identity: Identity | None = None
        client.meta.events.register("before-send.s3", self._correct_clock)
        client.meta.events.register("before-send.s3.GetObjectAcl", keep_back)

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
        path = parts.path.removesuffix(_PROBE_NAME)
        return server, Bucket(server.netloc, path, region, bucket)

    def _correct_clock(self, request: Any, **_: Any) -> None:
        """Sign again with the server's time when this machine's clock is known to be wrong."""
        if self.identity is not None and self.identity.clock_offset:
            sign_again(request, self.identity)

    async def reach(self, bucket: str) -> None:
        """A listing of no names, for a bucket that is in another region than it was looked for.

        botocore follows a redirect to the bucket's region, and remembers it for `locate`.
        """
        with translated("ListObjectsV2"):
            await self._client.list_objects_v2(Bucket=bucket, MaxKeys=0)

    def settings(self, bucket: str) -> BucketSettings:
        """What speaks of a bucket's settings."""
        return BucketSettings(self._client, bucket)

    @property
    def endpoint_url(self) -> str:
        """Where requests go that are about no bucket."""
        return str(self._client.meta.endpoint_url)

    async def source_of_credentials(self) -> str:
        """Where botocore found them, as `env`, `shared-credentials-file` or `iam-role`."""
        with translated("credentials"):
            found = await self._session.get_credentials()
        return str(getattr(found, "method", None) or "")

    async def caller(self) -> str:
        """GetCallerIdentity: the ARN of who signs. Servers that have no STS answer anything.

        A server that is not of AWS is asked itself: the credentials are none of AWS's business.
        https://docs.aws.amazon.com/STS/latest/APIReference/API_GetCallerIdentity.html
        """
        host = urlsplit(self.endpoint_url).hostname or ""
        maker = self._session.client(
            "sts",
            region_name=self._client.meta.region_name,
            endpoint_url=None if is_of_aws(host) else self.endpoint_url,
            verify=self.ca_bundle,
            config=AioConfig(
                retries={"total_max_attempts": 1},
                connect_timeout=_CALLER_TIMEOUT,
                read_timeout=_CALLER_TIMEOUT,
                http_session_cls=ControlSession,
            ),
        )
        with translated("GetCallerIdentity"):
            async with maker as client:
                silence_debug_logs()
                reply = await client.get_caller_identity()
        return str(reply.get("Arn") or "")

    async def create_bucket(self, bucket: str) -> None:
        """CreateBucket in the client's region."""
        region = self._client.meta.region_name
        params: dict[str, Any] = {}
        if region not in (None, "us-east-1", "aws-global"):
            params = {"CreateBucketConfiguration": {"LocationConstraint": region}}
        with translated("CreateBucket"):
            await self._client.create_bucket(Bucket=bucket, **params)


@asynccontextmanager
async def open_control(
    *,
    profile: str | None,
    region: str | None,
    endpoint_url: str | None,
    ca_bundle: str | None,
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
        teach(core)
        session = aioboto3.Session(
            botocore_session=core,
            profile_name=profile,
            region_name=chosen_region(region, os.environ),
        )
        ca_bundle = ca_bundle or core.get_config_variable("ca_bundle") or None
        client_context(ca_bundle)  # a bundle that cannot be read shows now
        maker = session.client("s3", endpoint_url=endpoint_url, verify=ca_bundle, config=config)
        client = await maker.__aenter__()
    silence_debug_logs()
    try:
        Server.from_url(client.meta.endpoint_url)  # refuses plain HTTP
        yield Control(session, client, profile, ca_bundle)
    finally:
        await maker.__aexit__(None, None, None)

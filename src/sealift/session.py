"""The link to one S3 endpoint: both planes, who signs, and what is put right between attempts."""

from __future__ import annotations

import math
import os
import random
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING

import anyio

from sealift.environment import DirectRoute, read_direct_route
from sealift.errors import (
    Cause,
    NetworkError,
    ObjectError,
    ReplyError,
    SealiftError,
    SettingsError,
)
from sealift.events import Noted, Reporter, Retried
from sealift.inquiry import Inquiry
from sealift.options import Options
from sealift.replies import http_seconds
from sealift.retry import Policy, Retrier
from sealift.tls import client_context
from sealift.wire.address import Server, find_proxy
from sealift.wire.bandwidth import Bandwidth
from sealift.wire.bucket import BucketClient
from sealift.wire.connection import Connection
from sealift.wire.identity import Identity
from sealift.wire.operations import Bucket
from sealift.wire.pool import Pool
from sealift.wire.sigv4 import Credentials

if TYPE_CHECKING:
    from sealift.control import Control
    from sealift.control.bucket_settings import BucketSettings

# How long the first request of a run is tried: a wrong endpoint should show at once.
FIRST_CONTACT_BUDGET = 8.0
CREDENTIALS_CHECK_INTERVAL = 60.0

# Codes by which S3 says that the bucket is in another region, besides redirects.
_ELSEWHERE = ("AuthorizationHeaderMalformed", "IllegalLocationConstraintException")


class Session:
    """Made once a run, as an async context manager; `objects` gives the client of a bucket.

    Where the environment alone says who signs and where, the control plane is not opened, unless
    the server names another region: botocore then finds the bucket.
    """

    def __init__(
        self,
        options: Options,
        reporter: Reporter,
        connection: Callable[[Bandwidth | None], Connection] = Connection,
    ) -> None:
        self._options = options
        self._reporter = reporter
        self._make_connection = connection
        self._stack = AsyncExitStack()
        self._clients: dict[str, BucketClient] = {}
        self._inquiries: dict[str, Inquiry] = {}
        rate = options.max_bandwidth
        self._bandwidth = None if rate is None else Bandwidth(rate)
        self._pools: list[Pool] = []
        self._direct: DirectRoute | None = None
        self._control: Control | None = None
        self._identity: Identity | None = None
        self._repairing = anyio.Lock()
        self._repaired_at: dict[Cause, float] = {}
        self.retrier = self.make_retrier(anyio.sleep)

    async def __aenter__(self) -> Session:
        self._direct = self._find_direct()
        if self._direct is None:
            await self._use_control()
        else:
            client_context(self._direct.ca_bundle)  # a bundle that cannot be read shows now
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._stack.aclose()

    async def objects(self, bucket: str) -> BucketClient:
        """The client of a bucket; the first call asks the server whether the settings hold.

        Raises SettingsError when they do not, before anything is touched.
        """
        client = self._clients.get(bucket)
        if client is None:
            client = self._clients[bucket] = await self._reach(bucket)
        return client

    async def explained(self, error: ObjectError, bucket: str, name: str) -> ObjectError:
        """`error`, of a request about an object, with why it was refused, if it was.

        That may cost a few requests, once a run.
        """
        client = self._clients.get(bucket)
        if client is None or not isinstance(error, ReplyError) or error.denial is None:
            return error
        inquiry = self._inquiries.get(bucket)
        if inquiry is None:
            inquiry = self._inquiries[bucket] = Inquiry(bucket, client, self.settings)
        return await inquiry.explained(error, name)

    async def settings(self, bucket: str) -> BucketSettings:
        """What speaks of a bucket's settings: the control plane, opened when it is first needed."""
        return (await self.control()).settings(bucket)

    async def control(self) -> Control:
        """The control plane, opened when it is first needed."""
        control = await self._use_control()
        control.identity = self._identity
        return control

    @property
    def request_count(self) -> int:
        """How many requests were sent, without those of the control plane."""
        return sum(pool.request_count for pool in self._pools)

    # Before anything is known to hold

    async def server(self, bucket: str | None) -> Server:
        """The server that requests about a bucket go to, or those about none."""
        if self._direct is not None and (bucket is None or self._direct.bucket(bucket)):
            return self._direct.server
        control = await self._use_control()
        if bucket is None:
            return Server.from_url(control.endpoint_url)
        return (await control.locate(bucket))[0]

    def pool(self, server: Server) -> Pool:
        """Connections to a server, closed at the end of the run."""
        direct, control = self._direct, self._control
        ca_bundle = direct.ca_bundle if direct else control.ca_bundle if control else None
        return self._make_pool(server, ca_bundle)

    async def credentials(self) -> tuple[Credentials, str]:
        """Who signs, and where that was found, in botocore's words."""
        if self._direct is not None:
            return self._direct.credentials, "env"
        control = await self._use_control()
        return await control.credentials(), await control.source_of_credentials()

    async def keep_credentials(self) -> None:
        """Renew temporary credentials for ever, before they expire; botocore knows when that is."""
        while self._control is not None:
            await anyio.sleep(CREDENTIALS_CHECK_INTERVAL)
            try:
                await self._renew_credentials(self._control)
            except SealiftError as error:
                self._reporter.emit(Noted(f"cannot renew the credentials yet: {error}"))

    # First contact

    async def _reach(self, bucket: str) -> BucketClient:
        """The client by the environment alone where it says how, else by botocore's rules."""
        direct = self._direct
        reached = None if direct is None else direct.bucket(bucket)
        if direct is not None and reached is not None:
            if self._identity is None:
                self._identity = Identity(direct.credentials)
            client = self._make_client(direct.server, reached, direct.ca_bundle, self._identity)
        else:
            client = await self._locate(bucket)
        elsewhere = await self._is_elsewhere(client, bucket)
        if elsewhere is None:
            return client
        control = await self.control()
        with _settings_checked():
            try:
                await self.brief_retrier().run(bucket, control.reach, bucket)
            except NetworkError:  # botocore cannot read what the server says
                raise elsewhere from None
        return await self._locate(bucket)  # in the region that botocore has learned by now

    async def _locate(self, bucket: str) -> BucketClient:
        control = await self._use_control()
        if self._identity is None:
            self._identity = Identity(await control.credentials())
        server, reached = await control.locate(bucket)
        return self._make_client(server, reached, control.ca_bundle, self._identity)

    async def _is_elsewhere(self, client: BucketClient, bucket: str) -> ReplyError | None:
        """See whether the settings hold; returns what the server says of another place, if it
        does."""
        with _settings_checked():
            try:
                await self._first_contact(client, bucket)
            except ReplyError as error:
                if not _names_elsewhere(error):
                    raise
                return error
        return None

    async def _first_contact(self, client: BucketClient, bucket: str) -> None:
        """A server that asks to slow down is there: it gets as long as it may take in a run."""
        try:
            await self.brief_retrier().run(bucket, client.reach)
        except ReplyError as error:
            if error.cause is not Cause.THROTTLED:
                raise
            await self.retrier.run(bucket, client.reach, failed=error)

    def _make_client(
        self, server: Server, reached: Bucket, ca_bundle: str | None, identity: Identity
    ) -> BucketClient:
        pool = self._make_pool(server, ca_bundle)
        options = self._options
        return BucketClient(
            pool,
            reached,
            identity,
            options.customer_key,
            options.encryption,
            tag_key_id=options.tag_key_id,
        )

    def _make_pool(self, server: Server, ca_bundle: str | None) -> Pool:
        pool = Pool(
            server,
            client_context(ca_bundle),
            proxy=find_proxy(server),
            deadlines=self._options.deadlines,
            bandwidth=self._bandwidth,
            connection=self._make_connection,
        )
        self._stack.callback(pool.close)
        self._pools.append(pool)
        return pool

    def _find_direct(self) -> DirectRoute | None:
        options = self._options
        return read_direct_route(
            os.environ,
            profile=options.profile,
            region=options.region,
            endpoint_url=options.endpoint_url,
            ca_bundle=options.ca_bundle,
        )

    async def _use_control(self) -> Control:
        if self._control is not None:
            return self._control
        from sealift.control import open_control  # here: it loads botocore

        options = self._options
        self._control = await self._stack.enter_async_context(
            open_control(
                profile=options.profile,
                region=options.region,
                endpoint_url=options.endpoint_url,
                ca_bundle=options.ca_bundle,
            )
        )
        return self._control

    # Between attempts

    def brief_retrier(self) -> Retrier:
        """The policy of attempts where a wrong setting should show at once."""
        budget = min(FIRST_CONTACT_BUDGET, self._options.policy.budget)
        return self.make_retrier(anyio.sleep, replace(self._options.policy, budget=budget))

    def make_retrier(
        self, sleep: Callable[[float], Awaitable[None]], policy: Policy | None = None
    ) -> Retrier:
        """What makes further attempts, with waits by `sleep`; by default as the options say."""
        return Retrier(
            policy or self._options.policy,
            clock=time.monotonic,
            sleep=sleep,
            chance=random.random,
            repair=self._repair,
            on_retry=lambda name, attempt, delay, error: self._reporter.emit(
                Retried(name, attempt, delay, error)
            ),
        )

    async def _repair(self, error: ObjectError, began: float) -> None:
        """Put right what an attempt failed on: this machine's clock, or old credentials.

        Many requests are in flight, and all of them fail: what was put right after this attempt
        `began` is right for the next one.
        """
        async with self._repairing:
            if began < self._repaired_at.get(error.cause, -math.inf):
                return
            await self._repair_now(error)
            self._repaired_at[error.cause] = time.monotonic()

    async def _repair_now(self, error: ObjectError) -> None:
        if error.cause is Cause.EXPIRED:
            try:
                await self._reload_credentials()
            except SealiftError as reason:  # the next attempt fails as this one did
                self._reporter.emit(Noted(f"cannot renew the credentials: {reason}"))
        elif error.cause is Cause.SKEWED and isinstance(error, ReplyError):
            server_time = http_seconds(error.date)
            identity = self._identity
            if server_time is None or identity is None:
                return
            identity.clock_offset = server_time - time.time()
            self._reporter.emit(
                Noted(
                    f"this machine's clock is {abs(identity.clock_offset):.0f} s off; "
                    "signing with the server's time"
                )
            )

    async def _reload_credentials(self) -> None:
        """Read the credentials anew from where they came; a program may have set others."""
        if self._control is not None:
            await self._control.reload_credentials()
            await self._renew_credentials(self._control)
            return
        direct = self._find_direct()
        if direct is not None and self._identity is not None:
            self._identity.renew(direct.credentials)

    async def _renew_credentials(self, control: Control) -> None:
        credentials = await control.credentials()
        identity = self._identity
        if identity is not None and credentials != identity.credentials:
            identity.renew(credentials)


@contextmanager
def _settings_checked() -> Iterator[None]:
    """The first contact: what goes wrong there is a matter of settings."""
    try:
        yield
    except ReplyError as error:
        if error.code == "AccessDenied":  # no right to list: the objects may be reachable
            return
        raise SettingsError(error.message, hint=error.hint) from None
    except ObjectError as error:
        raise SettingsError(error.message, hint=error.hint) from None


def _names_elsewhere(error: ReplyError) -> bool:
    return 300 <= error.status < 400 or error.code in _ELSEWHERE

"""The link to one S3 endpoint: both planes, who signs, and what is put right between attempts."""

from __future__ import annotations

import random
import time
from contextlib import AsyncExitStack
from dataclasses import replace
from types import TracebackType

import anyio

from sealift.control import Control, open_control
from sealift.errors import Cause, ObjectError, ReplyError, SealiftError, SettingsError
from sealift.events import Noted, Reporter, Retried
from sealift.options import Options
from sealift.replies import http_seconds
from sealift.retry import Policy, Retrier
from sealift.tls import client_context
from sealift.wire.address import find_proxy
from sealift.wire.bandwidth import Bandwidth
from sealift.wire.operations import Identity, ObjectClient
from sealift.wire.pool import Pool

# How long the first request of a run is tried: a wrong endpoint should show at once.
FIRST_CONTACT_BUDGET = 8.0
CREDENTIALS_CHECK_INTERVAL = 60.0


class Session:
    """Made once a run, as an async context manager; `objects` gives the data plane of a bucket."""

    def __init__(self, options: Options, reporter: Reporter) -> None:
        self._options = options
        self._reporter = reporter
        self._stack = AsyncExitStack()
        self._clients: dict[str, ObjectClient] = {}
        rate = options.max_bandwidth
        self._bandwidth = None if rate is None else Bandwidth(rate)
        self.control: Control
        self.retrier = self._make_retrier(options.policy)

    async def __aenter__(self) -> Session:
        options = self._options
        self.control = await self._stack.enter_async_context(
            open_control(
                profile=options.profile,
                region=options.region,
                endpoint_url=options.endpoint_url,
                ca_bundle=options.ca_bundle,
                customer_key=options.customer_key,
            )
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._stack.aclose()

    async def objects(self, bucket: str) -> ObjectClient:
        """The data plane of a bucket; the first call asks the server whether the settings hold.

        Raises SettingsError when they do not, before anything is touched.
        """
        known = self._clients.get(bucket)
        if known is not None:
            return known
        if self.control.identity is None:
            self.control.identity = Identity(await self.control.credentials())
        await self._first_contact(bucket)
        # botocore has learned the bucket's region by now, if it is another.
        server, reached = await self.control.locate(bucket)
        pool = Pool(
            server,
            client_context(self.control.ca_bundle),
            proxy=find_proxy(server),
            deadlines=self._options.deadlines,
            bandwidth=self._bandwidth,
        )
        self._stack.callback(pool.close)
        client = ObjectClient(pool, reached, self.control.identity, self._options.customer_key)
        self._clients[bucket] = client
        return client

    async def keep_credentials(self) -> None:
        """Renew temporary credentials for ever, before they expire; botocore knows when that is."""
        while True:
            await anyio.sleep(CREDENTIALS_CHECK_INTERVAL)
            try:
                await self._renew_credentials()
            except SealiftError as error:
                self._reporter.emit(Noted(f"cannot renew the credentials yet: {error}"))

    async def _first_contact(self, bucket: str) -> None:
        budget = min(FIRST_CONTACT_BUDGET, self._options.policy.budget)
        retrier = self._make_retrier(replace(self._options.policy, budget=budget))
        try:
            await retrier.run(bucket, self.control.reach, bucket)
        except ReplyError as error:
            if error.code == "AccessDenied":  # no right to list: the objects may be reachable
                return
            raise SettingsError(error.message, hint=error.hint) from None
        except ObjectError as error:
            raise SettingsError(error.message, hint=error.hint) from None

    def _make_retrier(self, policy: Policy) -> Retrier:
        return Retrier(
            policy,
            clock=time.monotonic,
            sleep=anyio.sleep,
            chance=random.random,
            repair=self._repair,
            on_retry=lambda name, attempt, delay, error: self._reporter.emit(
                Retried(name, attempt, delay, error)
            ),
        )

    async def _repair(self, error: ObjectError) -> None:
        """Put right what an attempt failed on: this machine's clock, or old credentials."""
        if error.cause is Cause.EXPIRED:
            await self.control.reload_credentials()
            await self._renew_credentials()
        elif error.cause is Cause.SKEWED and isinstance(error, ReplyError):
            server_time = http_seconds(error.date)
            identity = self.control.identity
            if server_time is None or identity is None:
                return
            identity.clock_offset = server_time - time.time()
            self._reporter.emit(
                Noted(
                    f"this machine's clock is {abs(identity.clock_offset):.0f} s off; "
                    "signing with the server's time"
                )
            )

    async def _renew_credentials(self) -> None:
        credentials = await self.control.credentials()
        identity = self.control.identity
        if identity is not None and credentials != identity.credentials:
            identity.renew(credentials)

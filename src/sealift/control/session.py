"""How botocore is held so that it cannot leak a customer key.

- aiohttp follows redirects by default and takes the SSE-C headers along, even to plain HTTP, so
  redirects are refused here.
- aiobotocore 2.25 connects through an HTTPS proxy with `ssl=False`: the server's certificate would
  not be checked. The connector is therefore made here, always with a verifying context.
- botocore logs whole requests at DEBUG, the customer key included: its loggers are kept above that.
"""

from __future__ import annotations

import logging
from typing import Any

import aiohttp
from aiobotocore.httpsession import AIOHTTPSession

from sealift.tls import client_context

_LOGGER_TREES = ("botocore", "aiobotocore", "aioboto3", "boto3", "aiohttp", "urllib3")


class _NoRedirects:
    """An aiohttp session that answers a redirect with the redirect itself."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def request(self, method: str, **kwargs: Any) -> aiohttp.ClientResponse:
        return await self._session.request(method, allow_redirects=False, **kwargs)


class ControlSession(AIOHTTPSession):  # type: ignore[misc] # it has no types
    """aiobotocore's HTTP session without redirects and never without certificate checks."""

    async def _get_session(self, proxy_url: str | None) -> _NoRedirects:
        return _NoRedirects(await super()._get_session(proxy_url))

    def _create_connector(self, proxy_url: str | None) -> aiohttp.TCPConnector:  # noqa: ARG002
        ca_bundle = self._verify if isinstance(self._verify, str) else None
        return aiohttp.TCPConnector(
            limit=self._max_pool_connections,
            ssl=client_context(ca_bundle),
            **self._connector_args,
        )


class _NoDebug(logging.Filter):
    """Drops what botocore says at DEBUG."""

    def filter(self, record: logging.LogRecord) -> bool:
        return record.levelno >= logging.INFO


_NO_DEBUG = _NoDebug()


def silence_debug_logs() -> None:
    """Keep DEBUG records of the whole botocore tree away from every handler.

    The level of the tree's roots stops what inherits it, the filter on each logger what was given a
    level of its own. Call it again after a client was made: botocore imports modules late.
    """
    for root in _LOGGER_TREES:
        logger = logging.getLogger(root)
        if logger.level < logging.INFO:
            logger.setLevel(logging.INFO)
    for name in list(logging.root.manager.loggerDict):
        if name.partition(".")[0] in _LOGGER_TREES:
            logging.getLogger(name).addFilter(_NO_DEBUG)

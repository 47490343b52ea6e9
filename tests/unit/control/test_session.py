"""botocore follows no redirect, checks every certificate, and logs nothing at DEBUG."""

from __future__ import annotations

import logging
import ssl
from collections.abc import Iterator
from typing import Any

import anyio
import pytest
from aiobotocore.httpsession import AIOHTTPSession

from sealift.control import session as module
from sealift.control.session import ControlSession, silence_debug_logs

NAMES = ("botocore", "botocore.endpoint", "botocore.sealift_test", "aiobotocore.x", "boto3.x",
         "aioboto3.x", "aiohttp.client", "urllib3.connectionpool")  # fmt: skip


@pytest.fixture
def loud() -> Iterator[list[logging.LogRecord]]:
    """All loggers at DEBUG, those of botocore by levels of their own too; what handlers got."""
    got: list[logging.LogRecord] = []

    class Collector(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            got.append(record)

    collector = Collector()
    loggers = [logging.getLogger(name) for name in (None, *NAMES)]
    before = [(logger, logger.level, list(logger.filters)) for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.DEBUG)
        logger.addHandler(collector)
    yield got
    for logger, level, filters in before:
        logger.setLevel(level)
        logger.filters[:] = filters
        logger.removeHandler(collector)


def test_debug_records_of_botocore_reach_no_handler(loud: list[logging.LogRecord]) -> None:
    silence_debug_logs()
    for name in NAMES:
        logging.getLogger(name).debug("with the %s", "customer key")
        logging.getLogger(name).log(logging.DEBUG - 5, "deeper")
    assert loud == []


def test_levels_set_later_do_not_undo_it(loud: list[logging.LogRecord]) -> None:
    silence_debug_logs()
    for name in NAMES:
        logging.getLogger(name).setLevel(logging.DEBUG)
        logging.getLogger(name).debug("x")
    assert loud == []


def test_loggers_made_later_inherit_the_level(loud: list[logging.LogRecord]) -> None:
    silence_debug_logs()
    logging.getLogger("botocore.made_later.deeper").debug("x")
    assert loud == []


def test_warnings_and_other_loggers_are_heard(loud: list[logging.LogRecord]) -> None:
    silence_debug_logs()
    logging.getLogger("botocore.endpoint").warning("w")
    logging.getLogger("sealift.test").debug("ours")
    messages = {record.getMessage() for record in loud}
    assert messages == {"w", "ours"}


def test_does_not_grow_when_called_again() -> None:
    for _ in range(3):
        silence_debug_logs()
    filters = logging.getLogger("botocore.endpoint").filters
    assert sum(isinstance(entry, module._NoDebug) for entry in filters) <= 1


def test_case_28_redirects_are_not_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, Any]] = []

    class Inner:
        async def request(self, method: str, **options: Any) -> str:
            asked.append({"method": method, **options})
            return "reply"

    async def inner_session(self: object, proxy_url: str | None) -> Inner:
        return Inner()

    monkeypatch.setattr(AIOHTTPSession, "_get_session", inner_session)

    async def main() -> None:
        session = await ControlSession()._get_session(None)
        assert await session.request("PUT", url="https://h/") == "reply"

    anyio.run(main)
    assert asked == [{"method": "PUT", "url": "https://h/", "allow_redirects": False}]


@pytest.mark.parametrize("proxy", [None, "http://proxy:3128"])
@pytest.mark.parametrize("verify", [True, False, None])
def test_certificates_are_checked_through_a_proxy_too(
    proxy: str | None, verify: bool | None
) -> None:
    async def main() -> None:
        connector = ControlSession(verify=verify)._create_connector(proxy)
        try:
            context = connector._ssl
            assert isinstance(context, ssl.SSLContext)
            assert context.verify_mode is ssl.CERT_REQUIRED
            assert context.check_hostname
        finally:
            await connector.close()

    anyio.run(main)

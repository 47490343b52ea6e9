"""Every async test of this directory runs on asyncio's own loop and on uvloop."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from tests.faults import FaultServer
from tests.kit import BACKENDS, Certificate

from sealift.wire import pool as pool_module

BODY = bytes(range(256)) * 256  # 64 KiB


@pytest.fixture(params=BACKENDS, ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return Certificate.make(tmp_path_factory.mktemp("certificate"))


@pytest.fixture
def server(certificate: Certificate) -> Iterator[FaultServer]:
    with FaultServer(certificate) as running:
        running.store("x", BODY)
        yield running


@pytest.fixture
def quick_watch(monkeypatch: pytest.MonkeyPatch) -> None:
    """The watchdog looks ten times as often, so that stalls show in tenths of a second."""
    monkeypatch.setattr(pool_module, "CHECK_INTERVAL", 0.1)

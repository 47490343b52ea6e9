from __future__ import annotations

import pytest

from sealift.keys import CustomerKey

RAW = bytes(range(32))


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def customer_key() -> CustomerKey:
    return CustomerKey(RAW)

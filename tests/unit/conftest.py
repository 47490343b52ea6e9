from __future__ import annotations

from pathlib import Path

import pytest
from tests.unit.journals import State

from sealift.keys import CustomerKey

RAW = bytes(range(32))


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def customer_key() -> CustomerKey:
    return CustomerKey(RAW)


@pytest.fixture
def state(tmp_path: Path) -> State:
    """A state directory for journals."""
    return State(tmp_path / "state")

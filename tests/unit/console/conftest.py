from __future__ import annotations

from collections.abc import Callable

import pytest

from sealift.model import Direction, Job, Location


class FakeClock:
    """A clock that moves when told."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def make_job() -> Callable[..., Job]:
    def make(name: str = "a.bin", size: int = 1000, moved: int = 0) -> Job:
        return Job(Direction.DOWN, Location("bucket", f"p/{name}"), name, size, moved=moved)

    return make

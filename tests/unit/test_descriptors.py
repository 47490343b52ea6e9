"""The limit of open files, raised where that is allowed and kept to where it is not."""

from __future__ import annotations

import resource
from collections.abc import Iterator

import pytest

from sealift.descriptors import WANTED, files_at_once, idle_directories, raise_limit, worker_limit
from sealift.files.disk import THREAD_COUNT
from sealift.options import ADAPTIVE_CEILING, MAX_CONCURRENCY
from sealift.schedule import BATCH_COUNT


@pytest.fixture(autouse=True)
def limits() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def allow(soft: int) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_the_limit_is_raised_and_never_lowered() -> None:
    allow(256)
    raise_limit()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert soft == (WANTED if hard == resource.RLIM_INFINITY else min(WANTED, hard))
    if hard > WANTED:
        allow(WANTED + 1)
        raise_limit()
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == WANTED + 1


@pytest.mark.parametrize(("soft", "workers"), [(128, 1), (256, 32), (1024, 288)])
def test_workers_fit_below_the_limit(soft: int, workers: int) -> None:
    allow(soft)
    assert worker_limit() == workers


def test_usual_limits_are_enough() -> None:
    allow(1024)
    assert (worker_limit() or 0) >= ADAPTIVE_CEILING
    allow(WANTED)
    assert (worker_limit() or 0) >= MAX_CONCURRENCY


@pytest.mark.parametrize(
    ("soft", "workers", "files"), [(64, 1, 1), (256, 32, 1), (256, 8, 5), (1024, 256, 7)]
)
def test_batches_fit_below_the_limit(soft: int, workers: int, files: int) -> None:
    allow(soft)
    assert files_at_once(workers, 8) == files


def test_a_whole_batch_fits_below_the_wanted_limit() -> None:
    allow(WANTED)
    assert files_at_once(ADAPTIVE_CEILING, THREAD_COUNT) >= BATCH_COUNT


@pytest.mark.parametrize(("soft", "directories"), [(64, 8), (1024, 64)])
def test_idle_directories_leave_the_most(soft: int, directories: int) -> None:
    allow(soft)
    assert idle_directories(64) == directories

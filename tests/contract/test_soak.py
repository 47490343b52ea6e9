"""A short soak; `make soak` has longer ones."""

from __future__ import annotations

from pathlib import Path

from tests.soak.rounds import Soak

from sealift.embedded import S3Server

SECONDS = 25.0
# Three times the faults of a long soak: it has little time to meet them.
RATE = 0.1


def test_nothing_is_lost_and_nothing_left_over(server: S3Server, tmp_path: Path) -> None:
    soak = Soak(server, tmp_path, seed=7, rate=RATE)

    soak.run(SECONDS)

    assert soak.summary.rounds > 0
    assert soak.summary.faults.total() > 0
    print(soak.summary)

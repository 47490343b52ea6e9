"""Syncs killed at random times while their source changes; `python -m tests.kills` does more."""

from __future__ import annotations

from tests.contract.site import Site
from tests.kills.soak import SoakDown, SoakUp

KILLS = 6


def test_case_12_syncs_up_that_are_killed_at_random_lose_nothing(site: Site) -> None:
    soaked = SoakUp(site, "up", seed=12).run(KILLS)
    assert soaked.kills == KILLS
    assert soaked.objects


def test_case_13_syncs_down_that_are_killed_at_random_lose_nothing(site: Site) -> None:
    soaked = SoakDown(site, "down", seed=13).run(KILLS)
    assert soaked.kills == KILLS
    assert soaked.objects

"""A name that another one is in the way of is told before it is asked for, at any distance."""

from __future__ import annotations

import os

import pytest
from tests.faults import Delay, Match
from tests.kit import KEY

from sealift.errors import UnsafeNameError
from sealift.model import Location

from .conftest import Site

pytestmark = pytest.mark.anyio
PAGE = 1000


@pytest.mark.parametrize("command", ["copy", "restore", "sync"])
async def test_case_34_names_far_apart_in_a_listing_whatever_arrives_first(
    site: Site, command: str
) -> None:
    between = [f"d-{number:04}" for number in range(PAGE + 1)]
    for name in ("d", "d/x", *between):
        site.server.store(f"p/{name}", name.encode(), customer_key=KEY)
    site.server.script(Match(operation="GetObject", name="p/d"), Delay(0.2))

    async with site.engine() as engine:
        if command == "restore":
            await engine.restore(Location("bucket", "p/"), str(site.out))
        elif command == "copy":
            await engine.copy("s3://bucket/p/", str(site.out))
        else:
            await engine.sync("s3://bucket/p/", str(site.out))

    (refused,) = site.record.failed.values()
    assert isinstance(refused, UnsafeNameError)
    assert "d is a file where this name needs a directory" in str(refused)
    assert sorted(os.listdir(site.out)) == sorted(["d", *between])
    asked = [sent.name for sent in site.server.seen("GetObject")]
    assert sorted(asked) == sorted(f"p/{name}" for name in ("d", *between))

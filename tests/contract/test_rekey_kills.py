"""Rekeys that are killed: each object is whole under exactly one of the two keys, at any time.

The kills come at system calls spread over the whole run, so also between a write and what is to
come after it. The same command, run again, ends with all under the new key, and leaves nothing.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator

import pytest
from tests.contract.rekeys import Keys
from tests.contract.site import PART_SIZE, Site, noise
from tests.kills.boundaries import can_count
from tests.kills.nursery import Ended, Nursery

pytestmark = pytest.mark.skipif(not can_count(), reason="calls are numbered for x86-64 Linux")

KILLS = 4
# The share of a run's calls after which it only ends.
AT_WORK = 0.85
# Seconds that the last request of a killed run may take to end.
SETTLE_TIME = 2.0
BODIES = {
    "empty": b"", "large": noise(PART_SIZE + 1), "d/small": b"small", "d/tagged": noise(3000),
    "tagged": noise(PART_SIZE + 7),
}  # fmt: skip
TAGS = {"a": "b c"}


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    with Nursery() as made:
        yield made


class Runs:
    """Runs of one command, each with what its prefix holds made before."""

    def __init__(self, site: Site, nursery: Nursery) -> None:
        self.site = site
        self.keys = Keys(site)
        self._nursery = nursery
        new = base64.b64encode(self.keys.raw["new"]).decode()
        self.environment = site.environment(
            SSE_CUSTOMER_KEY_BASE64_NEW=new, XDG_STATE_HOME=str(site.work.parent / "state")
        )

    def store(self, prefix: str, seal: str) -> None:
        for name, body in BODIES.items():
            tagging = {"Tagging": "a=b%20c"} if "tagged" in name else {}
            self.keys.put(prefix + name, body, seal, Metadata={"mtime": "1.5"}, **tagging)

    def run(self, prefix: str, source: str, kill_at: int = 0) -> Ended:
        old = source if source == "none" else self.keys.id("old")
        words = ("rekey", self.site.uri(prefix), "--from-key", old, "--to-key", self.keys.id("new"))
        return self.cli(*words, "--part-size", "5MiB", kill_at=kill_at)

    def cli(self, *words: str, kill_at: int = 0) -> Ended:
        return self._nursery.run(words, self.site.work.parent, self.environment, kill_at)

    def check_whole(self, prefix: str, old: str) -> int:
        """Each object is there under exactly one of both; returns how many under the new one."""
        moved = 0
        for name, body in BODIES.items():
            found = [self.keys.read(prefix + name, seal) for seal in (old, "new")]
            assert found in ([body, None], [None, body]), name
            moved += found[1] is not None
        return moved

    def check_done(self, prefix: str, old: str) -> None:
        assert self.check_whole(prefix, old) == len(BODIES)
        site, keys = self.site, self.keys
        for name in BODIES:
            assert keys.read(prefix + name, "none") is None
            assert keys.head(prefix + name)["Metadata"]["mtime"] == "1.5"
            assert keys.tags(prefix + name) == (TAGS if "tagged" in name else {})
        assert {name for name in site.names() if name.startswith(prefix)} == {
            prefix + name for name in BODIES
        }
        assert site.uploads() == []


@pytest.mark.parametrize("old", ["old", "none"])
def test_a_rekey_that_is_killed_at_any_time_loses_nothing(
    site: Site, nursery: Nursery, old: str
) -> None:
    runs = Runs(site, nursery)
    runs.store("whole/", old)
    whole = runs.run("whole/", old, kill_at=10**9)  # counted, never killed
    assert whole.status == 0, whole
    runs.check_done("whole/", old)
    count, partial = len(whole.calls), set[int]()

    for number in range(1, KILLS + 1):
        prefix = f"p{number}/"
        runs.store(prefix, old)
        ended = runs.run(prefix, old, kill_at=int(number * count * AT_WORK / KILLS))
        assert ended.is_killed or number == KILLS, ended
        time.sleep(SETTLE_TIME)
        partial.add(runs.check_whole(prefix, old))
        ended = runs.run(prefix, old)
        assert ended.status == 0, ended.stderr
        runs.check_done(prefix, old)

    assert len(partial) > 1  # some kills came amid the work
    assert runs.cli("jobs").stdout == ""


@pytest.mark.parametrize("server", ["ceph"], indirect=True)  # which does not copy by itself
def test_what_a_killed_rekey_left_can_be_listed_and_given_up(site: Site, nursery: Nursery) -> None:
    runs = Runs(site, nursery)
    body = noise(4 * PART_SIZE)
    runs.keys.put("p/large", body, "kms")
    words = ("rekey", site.uri("p/"), "--from-key", "kms", "--to-key", runs.keys.id("new"))
    slow = ("--part-size", "5MiB", "--max-bandwidth", "2MiB")
    with site.start(*words, *slow, env=runs.environment) as child:
        while not site.uploads():
            assert child.poll() is None, site.ended(child)
            time.sleep(0.02)
        child.kill()
        site.ended(child)
    assert runs.keys.read("p/large", "kms") == body

    assert f"rekey {site.uri('p/')}" in runs.cli("jobs").stdout
    assert runs.cli("clean").status == 0

    assert site.uploads() == []
    assert runs.cli("jobs").stdout == ""
    assert runs.keys.read("p/large", "kms") == body
    assert runs.cli(*words).status == 0
    assert runs.keys.read("p/large") == body
    assert site.names() == ["p/large"]

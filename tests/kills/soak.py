"""Kills syncs at random times against a real server, while their source changes, and compares."""

from __future__ import annotations

import random
import signal
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.contract.site import PART_SIZE, Site, read_tree
from tests.kills.traces import files_below, files_with_key, temporary_files

# Between two full checks.
CHECK_EVERY = 20
SMALL_COUNT = 24
LARGE_COUNT = 3
# The share of kills that come when the run is at work, not somewhere from its start on.
AT_WORK = 0.75
# Seconds that a request of a killed run may take to end: until then the source stays as it is, for
# an object that is stored after its file was changed looks newer than the file.
SETTLE_TIME = 0.1
OPTIONS = ("--part-size", "5MiB", "--quiet")


@dataclass(slots=True)
class Soaked:
    """What a soak came to; objects and bytes are those compared at the checks."""

    title: str
    kills: int = 0
    at_work: int = 0
    runs: int = 0
    checks: int = 0
    objects: int = 0
    size: int = 0

    def __str__(self) -> str:
        return (
            f"{self.title}: {self.kills} kills, {self.at_work} of them amid transfers, "
            f"in {self.runs} runs; {self.checks} checks of {self.objects} objects, "
            f"{self.size / 2**20:.0f} MiB, lost 0"
        )


class Soak:
    """Kills of one command; `content` is what the source has by now, by relative names."""

    def __init__(self, site: Site, title: str, seed: int) -> None:
        self.site = site
        self.content: dict[str, bytes] = {}
        self.soaked = Soaked(title)
        self.chance = random.Random(seed)
        self._state = Path(site.environment()["XDG_STATE_HOME"])
        # Seconds that a run takes, and of these from its first object on: of the last one.
        self._whole_time, self._work_time = 1.0, 0.5

    # What the two directions are

    def words(self) -> tuple[str, ...]:
        """The command that is killed."""
        raise NotImplementedError

    def write(self, name: str, content: bytes | None) -> None:
        """Let the source have this content, None: not have it."""
        raise NotImplementedError

    def copies(self) -> Mapping[str, bytes]:
        """What the destination has."""
        raise NotImplementedError

    # What they share

    def run(self, count: int) -> Soaked:
        """Kill `count` times; AssertionError when anything is lost or left."""
        for number in range(SMALL_COUNT):
            self._change(f"d{number % 4}/small{number}")
        for number in range(LARGE_COUNT):
            self._change(f"large{number}")
        self._finish()
        self._change_some(at_least=LARGE_COUNT)
        while self.soaked.kills < count:
            if self._is_killed():
                self.soaked.kills += 1
                if self.soaked.kills % CHECK_EVERY == 0:
                    self._check()
                time.sleep(SETTLE_TIME)
                self._change_some(at_least=self.chance.choice((0, 3)))
            else:
                self._change_some(at_least=3)
        if count % CHECK_EVERY:
            self._check()
        return self.soaked

    def _is_killed(self) -> bool:
        """Run the command and kill it; False when it came to its end before."""
        self.soaked.runs += 1
        left = self._journals()
        waits = self.chance.random() < AT_WORK
        delay = self.chance.random()
        with self.site.start(*self.words(), *OPTIONS) as child:
            began = time.monotonic()
            while waits and child.poll() is None and self._journals() <= left:
                time.sleep(0.002)
            start, begun = time.monotonic(), self._journals() - left
            try:
                child.wait(delay * (self._work_time if waits else self._whole_time))
            except subprocess.TimeoutExpired:
                child.kill()
            ended = self.site.ended(child)
        if ended.status == -signal.SIGKILL:
            self.soaked.at_work += bool(begun or self._journals() - left)
            return True
        assert ended.status == 0, ended
        if waits:
            self._work_time = time.monotonic() - start
            self._whole_time = time.monotonic() - began
        return False

    def _journals(self) -> set[str]:
        """Of runs that are at work, or were killed at it."""
        return {path.name for path in self._state.glob("sealift/journal/*.sqlite3")}

    def _finish(self) -> None:
        self.soaked.runs += 1
        ended = self.site.cli(*self.words(), *OPTIONS)
        assert ended.status == 0, ended

    def _check(self) -> None:
        """Run to the end; then both sides are equal, and nothing else is left."""
        self._finish()
        self.soaked.checks += 1
        copies = self.copies()
        assert sorted(copies) == sorted(self.content)
        for name, content in self.content.items():
            assert copies[name] == content, f"{name} differs"
        self.soaked.objects += len(copies)
        self.soaked.size += sum(len(content) for content in copies.values())
        assert self.site.uploads() == []
        assert temporary_files(self.site.work) == []
        assert files_below(self._state / "sealift" / "journal") == []
        assert self.site.cli("jobs", "--json").stdout == ""
        key = self.site.seal["SSECustomerKey"]
        assert files_with_key(key, files_below(self.site.work, self._state)) == []

    def _change_some(self, at_least: int) -> None:
        """Change, add and remove at the source: nothing, now and then, if that is enough."""
        for _ in range(self.chance.randint(at_least, at_least + 2)):
            names = sorted(self.content)
            name = self.chance.choice(names + names[-LARGE_COUNT:] * 4)
            if self.chance.random() < 0.1 and not name.startswith("large"):
                self.write(name, None)
                del self.content[name]
                self._change(f"d{self.chance.randrange(4)}/more{self.chance.randrange(1000)}")
            else:
                self._change(name)

    def _change(self, name: str) -> None:
        """Write something new there, half of the time as large as what was there."""
        large = name.startswith("large")
        start, end = (PART_SIZE + 1, 2 * PART_SIZE + 100_000) if large else (0, 100_000)
        size = self.chance.randint(start, end)
        if name in self.content and self.chance.random() < 0.5:
            size = len(self.content[name])
        self.content[name] = self.chance.randbytes(size)
        self.write(name, self.content[name])


class SoakUp(Soak):
    """A directory goes up, what is removed from it is removed there."""

    def words(self) -> tuple[str, ...]:
        return ("sync", "tree", self.site.uri("p"), "--delete")

    def write(self, name: str, content: bytes | None) -> None:
        path = self.site.work / "tree" / name
        if content is None:
            path.unlink()
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    def copies(self) -> dict[str, bytes]:
        return {name.removeprefix("p/"): self.site.boto_get(name) for name in self.site.names()}


class SoakDown(Soak):
    """A prefix comes down into one directory by sync, now and then into another by restore."""

    def words(self) -> tuple[str, ...]:
        if self.chance.random() < 0.3:
            return ("restore", self.site.uri("p/"), "back")
        return ("sync", self.site.uri("p"), "tree", "--delete")

    def write(self, name: str, content: bytes | None) -> None:
        if content is None:
            self.site.boto.delete_object(Bucket=self.site.bucket, Key=f"p/{name}")
        else:
            self.site.boto_put(f"p/{name}", content)

    def copies(self) -> dict[str, bytes]:
        return read_tree(self.site.work / "tree")

    def _finish(self) -> None:
        """Both commands; restore removes nothing, so there may be more in its directory."""
        for words in (
            ("restore", self.site.uri("p/"), "back"),
            ("sync", self.site.uri("p"), "tree", "--delete"),
        ):
            self.soaked.runs += 1
            ended = self.site.cli(*words, *OPTIONS)
            assert ended.status == 0, ended
        back = read_tree(self.site.work / "back")
        for name, content in self.content.items():
            assert back[name] == content, f"{name} differs"

"""`sealift bench` on real servers: it measures, recommends, and leaves nothing behind."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sized
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest
from tests.contract.site import PART_SIZE, Site, wait_for

from sealift.bench.cells import Cell, Plan
from sealift.bench.objects import LEFTOVER_AGE
from sealift.bench.results import Result, read_run
from sealift.bench.sweep import sweep

# Small, by one request and in parts, up and down.
TINY = (
    "--sizes", "4KiB,6MiB", "--concurrencies", "1,3", "--part-sizes", "5MiB", "--seconds", "0.5",
)  # fmt: skip
SLOWLY = ("--max-bandwidth", "4MiB")
TIMEOUT = 120.0


class Notes:
    """A display that keeps the notes, and what was measured."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.results: list[Result] = []

    def reached(self, scope: str) -> None: ...

    def begin(self, cell: Cell) -> None: ...

    def end(self, result: Result) -> None:
        self.results.append(result)

    def note(self, text: str) -> None:
        self.notes.append(text)


@pytest.fixture
def children() -> Iterator[list[subprocess.Popen[bytes]]]:
    """Children that are gone at the end, whatever happens."""
    started: list[subprocess.Popen[bytes]] = []
    yield started
    for child in started:
        child.kill()
        child.communicate()


def _more_than(found: Callable[[], Sized], before: int) -> bool:
    return len(found()) > before


def measure(site: Site, plan: Plan, **options: Any) -> Notes:
    """A sweep within this process."""
    notes = Notes()
    anyio.run(lambda: sweep(site.options(), site.location("p/"), plan, notes, **options))
    return notes


def test_it_measures_and_leaves_nothing(
    site: Site, children: list[subprocess.Popen[bytes]]
) -> None:
    files = ("--report", "report.html", "--save-json", "run.json", "--save")
    children.append(site.start("bench", site.uri("p"), "--json", *TINY, *files))
    out, err = children[0].communicate(timeout=TIMEOUT)
    assert (children[0].returncode, err) == (0, b"")
    lines = out.decode().splitlines()
    run = read_run(lines, "stdout")
    assert len(run.results) == run.setting.cell_count == 12
    for result in run.results:
        assert result.rate > 0, result
        assert result.request or result.cell.part_size  # MiniStack takes long for a part
        assert result.failed_count == 0
    assert json.loads(lines[-1])["event"] == "advice"
    assert Path("run.json").read_text().splitlines() == lines
    assert "</html>" in Path("report.html").read_text()
    assert site.names() == []
    assert site.uploads() == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
def test_an_interrupt_leaves_nothing(
    site: Site, children: list[subprocess.Popen[bytes]], number: int
) -> None:
    children.append(
        site.start(
            "bench", site.uri(), "--sizes", "64KiB,12MiB", "--part-sizes", "5MiB",
            "--concurrencies", "8", "--max-bandwidth", "8MiB", "--seconds", "30",
        )
    )  # fmt: skip
    wait_for(site.names, children[0])
    children[0].send_signal(number)
    _, err = children[0].communicate(timeout=TIMEOUT)
    assert children[0].returncode == 130
    assert "interrupted; what it had stored was removed" in err.decode()
    assert site.names() == []
    assert site.uploads() == []


def test_an_interrupt_aborts_uploads(site: Site, children: list[subprocess.Popen[bytes]]) -> None:
    children.append(
        site.start(
            "bench", site.uri(), "--sizes", "40MiB", "--part-sizes", "5MiB", "--seconds", "30",
            "--concurrencies", "2", "--max-bandwidth", "4MiB",
        )
    )  # fmt: skip
    wait_for(site.uploads, children[0])
    children[0].send_signal(signal.SIGINT)
    children[0].communicate(timeout=TIMEOUT)
    assert children[0].returncode == 130
    assert site.uploads() == []
    assert site.names() == []


def test_what_a_killed_run_left_goes_after_a_day(
    site: Site, children: list[subprocess.Popen[bytes]]
) -> None:
    others = ["p/.sealift-bench-x/kept", "p/.sealift-bench-0123456789abcdeg/kept", "p/x",
              ".sealift-bench-0123456789abcdef/of another place"]  # fmt: skip
    for name in others:
        site.boto_put(name, b"kept")
    command = ("bench", site.uri("p/"), "--seconds", "30", "--concurrencies", "2")
    for sizes, begun in (("64KiB", site.names), ("40MiB", site.uploads)):
        before = len(begun())
        children.append(
            site.start(
                *command, "--sizes", sizes, "--part-sizes", "5MiB", "--max-bandwidth", "4MiB"
            )
        )
        wait_for(partial(_more_than, begun, before), children[-1])
        children[-1].kill()
        children[-1].wait()
    left = set(site.names()) - set(others)
    assert left
    assert site.uploads()
    brief = Plan((1024,), (1,), (PART_SIZE,), 0.1)

    young = measure(site, brief)

    assert len([note for note in young.notes if "left alone" in note]) == 2
    assert left <= set(site.names())
    assert site.uploads()

    old = measure(site, brief, now=lambda: time.time() + LEFTOVER_AGE + 60)

    assert len([note for note in old.notes if note.endswith("of a run that died; removed")]) == 2
    assert all("p/.sealift-bench-" in note for note in old.notes)
    assert sorted(site.names()) == sorted(others)
    assert site.uploads() == []


def test_no_version_is_left(site: Site) -> None:
    site.boto.put_bucket_versioning(
        Bucket=site.bucket, VersioningConfiguration={"Status": "Enabled"}
    )
    plan = Plan((1024, 6 * 1024 * 1024), (2,), (PART_SIZE,), 0.5)

    notes = measure(site, plan)

    assert notes.results
    found = site.boto.list_object_versions(Bucket=site.bucket)
    assert not found.get("Versions")
    assert not found.get("DeleteMarkers")


def test_no_version_of_a_killed_run_is_left(site: Site) -> None:
    site.boto.put_bucket_versioning(
        Bucket=site.bucket, VersioningConfiguration={"Status": "Enabled"}
    )
    for name in ("one", "one", "two"):
        site.boto_put(f"p/.sealift-bench-0123456789abcdef/{name}", b"left")
    site.boto_put("p/kept", b"kept")

    notes = measure(
        site, Plan((1024,), (1,), (PART_SIZE,), 0.1), now=lambda: time.time() + LEFTOVER_AGE + 60
    )

    assert "of a run that died; removed" in notes.notes[0]
    found = site.boto.list_object_versions(Bucket=site.bucket)
    assert [version["Key"] for version in found["Versions"]] == ["p/kept"]
    assert not found.get("DeleteMarkers")

"""Ctrl-C and SIGTERM in the middle of a transfer: it ends at once and leaves nothing behind."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from botocore.exceptions import ClientError
from tests.contract.site import PART_SIZE, Ended, Site, make_tree, noise, read_tree, wait_for

# The promise is 2 s; what is measured has the scheduling of a busy machine in it.
END_TIME = 2.0 + 0.5
SLOW = ("--max-bandwidth", "2MiB", "--part-size", "5MiB")
SIZE = 5 * PART_SIZE
SIGNALS = pytest.mark.parametrize(
    "number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"]
)

Start = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture
def start(site: Site) -> Iterator[Start]:
    """`Site.start` whose children are gone at the end, whatever happens."""
    children: list[subprocess.Popen[bytes]] = []

    def start_one(*arguments: object) -> subprocess.Popen[bytes]:
        children.append(site.start(*arguments))
        return children[-1]

    yield start_one
    for child in children:
        child.kill()
        child.communicate()


def interrupted(site: Site, child: subprocess.Popen[bytes], number: int) -> Ended:
    """Send the signal; the command ends with 130 in time."""
    began = time.monotonic()
    child.send_signal(number)
    ended = site.ended(child)
    took = time.monotonic() - began
    assert ended.status == 130, ended
    assert took < END_TIME, ended
    return ended


def has_parts(site: Site) -> bool:
    """Whether the server has a part of an unfinished upload of the bucket."""
    for upload in site.uploads():
        # One that was only made to see what the server keeps may be gone again.
        with contextlib.suppress(ClientError):
            listed = site.boto.list_parts(
                Bucket=site.bucket, Key=upload["Key"], UploadId=upload["UploadId"]
            )
            if listed.get("Parts"):
                return True
    return False


def unfinished(directory: Path) -> list[Path]:
    """Temporary files that hold something."""
    return [path for path in directory.rglob(".sealift-*.tmp") if path.stat().st_size]


@SIGNALS
def test_upload(site: Site, start: Start, number: int) -> None:
    (site.work / "large").write_bytes(noise(SIZE))
    child = start("cp", "large", site.uri(), "--memory", "200MiB", "-j", "1", *SLOW)
    wait_for(lambda: has_parts(site), child)

    ended = interrupted(site, child, number)

    assert ended.stdout == ""
    assert "interrupted" in ended.stderr
    assert len(site.uploads()) == 1
    assert site.names() == []

    assert not site.copy("large", site.uri()).failed
    assert site.uploads() == []
    assert site.boto_get("large") == noise(SIZE)


def test_clean_drops_what_was_kept(site: Site, start: Start) -> None:
    (site.work / "large").write_bytes(noise(SIZE))
    others = site.boto.create_multipart_upload(Bucket=site.bucket, Key="large")["UploadId"]
    child = start("cp", "large", site.uri(), "--memory", "200MiB", "-j", "1", *SLOW)
    wait_for(lambda: has_parts(site), child)
    interrupted(site, child, signal.SIGINT)
    (job,) = [json.loads(line) for line in site.cli("jobs", "--json").stdout.splitlines()]
    assert [upload["name"] for upload in job["uploads"]] == ["large"]

    assert site.cli("clean", "--older-than", "1d").status == 0
    assert len(site.uploads()) == 2
    ended = site.cli("clean")

    assert ended.status == 0, ended
    assert "aborted the upload of large" in ended.stdout
    assert [upload["UploadId"] for upload in site.uploads()] == [others]
    assert site.cli("jobs").stdout == ""


@SIGNALS
def test_restore(site: Site, start: Start, number: int) -> None:
    site.boto_put("p/large", noise(SIZE))
    make_tree(site.work / "back", {"large": b"older"})
    child = start("restore", site.uri("p/"), "back", "--json", *SLOW)
    wait_for(lambda: unfinished(site.work / "back"), child)

    ended = interrupted(site, child, number)

    summary = json.loads(ended.stdout.splitlines()[-1])
    assert (summary["event"], summary["status"]) == ("summary", "interrupted")
    assert (site.work / "back" / "large").read_bytes() == b"older"

    ended = site.cli("resume")

    assert ended.status == 0, ended
    assert read_tree(site.work) == {"back/large": noise(SIZE)}
    assert site.cli("jobs").stdout == ""


def test_tree_of_small_and_large_files_can_be_done_again(site: Site, start: Start) -> None:
    files = {f"small-{index:03}": noise(64 * 1024, index) for index in range(40)}
    files |= {f"z-large-{index}": noise(PART_SIZE + 1, index) for index in range(2)}
    make_tree(site.work / "tree", files)
    child = start("cp", "tree/", site.uri(), *SLOW)
    wait_for(site.names, child)

    interrupted(site, child, signal.SIGINT)

    for name in site.names():
        assert site.boto_get(name) == files[name]
    assert not site.copy("tree/", site.uri()).failed
    assert site.names() == sorted(files)
    assert site.uploads() == []


@pytest.mark.parametrize("count", [1, 40])
def test_uploads_that_are_just_being_created(site: Site, start: Start, count: int) -> None:
    """The server may have created an upload whose id has not come back yet."""
    large = site.work / "tree" / "0"
    make_tree(site.work / "tree", {"0": noise(PART_SIZE + 1)})
    for index in range(1, count):
        os.link(large, large.with_name(f"{index}"))
    child = start("cp", "tree/", site.uri(), *SLOW)
    wait_for(site.uploads, child)

    interrupted(site, child, signal.SIGINT)

    assert site.names() == []
    assert site.cli("clean").status == 0
    assert site.uploads() == []

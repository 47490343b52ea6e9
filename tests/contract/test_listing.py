"""Listings longer than a page, `ls` and `stat` for people and for programs."""

from __future__ import annotations

import json
import os
import re

import anyio
import pytest
from tests.contract.site import PART_SIZE, Site, make_tree, noise, read_tree

from sealift import remote, sync
from sealift.engine import Engine
from sealift.events import Silent
from sealift.options import Options
from sealift.session import Session
from sealift.wire.listing import Page
from sealift.wire.pages import ListingClient


def json_lines(text: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in text.splitlines()]


def test_case_40_more_objects_than_a_page_holds(site: Site) -> None:
    """One page holds 1,000."""
    flat = [f"{index:04}" for index in range(1003)]
    files = {name: name[-1:].encode() for name in [*flat, "d0/x", "d1/x", "d1/y"]}
    tree = make_tree(site.work / "tree", files)

    up = site.copy(f"{tree}/", site.uri())
    shown = site.cli("ls", site.uri())
    listed = site.cli("ls", site.uri(), "--json")
    down = site.restore("", "back")

    assert (len(up.done), up.failed, up.retried) == (len(files), {}, [])
    assert site.names() == sorted(files)
    assert (shown.status, shown.stderr, listed.status) == (0, "", 0)
    assert [line.split()[-1] for line in shown.stdout.splitlines()] == [*flat, "d0/", "d1/"]
    assert [line.get("name") or line["prefix"] for line in json_lines(listed.stdout)] == [
        *flat,
        "d0/",
        "d1/",
    ]
    assert (len(down.done), down.failed, down.retried) == (len(files), {}, [])
    assert read_tree(site.work / "back") == files


@pytest.mark.parametrize("limit", [1, 2, 3])
@pytest.mark.parametrize("delimiter", ["", "/"], ids=["all", "level"])
def test_whatever_name_a_page_ends_with(site: Site, limit: int, delimiter: str) -> None:
    """Ceph 16 hands the last name of a page out as it is, even where that is no XML."""
    names = sorted(
        f"p/{name}" for name in ("\x01", "\x1b[2J", "\r", "\n", "\ufffe", " + ü%2B", "z&<")
    )
    for name in names:
        site.boto_put(name, b"")
    found: list[str] = []

    async def list_all() -> None:
        options = Options(
            customer_key=None,
            region=site.server.region,
            endpoint_url=site.server.endpoint_url,
            ca_bundle=str(site.server.ca_file),
        )
        async with Session(options, Silent()) as session:
            objects = await session.objects(site.bucket)
            token = None
            while True:
                page, prefixes, token = await objects.list_page("p/", token, delimiter, limit)
                assert not prefixes
                assert len(page) <= limit
                found.extend(entry.name for entry in page)
                if token is None:
                    return

    anyio.run(list_all)
    assert found == names


def test_case_35_prefix_with_a_control_character(site: Site) -> None:
    """Ceph 16 repeats the prefix as it is."""
    files = {"\x1bx": b"1", "\x1bx/\ufffe": b"2", "\x1by": b"3"}
    for name, content in files.items():
        site.boto_put(name, content)

    record = site.copy(site.uri("\x1bx"), "one")
    contents = site.copy(site.uri("\x1bx/"), "two")
    listed = site.cli("ls", site.uri("\x1bx"), "--json")

    assert (record.failed, contents.failed) == ({}, {})
    assert (site.work / "one").read_bytes() == b"1"
    assert read_tree(site.work / "two") == {"\ufffe": b"2"}
    assert json_lines(listed.stdout)[1:] == [{"prefix": "\x1bx/"}]


def test_case_35_ls_shows_time_size_and_escaped_name(site: Site) -> None:
    site.boto_put("p/escape\x1b[2J\n\u202e", b"12345")
    site.boto_put("p/d/x", b"")
    modified = site.boto_head("p/escape\x1b[2J\n\u202e")["LastModified"]

    shown = site.cli("ls", site.uri("p/"), env=site.environment(SSE_CUSTOMER_KEY_BASE64=None))

    prefix, line = shown.stdout.splitlines()
    assert prefix.split() == ["PRE", "d/"]
    assert line == f"{modified:%Y-%m-%d %H:%M:%S}          5 escape\\x1b[2J\\x0a\\u202e"
    (found,) = json_lines(site.cli("ls", site.uri("p/e"), "--json").stdout)
    assert (found["name"], found["size"]) == ("p/escape\x1b[2J\n\u202e", 5)


def test_ls_of_nothing_prints_nothing(site: Site) -> None:
    ended = site.cli("ls", site.uri("nothing/"))
    assert (ended.status, ended.stdout, ended.stderr) == (0, "", "")


@pytest.mark.parametrize("size", [5, PART_SIZE + 1], ids=["small", "multipart"])
def test_stat_shows_what_head_says(site: Site, size: int) -> None:
    path = site.work / "photo.png"
    path.write_bytes(noise(size))
    os.utime(path, ns=(0, 1_555_555_555_500_000_000))
    site.copy(path, site.uri("p/"))
    head = site.boto_head("p/photo.png")

    shown = site.cli("stat", site.uri("p/photo.png"))
    (found,) = json_lines(site.cli("stat", site.uri("p/photo.png"), "--json").stdout)

    assert found == {
        "name": "p/photo.png",
        "bucket": site.bucket,
        "size": size,
        "etag": head["ETag"],
        "version_id": None,
        "modified": head["LastModified"].timestamp(),
        "mtime": 1_555_555_555.5,
        "storage_class": "STANDARD",
        "content_type": "image/png",
        "key_id": site.customer_key.key_id,
        "key_source": "SSE_CUSTOMER_KEY_BASE64 in the environment",
        "found_by": None,
        "encryption": "SSE-C",
        "crc64nvme": found["crc64nvme"],
    }
    assert re.fullmatch(r"[A-Za-z0-9+/]{11}=", str(found["crc64nvme"]))
    assert shown.status == 0
    for text in (f"{size} (", head["ETag"], "2019-04-18 02:45:55", site.customer_key.key_id):
        assert text in shown.stdout


def test_stat_of_an_object_that_is_not_there(site: Site) -> None:
    ended = site.cli("stat", site.uri("nothing"))
    assert (ended.status, ended.stdout) == (1, "")
    assert len(ended.stderr.splitlines()) == 1


def test_object_and_prefix_of_one_name(site: Site) -> None:
    site.boto_put("d", b"object")
    site.boto_put("d/x", b"below")
    site.boto_put("d-other", b"neither")

    shown = site.cli("ls", site.uri("d"))
    object_only = site.copy(site.uri("d"), "one/")
    contents = site.copy(site.uri("d/"), "two")
    both = site.restore("", "three")

    assert [line.split()[-1] for line in shown.stdout.splitlines()] == ["d", "d-other", "d/"]
    assert not object_only.failed
    assert not contents.failed
    assert read_tree(site.work / "one") == {"d": b"object"}
    assert read_tree(site.work / "two") == {"x": b"below"}
    # One name cannot be a file and a directory: the first is written, the other named.
    assert list(both.failed) == ["d/x"]
    assert read_tree(site.work / "three") == {"d": b"object", "d-other": b"neither"}


def test_prefix_is_not_matched_in_the_middle_of_a_name(site: Site) -> None:
    for name in ("photo/a", "photos/b", "photo.txt"):
        site.boto_put(name, b"x")
    site.restore("photo", "back")
    assert read_tree(site.work / "back") == {"photo/a": b"x"}


def test_directory_markers_are_passed_over(site: Site) -> None:
    for name in ("p/", "p/d/", "p/d/e/"):
        site.boto_put(name, b"")
    site.boto_put("p/d/file", b"x")

    ended = site.cli("restore", site.uri("p/"), "back", "--json")

    assert ended.status == 0
    *_, summary = json_lines(ended.stdout)
    assert summary["skipped"] == {"directory marker": 3}
    assert read_tree(site.work / "back") == {"d/file": b"x"}


def test_a_slow_listing_is_made_in_ranges_and_shows_the_same(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {f"{top}/é{number:03}": b"" for top in "abcd" for number in range(600)}
    tree = make_tree(site.work / "tree", files | {"a.x": b"", "b-": b"", "zz": b""})
    site.run(lambda engine: engine.sync(str(tree), site.uri("p")))
    expected = sorted(f"p/{name}" for name in read_tree(tree))
    begun: list[str] = []
    list_page = ListingClient.list_page

    async def noted(
        client: ListingClient,
        prefix: str,
        token: str | None,
        delimiter: str,
        limit: int,
        after: str,
    ) -> Page:
        begun.append(after)
        return await list_page(client, prefix, token, delimiter, limit, after)

    monkeypatch.setattr(ListingClient, "list_page", noted)
    monkeypatch.setattr(remote, "SLOW_PAGE", 0.0)
    names: list[str] = []

    async def list_all(engine: Engine) -> None:
        async for page in engine.list_all(site.location("p/")):
            names.extend(found.name for found in page)

    site.run(list_all)
    assert names == expected
    assert {"p/c/", "p/d/"} <= set(begun)

    begun.clear()
    monkeypatch.setattr(sync, "CUT_STEP", 500)
    again = site.run(lambda engine: engine.sync(str(tree), site.uri("p")))
    assert not again.done
    assert {expected[1499], expected[1999]} <= set(begun)

"""The benchmarks' sink lists what was put, page by page, and tells what it was asked."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from benchmarks.sink import Activity, activity, sink, sink_available
from tests.contract.site import connect

from sealift.embedded import S3Server

BUCKET = "bench"


@pytest.fixture(scope="module", params=[False, True], ids=["kept", "discarded"])
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[S3Server]:
    if reason := sink_available():
        pytest.skip(reason)
    with sink(tmp_path_factory.mktemp("sink"), discard=request.param) as server:
        yield server


@pytest.fixture(scope="module")
def client(server: S3Server) -> Iterator[Any]:
    client = connect(server)
    yield client
    client.close()


def _put(client: Any, *names: str, body: bytes = b"x") -> None:
    for name in names:
        client.put_object(Bucket=BUCKET, Key=name, Body=body)


def _list(client: Any, **arguments: Any) -> list[tuple[str, int | None]]:
    """Names and sizes from all pages; prefixes have no size."""
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, **arguments)
    return [
        entry
        for page in pages
        for entry in (
            *((found["Key"], found["Size"]) for found in page.get("Contents", [])),
            *((found["Prefix"], None) for found in page.get("CommonPrefixes", [])),
        )
    ]


def test_pages_of_two_show_all_in_the_order_of_their_bytes(client: Any) -> None:
    names = ["pages/b", "pages/a/2", "pages/é", "pages/a", "pages/Z", "pages/a/1"]
    _put(client, *names)
    expected = [(name, 1) for name in sorted(names, key=str.encode)]
    assert _list(client, Prefix="pages/", PaginationConfig={"PageSize": 2}) == expected
    assert _list(client, Prefix="pages/") == expected


def test_a_listing_starts_after_a_name(client: Any) -> None:
    _put(client, "after/1", "after/2", "after/3")
    assert _list(client, Prefix="after/", StartAfter="after/1") == [("after/2", 1), ("after/3", 1)]
    assert _list(client, Prefix="after/", StartAfter="after/1/") == [("after/2", 1), ("after/3", 1)]
    assert _list(client, Prefix="after/", StartAfter="after/3") == []
    assert _list(client, Prefix="after/3", StartAfter="after/3") == []
    assert _list(client, Prefix="after/3", StartAfter="a") == [("after/3", 1)]


def test_start_after_holds_for_the_pages_that_follow(client: Any) -> None:
    _put(client, *(f"ranges/{number}" for number in range(9)))
    found = _list(client, Prefix="ranges/", StartAfter="ranges/3", PaginationConfig={"PageSize": 2})
    assert [name for name, _ in found] == [f"ranges/{number}" for number in range(4, 9)]


def test_a_delimiter_makes_one_level(client: Any) -> None:
    _put(client, "level/a/1", "level/a/2", "level/b", "level/c/1")
    found = _list(client, Prefix="level/", Delimiter="/", PaginationConfig={"PageSize": 1})
    assert found == [("level/a/", None), ("level/b", 1), ("level/c/", None)]


def test_a_change_shows_in_the_next_listing(client: Any) -> None:
    _put(client, "changes/1", "changes/2")
    assert _list(client, Prefix="changes/") == [("changes/1", 1), ("changes/2", 1)]
    _put(client, "changes/2", "changes/3", body=b"more")
    client.delete_object(Bucket=BUCKET, Key="changes/1")
    assert _list(client, Prefix="changes/") == [("changes/2", 4), ("changes/3", 4)]


def test_requests_that_change_and_names_shown_are_counted(client: Any, server: S3Server) -> None:
    before = activity(server)
    assert activity(server) == before
    _put(client, "counted/1", "counted/2")
    client.delete_object(Bucket=BUCKET, Key="counted/none")
    assert activity(server) - before == Activity(changes=3, listed=0)
    _list(client, Prefix="counted/", PaginationConfig={"PageSize": 1})
    client.head_object(Bucket=BUCKET, Key="counted/1")
    assert activity(server) - before == Activity(changes=3, listed=2)

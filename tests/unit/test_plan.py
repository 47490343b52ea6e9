"""Which file becomes which object, and the reverse."""

from __future__ import annotations

import uuid
from pathlib import PurePosixPath

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from sealift.errors import UnsafeNameError, UsageError
from sealift.files.walk import FileEntry
from sealift.model import Direction, Location, RemoteObject
from sealift.plan import (
    Naming,
    check_name,
    copied_object,
    copied_prefix,
    copy_job,
    download_job,
    file_location,
    is_marker,
    object_path,
    prefix_names,
    random_name,
    tree_prefix,
    upload_job,
)


def found(name: str, size: int = 3) -> RemoteObject:
    return RemoteObject(name, size, '"e"', 0.0)


@pytest.mark.parametrize(
    ("source", "destination", "prefix"),
    [
        ("photos", "", "photos/"),
        ("photos/", "", ""),
        ("photos", "p", "p/photos/"),
        ("photos/", "p", "p/"),
        ("photos", "p/", "p/photos/"),
        ("/a/b/photos", "p/", "p/photos/"),
        ("/a/b/photos/", "p/", "p/"),
        (".", "p", "p/"),
        ("./", "p", "p/"),
        ("..", "p", "p/"),
        ("a/..", "p", "p/"),
        ("/", "p", "p/"),
    ],
)
def test_where_a_tree_goes(source: str, destination: str, prefix: str) -> None:
    assert tree_prefix(source, Location("b", destination)) == Location("b", prefix)


@pytest.mark.parametrize(
    ("path", "destination", "name"),
    [
        ("a/f.bin", "", "f.bin"),
        ("a/f.bin", "p/", "p/f.bin"),
        ("a/f.bin", "p", "p"),
        ("/f", "p/q/", "p/q/f"),
    ],
)
def test_where_a_file_goes(path: str, destination: str, name: str) -> None:
    assert file_location(path, Location("b", destination)) == Location("b", name)


@pytest.mark.parametrize(
    ("source", "listed", "cut"),
    [
        ("", "", ""),
        ("p/", "p/", "p/"),
        ("p", "p/", ""),
        ("p/q", "p/q/", "p/"),
        ("p/q/", "p/q/", "p/q/"),
    ],
)
def test_what_is_listed_and_what_names_lose(source: str, listed: str, cut: str) -> None:
    assert prefix_names(Location("b", source)) == (Location("b", listed), cut)


@pytest.mark.parametrize(
    ("name", "destination", "there", "expected"),
    [
        ("p/f.bin", "d/", False, ("d/", "f.bin")),
        ("p/f.bin", "d", True, ("d", "f.bin")),
        ("p/f.bin", "d", False, (".", "d")),
        ("p/f.bin", "d/e", False, ("d", "e")),
        ("p/f.bin", "/e", False, ("/", "e")),
        ("f.bin", ".", True, (".", "f.bin")),
    ],
)
def test_where_an_object_goes(
    name: str, destination: str, there: bool, expected: tuple[str, str]
) -> None:
    assert object_path(Location("b", name), destination, is_directory=there) == expected


def test_jobs() -> None:
    up = upload_job(FileEntry("/t/a/b", "a/b", 7, 0, 0o100644), Location("b", "p/"))
    assert (up.direction, up.location, up.path, up.size, up.moved) == (
        Direction.UP, Location("b", "p/a/b"), "/t/a/b", 7, 0,
    )  # fmt: skip
    down = download_job("b", found("p/a/b"), "p/", Naming.KEEP)
    assert (down.direction, down.location, down.path, down.size) == (
        Direction.DOWN, Location("b", "p/a/b"), "a/b", 3,
    )  # fmt: skip


def test_a_tree_comes_back_under_its_names() -> None:
    prefix = tree_prefix("photos", Location("b", "p"))
    up = upload_job(FileEntry("photos/x/y", "x/y", 1, 0, 0o100644), prefix)
    for source, path in [("p/photos/", "x/y"), ("p/photos", "photos/x/y"), ("p", "p/photos/x/y")]:
        listed, cut = prefix_names(Location("b", source))
        assert up.location.name.startswith(listed.name)
        assert download_job("b", found(up.location.name), cut, Naming.KEEP).path == path


@pytest.mark.parametrize("name", ["a.tar.gz", "p/q/a.bin", "noext", ".hidden", "a.b/c", "x."])
def test_random_names_keep_the_suffix(name: str) -> None:
    one, other = random_name(name), random_name(name)
    assert one != other
    assert one[36:] == PurePosixPath(name).suffix
    assert uuid.UUID(one[:36]).version == 4
    job = download_job("b", found(name), "", Naming.UUID)
    assert "/" not in job.path


@pytest.mark.parametrize(
    ("name", "size", "marker"), [("a/", 0, True), ("a/", 1, False), ("a", 0, False)]
)
def test_markers(name: str, size: int, marker: bool) -> None:
    assert is_marker(found(name, size)) is marker


@pytest.mark.parametrize(
    "name", ["a", "a" * 1024, "é" * 512, "日" * 341, " ", "\n", "../x", "a//b"]
)
def test_names_that_s3_holds(name: str) -> None:
    check_name(name)


@pytest.mark.parametrize("name", ["", "a" * 1025, "é" * 513, "a\0b", "a\udcffb"])
def test_names_that_s3_cannot_hold(name: str) -> None:
    with pytest.raises(UnsafeNameError):
        check_name(name)
    with pytest.raises(UnsafeNameError):
        upload_job(FileEntry("x", name, 1, 0, 0o100644), Location("b"))


@given(st.text(max_size=2000))
def test_the_limit_is_1024_bytes_of_utf8(name: str) -> None:
    assume(name and "\0" not in name)
    try:
        fits = len(name.encode()) <= 1024
    except UnicodeEncodeError:
        fits = False
    try:
        check_name(name)
    except UnsafeNameError:
        assert not fits
    else:
        assert fits


@pytest.mark.parametrize(
    ("source", "destination", "prefix"),
    [
        ("p/", "q", "q/"),
        ("p/", "q/", "q/"),
        ("p", "", ""),
        ("p", "p2", "p2/"),
        ("p/", "p", "p/"),
        ("", "", ""),
        ("p/q/", "p/", "p/"),
    ],
)
def test_where_the_objects_of_a_prefix_go(source: str, destination: str, prefix: str) -> None:
    here = copied_prefix(Location("b", source), Location("b", destination), same_server=True)
    assert here == Location("b", prefix)


@pytest.mark.parametrize(("source", "destination"), [("p/", "p/q"), ("p", "p"), ("", "q")])
def test_a_prefix_does_not_go_into_itself(source: str, destination: str) -> None:
    with pytest.raises(UsageError, match="is inside"):
        copied_prefix(Location("b", source), Location("b", destination), same_server=True)
    copied_prefix(Location("b", source), Location("c", destination), same_server=True)
    copied_prefix(Location("b", source), Location("b", destination), same_server=False)


def test_a_copy_keeps_the_name_below_a_prefix() -> None:
    source = Location("b", "p/a")
    assert copied_object(source, Location("c")) == Location("c", "a")
    assert copied_object(source, Location("c", "q/")) == Location("c", "q/a")
    assert copied_object(source, Location("c", "q")) == Location("c", "q")
    job = copy_job(source, 3, Location("c", "q"))
    assert (job.direction, job.location, job.source) == (
        Direction.COPY, Location("c", "q"), source,
    )  # fmt: skip
    with pytest.raises(UnsafeNameError):
        copy_job(source, 3, Location("c", "x" * 1025))

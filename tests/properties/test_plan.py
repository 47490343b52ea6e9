"""Cutting and naming hold for every size and name that S3 takes."""

from __future__ import annotations

import itertools
import os

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sealift.errors import ObjectError, UnsafeNameError, UsageError
from sealift.files.names import split_name
from sealift.files.walk import FileEntry
from sealift.model import (
    DEFAULT_PART_SIZE,
    MAX_OBJECT_SIZE,
    MAX_PART_COUNT,
    MAX_PART_SIZE,
    MIN_PART_SIZE,
    Location,
    MiB,
    RemoteObject,
    cut_parts,
    cut_ranges,
    part_size_for,
)
from sealift.plan import (
    Naming,
    check_name,
    download_job,
    prefix_names,
    random_name,
    tree_prefix,
    upload_job,
)

# Sizes matter most where something changes: at multiples of sizes that parts have.
EDGES = st.builds(
    lambda unit, count, off: min(max(unit * count + off, 0), MAX_OBJECT_SIZE),
    st.sampled_from([MiB, MIN_PART_SIZE, DEFAULT_PART_SIZE, MAX_PART_SIZE]),
    st.sampled_from([0, 1, 2, 9_999, MAX_PART_COUNT, MAX_PART_COUNT + 1]),
    st.integers(-2, 2),
)
SIZES = st.integers(0, MAX_OBJECT_SIZE) | EDGES
WANTED = st.integers(MIN_PART_SIZE, MAX_PART_SIZE) | st.just(DEFAULT_PART_SIZE)
NAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="/\0"), min_size=1)
PATHS = st.lists(NAMES.filter(lambda name: name not in (".", "..")), min_size=1).map("/".join)


@given(SIZES, WANTED)
@example(MAX_OBJECT_SIZE, MIN_PART_SIZE)
@example(MAX_PART_COUNT * DEFAULT_PART_SIZE, DEFAULT_PART_SIZE)
@example(MAX_PART_COUNT * DEFAULT_PART_SIZE + 1, DEFAULT_PART_SIZE)
def test_case_40_parts_cover_every_byte_once_in_order_within_the_limits(
    size: int, wanted: int
) -> None:
    part_size = part_size_for(size, wanted)
    assert MIN_PART_SIZE <= part_size <= MAX_PART_SIZE
    assert part_size == wanted or (part_size > wanted and part_size % MiB == 0)
    count = position = 0
    for part in cut_parts(size, part_size):
        count += 1
        assert part.number == count
        assert part.span.start == position
        assert part.span.size == part_size or (part.span.size > 0 and part.span.end == size)
        position = part.span.end
    assert position == size
    assert count <= MAX_PART_COUNT


@given(st.integers(1, MAX_OBJECT_SIZE), WANTED)
def test_parts_grow_no_more_than_they_must(size: int, wanted: int) -> None:
    part_size = part_size_for(size, wanted)
    if part_size != wanted:
        assert (part_size - MiB) * MAX_PART_COUNT < size


@given(st.integers(MAX_OBJECT_SIZE + 1, 2**63 - 1))
def test_what_no_object_can_hold_fails_alone_by_its_name(size: int) -> None:
    with pytest.raises(UsageError):
        part_size_for(size)
    with pytest.raises(ObjectError):
        upload_job(FileEntry("path", "name", size, 0, 0o100644), Location("bucket"))


@given(st.integers(1, 2**53), st.integers(0, 2000), st.integers(0, 2**53))
def test_case_40_ranges_cover_every_byte_once_in_order(step: int, count: int, tail: int) -> None:
    size = step * count + tail % step
    ranges = list(cut_ranges(size, step))
    assert len(ranges) == -(-size // step)
    assert all(0 < span.size <= step for span in ranges)
    assert all(one.end == next_.start for one, next_ in itertools.pairwise(ranges))
    assert not ranges or (ranges[0].start, ranges[-1].end) == (0, size)
    for span in ranges[:1] + ranges[-1:]:
        first, _, last = span.header().removeprefix("bytes=").partition("-")
        assert (int(first), int(last) + 1) == (span.start, span.end)


@given(PATHS, st.sampled_from(["", "p", "p/", "p/q"]), st.booleans())
def test_what_goes_up_comes_down_under_its_name(path: str, prefix: str, contents: bool) -> None:
    source = "tree/" if contents else "tree"
    top = tree_prefix(source, Location("bucket", prefix))
    job = upload_job_or_none(FileEntry(f"tree/{path}", path, 1, 0, 0o100644), top)
    if job is None:
        assert len((top.name + path).encode()) > 1024
        return
    listed, cut = prefix_names(top if contents else Location("bucket", top.name.rstrip("/")))
    assert job.location.name.startswith(listed.name)
    back = download_job("bucket", RemoteObject(job.location.name, 1, "", 0), cut, Naming.KEEP)
    assert back.path == (path if contents else f"tree/{path}")
    assert back.location == job.location


def upload_job_or_none(entry: FileEntry, prefix: Location) -> object:
    try:
        return upload_job(entry, prefix)
    except UnsafeNameError:
        return None


@given(st.text(max_size=400) | PATHS)
def test_names_either_stay_below_the_target_or_are_refused(name: str) -> None:
    try:
        parts = split_name(name)
    except UnsafeNameError:
        return
    assert "/".join(parts) == name
    joined = os.path.normpath(os.path.join("/target", *parts))
    assert joined == f"/target/{name}"


@given(st.text(max_size=1100))
def test_object_names_are_checked_by_their_bytes(name: str) -> None:
    try:
        check_name(name)
    except UnsafeNameError:
        assert not name or "\0" in name or size_of(name) > 1024
    else:
        assert 0 < size_of(name) <= 1024


def size_of(name: str) -> int:
    """Bytes of UTF-8; lone surrogates have none and so too many."""
    try:
        return len(name.encode())
    except UnicodeEncodeError:
        return 1 << 20


@given(NAMES)
def test_random_names_are_one_component_with_the_suffix(name: str) -> None:
    made = random_name(name)
    assert made != random_name(name)
    assert "/" not in made
    assert made[36:] == os.path.splitext(name)[1] or made[36:] == ""

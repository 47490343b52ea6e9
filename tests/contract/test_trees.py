"""Trees up and down: every name, byte and time survives, and a trailing `/` means the contents."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.contract.site import Site, make_tree, noise, read_tree
from tests.contract.test_scripts import UUID4

from sealift.engine import Engine
from sealift.errors import UsageError
from sealift.plan import Naming

NAMES = (
    "plain.txt", "with space", "two  spaces", " leading", "trailing ", "   ", "\u00e9 composed",
    "e\u0301 decomposed", "日本語", "🚢🔑", "plus+sign", "percent%", "%2F", "%2f", "%25", "a%20b",
    "a&b", "<xml>", "]]>", "&amp;", "\"double\" 'single'", "query?a=b", "fragment#x", "back\\slash",
    "C:colon", "semi;colon", "equals=", "at@", "star*", "tilde~", "$dollar", "{brace}", "[bracket]",
    "|pipe", "^caret", "`tick", ",comma", "!bang", ".hidden", "..dots", "a..b", "...", "-dash",
    "line\nfeed", "carriage\rreturn", "tab\there", "escape\x1b[31mred", "one\x01", "delete\x7f",
    "right-to-left \u202egnp.exe", "zero\u200bwidth", "nonchar\ufffe", "astral \U0001d11e",
    "nested/dir/file", "nested/dir-with/ space/ü", "nested/%2F/+", "x" * 255,
)  # fmt: skip


def test_every_name_survives_both_ways(site: Site) -> None:
    files = {name: name.encode() for name in NAMES}
    tree = make_tree(site.work / "tree", files)

    up = site.copy(tree, site.uri("p ü+%/"))
    assert not up.failed
    assert set(site.names()) == {f"p ü+%/tree/{name}" for name in NAMES}
    assert site.boto_get("p ü+%/tree/%2F") == b"%2F"

    down = site.restore("p ü+%/tree", "back")
    assert not down.failed
    assert read_tree(site.work / "back" / "tree") == files


def test_names_come_back_exactly_from_objects_that_boto3_put(site: Site) -> None:
    for name in NAMES:
        site.boto_put(name, name.encode())

    down = site.cli("restore", site.uri(), "back")

    assert down.status == 0, down.stderr
    assert read_tree(site.work / "back") == {name: name.encode() for name in NAMES}


def test_case_40_object_name_of_1024_bytes_is_kept_and_of_1025_refused(site: Site) -> None:
    stem = "/".join(["é" * 127, "b" * 255, "c" * 255, "d" * 200])
    longest = f"{stem}/{'e' * (1024 - len('p/') - len(stem.encode()) - 1 - 4)}.tar"
    assert len(f"p/{longest}".encode()) == 1024
    make_tree(site.work / "tree", {longest: b"longest", f"{longest}x": b"too long", "z": b"z"})

    up = site.cli("cp", "tree/", site.uri("p/"))
    assert up.status == 1
    assert f"{longest}x: the object's name would have 1025 bytes, S3 allows 1024" in up.stderr
    assert set(site.names()) == {f"p/{longest}", "p/z"}

    down = site.cli("cp", site.uri("p/"), "back")
    assert down.status == 0, down.stderr
    assert read_tree(site.work / "back") == {longest: b"longest", "z": b"z"}

    single = site.cli("put", f"tree/{longest}x", site.uri("p/"))
    too_long = site.cli("put", "tree/z", site.uri("y" * 1025))
    assert (single.status, too_long.status) == (0, 2)
    assert "1025 bytes" in too_long.stderr


def test_times_are_kept_to_the_nanosecond(site: Site) -> None:
    times = {
        "now": 1_764_000_000_123_456_789,
        "whole": 1_000_000_000_000_000_000,
        "one ns after": 1_000_000_000_000_000_001,
        "epoch": 0,
        "before the epoch": -1_500_000_000,
        "far": 9_000_000_000_999_999_999,
    }
    tree = make_tree(site.work / "tree", dict.fromkeys(times, b"x") | {"large": noise(6 << 20)})
    times["large"] = 1_555_555_555_555_555_555
    for name, time_ns in times.items():
        os.utime(tree / name, ns=(time_ns, time_ns))

    site.copy(f"{tree}/", site.uri())
    site.restore("", "back")

    back = site.work / "back"
    assert {name: (back / name).stat().st_mtime_ns for name in times} == times
    written = {name: float(site.boto_head(name)["Metadata"]["mtime"]) for name in times}
    assert written == pytest.approx({name: time_ns / 1e9 for name, time_ns in times.items()})


def test_empty_files_are_kept_and_empty_directories_are_simply_absent(site: Site) -> None:
    tree = make_tree(site.work / "tree", {"empty": b"", "d/empty": b""})
    (tree / "nothing" / "in here").mkdir(parents=True)

    up = site.cli("cp", "tree", site.uri())
    down = site.cli("restore", site.uri("tree/"), "back")

    assert (up.status, down.status) == (0, 0)
    assert sorted(site.names()) == ["tree/d/empty", "tree/empty"]
    assert read_tree(site.work / "back") == {"empty": b"", "d/empty": b""}
    assert sorted(os.listdir(site.work / "back")) == ["d", "empty"]


def test_links_and_pipes_are_passed_over_and_said_so(site: Site) -> None:
    tree = make_tree(site.work / "tree", {"file": b"x", "d/file": b"y"})
    (tree / "link").symlink_to("file")
    (tree / "linked directory").symlink_to("d")
    (tree / "dangling").symlink_to("nowhere")
    os.mkfifo(tree / "pipe")

    up = site.copy(f"{tree}/", site.uri())

    assert sorted(site.names()) == ["d/file", "file"]
    assert not up.failed
    assert set(up.skipped) == {"link", "linked directory", "dangling", "pipe"}


@pytest.mark.parametrize(
    ("source", "destination", "expected"),
    [
        ("tree", "", ["tree/a", "tree/d/b"]),
        ("tree/", "", ["a", "d/b"]),
        ("tree", "p", ["p/tree/a", "p/tree/d/b"]),
        ("tree", "p/", ["p/tree/a", "p/tree/d/b"]),
        ("tree/", "p", ["p/a", "p/d/b"]),
        ("tree/", "p/", ["p/a", "p/d/b"]),
        ("tree/.", "p/", ["p/a", "p/d/b"]),
        ("tree/d/..", "p/", ["p/a", "p/d/b"]),
        ("./tree", "p/", ["p/tree/a", "p/tree/d/b"]),
        ("tree//", "p/", ["p/a", "p/d/b"]),
        ("tree/a", "", ["a"]),
        ("tree/a", "p/", ["p/a"]),
        ("tree/a", "p/x", ["p/x"]),
    ],
)
def test_where_things_go_up(site: Site, source: str, destination: str, expected: list[str]) -> None:
    make_tree(site.work / "tree", {"a": b"a", "d/b": b"b"})
    record = site.copy(source, site.uri(destination))
    assert not record.failed
    assert sorted(site.names()) == expected


@pytest.mark.parametrize(
    ("source", "destination", "expected"),
    [
        ("", "back", ["p/tree/a", "p/tree/d/b", "p/tree2/c"]),
        ("p", "back", ["p/tree/a", "p/tree/d/b", "p/tree2/c"]),
        ("p/", "back", ["tree/a", "tree/d/b", "tree2/c"]),
        ("p/tree", "back", ["tree/a", "tree/d/b"]),
        ("p/tree", "back/", ["tree/a", "tree/d/b"]),
        ("p/tree/", "back", ["a", "d/b"]),
        ("p/tree/d/", "there", ["b", "kept"]),
        ("p/tree/a", "back", [""]),
        ("p/tree/a", "back/", ["a"]),
        ("p/tree/a", "there", ["a", "kept"]),
        ("p/tree/a", "there/new", ["kept", "new"]),
        ("p/tree/a", "new/deep/name", ["deep/name"]),
    ],
)
def test_where_things_come_down(
    site: Site, source: str, destination: str, expected: list[str]
) -> None:
    for name in ("p/tree/a", "p/tree/d/b", "p/tree2/c"):
        site.boto_put(name, name[-1:].encode())
    make_tree(site.work / "there", {"kept": b"k"})

    record = site.copy(site.uri(source), destination)

    assert not record.failed
    top = Path(site.work, destination.split("/", maxsplit=1)[0])
    if expected == [""]:
        assert top.read_bytes() == b"a"
        return
    found = read_tree(top)
    assert sorted(found) == expected
    wanted = {name: name[-1:].encode() for name in expected} | {"new": b"a", "deep/name": b"a"}
    wanted["kept"] = b"k"
    assert found == {name: wanted[name] for name in expected}


@pytest.mark.parametrize("command", ["cp", "restore"])
def test_one_object_or_one_prefix_restores_below_the_target(site: Site, command: str) -> None:
    site.boto_put("p/one.txt", b"1")
    site.boto_put("p/one.txt.d/two", b"2")

    async def both(engine: Engine) -> None:
        for name in ("p/one.txt", "p/one.txt.d"):
            if command == "cp":
                await engine.copy(site.uri(name), "back/")
            else:
                await engine.restore(site.location(name), "back")

    assert not site.run(both).failed
    assert read_tree(site.work / "back") == {"one.txt": b"1", "one.txt.d/two": b"2"}


def test_restore_without_a_destination_goes_to_tmp_under_random_names(site: Site) -> None:
    files = {f"d{index}/photo {index}.jpeg": noise(index * 100, index) for index in range(5)}
    files["no suffix"] = b"none"
    for name, content in files.items():
        site.boto_put(f"p/{name}", content)

    ended = site.cli("restore", site.uri("p/"), "--names", "uuid")

    assert ended.status == 0, ended.stderr
    found = read_tree(site.work / "tmp")
    assert sorted(map(digest, found.values())) == sorted(map(digest, files.values()))
    assert all(re.fullmatch(rf"{UUID4}(\.jpeg)?", name) for name in found)
    assert sum(name.endswith(".jpeg") for name in found) == 5


def test_single_object_restores_under_a_random_name(site: Site) -> None:
    site.boto_put("p/photo.jpeg", b"photo")
    site.run(lambda engine: engine.restore(site.location("p/photo.jpeg"), "back", Naming.UUID))
    ((name, content),) = read_tree(site.work / "back").items()
    assert re.fullmatch(rf"{UUID4}\.jpeg", name)
    assert content == b"photo"


@pytest.mark.parametrize(
    "command",
    [
        lambda engine, site: engine.copy("nowhere", site.uri()),
        lambda engine, site: engine.copy("a", "b"),
        lambda engine, site: engine.copy(site.uri("a"), site.uri("b")),
        lambda engine, site: engine.copy(site.uri("nowhere/"), "back"),
        lambda engine, site: engine.copy(site.uri("nowhere"), "back"),
        lambda engine, site: engine.restore(site.location("nowhere"), "back"),
        lambda engine, site: engine.put("directory", site.location()),
        lambda engine, site: engine.get(site.location("prefix/"), "back"),
    ],
)
def test_what_cannot_be_meant_starts_nothing(
    site: Site, command: Callable[[Engine, Site], object]
) -> None:
    (site.work / "directory").mkdir()

    async def work(engine: Engine) -> None:
        await command(engine, site)  # type: ignore[misc]

    with pytest.raises(UsageError):
        site.run(work)
    assert site.names() == []
    assert os.listdir(site.work) == ["directory"]


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()

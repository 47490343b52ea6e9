"""Sync under faults: nothing is removed unless all was seen and moved, and no lie is believed."""

from __future__ import annotations

import base64
import contextlib
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from tests.engine.conftest import Record, Site
from tests.faults import Match, Reply, Stall, Status, Truncate
from tests.faults.plan import Plan
from tests.kit import CUSTOMER_KEY, KEY, OTHER_KEY, Do

from sealift import remote
from sealift.compare import Method
from sealift.errors import LocalFileError, SealiftError, UsageError
from sealift.events import Removed, Would
from sealift.keys import CustomerKey
from sealift.options import SourceOptions, TreeOptions
from sealift.retry import Policy
from sealift.sync import SyncOptions
from sealift.wire.pool import Deadlines

pytestmark = pytest.mark.anyio

NAMES = [f"{number:04}" for number in range(1060)]
# The listing of a prefix from its second page on.
SECOND_PAGE = Match(
    operation="ListObjectsV2",
    where=lambda asked: "continuation-token" in asked.query,
    times=None,
)


async def sync(
    site: Site,
    source: object,
    destination: object,
    tree: TreeOptions | None = None,
    settings: dict[str, object] | None = None,
    acts: dict[str, Callable[[], object]] | None = None,
    **options: object,
) -> Record:
    site.record = Record(acts=acts or {})
    chosen = SyncOptions(**options)  # type: ignore[arg-type]
    async with site.engine(**(settings or {})) as engine:
        await engine.sync(str(source), str(destination), chosen, tree or TreeOptions())
    return site.record


def uri(name: str) -> str:
    return f"s3://bucket/{name}"


def objects(site: Site, prefix: str = "p/") -> dict[str, bytes]:
    return {
        name.removeprefix(prefix): stored.body
        for (_, name), stored in site.server.objects.items()
        if name.startswith(prefix)
    }


def files(root: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def store(site: Site, names: dict[str, bytes], prefix: str = "p/", key: bytes = KEY) -> None:
    for name, body in names.items():
        site.server.store(prefix + name, body, customer_key=key)


def make(root: Path, content: dict[str, bytes]) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    for name, body in content.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)
    return root


def set_moment(site: Site, *names: str, moment: float) -> None:
    """Have LIST say that the objects are of that second."""
    for name in names:
        stored = site.server.objects["bucket", name]
        site.server.objects["bucket", name] = replace(stored, modified=moment)


class Reshape:
    """A reply whose body is rewritten."""

    def __init__(self, change: Callable[[bytes], bytes]) -> None:
        self._change = change

    def shape(self, plan: Plan) -> None:
        plan.reshape.append(self._reshaped)

    def _reshaped(self, reply: Reply) -> Reply:
        body = self._change(bytes(reply.body))
        return Reply(reply.status, {**reply.headers, "content-length": str(len(body))}, body)


def swapped(body: bytes) -> bytes:
    """Two neighbours of the page change places."""
    return (
        body.replace(b"/1050<", b"/tmp<").replace(b"/1051<", b"/1050<").replace(b"/tmp<", b"/1051<")
    )


def doubled(body: bytes) -> bytes:
    start = body.index(b"<Contents>")
    end = body.index(b"</Contents>") + len(b"</Contents>")
    return body[:end] + body[start:end] + body[end:]


def foreign(body: bytes) -> bytes:
    """Names that do not begin with the prefix."""
    return body.replace(b"<Key>p/", b"<Key>q/")


BAD_PAGES = {
    "500": Status(500, "InternalError"),
    "403": Status(403, "AccessDenied"),
    "no xml": Status(200, body=b"<ListBucketResult><Conte"),
    "cut": Truncate(2000),
    "out of order": Reshape(swapped),
    "twice": Reshape(doubled),
    "foreign": Reshape(foreign),
    "no last page": Reshape(lambda body: body.replace(b"<IsTruncated>false</IsTruncated>", b"")),
    "first page again": Reshape(
        lambda body: body.replace(
            b"<IsTruncated>false",
            b"<NextContinuationToken>a2V5</NextContinuationToken><IsTruncated>true",
        )
    ),
}


@pytest.mark.parametrize(
    ("bad", "direction"),
    [
        *((bad, direction) for bad in BAD_PAGES for direction in ("up", "down")),
        ("cut", "across from"),
        ("out of order", "across to"),
    ],
)
async def test_a_bad_second_page_removes_nothing(site: Site, bad: str, direction: str) -> None:
    store(site, dict.fromkeys(NAMES, b"x"))
    store(site, {"0000": b"x", "zz": b"x"}, "q/")
    here = make(site.directory / "tree", {"0000": b"x", "zz": b"x"})
    there, before = set(site.server.objects), set(files(here))
    site.server.script(SECOND_PAGE, BAD_PAGES[bad])
    sides = {
        "up": (here, uri("p")),
        "down": (uri("p"), here),
        "across from": (uri("p"), uri("q")),
        "across to": (uri("q"), uri("p")),
    }[direction]
    with pytest.raises(SealiftError):
        await sync(
            site,
            *sides,
            delete=True,
            dry_run=direction in ("down", "across from"),
            settings={"policy": Policy(budget=0.2, longest_wait=0.02)},
        )
    assert not site.record.of(Removed)
    assert "remove" not in {would.act for would in site.record.of(Would)}
    assert not site.server.seen("DeleteObjects")
    assert there <= set(site.server.objects)
    assert before <= set(files(here))
    assert not site.left_behind()


@pytest.mark.parametrize("direction", ["up", "down"])
async def test_ranges_that_are_out_of_order_remove_nothing(
    site: Site, direction: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where pages take long, ranges of names are listed at once."""
    monkeypatch.setattr(remote, "SLOW_PAGE", 0.0)
    names = [*(f"d/{name}" for name in NAMES), "z/a"]
    store(site, dict.fromkeys(names, b"x"))
    here = make(site.directory / "tree", dict.fromkeys([*names, "z/b"], b"x"))
    sides = (here, uri("p")) if direction == "up" else (uri("p"), here)
    good = await sync(site, *sides, delete=True, method=Method.SIZE, dry_run=True)
    assert len(good.of(Would)) == 1
    site.server.script(
        Match(
            operation="ListObjectsV2",
            where=lambda asked: "start-after" in asked.query,
            times=None,
        ),
        # Beyond the end of its range, in the place of another name.
        Reshape(lambda body: body.replace(b"/d/1058<", b"/zz<")),
    )
    with pytest.raises(SealiftError):
        await sync(site, *sides, delete=True, method=Method.SIZE)
    assert not site.record.of(Removed)


@pytest.mark.usefixtures("quick_watch")
async def test_a_listing_that_stalls_removes_nothing(site: Site) -> None:
    store(site, dict.fromkeys(NAMES, b"x"))
    here = make(site.directory / "tree", {"0000": b"x"})
    site.server.script(SECOND_PAGE, Stall("reply", after=1000))
    with pytest.raises(SealiftError):
        await sync(
            site, here, uri("p"), delete=True, settings={"deadlines": Deadlines(progress=0.3)}
        )
    assert len(objects(site)) == len(NAMES)


async def test_case_40_a_page_without_objects_is_not_the_last(site: Site) -> None:
    store(site, dict.fromkeys(NAMES, b"x"))
    here = make(site.directory / "tree", dict.fromkeys(NAMES, b"x"))

    def emptied(body: bytes) -> bytes:
        start, end = body.index(b"<Contents>"), body.rindex(b"</Contents>") + len(b"</Contents>")
        token = b"<NextContinuationToken>%s</NextContinuationToken>"
        again = base64.urlsafe_b64encode(b"kp/0999")
        body = body[:start] + body[end:]
        body = body.replace(b"<IsTruncated>false</IsTruncated>", b"<IsTruncated>true</IsTruncated>")
        return body.replace(b"</ListBucketResult>", token % (again + b"=") + b"</ListBucketResult>")

    # The second page is empty and names a third: that of the same names.
    site.server.script(
        Match(operation="ListObjectsV2", where=lambda asked: "continuation-token" in asked.query),
        Reshape(emptied),
    )
    record = await sync(site, uri("p"), here, delete=True, method=Method.SIZE)
    assert not record.finished
    assert not record.of(Removed)
    assert len(files(here)) == len(NAMES)


# Failures and --delete


@pytest.mark.parametrize("direction", ["up", "down", "across"])
async def test_a_failed_transfer_keeps_everything(site: Site, direction: str) -> None:
    store(
        site, {"a": b"1", "b": b"2", "extra": b"x"} if direction == "up" else {"a": b"1", "b": b"2"}
    )
    store(site, {"extra": b"x"}, "q/")
    here = make(site.directory / "tree", {"a": b"11", "b": b"22"})
    if direction == "down":
        make(here, {"extra": b"x"})
    site.server.script(
        Match(operation="PutObject", name="p/b", times=None), Status(403, "AccessDenied")
    )
    site.server.script(
        Match(operation="GetObject", name="p/b", times=None), Status(403, "AccessDenied")
    )
    site.server.script(
        Match(operation="CopyObject", name="q/b", times=None), Status(403, "AccessDenied")
    )
    sides = {"up": (here, uri("p")), "down": (uri("p"), here), "across": (uri("p"), uri("q"))}
    record = await sync(site, *sides[direction], delete=True)
    assert len(record.failed) == 1
    assert not record.of(Removed)
    left = {"up": objects(site), "down": files(here), "across": objects(site, "q/")}[direction]
    assert "extra" in left


async def test_a_directory_that_goes_while_it_is_walked_keeps_everything(site: Site) -> None:
    here = make(site.directory / "tree", {"a": b"1", "d/x": b"2", "e/y": b"3"})
    store(site, {"d/x": b"2", "e/y": b"3", "z": b"x"})
    site.server.script(
        Match(operation="ListObjectsV2", after=1),
        Do(lambda: shutil.rmtree(here, ignore_errors=True)),
    )
    assert (await sync(site, here, uri("p"), delete=True)).failed
    assert {"d/x", "e/y", "z"} <= set(objects(site))


async def test_a_root_that_is_replaced_is_not_cleared(site: Site) -> None:
    """What was found below one directory is not removed below another."""
    store(site, {"a": b"1"})
    here = make(site.directory / "tree", {"a": b"old", "extra": b"x"})
    other = make(site.directory / "other", {"a": b"mine", "extra": b"mine"})

    def swap() -> None:
        here.rename(site.directory / "moved")
        here.symlink_to(other)

    site.server.script(Match(operation="GetObject"), Do(swap))
    with pytest.raises(SealiftError):
        await sync(site, uri("p"), here, delete=True)
    assert files(other) == {"a": b"mine", "extra": b"mine"}


async def test_a_link_in_the_place_of_a_directory_is_not_followed(site: Site) -> None:
    store(site, {"a": b"1"})
    here = make(site.directory / "tree", {"a": b"old", "d/x": b"x", "d/y": b"y"})
    other = make(site.directory / "other", {"x": b"mine", "y": b"mine"})

    def swap() -> None:
        (here / "d").rename(site.directory / "moved")
        (here / "d").symlink_to(other)

    site.server.script(Match(operation="GetObject"), Do(swap))
    record = await sync(site, uri("p"), here, delete=True)
    assert set(record.failed) == {"d/x", "d/y"}
    assert files(other) == {"x": b"mine", "y": b"mine"}


@pytest.mark.parametrize("follow", [False, True])
async def test_case_33_nothing_goes_through_a_link_at_the_destination(
    site: Site, follow: bool
) -> None:
    store(site, {"a": b"1"})
    other = make(site.directory / "other", {"x": b"mine"})
    here = make(site.directory / "tree", {"a": b"1"})
    (here / "d").symlink_to(other)
    await sync(site, uri("p"), here, TreeOptions(follow_links=follow), delete=True)
    assert files(other) == {"x": b"mine"}


async def test_a_root_that_is_a_link_is_what_it_leads_to(site: Site) -> None:
    store(site, {"a": b"1"})
    here = make(site.directory / "tree", {"extra": b"x", "d/e/f": b"x"})
    (site.directory / "link").symlink_to(here)
    record = await sync(site, uri("p"), site.directory / "link", delete=True)
    assert not record.failed
    assert files(here) == {"a": b"1"}
    assert not (here / "d").exists()
    assert (site.directory / "link").is_symlink()


async def test_what_comes_meanwhile_into_a_directory_that_goes_stays(site: Site) -> None:
    store(site, {"a": b"1"})
    here = make(site.directory / "tree", {"d/x": b"x"})
    site.server.script(Match(operation="GetObject"), Do(lambda: make(here, {"d/new": b"mine"})))
    await sync(site, uri("p"), here, delete=True)
    assert files(here) == {"a": b"1", "d/new": b"mine"}


async def test_odd_names_go_as_they_are(site: Site) -> None:
    store(site, {"a": b"1"})
    odd = ["-rf", "~", "a\nb", "\x1b[31m", " ", "d /x", "é", "e\u0301", "*", "a\\b", "\x7f", "🚢"]
    here = make(site.directory / "tree", dict.fromkeys(odd, b"x"))
    record = await sync(site, uri("p"), here, delete=True)
    assert not record.failed
    assert files(here) == {"a": b"1"}
    assert sorted(os.listdir(here)) == ["a"]


async def test_what_cannot_be_compared_at_the_destination_fails(site: Site) -> None:
    """With --delete an end without failures says that both sides are equal."""
    store(site, {"a": b"1"})
    here = make(site.directory / "tree", {"a": b"1"})
    make(here, {os.fsdecode(b"\xff"): b"x"})
    assert (await sync(site, uri("p"), here, delete=True)).failed
    assert not (await sync(site, uri("p"), here)).failed


async def test_an_unreadable_source_is_not_an_empty_one(site: Site) -> None:
    store(site, {"a": b"1"})
    here = make(site.directory / "tree", {"a": b"1"})

    def swap() -> None:
        shutil.rmtree(here)
        here.write_bytes(b"a file")

    site.server.script(Match(operation="ListObjectsV2"), Do(swap))
    record = await sync(site, here, uri("p"), delete=True, force=True)
    assert record.failed
    assert objects(site) == {"a": b"1"}
    here.unlink()
    make(here, {"a": b"1"})
    site.server.script(Match(operation="ListObjectsV2"), Do(swap))
    record = await sync(site, here, uri("p"), delete=True)
    assert record.failed


# Directories and markers


async def test_a_directory_that_the_source_has_stays_when_it_is_emptied(site: Site) -> None:
    store(site, {"d/": b"", "d/e/": b"", "f": b"1"})
    here = make(site.directory / "tree", {"d/x": b"x", "d/e/y": b"y", "f": b"1", "g/h/i": b"x"})
    markers = TreeOptions(markers=True)
    await sync(site, uri("p"), here, markers, delete=True)
    assert (here / "d" / "e").is_dir()
    assert not (here / "g").exists()
    assert files(here) == {"f": b"1"}


async def test_markers_between_two_prefixes(site: Site) -> None:
    store(site, {"d/": b"", "f": b"1"})
    store(site, {"d/": b"", "old/": b""}, "q/")
    markers = TreeOptions(markers=True)
    await sync(site, uri("p"), uri("q"), markers, delete=True)
    assert set(objects(site, "q/")) == {"d/", "f"}
    set_moment(site, "p/d/", "p/f", moment=1e9)
    again = await sync(site, uri("p"), uri("q"), markers, delete=True)
    assert not again.finished
    plain = await sync(site, uri("p"), uri("q"), delete=True)
    assert not plain.of(Removed)


# What is believed to be the same


async def test_an_entry_of_another_key_is_not_believed(site: Site) -> None:
    here = make(site.directory / "tree", {"a": b"1"})
    await sync(site, here, uri("p"))
    other = CustomerKey(OTHER_KEY)
    for method in (Method.TIMES, Method.CHECKSUM):
        record = await sync(site, here, uri("p"), settings={"customer_key": other}, method=method)
        assert not record.failed
        assert site.server.objects["bucket", "p/a"].customer_key_md5 == other.md5
        assert not (await sync(site, here, uri("p"), settings={"customer_key": other})).finished
        await sync(site, here, uri("p"))
        assert site.server.objects["bucket", "p/a"].customer_key_md5 == CUSTOMER_KEY.md5


async def test_a_copy_under_another_key_is_made_anew(site: Site) -> None:
    store(site, {"a": b"1"})
    store(site, {"a": b"1"}, "q/", OTHER_KEY)
    record = await sync(site, uri("p"), uri("q"), method=Method.CHECKSUM)
    assert not record.failed
    assert site.server.objects["bucket", "q/a"].customer_key_md5 == CUSTOMER_KEY.md5


async def test_a_file_rewritten_in_the_moment_that_it_was_sent_goes_again(site: Site) -> None:
    """Its size and its mtime are as before, as when a clock has not ticked between."""
    here = make(site.directory / "tree", {"a": b"before", "b": b"x"})
    path = here / "a"
    moments: list[int] = []

    def rewrite() -> None:
        moments.append(path.stat().st_mtime_ns)
        path.write_bytes(b"after!")
        os.utime(path, ns=(moments[0], moments[0]))

    # The file is written while the run is on, then again right after it was read.
    site.server.script(Match(operation="PutObject", name="p/a"), Do(rewrite))
    await sync(site, here, uri("p"), acts={"p/a": lambda: path.write_bytes(b"before")})
    assert moments
    await sync(site, here, uri("p"))
    assert objects(site)["a"] == b"after!"
    assert not (await sync(site, here, uri("p"))).finished


async def test_an_object_replaced_by_the_same_size_in_the_same_second(site: Site) -> None:
    store(site, {"a": b"one"})
    await sync(site, uri("p"), uri("q"))
    store(site, {"a": b"two"})
    set_moment(site, "p/a", "q/a", moment=1e9)
    await sync(site, uri("p"), uri("q"))
    assert objects(site, "q/")["a"] == b"two"


# The same server


@pytest.mark.parametrize("spelling", ["{}", "{}/", "https://LOCALHOST:{port}"])
@pytest.mark.parametrize(("source", "destination"), [("a/b", "a"), ("a", "a/b/"), ("a/", "a")])
async def test_overlap_is_refused_however_the_server_is_named(
    site: Site, spelling: str, source: str, destination: str
) -> None:
    store(site, {"a/b/x": b"1", "a/y": b"2"}, "")
    url = site.server.endpoint_url
    side = SourceOptions(
        CUSTOMER_KEY,
        endpoint_url=spelling.format(url, port=url.rsplit(":", 1)[1]),
        ca_bundle=str(site.certificate.ca_file),
    )
    with pytest.raises(UsageError, match="inside the other"):
        await sync(site, uri(source), uri(destination), settings={"source": side}, delete=True)
    assert set(objects(site, "")) == {"a/b/x", "a/y"}


# Manifests


async def test_a_manifest_takes_the_place_of_no_file_beside_it(site: Site) -> None:
    here = make(site.directory / "tree", {"a": b"1"})
    beside = site.directory / "m.part"
    beside.write_bytes(b"mine")
    await sync(site, here, uri("p"), manifest=str(site.directory / "m"))
    assert beside.read_bytes() == b"mine"
    assert (site.directory / "m").read_text().count("\n") == 1


async def test_a_manifest_in_the_tree_itself_takes_no_part(site: Site) -> None:
    store(site, {"a": b"1"})
    here = site.directory / "tree"
    here.mkdir()
    await sync(site, uri("p"), here, manifest=str(here / "m"), delete=True)
    assert set(files(here)) == {"a", "m"}
    assert not site.left_behind()


@pytest.mark.parametrize("name", ["directory", "pipe", "missing/m"])
async def test_a_manifest_that_cannot_be_is_told_before_anything(site: Site, name: str) -> None:
    here = make(site.directory / "tree", {"a": b"1"})
    (site.directory / "directory").mkdir()
    os.mkfifo(site.directory / "pipe")
    with pytest.raises(UsageError):
        await sync(site, here, uri("p"), manifest=str(site.directory / name))
    assert not objects(site)
    assert sorted(os.listdir(site.directory)) == ["directory", "pipe", "tree"]


def fill(path: Path) -> None:
    """Write until the disk is full."""
    with contextlib.suppress(OSError), path.open("wb", buffering=0) as ballast:
        while True:
            ballast.write(bytes(4096))


async def test_a_full_disk_ends_the_manifest_and_not_the_sync(site: Site, tiny_disk: Path) -> None:
    here = make(site.directory / "tree", dict.fromkeys(NAMES[:200], b"x"))
    manifest = tiny_disk / "m"
    manifest.write_bytes(b"older\n")
    fill(tiny_disk / "ballast")
    try:
        await sync(site, here, uri("p"), manifest=str(manifest))
    except LocalFileError:
        pass
    else:
        assert "manifest" in site.record.failed
    assert len(objects(site)) == 200
    assert manifest.read_bytes() == b"older\n"
    assert sorted(os.listdir(tiny_disk)) == ["ballast", "m"]

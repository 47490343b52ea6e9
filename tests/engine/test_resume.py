"""A later run goes on where one that was interrupted, or failed, ended."""

from __future__ import annotations

import asyncio
import os
import shutil
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import anyio
import pytest
from tests.faults import CloseBeforeReply, Complete200Error, Match, Status
from tests.kit import KEY, OTHER_KEY, Do

from sealift.journal import Journal, dead_runs
from sealift.keys import CustomerKey
from sealift.model import Location
from sealift.options import TreeOptions
from sealift.records import UploadPlanned
from sealift.retry import Policy

from .conftest import LARGE, PART_SIZE, Record, Site

pytestmark = pytest.mark.anyio

RANGES = 3


@pytest.fixture
def state(tmp_path: Path) -> str:
    return str(tmp_path / "state")


def sent_parts(site: Site) -> list[int]:
    """Numbers of the parts whose sending the server has seen."""
    return sorted(asked.part or 0 for asked in site.server.seen("UploadPart"))


def left_over(state: str) -> list[str]:
    """The objects that the journal still has something of."""
    with dead_runs(state) as found:
        return [record.name for dead in found for record in (*dead.uploads, *dead.downloads)]


def begin_anew(site: Site) -> None:
    site.record = Record()
    site.server.requests.clear()


BRIEF = Policy(budget=0.3, longest_wait=0.02)


async def put(site: Site, state: str, **changes: object) -> None:
    async with site.engine(**{"policy": BRIEF, "state_directory": state, **changes}) as engine:
        await engine.put(str(site.directory / "source"), Location("bucket", "x"))


async def put_in_vain(site: Site, state: str) -> None:
    """Upload `x` while part 2 is refused; the other parts arrive."""
    site.file("source", LARGE)
    is_refused = True
    site.server.script(
        Match(operation="UploadPart", part=2, times=None, where=lambda _: is_refused),
        Status(503, "ServiceUnavailable"),
    )
    await put(site, state)
    assert set(site.record.failed) == {"x"}
    assert "resume" in str(site.record.failed["x"]) or "go on" in str(site.record.failed["x"])
    assert sent_parts(site).count(1) == sent_parts(site).count(3) == 1
    is_refused = False
    assert len(site.server.uploads) == 1
    assert left_over(state) == ["x"]
    begin_anew(site)


def assert_done(site: Site, state: str, content: bytes = LARGE) -> None:
    assert site.record.finished == {"x"}
    assert site.body("x") == content
    assert not site.server.uploads
    assert left_over(state) == []


async def test_an_upload_goes_on_with_the_parts_that_are_there(site: Site, state: str) -> None:
    await put_in_vain(site, state)

    await put(site, state)

    assert_done(site, state)
    assert sent_parts(site) == [2]
    assert not site.server.seen("CreateMultipartUpload")
    assert len(site.server.seen("ListParts")) == 1


async def test_an_interrupted_upload_goes_on(site: Site, state: str) -> None:
    site.file("source", LARGE)
    scope = anyio.CancelScope()
    loop = asyncio.get_running_loop()
    stop = Do(lambda: loop.call_soon_threadsafe(scope.cancel))
    site.server.script(Match(operation="UploadPart", part=3), (stop, Status(503, "SlowDown")))
    with scope:
        await put(site, state, concurrency=1)
    assert scope.cancelled_caught
    assert left_over(state) == ["x"]
    begin_anew(site)

    await put(site, state)

    assert_done(site, state)
    assert 1 not in sent_parts(site)


async def test_a_changed_file_begins_anew(site: Site, state: str) -> None:
    await put_in_vain(site, state)
    changed = bytes([LARGE[0] ^ 1]) + LARGE[1:]
    site.file("source", changed)

    await put(site, state)

    assert_done(site, state, changed)
    assert sent_parts(site) == [1, 2, 3]


async def test_bytes_that_changed_unseen_are_sent_again(site: Site, state: str) -> None:
    """A journal whose file has the same times and other bytes: each part is read again."""
    await put_in_vain(site, state)
    path = site.directory / "source"
    with path.open("r+b") as file:
        file.write(b"other")
    facts = path.stat()
    identity = (facts.st_dev, facts.st_ino, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns)
    _rewrite(state, identity)

    await put(site, state)

    # The metadata have the checksum of the file as it was, so the object is begun anew.
    assert_done(site, state, b"other" + LARGE[5:])


def _rewrite(state: str, identity: tuple[int, ...]) -> None:
    """Let the journal say that the file was as it is now."""
    import sqlite3

    from sealift.journal_rows import rows_of
    from sealift.records import UploadPlanned

    with dead_runs(state) as found:
        (dead,) = found
        (record,) = dead.uploads
        rows = rows_of(UploadPlanned(record._replace(identity=identity)))  # type: ignore[arg-type]
        with closing(sqlite3.connect(dead.path)) as connection, connection:
            connection.executemany("INSERT OR REPLACE INTO entry VALUES (?, ?, ?, ?, ?)", rows)


async def test_of_two_uploads_of_one_object_the_older_is_aborted(site: Site, state: str) -> None:
    """Two runs were busy with it at once, and both were killed."""
    await put_in_vain(site, state)
    with dead_runs(state) as found:
        (dead,) = found
        (record,) = dead.uploads
        run = dead.run
    site.server.uploads["older"] = replace(site.server.uploads[record.upload_id], parts={})
    older = record._replace(marker="f" * 32, upload_id="older")
    journal = Journal(state, run._replace(token="0" * 16, started_at=run.started_at - 1))
    journal.open()
    journal.write([UploadPlanned(older)], durable=True)
    journal.close(finished=False)

    await put(site, state)

    assert_done(site, state)
    assert sent_parts(site) == [2]


async def test_another_customer_key_begins_anew(site: Site, state: str) -> None:
    await put_in_vain(site, state)

    await put(site, state, customer_key=CustomerKey(OTHER_KEY))

    assert_done(site, state)
    assert sent_parts(site) == [1, 2, 3]


async def test_an_upload_that_the_server_has_forgotten_begins_anew(site: Site, state: str) -> None:
    await put_in_vain(site, state)
    site.server.uploads.clear()

    await put(site, state)

    assert_done(site, state)
    assert sent_parts(site) == [1, 2, 3]


async def test_an_upload_forgotten_amid_the_run_begins_anew_once(site: Site, state: str) -> None:
    site.file("source", LARGE)
    site.server.script(
        Match(operation="CompleteMultipartUpload"),
        (Do(site.server.uploads.clear), Status(404, "NoSuchUpload")),
    )

    await put(site, state)

    assert_done(site, state)
    assert len(site.server.seen("CreateMultipartUpload")) == 2


async def test_a_complete_whose_reply_never_came_is_found_done(site: Site, state: str) -> None:
    site.file("source", LARGE)
    scope = anyio.CancelScope()
    loop = asyncio.get_running_loop()
    stop = Do(lambda: loop.call_soon_threadsafe(scope.cancel))
    site.server.script(
        Match(operation="CompleteMultipartUpload", times=None),
        (Complete200Error(applied=True), stop),
    )
    site.server.script(Match(operation="HeadObject", times=1), Status(500))
    with scope:
        await put(site, state)
    assert scope.cancelled_caught
    assert left_over(state) == ["x"]
    begin_anew(site)

    await put(site, state)

    assert_done(site, state)
    assert sent_parts(site) == []
    assert not site.server.seen("CompleteMultipartUpload")


async def test_an_upload_whose_id_never_came_is_aborted(site: Site, state: str) -> None:
    """The reply to Create is lost, and so is the run: the server has an upload of unknown id."""
    site.file("source", LARGE)
    scope = anyio.CancelScope()
    loop = asyncio.get_running_loop()
    stop = Do(lambda: loop.call_soon_threadsafe(scope.cancel))
    site.server.script(
        Match(operation="CreateMultipartUpload", times=None),
        (stop, _LostCreate()),
    )
    with scope:
        await put(site, state)
    assert scope.cancelled_caught
    assert len(site.server.uploads) == 1
    begin_anew(site)
    site.server._scripts.clear()

    await put(site, state)

    assert_done(site, state)
    assert len(site.server.seen("AbortMultipartUpload")) >= 1


class _LostCreate:
    """Done, and the reply is an error that says nothing of it."""

    def shape(self, plan: object) -> None:
        Status(200, body=b"").shape(plan)  # type: ignore[arg-type]
        plan.act = True  # type: ignore[attr-defined]


async def get(site: Site, state: str) -> None:
    async with site.engine(policy=BRIEF, state_directory=state) as engine:
        await engine.get(Location("bucket", "x"), str(site.out))


async def get_in_vain(site: Site, state: str) -> None:
    """Download `x` while its second range is refused; the others arrive."""
    site.server.store("x", LARGE, customer_key=KEY)
    is_refused = True
    start = f"bytes={PART_SIZE}-"

    def second(request: object) -> bool:
        return is_refused and request.headers.get("range", "").startswith(start)  # type: ignore[attr-defined]

    site.server.script(
        Match(operation="GetObject", times=None, where=second), Status(503, "ServiceUnavailable")
    )
    await get(site, state)
    assert set(site.record.failed) == {"x"}
    assert not site.out.exists()
    assert len(site.left_behind()) == 1
    is_refused = False
    begin_anew(site)


def fetched(site: Site) -> list[str]:
    return sorted(asked.headers.get("range", "") for asked in site.server.seen("GetObject"))


async def test_a_download_fetches_only_what_is_missing(site: Site, state: str) -> None:
    await get_in_vain(site, state)

    await get(site, state)

    assert site.out.read_bytes() == LARGE
    assert fetched(site) == [f"bytes={PART_SIZE}-{2 * PART_SIZE - 1}"]
    assert site.left_behind() == []
    assert left_over(state) == []


def damage_the_end(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-7] + b"damaged")


async def test_a_range_that_was_damaged_is_fetched_again(site: Site, state: str) -> None:
    await get_in_vain(site, state)
    (temporary,) = site.left_behind()
    damage_the_end(Path(temporary))

    await get(site, state)

    assert site.out.read_bytes() == LARGE
    assert len(fetched(site)) == 2
    assert site.left_behind() == []


def append(path: Path, more: bytes) -> None:
    path.write_bytes(path.read_bytes() + more)


async def test_what_a_temporary_file_has_beyond_the_end_is_cut_off(site: Site, state: str) -> None:
    await get_in_vain(site, state)
    (temporary,) = site.left_behind()
    append(Path(temporary), b"beyond")

    await get(site, state)

    assert site.out.read_bytes() == LARGE


async def test_a_replaced_object_begins_anew(site: Site, state: str) -> None:
    await get_in_vain(site, state)
    other = LARGE[::-1]
    site.server.store("x", other, customer_key=KEY)

    await get(site, state)

    assert site.out.read_bytes() == other
    assert len(fetched(site)) == RANGES
    assert site.left_behind() == []


async def test_a_temporary_file_that_became_a_link_is_not_followed(
    site: Site, state: str, tmp_path: Path
) -> None:
    await get_in_vain(site, state)
    (temporary,) = site.left_behind()
    victim = tmp_path / "victim"
    victim.write_bytes(b"not ours")
    os.unlink(temporary)
    os.symlink(victim, temporary)

    await get(site, state)

    assert site.out.read_bytes() == LARGE
    assert victim.read_bytes() == b"not ours"


async def test_what_a_dead_run_left_is_swept(site: Site, state: str) -> None:
    """Temporary files that no later run can go on with: the object is not wanted any more."""
    await get_in_vain(site, state)
    with dead_runs(state) as found:
        (dead,) = found
        for record in list(dead.downloads):
            dead.forget(record.temporary)
    site.server.store("y", b"small", customer_key=KEY)

    async with site.engine(state_directory=state) as engine:
        await engine.get(Location("bucket", "y"), str(site.directory / "y"))

    assert site.left_behind() == []


async def test_a_restore_leaves_alone_what_is_there(site: Site, state: str) -> None:
    for name in ("p/a", "p/b"):
        site.server.store(name, name.encode(), customer_key=KEY)
    target = site.directory / "back"

    async def restore(**changes: bool) -> list[str]:
        begin_anew(site)
        async with site.engine(state_directory=state) as engine:
            await engine.restore(Location("bucket", "p/"), str(target), **changes)
        return sorted(asked.name for asked in site.server.seen("GetObject"))

    assert await restore() == ["p/a", "p/b"]
    assert await restore() == []
    assert await restore(resume=False) == ["p/a", "p/b"]
    (target / "a").write_bytes(b"changed here")
    site.server.store("p/b", b"changed there", customer_key=KEY)
    assert await restore() == ["p/a", "p/b"]
    assert (target / "a").read_bytes() == b"p/a"
    assert (target / "b").read_bytes() == b"changed there"


async def test_a_journal_that_cannot_be_written_ends_itself_not_the_run(
    site: Site, tmp_path: Path
) -> None:
    blocked = tmp_path / "state"
    blocked.write_bytes(b"a file where a directory is needed")
    site.file("source", LARGE)

    await put(site, str(blocked))

    assert site.record.finished == {"x"}
    assert any("journal" in note for note in site.record.notes)


@pytest.mark.parametrize("words", [("the", "same"), ("another",)], ids=["same", "another"])
async def test_what_the_same_command_needs_no_more_is_undone(
    site: Site, state: str, words: tuple[str, ...]
) -> None:
    """The file of an upload was removed since, and the object of a download: nothing is left.

    What another command left is for that to go on with.
    """
    source = site.file("tree/large", LARGE)
    site.server.store("p/large", LARGE, customer_key=KEY)
    target = site.directory / "back"

    async def move(**changes: object) -> None:
        begin_anew(site)
        async with site.engine(policy=BRIEF, state_directory=state, **changes) as engine:
            await engine.copy(f"{site.directory}/tree/", "s3://bucket/q/")
            await engine.restore(Location("bucket", "p/"), str(target))

    is_refused = True
    for operation in ("UploadPart", "GetObject"):
        site.server.script(
            Match(operation=operation, times=None, after=1, where=lambda _: is_refused),
            Status(503, "ServiceUnavailable"),
        )
    await move(words=("the", "same"), aim=("the", "same"))
    assert sorted(left_over(state)) == ["p/large", "q/large"]
    is_refused = False
    os.unlink(source)
    del site.server.objects["bucket", "p/large"]
    site.server.store("p/small", b"small", customer_key=KEY)

    await move(words=words, aim=words)

    assert not site.record.failed
    is_same = words == ("the", "same")
    assert sorted(left_over(state)) == ([] if is_same else ["p/large", "q/large"])
    assert len(site.server.uploads) == len(site.left_behind()) == (0 if is_same else 1)


async def test_a_journal_whose_disk_fills_ends_itself_not_the_run(
    site: Site, tiny_disk: Path
) -> None:
    filler = tiny_disk / "filler"
    state = str(tiny_disk / "state")
    site.file("source", LARGE)
    site.server.script(Match(operation="UploadPart", part=1), Do(lambda: fill(filler)))

    await put(site, state)

    assert site.record.finished == {"x"}
    assert site.body("x") == LARGE
    assert not site.server.uploads
    told = [note for note in site.record.notes if "nothing can go on with this run" in note]
    assert len(told) == 1
    os.unlink(filler)
    assert left_over(state) == []
    assert os.listdir(tiny_disk / "state" / "journal") == []


def fill(filler: Path) -> None:
    filler.write_bytes(bytes(shutil.disk_usage(filler.parent).free))


async def test_an_upload_that_a_lost_create_makes_late_is_aborted(site: Site, state: str) -> None:
    """A server may still be busy with a Create that its client has given up."""
    site.file("source", LARGE)
    site.server.script(Match(operation="CreateMultipartUpload"), CloseBeforeReply())

    def come_late() -> None:
        (upload,) = site.server.uploads.values()
        site.server.uploads["late"] = replace(upload, parts={})

    site.server.script(Match(operation="CompleteMultipartUpload"), Do(come_late))

    await put(site, state)

    assert_done(site, state)


@pytest.mark.parametrize("operation", ["ListParts", "AbortMultipartUpload"])
async def test_without_the_right_to_look_an_upload_begins_anew(
    site: Site, state: str, operation: str
) -> None:
    await put_in_vain(site, state)
    site.server.script(
        Match(operation=operation, times=None), Status(403, "AccessDenied", "no right")
    )
    if operation == "AbortMultipartUpload":
        site.file("source", LARGE[::-1])  # so that the old one is of no use

    await put(site, state)

    assert site.record.finished == {"x"}
    assert left_over(state) == ["x"]


async def test_parts_are_kept_when_complete_is_refused_for_the_moment(
    site: Site, state: str
) -> None:
    site.file("source", LARGE)
    is_refused = True
    site.server.script(
        Match(operation="CompleteMultipartUpload", times=None, where=lambda _: is_refused),
        Status(503, "SlowDown"),
    )
    await put(site, state)
    assert set(site.record.failed) == {"x"}
    assert left_over(state) == ["x"]
    is_refused = False
    begin_anew(site)

    await put(site, state)

    assert_done(site, state)
    assert sent_parts(site) == []


async def test_an_upload_begun_without_the_mode_is_not_gone_on_with(site: Site, state: str) -> None:
    await put_in_vain(site, state)
    begin_anew(site)

    async with site.engine(policy=BRIEF, state_directory=state) as engine:
        tree = TreeOptions(preserve_mode=True)
        await engine.copy(str(site.directory / "source"), "s3://bucket/x", tree)

    assert_done(site, state)
    assert "x-amz-meta-mode" in site.server.objects["bucket", "x"].headers

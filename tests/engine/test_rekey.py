"""Rekeys when the server lies, refuses, loses replies, or has the objects archived."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest
from tests.engine.conftest import LARGE, Record, Site
from tests.faults import ApplyThenReset, Delay, Fault, Flip, Match, NoEcho, Status, WrongEcho
from tests.faults.messages import Reply
from tests.faults.plan import Plan
from tests.kit import CUSTOMER_KEY, KEY, OTHER_KEY, until

from sealift.errors import IntegrityError, NotSealedError, SettingsError
from sealift.journal import Journal
from sealift.keyring import HeldKey, Keyring
from sealift.keys import CustomerKey
from sealift.model import Location
from sealift.records import RunRecord
from sealift.rekey.rehearsal import probe_token
from sealift.rekey.seals import From, RekeyOptions, Seal
from sealift.schedule import Schedule

pytestmark = pytest.mark.anyio

OLD = CustomerKey(OTHER_KEY)
RING = Keyring([HeldKey(OLD, "a test"), HeldKey(CUSTOMER_KEY, "a test")])
TIMES = {"x-amz-meta-mtime": "1555555555.5"}
NO_COPY = Status(501, "NotImplemented")


async def rekey(
    site: Site,
    name: str = "p/",
    source: From | None = None,
    state_directory: str | None = None,
    **options: Any,
) -> Record:
    """To the key of all tests, from the other one."""
    order = RekeyOptions(Seal(CUSTOMER_KEY.key_id), source or From(OLD.key_id), **options)
    state = {} if state_directory is None else {"state_directory": state_directory}
    async with site.engine(customer_key=None, keyring=RING, concurrency=1, **state) as engine:
        await engine.rekey(Location("bucket", name), order)
    return site.record


def store(site: Site, name: str, body: bytes, key: bytes | None = OTHER_KEY) -> None:
    site.server.store(name, body, customer_key=key, headers=TIMES)


def assert_rekeyed(site: Site, name: str, body: bytes) -> None:
    stored = site.server.objects["bucket", name]
    assert (stored.body, stored.customer_key_md5) == (body, CUSTOMER_KEY.md5)
    assert stored.headers["x-amz-meta-mtime"] == TIMES["x-amz-meta-mtime"]


def assert_nothing_left(site: Site) -> None:
    assert not site.server.uploads
    assert not [name for _, name in site.server.objects if probe_token(name)]


@dataclass(frozen=True)
class Plaintext:
    """The object that is written stands there without a seal, and the reply tells of none."""

    site: Site
    name: str

    def shape(self, plan: Plan) -> None:
        NoEcho().shape(plan)
        plan.reshape.append(self._unseal)

    def _unseal(self, reply: Reply) -> Reply:
        objects, place = self.site.server.objects, ("bucket", self.name)
        objects[place] = replace(objects[place], customer_key_md5=None)
        return reply


class Untold:
    """HEAD does not tell how many tags there are, as on MiniStack."""

    def shape(self, plan: Plan) -> None:
        plan.reshape.append(lambda reply: reply.but(**{"x-amz-tagging-count": None}))


class Untagged:
    """The tags that come with a write are lost."""

    def shape(self, plan: Plan) -> None:
        plan.alter.append(lambda sent: replace(sent, headers={**sent.headers, "x-amz-tagging": ""}))


def of_users(site: Site, operation: str) -> list[str]:
    """The names that an operation was asked about, without the probes."""
    return [sent.name for sent in site.server.seen(operation) if not probe_token(sent.name)]


async def test_the_server_copies_and_nothing_but_a_byte_is_read(site: Site) -> None:
    for number in range(5):
        store(site, f"p/{number}", b"content")
    record = await rekey(site)
    assert record.finished == {f"p/{number}" for number in range(5)}
    for number in range(5):
        assert_rekeyed(site, f"p/{number}", b"content")
    assert not of_users(site, "PutObject")
    reads = [sent for sent in site.server.seen("GetObject") if not probe_token(sent.name)]
    assert {sent.headers.get("range") for sent in reads} == {"bytes=0-0"}
    assert len(reads) == 5 + 1  # and under the old key, once
    assert_nothing_left(site)


@pytest.mark.parametrize("fault", [NoEcho(), WrongEcho(), NO_COPY], ids=str)
async def test_the_server_is_tried_before_any_object_is_touched(site: Site, fault: Fault) -> None:
    store(site, "p/a", b"a")
    store(site, "p/b", LARGE)
    site.server.script(Match(operation="CopyObject", times=None), fault)
    record = await rekey(site)
    assert not record.failed
    assert of_users(site, "CopyObject") == []
    assert of_users(site, "PutObject") == ["p/a"]
    assert_rekeyed(site, "p/a", b"a")
    assert_rekeyed(site, "p/b", LARGE)
    assert_nothing_left(site)


@pytest.mark.parametrize("dialect", ["ceph"])
async def test_a_plain_source_that_would_be_copied_to_plaintext(site: Site) -> None:
    store(site, "p/a", b"a", None)
    record = await rekey(site, source=From("", frozenset({"none"})))
    assert not record.failed
    assert_rekeyed(site, "p/a", b"a")
    assert of_users(site, "CopyObject") == []
    assert_nothing_left(site)


async def test_a_copy_that_turns_out_unsealed_is_sealed_at_once(site: Site) -> None:
    """As of a server behind which others stand, of which one cannot."""
    store(site, "p/a", b"a")
    store(site, "p/b", b"b")
    lie = Match(operation="CopyObject", where=lambda sent: not probe_token(sent.name))

    site.server.script(lie, Plaintext(site, "p/a"))
    record = await rekey(site)
    assert not record.failed
    assert_rekeyed(site, "p/a", b"a")
    assert_rekeyed(site, "p/b", b"b")
    # The plaintext is of another kind, which the server was tried with too.
    assert of_users(site, "CopyObject") == ["p/a", "p/a"]
    assert of_users(site, "PutObject") == ["p/b"]
    assert_nothing_left(site)


@pytest.mark.parametrize("fault", [NoEcho(), Status(403, "AccessDenied")], ids=str)
async def test_a_target_that_the_server_does_not_take_stops_the_run(
    site: Site, fault: Fault
) -> None:
    store(site, "p/a", b"a")
    site.server.script(Match(operation="PutObject", times=None), fault)
    with pytest.raises(SettingsError, match="the server does not put an object under"):
        await rekey(site)
    stored = site.server.objects["bucket", "p/a"]
    assert (stored.body, stored.customer_key_md5) == (b"a", OLD.md5)
    assert_nothing_left(site)


@pytest.mark.parametrize("dialect", ["ceph"])
@pytest.mark.parametrize("size", [7, len(LARGE)])
async def test_a_streamed_object_that_is_stored_as_plaintext_for_good_is_said_to_be(
    site: Site, size: int
) -> None:
    server = site.server
    store(site, "p/a", LARGE[:size])
    server.script(Match(operation="CopyObject", times=None), NO_COPY)
    for operation in ("PutObject", "CompleteMultipartUpload"):
        server.script(Match(operation=operation, name="p/a", times=None), Plaintext(site, "p/a"))
    record = await rekey(site)
    assert isinstance(record.failed["p/a"], NotSealedError)
    assert "UNENCRYPTED" in str(record.failed["p/a"])
    assert "no other copy" in str(record.failed["p/a"])
    assert site.body("p/a") == LARGE[:size]
    assert len(of_users(site, "PutObject") + of_users(site, "CompleteMultipartUpload")) == 3
    assert of_users(site, "DeleteObject") == []
    assert_nothing_left(site)


@pytest.mark.parametrize("copies", [True, False])
@pytest.mark.parametrize("size", [7, len(LARGE)])
async def test_a_lost_reply_is_no_failure(site: Site, copies: bool, size: int) -> None:
    server = site.server
    store(site, "p/a", LARGE[:size])
    if not copies:
        server.script(Match(operation="CopyObject", times=None), NO_COPY)
    for operation in ("CopyObject", "PutObject", "CompleteMultipartUpload"):
        theirs = Match(operation=operation, where=lambda sent: not probe_token(sent.name))
        server.script(theirs, ApplyThenReset())
    record = await rekey(site)
    assert not record.failed
    assert record.finished == {"p/a"}
    assert_rekeyed(site, "p/a", LARGE[:size])
    assert_nothing_left(site)


@pytest.mark.parametrize("copies", [True, False])
@pytest.mark.parametrize(
    ("operation", "fault", "asked"),
    [
        ("ListParts", Untold(), 1),  # which is never sent
        ("HeadObject", Untold(), 3),
        ("PutObject", Untagged(), 3),
        ("GetObjectTagging", Status(501, "NotImplemented"), 3),
    ],
)
async def test_tags_are_asked_for_where_there_may_be_some_and_none_are_lost(
    site: Site, operation: str, fault: Fault, asked: int, copies: bool
) -> None:
    """What a server tells of tags is believed once it has told of those of the probe."""
    server = site.server
    for name in ("a", "b"):
        store(site, f"p/{name}", b"content")
    server.store("p/t", b"t", customer_key=OTHER_KEY, headers=TIMES | {"x-amz-tagging": "x=%20y"})
    server.script(Match(operation=operation, times=None), fault)
    if not copies:
        server.script(Match(operation="CopyObject", times=None), NO_COPY)

    record = await rekey(site)

    assert record.finished == {"p/a", "p/b", "p/t"}
    if operation != "GetObjectTagging":
        assert server.s3.tags["bucket", "p/t"] == {"x": " y"}
    assert len(set(of_users(site, "GetObjectTagging"))) == asked
    assert_nothing_left(site)


@pytest.mark.parametrize("operation", ["GetObject", "CopyObject"])
async def test_archived_objects_are_named_as_such(site: Site, operation: str) -> None:
    store(site, "p/a", b"a")
    store(site, "p/b", b"b")
    archived = Match(operation=operation, name="p/a", times=None)
    site.server.script(archived, Status(403, "InvalidObjectState"))
    if operation == "GetObject":  # and this under a key that is not the first one tried
        site.server.script(Match(operation="HeadObject", name="p/a", times=None), Status(403))
    record = await rekey(site)
    assert "archived" in str(record.failed["p/a"])
    assert site.server.objects["bucket", "p/a"].customer_key_md5 == OLD.md5
    assert_rekeyed(site, "p/b", b"b")


async def test_case_21_bytes_that_differ_from_the_stored_checksum_replace_nothing(
    site: Site,
) -> None:
    server = site.server
    server.script(Match(operation="CopyObject", times=None), NO_COPY)
    store(site, "p/a", b"content")
    server.script(Match(operation="GetObject", name="p/a", times=None), Flip(3))
    record = await rekey(site)
    assert isinstance(record.failed["p/a"], IntegrityError)
    assert of_users(site, "PutObject") == []
    assert server.objects["bucket", "p/a"].customer_key_md5 == OLD.md5


async def test_a_key_is_sent_to_no_object_before_it_is_needed(site: Site) -> None:
    """Both keys go with the requests that need them, and none with tags and removals."""
    store(site, "p/a", b"a")
    await rekey(site)
    for operation in ("GetObjectTagging", "DeleteObject"):
        assert site.server.seen(operation)
        for sent in site.server.seen(operation):
            assert not any(re.search("customer-key$", name) for name in sent.headers)
    assert KEY != OTHER_KEY


async def test_a_report_is_written_also_of_a_run_that_is_interrupted(
    site: Site, tmp_path: Path
) -> None:
    for number in range(20):
        store(site, f"p/{number:02}", b"content")
    report = tmp_path / "report"

    with anyio.CancelScope() as scope:
        site.record.on_start("p/10", scope.cancel)
        await rekey(site, report=str(report))

    written = [json.loads(line) for line in report.read_text().splitlines()]
    rekeyed = {one["name"] for one in written if one["outcome"] == "rekeyed"}
    assert len(rekeyed) >= 9
    for name in rekeyed:
        assert_rekeyed(site, name, b"content")


@pytest.mark.parametrize(("dry_run", "done"), [(False, "rekeyed"), (True, "would")])
async def test_a_report_tells_what_an_interrupt_left_open(
    site: Site, tmp_path: Path, dry_run: bool, done: str
) -> None:
    for name in "abc":
        store(site, f"p/{name}", b"content")
    report = tmp_path / "report"
    site.server.script(Match(operation="HeadObject", name="p/b"), Delay(1.0))

    async with anyio.create_task_group() as group:
        group.start_soon(partial(rekey, site, report=str(report), dry_run=dry_run))
        await until(lambda: "p/b" in of_users(site, "HeadObject"))
        group.cancel_scope.cancel()

    written = [json.loads(line) for line in report.read_text().splitlines()]
    assert [(one["name"], one["outcome"]) for one in written] == [
        ("p/a", done),
        ("p/b", "interrupted"),
    ]


async def test_a_report_tells_what_failed(site: Site, tmp_path: Path) -> None:
    store(site, "p/a", b"content", bytes(32))
    report = tmp_path / "report"
    await rekey(site, report=str(report))
    written = json.loads(report.read_text())
    assert written["outcome"] == "failed"
    assert "not at hand" in written["error"]


async def test_a_dry_run_has_as_many_requests_at_once_as_pays(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    store(site, "p/a", b"content")
    store(site, "p/b", b"content", KEY)
    noted = []
    monkeypatch.setattr(Schedule, "note_done", lambda _: noted.append(1))
    await rekey(site, dry_run=True)
    assert len(noted) == 2


async def test_what_a_killed_run_tried_the_server_with_is_removed(
    site: Site, tmp_path: Path
) -> None:
    """By its token, which the journal has; what another machine tries it with is left alone."""
    token, other = "0123456789abcdef", "fedcba9876543210"
    for name in ("p/a", f"p/.sealift-probe-{token}", f"p/.sealift-probe-{other}"):
        store(site, name, b"x")
    run = RunRecord(token, 1.0, (), "/", f"{site.server.endpoint_url}/bucket", None)
    dead = Journal(str(tmp_path), run)
    dead.open()
    dead.write([], durable=True)
    dead.close(finished=False)

    record = await rekey(site, state_directory=str(tmp_path))

    assert record.finished == {"p/a"}
    left = [name for _, name in site.server.objects if probe_token(name)]
    assert left == [f"p/.sealift-probe-{other}"]

"""Verification where servers deny, keep silent, archive, lose and replace."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.faults import (
    Dialect,
    Fault,
    Flip,
    Match,
    NoEcho,
    ReplaceObject,
    Request,
    Status,
    key_md5_of,
)
from tests.kit import CUSTOMER_KEY, KEY, OTHER_KEY

from sealift.console.report import lines
from sealift.errors import IntegrityError, VerifyError
from sealift.keyring import HeldKey, Keyring
from sealift.keys import CustomerKey
from sealift.model import Location
from sealift.verify.findings import Finding, VerifyOptions, VerifyReport

from .conftest import LARGE, PART_SIZE, SEAL, Site

pytestmark = pytest.mark.anyio

SEALED = VerifyOptions(is_sealed=True)
DEEP = VerifyOptions(is_deep=True)
OTHER = CustomerKey(OTHER_KEY)
RING = Keyring([HeldKey(OTHER, "a test")])
FILES = {"a": b"bytes", "empty": b"", "large": LARGE}


def unkeyed(request: Request) -> bool:
    return SEAL + "key" not in request.headers


def keyed(request: Request) -> bool:
    return not unkeyed(request)


@pytest.fixture(params=["aws", "ceph"])
def dialect(request: pytest.FixtureRequest) -> Dialect:
    return request.param  # type: ignore[no-any-return]


@pytest.fixture
def tree(site: Site) -> Path:
    """FILES, on both sides; nothing but GET, HEAD and LIST is ever asked."""
    for name, body in FILES.items():
        site.file(f"tree/{name}", body)
        site.server.store(f"p/{name}", body, customer_key=KEY)
    return site.directory / "tree"


async def verify(
    site: Site, tree: Path | None, options: VerifyOptions | None = None, **changes: object
) -> VerifyReport:
    async with site.engine(**changes) as engine:
        local = None if tree is None else str(tree)
        report = await engine.verify(local, Location("bucket", "p"), options)
    assert {asked.method for asked in site.server.requests} <= {"GET", "HEAD"}
    return report


def findings(site: Site) -> dict[str, list[str]]:
    found = {}
    for name, error in site.record.failed.items():
        assert isinstance(error, VerifyError), error
        found[name.removeprefix("p/")] = list(error.findings)
    return found


async def test_a_denial_is_no_proof(site: Site, tree: Path) -> None:
    denied = Match(operation="GetObject", where=unkeyed, times=None)
    site.server.script(denied, Status(403, "AccessDenied", "Access Denied"))
    report = await verify(site, tree, SEALED)
    assert findings(site) == {name: ["not-proven"] for name in FILES}
    assert report.sealed_count == 0
    assert report.keys == {CUSTOMER_KEY.key_id: 3}, "the right key was still answered"


async def test_behind_a_denial_a_plain_object_is_found(site: Site, tree: Path) -> None:
    site.server.store("p/a", FILES["a"])
    denied = Match(operation="GetObject", where=unkeyed, times=None)
    site.server.script(denied, Status(403, "AccessDenied", "Access Denied"))
    await verify(site, None, SEALED)
    assert findings(site) == {
        "a": ["not-proven", "unencrypted"], "empty": ["not-proven"], "large": ["not-proven"],
    }  # fmt: skip


async def test_a_server_that_does_not_echo_the_key_proves_nothing(site: Site, tree: Path) -> None:
    site.server.script(Match(operation="GetObject", where=keyed, name="p/a", times=None), NoEcho())
    report = await verify(site, None, SEALED, keyring=RING)
    assert findings(site) == {"a": ["not-proven"]}
    assert report.sealed_count == 2


@pytest.mark.parametrize(
    ("encryption", "finding"), [("AES256", "server-side"), ("aws:kms", "server-side")]
)
async def test_encryption_of_the_server_alone_is_no_seal(
    site: Site, tree: Path, encryption: str, finding: str
) -> None:
    header = {"x-amz-server-side-encryption": encryption, "etag": '"e"'}
    told = Status(206, headers=header | {"content-range": "bytes 0-0/5"}, body=b"b")
    site.server.script(Match(operation="GetObject", where=unkeyed, name="p/a"), told)
    report = await verify(site, None, SEALED)
    assert findings(site) == {"a": [finding]}
    assert encryption in str(site.record.failed["p/a"])
    assert report.keys == {CUSTOMER_KEY.key_id: 2, "": 1}


async def test_an_archived_object_is_proven_by_head(site: Site, tree: Path) -> None:
    """GET is refused before the key is looked at; HEAD is answered."""
    archived = Match(operation="GetObject", name="p/a", times=None)
    site.server.script(archived, Status(403, "InvalidObjectState", "archived"))
    report = await verify(site, None, SEALED)
    assert findings(site) == {}
    assert report.sealed_count == 3

    site.server.store("p/a", FILES["a"])
    await verify(site, None, SEALED)
    assert findings(site) == {"a": ["unencrypted"]}


async def test_an_archived_object_under_another_key(site: Site, tree: Path) -> None:
    site.server.store("p/a", FILES["a"], customer_key=OTHER_KEY)
    archived = Match(operation="GetObject", name="p/a", times=None)
    site.server.script(archived, Status(403, "InvalidObjectState", "archived"))
    await verify(site, None, SEALED)
    assert findings(site) == {"a": ["archived"]}
    site.record.events.clear()
    await verify(site, None, SEALED, keyring=RING)
    assert findings(site) == {"a": ["unexpected-key"]}


async def test_an_archived_object_without_a_checksum_cannot_be_compared(
    site: Site, tree: Path
) -> None:
    crc = site.server.objects["bucket", "p/a"].crc64nvme
    archived = Match(operation="GetObject", name="p/a", times=None)
    site.server.script(archived, Status(403, "InvalidObjectState", "archived"))
    report = await verify(site, tree)
    assert findings(site) == ({} if crc else {"a": ["archived"]})
    assert report.is_verified == bool(crc)
    site.record.events.clear()
    await verify(site, tree, DEEP)
    assert findings(site) == {"a": ["archived"]}


@pytest.mark.parametrize("fault", [Status(500, "InternalError"), Status(418, "Teapot")])
async def test_what_cannot_be_read_is_named_and_the_others_are_verified(
    site: Site, tree: Path, fault: Fault
) -> None:
    for method in ("GET", "HEAD"):
        site.server.script(Match(method=method, name="p/a", times=None), fault)
    report = await verify(site, tree, SEALED)
    assert findings(site) == {"a": ["unreadable"]}
    assert report.sealed_count == 2
    assert sum(report.content.values()) == 2


async def test_an_object_that_is_gone_by_then_is_named(site: Site, tree: Path) -> None:
    for method in ("GET", "HEAD"):
        gone = Match(method=method, name="p/a", times=None)
        site.server.script(gone, Status(404, "NoSuchKey"))
    await verify(site, tree)
    assert findings(site) == {"a": ["unreadable"]}


async def test_a_replaced_object_is_not_mixed_with_its_successor(site: Site, tree: Path) -> None:
    """Of ranges of two versions no verdict follows."""
    second = Match(
        operation="GetObject",
        where=lambda asked: asked.headers.get("range", "").startswith(f"bytes={PART_SIZE}-"),
    )
    body = LARGE[::-1]
    site.server.script(second, ReplaceObject(body, key_md5_of(KEY)))
    await verify(site, tree, DEEP)
    assert findings(site) == {"large": ["unreadable"]}
    assert "replaced" in str(site.record.failed["p/large"])


@pytest.mark.parametrize("name", ["a", "large"])
async def test_bytes_that_change_on_the_way_are_found(site: Site, tree: Path, name: str) -> None:
    site.server.script(Match(operation="GetObject", name=f"p/{name}"), Flip(0))
    report = await verify(site, tree, DEEP)
    has_sum = site.server.objects["bucket", f"p/{name}"].crc64nvme is not None
    expected = ["content-differs", "checksum-wrong"] if has_sum else ["content-differs"]
    assert findings(site) == {name: expected}
    assert not report.is_verified


async def test_a_file_that_is_written_to_meanwhile_is_named(site: Site, tree: Path) -> None:
    path = tree / "a"
    site.record.on_start("p/a", lambda: path.write_bytes(b"more bytes"))
    await verify(site, tree)
    assert findings(site) == {"a": ["unreadable"]}
    assert "while it was read" in str(site.record.failed["p/a"])


async def test_a_file_that_is_gone_by_then_is_named(site: Site, tree: Path) -> None:
    for name in ("a", "large"):
        site.record.on_start(f"p/{name}", lambda name=name: os.unlink(tree / name))  # type: ignore[misc]
    report = await verify(site, tree)
    assert findings(site) == {"a": ["unreadable"], "large": ["unreadable"]}
    assert report.findings == {Finding.UNREADABLE: 2}


async def test_a_wrong_guess_costs_two_requests_and_the_next_is_right(
    site: Site, tree: Path
) -> None:
    for number in range(20):
        name = f"n{number:02}"
        site.file(f"tree/{name}", b"x")
        site.server.store(f"p/{name}", b"x", customer_key=OTHER_KEY)
    report = await verify(site, tree, keyring=RING, concurrency=1)
    assert findings(site) == {}
    assert report.keys == {CUSTOMER_KEY.key_id: 3, OTHER.key_id: 20}
    assert len(site.server.seen("HeadObject")) <= 23 + 2


async def test_a_report_tells_what_the_ignore_file_leaves_out(site: Site, tree: Path) -> None:
    site.file("tree/.sealiftignore", b"# of no interest\n\nlarge\n.sealiftignore\n")
    report = await verify(site, tree)
    assert report.object_count == 2
    assert report.ignore_file == ("large", ".sealiftignore")
    assert "  ignore file       large" in lines(report)


@pytest.mark.parametrize("length", [1, 2, 3])
async def test_versions_that_go_round_in_circles_end_a_run(
    site: Site, tree: Path, length: int
) -> None:
    """The last of so many pages leads to the first one."""
    for number in range(length):
        page = Status(200, body=page_of_versions(f"p/{number}"))
        marker = None if number == 0 else f"p/{number - 1}"
        again = (marker, f"p/{length - 1}") if number == 0 else (marker,)
        site.server.script(
            Match(where=lambda asked, again=again: is_for_versions(asked, again), times=None), page
        )
    with pytest.raises(IntegrityError, match="round in circles"):
        await verify(site, None, VerifyOptions(is_sealed=True, all_versions=True))


def is_for_versions(asked: Request, markers: tuple[str | None, ...]) -> bool:
    return "versions" in asked.query and asked.query.get("key-marker") in markers


def page_of_versions(last: str) -> bytes:
    return (
        "<ListVersionsResult><IsTruncated>true</IsTruncated>"
        f"<NextKeyMarker>{last}</NextKeyMarker></ListVersionsResult>"
    ).encode()

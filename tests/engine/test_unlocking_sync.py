"""Syncs and copies of objects under several keys: nothing unchanged is asked, each has its key."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.engine.conftest import LARGE, Record, Site
from tests.engine.test_unlocking import IDS, MISSING, RAWS, obstacles, ring, sent, store, tally
from tests.faults import Match, Status
from tests.kit import CUSTOMER_KEY

from sealift.catalogue import FILE_NAME, Catalogue
from sealift.compare import Method
from sealift.errors import Obstacle
from sealift.keyring import Keyring
from sealift.keys import CustomerKey
from sealift.options import TreeOptions
from sealift.sync import SyncOptions

pytestmark = pytest.mark.anyio

both_dialects = pytest.mark.parametrize("dialect", ["aws", "ceph"])


def settings(site: Site) -> dict[str, Any]:
    return {"keyring": ring(*RAWS), "state_directory": str(site.directory / "state")}


async def sync(
    site: Site,
    source: object,
    destination: object,
    method: Method = Method.TIMES,
    **changes: Any,
) -> Record:
    site.server.requests.clear()
    site.record = Record()
    async with site.engine(**settings(site) | changes) as engine:
        await engine.sync(str(source), str(destination), SyncOptions(method), TreeOptions())
    return site.record


def known(site: Site, prefix: str) -> dict[str, str | None]:
    catalogue = Catalogue(str(site.directory / "state" / FILE_NAME))
    try:
        scope = f"{site.server.endpoint_url}/bucket"
        return {row.name: row.key_id for row in catalogue.known(scope, prefix)}
    finally:
        catalogue.close()


def tree(site: Site) -> dict[str, bytes]:
    return {f"p/{index}": RAWS[index % 3] for index in range(9)}


@both_dialects
async def test_a_second_sync_down_asks_for_nothing(site: Site) -> None:
    raws = tree(site)
    for name, raw in raws.items():
        store(site, name, raw)

    record = await sync(site, "s3://bucket/p", site.out)
    assert record.finished == set(raws)
    assert known(site, "p/") == {name: CustomerKey(raw).key_id for name, raw in raws.items()}

    record = await sync(site, "s3://bucket/p", site.out)
    assert record.finished == set()
    assert sent(site) == 0


@both_dialects
@pytest.mark.parametrize("method", [Method.CHECKSUM, Method.REBUILD])
async def test_a_sync_down_without_a_catalogue_asks_under_each_key(
    site: Site, method: Method, tmp_path: Path
) -> None:
    site.record = Record()
    raws = tree(site)
    for name, raw in raws.items():
        store(site, name, raw, tag=True)
    await sync(site, "s3://bucket/p", site.out)

    state = str(tmp_path / "another")
    record = await sync(site, "s3://bucket/p", site.out, method, state_directory=state)

    assert record.failed == {}
    # AWS keeps a checksum, so that HEAD tells that they are the same; Ceph none: they come again.
    assert len(record.finished) == (0 if site.server.s3.dialect == "aws" else 9)
    catalogue = Catalogue(f"{state}/{FILE_NAME}")
    rows = catalogue.known(f"{site.server.endpoint_url}/bucket", "p/")
    assert {row.name: row.key_id for row in rows} == {
        name: CustomerKey(raw).key_id for name, raw in raws.items()
    }
    catalogue.close()


async def test_a_file_under_the_key_of_its_rule_is_not_sent_again(site: Site) -> None:
    here = site.directory / "tree"
    (here / "new").mkdir(parents=True)
    (here / "a").write_bytes(b"a")
    (here / "new" / "b").write_bytes(b"b")
    keyring = ring(*RAWS, rules={"p/new/": RAWS[1]})
    record = await sync(site, here, "s3://bucket/p", keyring=keyring)
    assert record.finished == {"p/a", "p/new/b"}
    for method in (Method.CHECKSUM, Method.REBUILD, Method.TIMES):
        record = await sync(site, here, "s3://bucket/p", method, keyring=keyring)
        assert record.finished == set(), method
        assert record.failed == {}
    assert known(site, "p/") == {"p/a": IDS[0], "p/new/b": IDS[1]}


@both_dialects
async def test_a_dry_run_names_what_no_key_opens(site: Site) -> None:
    store(site, "p/a", RAWS[1])
    store(site, "p/b", MISSING)
    site.out.mkdir()
    for name in ("a", "b"):
        (site.out / name).write_bytes(f"p/{name}".encode())
    site.record = Record()
    async with site.engine(**settings(site)) as engine:
        await engine.sync(
            "s3://bucket/p", str(site.out), SyncOptions(Method.CHECKSUM, dry_run=True)
        )
    assert obstacles(site.record) == {"p/b": Obstacle.UNKNOWN_KEY}


# From S3 to S3


@both_dialects
@pytest.mark.parametrize("cannot", [False, True], ids=["copied", "streamed"])
@pytest.mark.parametrize("command", ["copy", "sync"])
async def test_sources_under_several_keys_are_copied_under_the_key_of_today(
    site: Site, cannot: bool, command: str
) -> None:
    for index, raw in enumerate(RAWS):
        store(site, f"p/{index}", raw)
        store(site, f"p/large/{index}", raw, body=LARGE)
    store(site, "p/missing", MISSING, tag=True)
    store(site, "p/plain", None)
    if cannot:
        site.server.script(Match(operation="CopyObject", times=None), Status(501, "NotImplemented"))

    async with site.engine(**settings(site)) as engine:
        if command == "copy":
            await engine.copy("s3://bucket/p/", "s3://bucket/q/")
        else:
            await engine.sync("s3://bucket/p", "s3://bucket/q")

    assert obstacles(site.record) == {
        "q/missing": Obstacle.MISSING_KEY,
        "q/plain": Obstacle.PLAIN,
    }
    copies = {
        name: stored for (_, name), stored in site.server.objects.items() if name.startswith("q/")
    }
    assert set(copies) == {f"q/{index}" for index in range(3)} | {
        f"q/large/{index}" for index in range(3)
    }
    assert {stored.customer_key_md5 for stored in copies.values()} == {CUSTOMER_KEY.md5}
    assert set(known(site, "q/").values()) == {IDS[0]}
    assert tally(site.record).older_key_count == 4
    assert site.record.retries == []


@both_dialects
async def test_a_plain_source_is_copied_and_sealed_where_that_is_allowed(site: Site) -> None:
    store(site, "p/a", None)
    store(site, "p/b", RAWS[2])
    async with site.engine(allow_unsealed=True, **settings(site)) as engine:
        await engine.copy("s3://bucket/p/", "s3://bucket/q/")
        await engine.copy("s3://bucket/p/b", "s3://bucket/r")
    assert site.record.failed == {}
    copies = [site.server.objects["bucket", name] for name in ("q/a", "q/b", "r")]
    assert {stored.customer_key_md5 for stored in copies} == {CUSTOMER_KEY.md5}


@both_dialects
async def test_a_sync_of_copies_by_checksum_reads_each_under_its_key(site: Site) -> None:
    for index, raw in enumerate(RAWS):
        store(site, f"p/{index}", raw)
    for _ in range(2):
        await sync(site, "s3://bucket/p", "s3://bucket/q", Method.CHECKSUM)
        assert site.record.failed == {}
    if site.server.s3.dialect == "aws":
        assert site.record.finished == set()


async def test_a_destination_that_refuses_is_no_matter_of_the_source_key(site: Site) -> None:
    store(site, "p/a", RAWS[1])
    for operation in ("CopyObject", "PutObject"):
        site.server.script(Match(operation=operation, times=None), Status(403, "AccessDenied"))
    async with site.engine(**settings(site)) as engine:
        await engine.copy("s3://bucket/p/", "s3://bucket/q/")
    assert obstacles(site.record) == {"q/a": None}
    assert sent(site) <= 6


async def test_one_key_needs_no_keyring(site: Site) -> None:
    store(site, "p/a", RAWS[0])
    record = await sync(site, "s3://bucket/p", "s3://bucket/q", keyring=Keyring())
    assert record.finished == {"q/a"}
    assert sent(site) == 1

"""What is unfinished on a server, as it lists it: pages, odd names, uploads that are gone."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import anyio
import pytest
from tests.contract.site import Site

from sealift.events import Silent
from sealift.metadata import FileFacts
from sealift.options import Options
from sealift.session import Session
from sealift.wire import uploads as module
from sealift.wire.bucket import BucketClient
from sealift.wire.sigv4 import query_string

T = TypeVar("T")

ODD = ["a b", "a%20b", "a+b", "ü", "100%", "+", "a&b=c", "<&>\"'", "🚢", "~", "x;y", "a//b"]
CONTROL = ["a\nb", "\x1b[2J", "\x01", "\ufffe"]


def ask(site: Site, call: Callable[[BucketClient], Awaitable[T]], *, sealed: bool = True) -> T:
    """The answer to one request of the site's bucket."""

    async def work() -> T:
        options = Options(
            customer_key=site.customer_key if sealed else None,
            region=site.server.region,
            endpoint_url=site.server.endpoint_url,
            ca_bundle=str(site.server.ca_file),
        )
        async with Session(options, Silent()) as session:
            return await call(await session.objects(site.bucket))

    return anyio.run(work)


async def create(client: BucketClient, name: str) -> str:
    """A new upload's id; boto3 cannot read it where the name is no XML."""
    start = await client.create_multipart_upload(name, None, FileFacts(), whole_crc=False)
    return start.upload_id


def begin(site: Site, name: str) -> str:
    return ask(site, lambda client: create(client, name))


@pytest.fixture(params=[None, 2])
def page_size(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int | None:
    """How many entries a page has; None: as many as the server gives by itself."""
    limit = request.param

    def limited(params: Sequence[tuple[str, str]]) -> str:
        names = {name for name, _ in params}
        more = []
        if "part-number-marker" in names:
            more.append(("max-parts", str(limit)))
        if "uploads" in names:
            more.append(("max-uploads", str(limit)))
        return query_string([*params, *more])

    if limit is not None:
        monkeypatch.setattr(module, "query_string", limited)
    return limit  # type: ignore[no-any-return]


def test_parts(site: Site, page_size: int | None) -> None:
    """In their order, whatever order they were sent in, with gaps; the last of each number."""
    upload_id = begin(site, "a b/ü")
    sent = {}
    for number, size in ((7, 10), (2, 20), (10_000, 30), (2, 40), (3, 0)):
        reply = site.boto.upload_part(
            Bucket=site.bucket, Key="a b/ü", UploadId=upload_id, PartNumber=number,
            Body=b"x" * size, **site.seal,
        )  # fmt: skip
        sent[number] = (size, reply["ETag"].strip('"'))
    found = ask(site, lambda client: client.list_parts("a b/ü", upload_id))
    assert found is not None
    assert [(part.number, part.size, part.etag.strip('"')) for part in found] == [
        (number, *sent[number]) for number in sorted(sent)
    ]


def test_an_upload_without_parts(site: Site) -> None:
    upload_id = begin(site, "x")
    assert ask(site, lambda client: client.list_parts("x", upload_id)) == []


def test_an_upload_that_is_gone(site: Site) -> None:
    """Aborted, complete, or of another object."""
    gone = begin(site, "x")
    site.boto.abort_multipart_upload(Bucket=site.bucket, Key="x", UploadId=gone)
    assert ask(site, lambda client: client.list_parts("x", gone)) is None
    ask(site, lambda client: client.abort_multipart_upload("x", gone))
    done = begin(site, "x")
    part = site.boto.upload_part(
        Bucket=site.bucket, Key="x", UploadId=done, PartNumber=1, Body=b"x", **site.seal
    )
    site.boto.complete_multipart_upload(
        Bucket=site.bucket, Key="x", UploadId=done,
        MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}, **site.seal,
    )  # fmt: skip
    assert ask(site, lambda client: client.list_parts("x", done)) is None
    assert ask(site, lambda client: client.list_parts("never/was", done)) is None


def test_uploads_of_odd_names(site: Site, page_size: int | None) -> None:
    check_names(site, ODD)


@pytest.mark.parametrize("name", CONTROL)
def test_uploads_of_names_that_xml_cannot_hold(site: Site, name: str) -> None:
    check_names(site, [name, "after"])


@pytest.mark.parametrize("server", ["ceph"], indirect=True)
def test_an_upload_of_a_name_that_xml_changes(site: Site) -> None:
    """MiniStack writes it as it is, and every parser makes a line feed of it."""
    check_names(site, ["\r", "a\r\nb"])


def check_names(site: Site, names: list[str]) -> None:
    """Each is listed, and not what only begins as it does."""
    began = time.time()

    async def check(client: BucketClient) -> None:
        ids = {name: await create(client, f"p/{name}") for name in names}
        for name in names:
            await create(client, f"p/{name}-longer")
        for name in names:
            (found,) = await client.list_uploads(f"p/{name}")
            assert found.upload_id == ids[name]
            assert began - 5 < found.initiated < time.time() + 5

    ask(site, check)


def test_several_uploads_of_one_name(site: Site, page_size: int | None) -> None:
    ids = [begin(site, "x") for _ in range(5)]
    more = begin(site, "x2")
    found = ask(site, lambda client: client.list_uploads("x"), sealed=False)
    assert sorted(upload.upload_id for upload in found) == sorted(ids)
    (single,) = ask(site, lambda client: client.list_uploads("x2"), sealed=False)
    assert single.upload_id == more


def test_no_uploads(site: Site) -> None:
    assert ask(site, lambda client: client.list_uploads("x"), sealed=False) == []

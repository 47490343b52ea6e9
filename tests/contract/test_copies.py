"""From S3 to S3: on the server or through memory, under two keys, between two servers."""

from __future__ import annotations

import contextlib
import os
import secrets
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from tests.contract.site import PART_SIZE, Site, boto_seal, connect, make_tree, noise
from tests.servers.ceph import ceph

from sealift import copier, ways
from sealift.embedded import S3Server, ministack
from sealift.errors import WrongCustomerKeyError
from sealift.keys import KEY_HEADER, CustomerKey
from sealift.options import SourceOptions
from sealift.wire.operations import ObjectClient

SIZES = {"empty": 0, "small": 1000, "parts": 2 * PART_SIZE + 17}
MTIME = "1555555555.555555555"
DESCRIBED: dict[str, Any] = {
    "Metadata": {"mtime": MTIME, "odd.name%~": "two  spaces, 100%"},
    "ContentType": "text/x-odd",
    "ContentDisposition": 'attachment; filename="a.txt"',
    "ContentEncoding": "identity",
    "ContentLanguage": "de",
    "CacheControl": "max-age=7",
}
CARRIED = [name for name in DESCRIBED if name != "Metadata"]


@pytest.fixture
def gets(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of all objects that are read."""
    seen: list[str] = []
    get = ObjectClient.get_object

    async def counted(self: ObjectClient, name: str, *arguments: Any) -> Any:
        seen.append(name)
        return await get(self, name, *arguments)

    monkeypatch.setattr(ObjectClient, "get_object", counted)
    return seen


def source_of(site: Site, key: CustomerKey | None) -> SourceOptions:
    """The same server as the site's own, under another key."""
    options = site.options()
    return SourceOptions(
        key, options.profile, options.region, options.endpoint_url, options.ca_bundle
    )


def read(site: Site, name: str, seal: dict[str, Any] | None = None) -> bytes:
    chosen = site.seal if seal is None else seal
    body: bytes = site.boto.get_object(Bucket=site.bucket, Key=name, **chosen)["Body"].read()
    return body


def assert_sealed(site: Site, name: str) -> None:
    with pytest.raises(site.boto.exceptions.ClientError):
        site.boto.get_object(Bucket=site.bucket, Key=name)


def assert_described(source: dict[str, Any], copy: dict[str, Any]) -> None:
    """Ceph stores some names of metadata in another way: what it shows of the source counts."""
    assert len(source["Metadata"]) == 2
    assert copy["Metadata"].items() >= source["Metadata"].items()
    assert copy["Metadata"]["mtime"] == MTIME
    assert {name: copy[name] for name in CARRIED} == {name: DESCRIBED[name] for name in CARRIED}


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
def test_an_object_under_one_key(site: Site, gets: list[str], size: int) -> None:
    body = noise(size)
    site.boto.put_object(Bucket=site.bucket, Key="a ü+%", Body=body, **DESCRIBED, **site.seal)

    record = site.copy(site.uri("a ü+%"), site.uri("to/"))

    assert not record.failed
    assert bool(gets) is (site.server.name == "ceph")
    assert read(site, "to/a ü+%") == body
    assert_sealed(site, "to/a ü+%")
    assert_described(site.boto_head("a ü+%"), site.boto_head("to/a ü+%"))
    assert site.uploads() == []
    assert record.done[0].job.moved == size


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
@pytest.mark.parametrize("place", ["copy", "object"], ids=["beside", "in place"])
def test_an_object_under_two_keys(site: Site, size: int, place: str) -> None:
    body, old = noise(size), secrets.token_bytes(32)
    site.boto_put("object", body, boto_seal(old))

    record = site.copy(
        site.uri("object"), site.uri(place), source=source_of(site, CustomerKey(old))
    )

    assert not record.failed
    assert read(site, place) == body
    assert_sealed(site, place)
    assert site.uploads() == []


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
def test_a_plain_source_is_sealed_and_no_plaintext_stays(site: Site, size: int) -> None:
    body = noise(size)
    site.boto_put("plain", body, {})

    record = site.copy(site.uri("plain"), site.uri("copy"), source=source_of(site, None))

    assert not record.failed
    assert read(site, "copy") == body
    assert_sealed(site, "copy")
    assert site.uploads() == []


def test_a_plain_source_that_is_said_to_be_sealed_is_refused(site: Site) -> None:
    site.boto_put("p/plain", b"secret", {})
    site.boto_put("p/sealed", b"ours")

    record = site.copy(site.uri("p/"), site.uri("q/"))

    assert set(record.failed) == {"q/plain"}
    assert sorted(site.names()) == ["p/plain", "p/sealed", "q/sealed"]
    assert read(site, "q/sealed") == b"ours"


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
def test_wrong_source_key(site: Site, size: int) -> None:
    site.boto_put("p/object", noise(size), boto_seal(secrets.token_bytes(32)))
    site.boto_put("q/object", b"older")
    side = source_of(site, CustomerKey.generate())

    record = site.copy(site.uri("p/"), site.uri("q/"), source=side)

    assert isinstance(record.failed["q/object"], WrongCustomerKeyError)
    assert read(site, "q/object") == b"older"
    assert site.uploads() == []


@pytest.mark.parametrize("size", [PART_SIZE + 1, 2 * PART_SIZE + 17])
@pytest.mark.parametrize("keys", ["one key", "two keys", "plain"])
def test_a_large_object_in_parts_on_the_server(
    site: Site, gets: list[str], monkeypatch: pytest.MonkeyPatch, size: int, keys: str
) -> None:
    monkeypatch.setattr(ways, "MAX_COPY_OBJECT_SIZE", PART_SIZE)
    monkeypatch.setattr(copier, "COPIED_PART_SIZE", PART_SIZE)
    old = secrets.token_bytes(32)
    seal = {"one key": site.seal, "two keys": boto_seal(old), "plain": {}}[keys]
    side = {"one key": site.customer_key, "two keys": CustomerKey(old), "plain": None}[keys]
    body = noise(size)
    site.boto.put_object(Bucket=site.bucket, Key="object", Body=body, **DESCRIBED, **seal)

    record = site.copy(site.uri("object"), site.uri("copy"), source=source_of(site, side))

    assert not record.failed
    assert bool(gets) is (site.server.name == "ceph")  # which does not show the echo on parts
    assert read(site, "copy") == body
    assert_sealed(site, "copy")
    head = site.boto.head_object(Bucket=site.bucket, Key="object", **seal)
    assert_described(head, site.boto_head("copy"))
    assert site.uploads() == []
    assert record.done[0].job.moved == size


@pytest.mark.parametrize(
    ("source", "destination", "names"),
    [("p/", "q", "q/"), ("p", "q/", "q/p/"), ("p", "", ""), ("p/", "", "")],
)
def test_a_prefix_of_hundreds_of_objects(
    site: Site, source: str, destination: str, names: str
) -> None:
    files = {f"d{number % 7}/{number:03}": b"%d" % number for number in range(300)}
    tree = make_tree(site.work / "tree", files)
    assert not site.copy(f"{tree}/", site.uri("p/")).failed
    site.boto_put("p2", b"beside")
    other = uuid.uuid4().hex
    site.boto.create_bucket(Bucket=other)

    record = site.copy(site.uri(source), f"s3://{other}/{destination}")

    assert not record.failed
    prefix = names if source.endswith("/") or names else "p/"
    found = {
        entry["Key"]
        for page in site.boto.get_paginator("list_objects_v2").paginate(Bucket=other)
        for entry in page["Contents"]
    }
    assert found == {prefix + name for name in files}
    reply = site.boto.get_object(Bucket=other, Key=f"{prefix}d3/101", **site.seal)
    assert reply["Body"].read() == b"101"


def test_a_copy_brings_back_the_file_with_its_time(site: Site) -> None:
    files = {"small": b"small", "large": noise(PART_SIZE + 1)}
    tree = make_tree(site.work / "tree", files)
    time_ns = 1_555_555_555_123_456_789
    for name in files:
        os.utime(tree / name, ns=(time_ns, time_ns))
    site.copy(f"{tree}/", site.uri("p/"))
    site.copy(site.uri("p/"), site.uri("q/"))

    back = site.restore("q/", "back")

    assert len(back.done) == 2
    assert all(event.checked for event in back.done)
    for name, content in files.items():
        path = site.work / "back" / name
        assert (path.read_bytes(), path.stat().st_mtime_ns) == (content, time_ns)


def test_command_line_under_two_keys_shows_neither(site: Site) -> None:
    old = secrets.token_bytes(32)
    key_file = site.work / "old.key"
    key_file.write_bytes(old)
    key_file.chmod(0o600)
    site.boto_put("p/object", b"content", boto_seal(old))
    site.boto_put("p/ours", b"content")
    site.boto_put("p/other", b"content", boto_seal(secrets.token_bytes(32)))
    words = ("--source-key-file", key_file, "--log-level", "debug")

    ended = site.cli("cp", site.uri("p/"), site.uri("q/"), *words)

    assert ended.status == 1
    assert "other" in ended.stderr
    assert dict(CustomerKey(old).headers())[KEY_HEADER] not in ended.stdout + ended.stderr
    assert read(site, "q/object") == read(site, "q/ours") == b"content"
    assert "q/other" not in site.names()


def test_command_line_refuses_an_object_onto_itself(site: Site) -> None:
    site.boto_put("p/object", b"content")

    for source, destination in (("p/object", "p/"), ("p/", "p"), ("p", ""), ("p/object",) * 2):
        ended = site.cli("cp", site.uri(source), site.uri(destination))
        assert ended.status == 2
        assert "the source and the destination are the same object" in ended.stderr
    inside = site.cli("cp", site.uri("p/"), site.uri("p/q/"))
    assert (inside.status, site.names()) == (2, ["p/object"])


# Two servers


@pytest.fixture(scope="module")
def other_server(tmp_path_factory: pytest.TempPathFactory, server: S3Server) -> Iterator[S3Server]:
    """MiniStack and Ceph face each other."""
    start = {"ministack": ceph, "ceph": ministack}[server.name]
    with start(tmp_path_factory.mktemp("other")) as running:
        yield running


@pytest.fixture
def other(other_server: S3Server, site: Site) -> Iterator[Site]:
    """A bucket on the other server, under its own customer key."""
    with contextlib.closing(connect(other_server)) as boto:
        made = Site(other_server, boto, site.work)
        boto.create_bucket(Bucket=made.bucket)
        yield made


def test_between_two_servers_under_two_keys(site: Site, other: Site) -> None:
    files = {name: noise(size) for name, size in SIZES.items()}
    for name, body in files.items():
        other.boto.put_object(
            Bucket=other.bucket, Key=f"p/{name}", Body=body, **DESCRIBED, **other.seal
        )
    key_file = site.work / "other.key"
    key_file.write_bytes(other.seal["SSECustomerKey"])
    key_file.chmod(0o600)
    for profile, server in (("here", site.server), ("there", other.server)):
        with (site.work.parent / "home/.aws/credentials").open("a") as file:
            file.write(
                f"[{profile}]\naws_access_key_id={server.access_key}\n"
                f"aws_secret_access_key={server.secret_key}\n"
            )
    environment = site.environment(
        AWS_ACCESS_KEY_ID=None, AWS_SECRET_ACCESS_KEY=None, HOME=str(site.work.parent / "home")
    )

    ended = site.cli(
        "cp", other.uri("p/"), site.uri("q/"), "--part-size", "5MiB", "--profile", "here",
        "--source-profile", "there", "--source-endpoint-url", other.server.endpoint_url,
        "--source-ca-bundle", other.server.ca_file, "--source-region", other.server.region,
        "--source-key-file", key_file, "--json", env=environment,
    )  # fmt: skip

    assert ended.status == 0, ended.stderr
    assert ended.stdout.count('"direction": "copy"') == len(files)
    for name, body in files.items():
        assert read(site, f"q/{name}") == body
        assert_described(other.boto_head(f"p/{name}"), site.boto_head(f"q/{name}"))
    assert site.uploads() == []

"""What is wrong with the settings ends a command with 2 and one sentence, before anything moves."""

from __future__ import annotations

import re
import secrets
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from tests.contract.site import Ended, Site, connect, make_tree, noise, read_tree

from sealift.embedded import make_certificate
from sealift.errors import SettingsError


def assert_one_sentence(ended: Ended, pattern: str) -> None:
    """Exit code 2, and on stderr one line from sealift below the heading, if there is one."""
    assert (ended.status, ended.stdout) == (2, ""), ended
    *heading, line = ended.stderr.splitlines()
    assert len(heading) <= 1, ended.stderr
    assert line.startswith("sealift: ")
    assert re.search(pattern, line), line


COMMANDS: dict[str, tuple[str, ...]] = {
    "put": ("put", "tree/a", "s3://{bucket}/a"),
    "get": ("get", "s3://{bucket}/a", "back"),
    "cp up": ("cp", "tree", "s3://{bucket}/"),
    "restore": ("restore", "s3://{bucket}/p/", "back"),
    "ls": ("ls", "s3://{bucket}/"),
    "stat": ("stat", "s3://{bucket}/a"),
}


@pytest.fixture
def run(site: Site) -> Callable[..., Ended]:
    """Run a command of COMMANDS on a tree of one file."""
    make_tree(site.work / "tree", {"a": b"a"})

    def run_named(
        name: str, *options: object, bucket: str | None = None, **environ: str | None
    ) -> Ended:
        words = [word.format(bucket=bucket or site.bucket) for word in COMMANDS[name]]
        ended = site.cli(*words, *options, env=site.environment(**environ))
        assert read_tree(site.work) == {"tree/a": b"a"}
        assert site.names() == []
        return ended

    return run_named


@pytest.mark.parametrize("name", COMMANDS)
def test_missing_bucket(run: Callable[..., Ended], name: str) -> None:
    ended = run(name, bucket=f"missing-{secrets.token_hex(6)}")
    assert_one_sentence(ended, "NoSuchBucket.*check the bucket's name")


@pytest.mark.parametrize("server", ["ceph"], indirect=True)
@pytest.mark.parametrize(
    ("variable", "pattern"),
    [
        ("AWS_ACCESS_KEY_ID", "InvalidAccessKeyId.*check the access key"),
        ("AWS_SECRET_ACCESS_KEY", "SignatureDoesNotMatch.*check the secret key"),
    ],
)
def test_wrong_credentials(run: Callable[..., Ended], variable: str, pattern: str) -> None:
    """MiniStack checks none."""
    assert_one_sentence(run("cp up", **{variable: "AKIAWRONGWRONGWRONG0"}), pattern)


@pytest.mark.parametrize(
    ("changes", "pattern"),
    [
        (
            {"AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None},
            "credentials.*give a profile",
        ),
        ({"SSE_CUSTOMER_KEY_BASE64": None}, "no customer key"),
        ({"SSE_CUSTOMER_KEY_BASE64": "AAAA"}, "3 bytes instead of 32"),
        ({"PROFILE": "nobody"}, "nobody.*existing profile"),
    ],
    ids=["credentials", "no customer key", "short customer key", "profile"],
)
def test_missing_or_bad_settings(
    run: Callable[..., Ended], changes: dict[str, str | None], pattern: str
) -> None:
    assert_one_sentence(run("cp up", **changes), pattern)


@pytest.mark.parametrize("how", ["option", "environment"])
def test_case_27_plain_http_is_refused_before_a_socket_opens(
    run: Callable[..., Ended], how: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        if how == "option":
            ended = run("cp up", "--endpoint-url", url)
        else:
            ended = run("cp up", AWS_ENDPOINT_URL=url)
        listener.setblocking(False)
        with pytest.raises(BlockingIOError):
            listener.accept()
    assert_one_sentence(ended, "not https.*never cross plain HTTP")


@pytest.mark.parametrize("name", ["restore", "put"])
def test_case_29_certificate_of_an_unknown_authority(
    run: Callable[..., Ended], tmp_path: Path, name: str
) -> None:
    stranger = make_certificate(tmp_path / "stranger").ca_file
    ended = run(name, AWS_CA_BUNDLE=str(stranger))
    assert_one_sentence(ended, "certificate of .* is not trusted.*--ca-bundle")


@pytest.mark.parametrize("server", ["ministack"], indirect=True)
def test_bucket_of_another_region_is_found(site: Site) -> None:
    """MiniStack answers 301 to another region's signature, as AWS does; Ceph takes any region."""
    bucket = f"{site.bucket}-eu"
    connect(site.server, "eu-west-1").create_bucket(
        Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"}
    )
    files = {"a": b"a", "large": noise(6 << 20)}
    make_tree(site.work / "tree", files)

    up = site.cli("cp", "tree/", f"s3://{bucket}/p/", "--part-size", "5MiB")
    down = site.cli("restore", f"s3://{bucket}/p/", "back", "--part-size", "5MiB")

    assert (up.status, down.status) == (0, 0), up.stderr + down.stderr
    assert "retries" not in up.stderr + down.stderr
    assert read_tree(site.work / "back") == files


class _Lookup:
    """`socket.getaddrinfo` that knows every name below localhost, and remembers who was asked."""

    def __init__(self) -> None:
        self.asked: set[str] = set()
        self._original = socket.getaddrinfo

    def __call__(self, host: Any, *rest: Any, **named: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else str(host)
        self.asked.add(name)
        there = "127.0.0.1" if name.endswith(".localhost") else host
        return self._original(there, *rest, **named)


@pytest.fixture
def lookup(monkeypatch: pytest.MonkeyPatch) -> _Lookup:
    """Makes every name below localhost this machine."""
    made = _Lookup()
    monkeypatch.setattr(socket, "getaddrinfo", made)
    return made


def test_bucket_in_the_host_name(
    site: Site, lookup: _Lookup, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = site.work.parent / "aws.config"
    config.write_text("[default]\ns3 =\n  addressing_style = virtual\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    endpoint = f"https://s3.localhost:{urlsplit(site.server.endpoint_url).port}"
    files = {"a b+%2F/ü": b"a", "large": noise(6 << 20)}
    tree = make_tree(site.work / "tree", files)

    up = site.copy(f"{tree}/", site.uri("p/"), endpoint_url=endpoint)
    down = site.copy(site.uri("p/"), "back", endpoint_url=endpoint)

    assert (up.failed, down.failed) == ({}, {})
    assert f"{site.bucket}.s3.localhost" in lookup.asked
    assert "s3.localhost" not in lookup.asked
    assert set(site.names()) == {f"p/{name}" for name in files}
    assert site.boto_head("p/large")["ETag"].endswith('-2"')
    assert read_tree(site.work / "back") == files


def test_case_29_certificate_for_another_host(site: Site, lookup: _Lookup) -> None:
    endpoint = f"https://other.localhost:{urlsplit(site.server.endpoint_url).port}"
    make_tree(site.work / "tree", {"a": b"a"})

    with pytest.raises(SettingsError, match=r"certificate of .* is not trusted"):
        site.copy("tree", site.uri(), endpoint_url=endpoint)

    assert lookup.asked == {"other.localhost"}
    assert site.names() == []

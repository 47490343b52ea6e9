"""Commands about one object, and restores of several keys, as a user has them."""

from __future__ import annotations

import json
import secrets
from pathlib import Path

import pytest
from tests.contract.site import PART_SIZE, Site, boto_seal, noise

from sealift.keys import CustomerKey


@pytest.fixture
def raws() -> list[bytes]:
    return [secrets.token_bytes(32) for _ in range(2)]


def _keys(site: Site, raws: list[bytes]) -> str:
    """A directory of key files."""
    directory = site.work / "keys"
    directory.mkdir(mode=0o700)
    for number, raw in enumerate(raws):
        path: Path = directory / f"old-{number}"
        path.write_bytes(raw)
        path.chmod(0o600)
    return str(directory)


@pytest.mark.parametrize("size", [1000, PART_SIZE + 1], ids=["small", "large"])
def test_one_object_under_an_older_key(site: Site, raws: list[bytes], size: int) -> None:
    env = site.environment(SEALIFT_KEY_DIR=_keys(site, raws))
    body, old = noise(size), CustomerKey(raws[1])
    site.boto_put("object", body, boto_seal(raws[1]))

    for command in ("get", "cat"):
        words = (site.uri("object"), "back") if command == "get" else (site.uri("object"),)
        ended = site.start(command, *words, env=env)
        out, err = ended.communicate(timeout=60)
        assert ended.returncode == 0, err
    assert out == (site.work / "back").read_bytes() == body

    shown = site.cli("stat", site.uri("object"), "--json", env=env)
    facts = json.loads(shown.stdout)
    assert facts["key_id"] == old.key_id
    assert facts["key_source"].endswith("old-1")
    assert (facts["found_by"], facts["encryption"]) == ("the catalogue", "SSE-C")
    plain = site.cli("stat", site.uri("object"), env=env).stdout
    assert f"key id     {old.key_id}" in plain
    assert "found by   the catalogue" in plain


def test_a_plain_object_is_taken_only_where_that_is_said(site: Site, raws: list[bytes]) -> None:
    env = site.environment(SEALIFT_KEY_DIR=_keys(site, raws))
    site.boto_put("p/plain", b"plain", {})
    uri = site.uri("p/plain")
    for words in (["get", uri, "a"], ["cat", uri], ["stat", uri], ["cp", uri, "b"]):
        refused = site.cli(*words, env=env)
        assert (refused.status, refused.stdout) == (1, ""), words
        assert "--allow-unsealed" in refused.stderr
        assert site.cli(*words, "--allow-unsealed", env=env).status == 0
    for words in (["restore", site.uri("p/"), "c"], ["sync", site.uri("p/"), "d"]):
        assert site.cli(*words, env=env).status == 1
        assert site.cli(*words, "--allow-unsealed", env=env).status == 0
    for name in ("a", "b", "c/plain", "d/plain"):
        assert (site.work / name).read_bytes() == b"plain"


@pytest.mark.parametrize("server", ["ministack"], indirect=True)
def test_what_only_reads_needs_no_default_key(site: Site, raws: list[bytes]) -> None:
    env = site.environment(
        SEALIFT_KEY_DIR=_keys(site, raws),
        SSE_CUSTOMER_KEY_BASE64=None,
        SSE_CUSTOMER_KEY_MD5=None,
    )
    for number, raw in enumerate(raws):
        site.boto_put(f"p/{number}", b"sealed", boto_seal(raw))
    for words in (
        ["restore", site.uri("p/"), "a"],
        ["cp", site.uri("p/"), "b"],
        ["sync", site.uri("p/"), "c"],
        ["get", site.uri("p/1"), "d"],
        ["cat", site.uri("p/1")],
        ["stat", site.uri("p/1")],
    ):
        ended = site.cli(*words, env=env)
        assert ended.status == 0, ended.stderr
    ended = site.cli("cp", "d", site.uri("q"), env=env)
    assert ended.status == 2
    assert "none of them is the default" in ended.stderr

"""The catalogue is lost, and 2,000 objects are under three keys: one command brings them back."""

from __future__ import annotations

import json
import secrets
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from tests.contract.site import Site, boto_seal, make_tree, read_tree
from tests.faults import Relay
from tests.kit import Certificate

from sealift.keyring import HeldKey, Keyring, Rule
from sealift.keys import CustomerKey

DIRECTORY_COUNT, FILE_COUNT = 20, 100
# The objects of the last directories are under the three keys in turn.
MIXED = {"18", "19"}


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return Certificate.make(tmp_path_factory.mktemp("certificate"))


@pytest.fixture
def raws(site: Site) -> list[bytes]:
    """The site's own key, and two older ones."""
    own: bytes = site.seal["SSECustomerKey"]
    return [own, secrets.token_bytes(32), secrets.token_bytes(32)]


def _key_of(name: str) -> int:
    directory, _, number = name.partition("/")
    return int(number) % 3 if directory in MIXED else int(directory) * 3 // DIRECTORY_COUNT


def _upload(site: Site, raws: list[bytes], state: Path) -> dict[str, bytes]:
    """All of it, by rules; every other directory with tags."""
    files = {
        f"{directory:02}/{number:03}": f"{directory} {number}".encode()
        for directory in range(DIRECTORY_COUNT)
        for number in range(FILE_COUNT)
    }
    keys = [CustomerKey(raw) for raw in raws]
    for tagged in (False, True):
        some = {name: body for name, body in files.items() if int(name[:2]) % 2 == tagged}
        tree = make_tree(site.work / f"tree-{tagged}", some)
        prefixes = {name if name[:2] in MIXED else name[:3] for name in some}
        rules = [Rule(site.location(f"t/{one}"), keys[_key_of(one)].key_id) for one in prefixes]
        record = site.copy(
            f"{tree}/",
            site.uri("t/"),
            keyring=Keyring([HeldKey(key, "a test") for key in keys], rules),
            tag_key_id=tagged,
            state_directory=str(state),
        )
        assert record.failed == {}
    return files


def _user(site: Site, raws: list[bytes], relay: Relay, certificate: Certificate) -> dict[str, str]:
    """The environment of one who has `.env` and a directory of older keys."""
    (site.work / ".env").write_text(CustomerKey(raws[0]).env_lines())
    (site.work / ".env").chmod(0o600)
    directory = site.work / "keys"
    directory.mkdir(mode=0o700)
    for number, raw in enumerate(raws[1:]):
        path = directory / f"old-{number}"
        path.write_bytes(raw)
        path.chmod(0o600)
    return site.environment(
        SSE_CUSTOMER_KEY_BASE64=None,
        SSE_CUSTOMER_KEY_MD5=None,
        AWS_ENDPOINT_URL=relay.endpoint_url,
        AWS_CA_BUNDLE=str(certificate.ca_file),
        SEALIFT_KEY_DIR=str(directory),
        XDG_STATE_HOME=str(site.work / "new-state"),
    )


def _restore(
    site: Site, env: dict[str, str], *words: object
) -> tuple[int, list[dict[str, Any]], str]:
    child = site.start("restore", site.uri("t/"), *words, "--json", env=env)
    try:
        out, err = child.communicate(timeout=200)
    finally:
        child.kill()
    return child.returncode, [json.loads(line) for line in out.splitlines()], err.decode()


def test_2000_objects_under_three_keys_come_back_by_one_command(
    site: Site, raws: list[bytes], certificate: Certificate
) -> None:
    state = site.work / "state"
    files = _upload(site, raws, state)
    shutil.rmtree(state)
    ids = [CustomerKey(raw).key_id for raw in raws]

    with Relay(certificate, site.server) as relay:
        env = _user(site, raws, relay, certificate)
        status, events, err = _restore(site, env, "back", "-j", "16")
        sent = Counter(request.operation for request in relay.requests if request.name)
        relay.requests.clear()
        known, _, _ = _restore(site, env, "again", "-j", "16")
        sent_again = Counter(request.operation for request in relay.requests if request.name)

    assert (status, err) == (0, "")
    assert read_tree(site.work / "back") == files
    summary = events[-1]
    per_key = Counter(ids[_key_of(name)] for name in files)
    assert summary["keys"] == per_key
    assert summary["older_key_count"] == 2000 - per_key[ids[0]]
    assert (summary["done_count"], summary["failed_count"], summary["retry_count"]) == (2000, 0, 0)
    mixed = FILE_COUNT * len(MIXED)
    # One each; some at each change of keys; where keys have no order, at most four more.
    assert sent["GetObject"] <= 2000 + 2 * 16 * 3 * 3 + 4 * mixed
    assert sent["GetObjectTagging"] <= mixed + 16 * 3
    assert set(sent) <= {"GetObject", "GetObjectTagging"}
    # By now the catalogue knows them.
    assert known == 0
    assert read_tree(site.work / "again") == files
    assert sent_again == {"GetObject": 2000}


def test_what_a_missing_key_seals_is_named_and_the_rest_comes(
    site: Site, raws: list[bytes], certificate: Certificate
) -> None:
    for number, raw in enumerate(raws):
        seal = boto_seal(raw) | {"Tagging": f"sealift-key-id={CustomerKey(raw).key_id}"}
        site.boto_put(f"t/{number}", b"sealed", seal)
        site.boto_put(f"t/untagged-{number}", b"sealed", boto_seal(raw))
    site.boto_put("t/plain", b"plain", {})
    missing = CustomerKey(raws[2]).key_id

    with Relay(certificate, site.server) as relay:
        env = _user(site, raws[:2], relay, certificate)
        status, events, err = _restore(site, env, "back")
        plain, _, _ = _restore(site, env, "back", "--allow-unsealed")

    assert (status, plain, err) == (1, 1, "")
    failed = {event["name"]: event for event in events if event["event"] == "failed"}
    assert {name: event["obstacle"] for name, event in failed.items()} == {
        "t/2": "missing_key",
        "t/plain": "plain",
        "t/untagged-2": "unknown_key",
    }
    assert failed["t/2"]["key_id"] == missing
    assert missing in failed["t/2"]["error"]
    summary = events[-1]
    assert summary["obstacles"] == {"missing_key": 1, "plain": 1, "unknown_key": 1}
    assert summary["missing_keys"] == {missing: 1}
    assert summary["retry_count"] == 0
    names = {"0", "1", "untagged-0", "untagged-1", "plain"}
    assert read_tree(site.work / "back") == dict.fromkeys(names - {"plain"}, b"sealed") | {
        "plain": b"plain"
    }

"""No `sealift key` command shows a key or its MD5 without --show, whatever goes wrong."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.faults import FaultServer, Match, Status
from tests.kit import SECRET, assert_secret, forms

from sealift.keys import CustomerKey

TEXT = forms(SECRET)["base64"].decode()
KEY = CustomerKey(SECRET)
NAME, MD5_NAME = "SSE_CUSTOMER_KEY_BASE64", "SSE_CUSTOMER_KEY_MD5"
OBJECT = "s3://bucket/x"

BACKEND = """
import json, keyring.backend
class Backend(keyring.backend.KeyringBackend):
    priority = 1
    def get_password(self, service, username):
        try:
            return json.load(open(f"{home}/secrets")).get(service + username)
        except FileNotFoundError:
            return None
    def set_password(self, service, username, password):
        json.dump({{service + username: password}}, open(f"{home}/secrets", "w"))
"""


@pytest.fixture
def home(work: Path) -> Iterator[Path]:
    """The key is in every place at once; these are the files that may hold it."""
    home = Path(os.environ["HOME"])
    keys = home / ".config" / "sealift" / "keys"
    keys.mkdir(parents=True)
    for path, content in (
        (work / ".env", KEY.env_lines() + f"{NAME}_LABEL={TEXT}\n"),
        (work / "the.key", TEXT),
        (keys / "file.env", KEY.env_lines()),
    ):
        path.touch(0o600)
        path.write_text(content)
    os.environ |= {
        f"{NAME}_THERE": TEXT,
        "SEALIFT_KEY_COMMAND": shlex.join(["cat", str(work / "the.key")]),
        "PYTHONFAULTHANDLER": "1",
    }
    yield home
    may_hold = {"secrets", "the.key", ".env"}
    for path in home.parent.rglob("*"):
        assert_secret(str(path))
        if path.is_file() and path.name not in may_hold and path.parent != keys:
            assert_secret(path.read_bytes())


def run(*words: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """Run a command with the loudest log; whatever it says holds no key."""
    command = [sys.executable, "-X", "dev", "-m", "sealift", "--log-level", "debug", *words]
    ended = subprocess.run(command, input=stdin, capture_output=True, timeout=50, check=False)
    shown = ended.stdout + ended.stderr
    assert_secret(shown)
    assert KEY.md5.encode() not in shown
    assert b"Traceback" not in ended.stderr, ended.stderr
    return ended


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (("new",), 0),
        (("new", "--label", "x", "--json"), 0),
        (("new", "the.key"), 2),
        (("import", "the.key"), 0),
        (("import", "the.key", "--json"), 0),
        (("import", ".env", "--label", "x"), 2),
        (("list",), 0),
        (("list", "--json"), 0),
        (("list", "--key-file", "the.key"), 0),
        (("list", "--key-dir", "missing"), 2),
        (("show", KEY.key_id), 0),
        (("show", KEY.key_id, "--json"), 0),
        (("show", "0"), 2),
        (("check", OBJECT), 0),
        (("check", OBJECT, "--json", "--key", KEY.key_id), 0),
        (("check", "s3://bucket/missing"), 1),
        (("check", "s3://bucket/plain"), 1),
        (("check", "s3://bucket/foreign"), 1),
    ],
)
def test_case_30_no_command_shows_the_key(
    home: Path, server: FaultServer, words: tuple[str, ...], status: int
) -> None:
    server.store("x", b"content", customer_key=SECRET)
    server.store("foreign", b"content", customer_key=SECRET[::-1])
    server.store("plain", b"content")
    assert run("key", *words).returncode == status
    if words[0] == "check":
        sent = {seen.headers.get("x-amz-server-side-encryption-customer-key") for seen in
                server.seen("GetObject")}  # fmt: skip
        assert TEXT in sent, "there was nothing to leak"


@pytest.mark.parametrize("content", [TEXT.encode(), SECRET, KEY.env_lines().encode()])
def test_case_30_nor_does_an_import_from_stdin(home: Path, content: bytes) -> None:
    assert run("key", "import", "-", stdin=content).returncode == 0
    assert run("key", "import", "-", stdin=content[:-3]).returncode == 2
    assert run("key", "import", "-", stdin=content * 9000).returncode == 2


@pytest.mark.parametrize("place", ["environment", "label", ".env", "directory", "command", "md5"])
@pytest.mark.parametrize("command", ["list", "show", "check"])
def test_case_30_a_broken_key_is_not_shown(
    home: Path, work: Path, silent_endpoint: object, place: str, command: str
) -> None:
    broken = TEXT[:-2]
    if place == "environment":
        os.environ[NAME] = broken
    elif place == "label":
        os.environ[f"{NAME}_THERE"] = broken
    elif place == ".env":
        (work / ".env").write_text(f"{NAME}={broken}\n")
    elif place == "directory":
        (home / ".config" / "sealift" / "keys" / "file.env").write_text(f"{NAME}={broken}\n")
    elif place == "command":
        os.environ["SEALIFT_KEY_COMMAND"] = f"sh -c 'cat the.key; exit 3 # {broken}'"
    else:
        os.environ |= {NAME: TEXT, MD5_NAME: CustomerKey(SECRET[::-1]).md5}
    words = {"list": [], "show": [KEY.key_id], "check": [OBJECT]}[command]
    ended = run("key", command, *words)
    assert ended.returncode == 2
    assert broken[:-10].encode() not in ended.stdout + ended.stderr


@pytest.mark.parametrize(
    "reply", [Status(403, "AccessDenied"), Status(400, "InvalidArgument"), Status(404, "NoSuchKey")]
)
def test_case_30_nor_is_one_that_a_server_refuses(
    home: Path, server: FaultServer, reply: Status
) -> None:
    server.store("x", b"content", customer_key=SECRET)
    server.script(Match(operation="GetObject"), *[reply] * 9)
    assert run("key", "check", OBJECT).returncode == 1


def test_case_30_the_os_keyring_alone_gets_it(
    home: Path, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (work / "backend.py").write_text(BACKEND.format(home=home))
    os.environ |= {"PYTHON_KEYRING_BACKEND": "backend.Backend", "PYTHONPATH": str(work)}
    stored = run("key", "import", "the.key", "--to-os-keyring")
    assert stored.returncode == 0
    assert b"OS keyring" in stored.stdout
    assert TEXT in (home / "secrets").read_text()
    for path in (work / ".env", home / ".config" / "sealift" / "keys" / "file.env"):
        path.unlink()
    del os.environ[f"{NAME}_THERE"], os.environ["SEALIFT_KEY_COMMAND"]
    listed = run("key", "list")
    assert listed.returncode == 0
    assert f"{KEY.key_id}\t-\t-\t-\t-\tdefault\tOS keyring\n".encode() == listed.stdout


BUG = """
import sealift.keyfinder
async def find(self, *arguments):
    held = [(one.key.headers(), one) for one in self._keyring]
    raise RuntimeError(f"a bug of ours, with {[one for _, one in held]} and {self._keyring}")
sealift.keyfinder.KeyFinder.find = find
"""


def test_case_30_the_traceback_of_a_bug_shows_no_key(
    home: Path, work: Path, server: FaultServer
) -> None:
    (work / "sitecustomize.py").write_text(BUG)
    ended = subprocess.run(
        [sys.executable, "-m", "sealift", "key", "check", OBJECT, "--log-level", "debug"],
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(work), *sys.path])},
        capture_output=True,
        timeout=50,
        check=False,
    )
    assert ended.returncode == 1
    assert b"RuntimeError: a bug of ours, with [HeldKey(key=CustomerKey(id=" in ended.stderr
    assert_secret(ended.stdout + ended.stderr)


@pytest.mark.parametrize(
    "words",
    [
        ("key", "show", TEXT),
        ("key", "check", OBJECT, "--key", TEXT),
        ("key", "new", "--label", TEXT),
        ("verify", OBJECT, "--sealed", "--key", TEXT),
        ("rekey", "s3://bucket/", "--to-key", TEXT),
        ("put", "the.key", OBJECT, "--sse", TEXT),
        ("put", "the.key", OBJECT, "--key-file", TEXT),
        ("put", "the.key", OBJECT, "--key-dir", TEXT),
        ("put", "the.key", OBJECT, "--key-command", TEXT),
        ("put", "the.key", OBJECT, "--config", TEXT),
        ("put", "the.key", OBJECT, "--env-file", TEXT),
    ],
)
@pytest.mark.usefixtures("home", "server")
def test_case_30_a_key_typed_in_a_wrong_place_is_not_repeated(words: tuple[str, ...]) -> None:
    assert run(*words).returncode == 2

"""What dumps variables finds no key: neither in errors about keys, nor in the texts they become."""

from __future__ import annotations

import base64
import copy
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import keyring
import keyring.backends.fail
import keyring.errors
import pytest
from tests.dumps import dumped
from tests.kit import OTHER_KEY, SECRET, assert_secret, fragments

from sealift.errors import CustomerKeyError, SealiftError
from sealift.key_sources.command import run_key_command
from sealift.key_sources.files import keys_in, read_key_file, write_key_file
from sealift.key_sources.os_keyring import store_in_os_keyring
from sealift.keyring import HeldKey
from sealift.keys import CustomerKey, Secret, gives_away
from sealift.settings import read_settings
from sealift.wire.http1 import request_head

TEXT = base64.b64encode(SECRET).decode()
NAME = "SSE_CUSTOMER_KEY_BASE64"


def _file(content: bytes) -> str:
    Path("file").write_bytes(content)
    Path("file").chmod(0o600)
    return "file"


def _read_key_file(content: bytes) -> Callable[[], object]:
    return lambda: read_key_file(_file(content))


def _read_env(content: bytes) -> Callable[[], object]:
    return lambda: read_settings(_file(content), None, {}).customer_key


def _run_command(content: str, then: str) -> Callable[[], object]:
    def run() -> object:
        script = f"cat {_file(content.encode())}; {then}"
        return keys_in(run_key_command(f"sh -c '{script}'", timeout=0.5), "it", "it")

    return run


def _write(label: str) -> Callable[[], object]:
    return lambda: write_key_file("missing/file", HeldKey(CustomerKey(SECRET), "", label))


def _refused() -> None:
    class Refusing(keyring.backends.fail.Keyring):
        def set_password(self, service: str, username: str, password: str) -> None:
            raise keyring.errors.PasswordSetError(password)

    before = keyring.get_keyring()
    keyring.set_keyring(Refusing())
    try:
        store_in_os_keyring(HeldKey(CustomerKey(SECRET), ""))
    finally:
        keyring.set_keyring(before)


FAILURES: dict[str, Callable[[], object]] = {
    "a file with a byte too many": _read_key_file(SECRET + b"\n"),
    "a file of both": _read_key_file(TEXT.encode() + SECRET),
    "a file with a typing error": _read_key_file(f"{TEXT[:-2]}!=".encode()),
    "a file with two": _read_key_file(f"{TEXT}\n{TEXT}\n".encode()),
    "a file with a longer key": _read_key_file(base64.b64encode(SECRET + b"x")),
    "a file of variables with a typing error": _read_key_file(f"{NAME}={TEXT}!\n".encode()),
    "a file of variables that is no text": _read_key_file(f"{NAME}={TEXT}\n\xff".encode("latin-1")),
    "a label with a typing error": _read_env(f"{NAME}_ARCHIVE={TEXT[:-2]}!=\n".encode()),
    "a key of the environment": lambda: read_settings(None, None, {NAME: f"{TEXT}x"}).customer_key,
    "a command with a typing error": _run_command(f"{TEXT[:-2]}!=", "exit 0"),
    "a command that fails": _run_command(TEXT, "exit 3"),
    "a command that does not end": _run_command(TEXT, "exec sleep 9"),
    "a command that prints too much": _run_command(TEXT * 3000, "exit 0"),
    "a file that is too long": _read_key_file(f"{NAME}={TEXT}\n".encode() * 2000),
    "stdin with a typing error": lambda: keys_in(f"{TEXT[:-2]}!=".encode(), "stdin", "stdin"),
    "a key that cannot be written": _write("x"),
    "a key with a wrong label": _write("../x"),
    "a keyring that refuses": _refused,
    ".env with a typing error": _read_env(f"{NAME}={TEXT[:-2]}!=\n".encode()),
    ".env with a longer key": _read_env(f"{NAME}={base64.b64encode(SECRET + b'x')!s}\n".encode()),
    ".env with another MD5": _read_env(
        f"{NAME}={TEXT}\nSSE_CUSTOMER_KEY_MD5={CustomerKey(OTHER_KEY).md5}\n".encode()
    ),
    ".env that is no text": _read_env(f"{NAME}={TEXT}\nX=\xff\n".encode("latin-1")),
    ".env with a NUL": _read_env(f"{NAME}={TEXT}\nX=\0\n".encode()),
}  # fmt: skip


@pytest.mark.parametrize("failure", FAILURES)
def test_case_30_errors_about_keys_hold_none(
    failure: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SealiftError) as caught:
        FAILURES[failure]()
    assert_secret(dumped(caught.value))


def test_the_dump_sees_what_is_there() -> None:
    """Or the tests here showed nothing."""
    program = "def fail(text):\n    headers = {'x': text}\n    raise ValueError"
    outside: dict[str, Any] = {"__name__": "elsewhere"}
    exec(program, outside)
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        outside["fail"](TEXT)
    with pytest.raises(AssertionError, match="base64"):
        assert_secret(dumped(caught.value))


def test_every_fragment_of_a_key_is_searched_for() -> None:
    for start in range(24):
        piece = SECRET[start : start + 8]
        for shown in (piece, piece.hex().encode(), str(list(piece)).encode()):
            with pytest.raises(AssertionError, match="was shown"):
                assert_secret(b"abc" + shown + b"abc")
    for offset in range(3):
        with pytest.raises(AssertionError, match="was shown"):
            assert_secret(base64.b64encode(bytes(offset) + SECRET + b"abc"))
    assert len(fragments(SECRET)) > 300


@pytest.mark.parametrize(
    "show", [str, "{}".format, "%s".__mod__, lambda it: f"{it}", lambda it: f"{it:>80}", print]
)
def test_a_secret_is_not_formatted_by_mistake(show: Callable[[Secret], object]) -> None:
    """Not hidden text, which might end up in a file of keys, but an error."""
    with pytest.raises(TypeError, match="not to be shown") as caught:
        show(Secret(TEXT))
    assert_secret(dumped(caught.value))


@pytest.mark.parametrize(
    "show",
    [repr, ascii, "%r".__mod__, lambda it: f"{it!r}", lambda it: repr(it[:20]), lambda it: f"{it=}",
     lambda it: repr({"a": [it, (it,)]}), lambda it: repr(it[3])],
)  # fmt: skip
def test_a_secret_is_hidden(show: Callable[[Secret], str]) -> None:
    assert "<hidden>" in show(Secret(TEXT))
    assert_secret(show(Secret(TEXT)))


@pytest.mark.parametrize("take", [pickle.dumps, copy.copy, copy.deepcopy])
def test_a_secret_is_not_taken_along(take: Callable[[Secret], object]) -> None:
    with pytest.raises(TypeError, match="cannot be pickled or copied"):
        take(Secret(TEXT))


def test_a_secret_is_given_out_on_purpose() -> None:
    assert "".join(("a", Secret(TEXT))) == f"a{TEXT}"
    assert Secret(TEXT).encode() == TEXT.encode()
    assert Secret(TEXT) == TEXT


def test_the_head_of_a_request_is_dumped_without_bytes() -> None:
    head = request_head("GET", "/", [("x", TEXT)])
    assert TEXT.encode() in bytes(head)
    assert_secret(repr(head))


@pytest.mark.parametrize(
    "shown",
    [TEXT, f"<{TEXT[8:17]}>", quote(TEXT, safe=""), quote(TEXT).lower(), SECRET.hex(),
     SECRET[3:12].hex().upper()],
)  # fmt: skip
def test_a_text_that_gives_a_key_away_is_known(shown: str) -> None:
    assert gives_away(f"the key {shown}", Secret(TEXT))


@pytest.mark.parametrize(
    "shown", ["", TEXT[:7], SECRET[:7].hex(), base64.b64encode(OTHER_KEY).decode()]
)
def test_another_text_gives_no_key_away(shown: str) -> None:
    assert not gives_away(f"the key {shown}", Secret(TEXT))


def test_a_key_in_place_of_a_path_is_not_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CustomerKeyError, match="in place of the path") as caught:
        read_key_file(TEXT)
    assert_secret(str(caught.value))
    named = TEXT.replace("/", "_").replace("+", "_")
    Path(named).write_bytes(SECRET)  # a file may be called as it likes
    Path(named).chmod(0o600)
    assert read_key_file(named)[0].key == CustomerKey(SECRET)

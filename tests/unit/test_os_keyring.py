"""Keys in the keyring of the operating system, by the real library with a backend in memory."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import keyring
import keyring.backend
import keyring.errors
import pytest
from tests.kit import SECRET, assert_secret, forms

from sealift.errors import CustomerKeyError
from sealift.key_sources.gathering import KeySources
from sealift.key_sources.os_keyring import read_os_keyring, store_in_os_keyring
from sealift.keyring import HeldKey
from sealift.keys import CustomerKey

KEY, OTHER = CustomerKey(SECRET), CustomerKey(SECRET[::-1])
HELD = HeldKey(KEY, "elsewhere", "finance", 1795668900.0)


class InMemory(keyring.backend.KeyringBackend):
    """A backend of the library."""

    priority = 1.0  # type: ignore[assignment]

    def __init__(self) -> None:
        super().__init__()
        self.entries: dict[tuple[str, str], str] = {}
        self.failure: Exception | None = None
        self.forgets = False

    def get_password(self, service: str, username: str) -> str | None:
        if self.failure is not None:
            raise self.failure
        return self.entries.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        if self.failure is not None:
            raise self.failure
        if not self.forgets:
            self.entries[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        del self.entries[service, username]


@pytest.fixture
def backend() -> Iterator[InMemory]:
    before = keyring.get_keyring()
    backend = InMemory()
    keyring.set_keyring(backend)
    yield backend
    keyring.set_keyring(before)


@pytest.fixture(autouse=True)
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's configuration directory."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    return tmp_path / "sealift"


def test_a_key_comes_back_with_what_is_known_of_it(backend: InMemory, own: Path) -> None:
    store_in_os_keyring(HELD)
    store_in_os_keyring(HeldKey(OTHER, ""))
    store_in_os_keyring(HELD)
    assert read_os_keyring() == [HELD._replace(source="OS keyring"), HeldKey(OTHER, "OS keyring")]
    assert set(backend.entries) == {("sealift", KEY.key_id), ("sealift", OTHER.key_id)}
    for path in own.rglob("*"):
        assert_secret(path.read_bytes())


def test_it_is_a_source(backend: InMemory) -> None:
    assert not len(KeySources({}, {}).keyring)
    store_in_os_keyring(HELD)
    assert KeySources({}, {}).require_default() == KEY


@pytest.mark.usefixtures("backend")
def test_the_library_is_not_loaded_for_nothing(own: Path) -> None:
    code = (
        "import sys; from sealift.key_sources.gathering import KeySources\n"
        "print(len(KeySources({}, {}).keyring), 'keyring' in sys.modules)"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout == "0 False\n"


def test_without_the_library(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "keyring", None)
    with pytest.raises(CustomerKeyError, match=r"pip install 'sealift\[keyring\]'"):
        store_in_os_keyring(HELD)
    assert not own.exists()


@pytest.mark.parametrize(
    "failure",
    [keyring.errors.KeyringLocked(forms(SECRET)["base64"]), keyring.errors.NoKeyringError("none")],
)
def test_a_keyring_that_refuses(backend: InMemory, failure: Exception) -> None:
    store_in_os_keyring(HELD)
    backend.failure = failure
    for action in (read_os_keyring, lambda: store_in_os_keyring(HELD)):
        with pytest.raises(
            CustomerKeyError, match=f"OS keyring: {type(failure).__name__}"
        ) as caught:
            action()
        assert_secret(str(caught.value))


def test_a_keyring_that_keeps_nothing_is_found_out(backend: InMemory, own: Path) -> None:
    backend.forgets = True
    with pytest.raises(CustomerKeyError, match="does not give the key back"):
        store_in_os_keyring(HELD)
    assert read_os_keyring() == []


def test_an_entry_that_is_gone_is_named(backend: InMemory, own: Path) -> None:
    store_in_os_keyring(HELD)
    backend.entries.clear()
    with pytest.raises(CustomerKeyError, match=f"entry {KEY.key_id} .*is gone; .*{own}/os-keyring"):
        read_os_keyring()


def test_an_entry_that_is_no_key_is_named(backend: InMemory) -> None:
    store_in_os_keyring(HELD)
    backend.entries["sealift", KEY.key_id] = forms(SECRET)["base64"].decode()[:-7]
    with pytest.raises(
        CustomerKeyError, match=f"the entry {KEY.key_id} of the OS keyring"
    ) as caught:
        read_os_keyring()
    assert_secret(str(caught.value))

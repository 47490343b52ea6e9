"""Customer keys in the keyring of the operating system, by the library `keyring` (an extra).

Each is a password of the service "sealift" whose user name is the key's id; its text is the `.env`
lines of the key. No keyring can be asked what it holds, so the ids are written to a file in the
user's configuration directory; without that file the library is not even loaded.
"""

from __future__ import annotations

import os
from contextlib import suppress
from types import ModuleType

from sealift.durable import sync
from sealift.errors import CustomerKeyError
from sealift.files.directories import sync_directory
from sealift.key_sources.files import key_text, keys_in, make_key_directory
from sealift.keyring import HeldKey
from sealift.keys import Secret, SecretBytes
from sealift.state import config_directory

SERVICE = "sealift"
INDEX_NAME = "os-keyring"
SOURCE = "OS keyring"


def read_os_keyring() -> list[HeldKey]:
    """The keys that were put there. Raises CustomerKeyError."""
    found: list[HeldKey] = []
    for key_id in _indexed():
        text = _ask("read", "get_password", SERVICE, key_id)
        what = f"the entry {key_id} of the OS keyring"
        if text is None:
            raise CustomerKeyError(
                f"{what} is gone", hint=f"put it back, or take its line out of {_index_path()}"
            )
        found += keys_in(SecretBytes(text.encode()), what, SOURCE)
    return found


def store_in_os_keyring(held: HeldKey) -> None:
    """Put a key there. Raises CustomerKeyError."""
    key_id = held.key.key_id
    text = Secret(key_text(held))
    _ask("write", "set_password", SERVICE, key_id, text)
    if _ask("read", "get_password", SERVICE, key_id) != text:
        raise CustomerKeyError(
            "the OS keyring does not give the key back", hint="choose another backend of keyring"
        )
    known = _indexed()
    if key_id not in known:
        _write_index([*known, key_id])


def _ask(doing: str, name: str, *arguments: str) -> Secret | None:
    library = _library()
    from keyring.errors import KeyringError

    plain = map("".join, zip(arguments))  # some backends format what they are given
    kind = ""
    try:
        answer: str | None = getattr(library, name)(*plain)
        return None if answer is None else Secret(answer)
    except KeyringError as error:
        kind = type(error).__name__  # its text is that of a backend, and may hold anything
    raise CustomerKeyError(
        f"cannot {doing} the OS keyring: {kind}",
        hint="unlock it; what is wrong shows: python -m keyring diagnose",
    )


def _library() -> ModuleType:
    try:
        import keyring
    except ImportError:
        raise CustomerKeyError(
            "the OS keyring needs the library keyring",
            hint="install it: pip install 'sealift[keyring]'",
        ) from None
    return keyring


def _index_path() -> str | None:
    directory = config_directory()
    return None if directory is None else os.path.join(directory, INDEX_NAME)


def _indexed() -> list[str]:
    path = _index_path()
    if path is None:
        return []
    try:
        with open(path, encoding="ascii") as file:
            return list(dict.fromkeys(file.read().split()))
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError):
        raise CustomerKeyError(f"cannot read {path}", hint="check its permissions") from None


def _write_index(key_ids: list[str]) -> None:
    path = _index_path()
    if path is None:
        raise CustomerKeyError("there is no home directory", hint="set HOME or XDG_CONFIG_HOME")
    directory = os.path.dirname(path)
    make_key_directory(directory)
    beside = f"{path}.{os.getpid()}"
    try:
        with open(beside, "w", encoding="ascii") as file:
            file.writelines(f"{key_id}\n" for key_id in key_ids)
            file.flush()
            sync(file.fileno())
        os.replace(beside, path)
        sync_directory(directory)
    except OSError as reason:
        with suppress(OSError):
            os.unlink(beside)
        raise CustomerKeyError(
            f"cannot write {path}: {os.strerror(reason.errno or 0)}", hint="check its directory"
        ) from None

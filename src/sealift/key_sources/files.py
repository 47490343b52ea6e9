"""Customer keys in files: 32 raw bytes, their base64 form, or `.env` lines; and in such variables.

    SSE_CUSTOMER_KEY_BASE64=...      the key, in base64
    SSE_CUSTOMER_KEY_MD5=...         its MD5 in base64, to check it by
    SSE_CUSTOMER_KEY_LABEL=finance   what people call it
    SSE_CUSTOMER_KEY_CREATED=2026-11-26T04:55:00Z

All but the first may be left out. SSE_CUSTOMER_KEY_BASE64_ARCHIVE is a further key, of the label
ARCHIVE, and SSE_CUSTOMER_KEY_MD5_ARCHIVE its MD5.

What is wrong raises CustomerKeyError; no error shows what a file or a variable holds.
"""

from __future__ import annotations

import io
import os
import re
import stat
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime

from sealift.durable import sync
from sealift.errors import CustomerKeyError
from sealift.files.directories import sync_directory
from sealift.keyring import HeldKey
from sealift.keys import HIDDEN, CustomerKey, Secret, SecretBytes

KEY_NAME = "SSE_CUSTOMER_KEY_BASE64"
KEY_MD5_NAME = "SSE_CUSTOMER_KEY_MD5"
LABEL_NAME = "SSE_CUSTOMER_KEY_LABEL"
CREATED_NAME = "SSE_CUSTOMER_KEY_CREATED"
SUFFIX = ".env"

# What the base64 form of 32 bytes looks like.
_KEY_TEXT = re.compile(r"(?<![A-Za-z0-9+/])[A-Za-z0-9+/]{43}=(?![A-Za-z0-9+/=])")
_LABEL = re.compile("[A-Za-z0-9_][A-Za-z0-9._-]{0,63}")

# Some hundred keys as `.env` lines; a file that is longer holds something else.
MAX_CONTENT_SIZE = 64 * 1024


def is_key_name(name: str) -> bool:
    """Whether a variable of this name holds a customer key or the MD5 of one."""
    return name in (KEY_NAME, KEY_MD5_NAME) or name.startswith((f"{KEY_NAME}_", f"{KEY_MD5_NAME}_"))


def without_keys(text: str) -> str:
    """`text` without anything that may be a customer key: one may have been typed in the place of
    an id or a path."""
    return _KEY_TEXT.sub(HIDDEN, text)


def has_key(values: Mapping[str, str]) -> bool:
    """Whether variables hold the key that has no label."""
    return bool(values.get(KEY_NAME))


def plain_key(values: Mapping[str, str], where: str, md5: str | None = None) -> HeldKey | None:
    """The key that has no label, if there is one. `where` names the variables' place.

    An `md5` that is given is checked in place of the one among the variables.
    """
    text = values.get(KEY_NAME)
    if not text:
        return None
    key = CustomerKey.from_base64(text, md5 or values.get(KEY_MD5_NAME), source=KEY_NAME)
    source = f"{KEY_NAME} in {where}"
    return HeldKey(key, source, values.get(LABEL_NAME, ""), _seconds(values.get(CREATED_NAME)))


def labelled_keys(values: Mapping[str, str], where: str) -> list[HeldKey]:
    """The keys whose variables' names end with a label."""
    found = []
    for name, text in values.items():
        label = name.removeprefix(f"{KEY_NAME}_")
        if text and label and label != name:
            md5 = values.get(f"{KEY_MD5_NAME}_{label}")
            key = CustomerKey.from_base64(text, md5, source=name)
            found.append(HeldKey(key, f"{name} in {where}", label))
    return found


def keys_in(content: bytes, what: str, source: str) -> list[HeldKey]:
    """The keys in what was read, one at least, the one whose variable has no label first.

    `what` names the content in errors, `source` in the keys.
    """
    content = SecretBytes(content)
    if content.find(KEY_NAME.encode()) < 0 or len(content) > MAX_CONTENT_SIZE:
        return [HeldKey(CustomerKey.from_bytes(content, source=what), source)]
    values = _variables(content)
    if values is None:
        raise CustomerKeyError(f"{what} is not UTF-8", hint="save it as text")
    try:
        plain = plain_key(values, source)
        keys = ([] if plain is None else [plain]) + labelled_keys(values, source)
    except CustomerKeyError as error:
        raise CustomerKeyError(f"{what}: {error.message}", hint=error.hint) from None
    if not keys:
        raise CustomerKeyError(f"{what} holds no customer key", hint=f"write {KEY_NAME}=... in it")
    return [key._replace(source=source) for key in keys]


def _variables(content: bytes) -> dict[str, str] | None:
    """The variables of `.env` lines; None when they are no text."""
    from dotenv import dotenv_values

    try:
        stream = io.StringIO(content.decode())
    except UnicodeDecodeError:  # which holds the content, and so do errors raised here
        return None
    found = dotenv_values(stream=stream, interpolate=False)
    return {
        name: Secret(text) if is_key_name(name) else text
        for name, text in found.items()
        if text is not None
    }


def read_key_file(path: str) -> list[HeldKey]:
    """The keys in a file of one's own.

    A file that group or others may read, or that another user owns, is refused.
    """
    if _is_key(path):
        raise CustomerKeyError(
            "a key was given in place of the path of a key file",
            hint="it may be in your shell's history and in the list of processes; "
            "write it to a file of mode 0600",
        )
    what = f"the key file {path}"
    try:
        with open(path, "rb") as file:
            facts = os.fstat(file.fileno())
            content = SecretBytes(file.read(MAX_CONTENT_SIZE + 1))
    except OSError as reason:
        raise CustomerKeyError(
            f"cannot read {what}: {os.strerror(reason.errno or 0)}", hint="check --key-file"
        ) from None
    if stat.S_ISREG(facts.st_mode) and facts.st_mode & 0o077:
        raise CustomerKeyError(f"{what} can be read by others", hint=f"run: chmod 600 {path}")
    if facts.st_uid not in (os.geteuid(), 0):
        raise CustomerKeyError(f"{what} belongs to another user", hint="use a file of your own")
    return keys_in(content, what, path)


def key_directory_files(directory: str) -> list[str]:
    """The paths of the key files in a directory, sorted; hidden files and directories are none."""
    try:
        with os.scandir(directory) as entries:
            return sorted(
                entry.path
                for entry in entries
                if not (entry.name.startswith(".") or entry.is_dir())
            )
    except OSError as reason:
        raise CustomerKeyError(
            f"cannot read the key directory {directory}: {os.strerror(reason.errno or 0)}",
            hint="check --key-dir",
        ) from None


def read_directory_file(path: str) -> list[HeldKey]:
    """The keys in a file of a key directory; its name without suffix is the label, unless an id."""
    if not os.path.isfile(path):  # to read a pipe would wait for ever
        raise CustomerKeyError(f"{path} is no file", hint="remove it from the key directory")
    found = read_key_file(path)
    stem = os.path.splitext(os.path.basename(path))[0]
    return [
        one if one.label or stem == one.key.key_id else one._replace(label=stem) for one in found
    ]


def new_key(label: str) -> HeldKey:
    """A new key of 32 random bytes."""
    return HeldKey(CustomerKey.generate(), "", label, time.time())


def check_label(label: str) -> str:
    """`label`, if it may be one: it becomes the name of a file and a line in it."""
    if not _LABEL.fullmatch(label):
        raise CustomerKeyError(
            f"{label!r} is no label", hint="give up to 64 letters, digits, dots, - and _"
        )
    return label


def key_text(held: HeldKey) -> str:
    """The `.env` lines of a key, with what is known of it."""
    more = ""
    if held.label:
        more += f"{LABEL_NAME}={check_label(held.label)}\n"
    if held.created is not None:
        moment = datetime.fromtimestamp(held.created, tz=UTC)
        more += f"{CREATED_NAME}={moment:%Y-%m-%dT%H:%M:%SZ}\n"
    return held.key.env_lines() + more


def write_key_file(path: str, held: HeldKey) -> None:
    """Write a key to a new file of mode 0600; it is on the disk when this returns."""
    directory = os.path.dirname(path) or "."
    try:
        fd = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
        try:
            with open(fd, "w", encoding="ascii") as file:
                file.write(key_text(held))
                file.flush()
                sync(fd)
            sync_directory(directory)
        except BaseException:
            with suppress(OSError):
                os.unlink(path)
            raise
    except OSError as reason:
        hint = "check the path"
        if isinstance(reason, FileExistsError):
            hint = "no key file is ever overwritten; give another name"
        raise CustomerKeyError(
            f"cannot write the key file {path}: {os.strerror(reason.errno or 0)}", hint=hint
        ) from None


def make_key_directory(directory: str) -> None:
    """Make the key directory, for its user alone, if there is none."""
    try:
        os.makedirs(directory, 0o700, exist_ok=True)
        sync_directory(os.path.dirname(os.path.abspath(directory)))
    except OSError as reason:
        raise CustomerKeyError(
            f"cannot make the key directory {directory}: {os.strerror(reason.errno or 0)}",
            hint="check --key-dir",
        ) from None


def _is_key(path: str) -> bool:
    with suppress(CustomerKeyError):
        CustomerKey.from_base64(path, source="it")
        return not os.path.exists(path)
    return False


def _seconds(text: str | None) -> float | None:
    if text:
        with suppress(ValueError):
            moment = datetime.fromisoformat(text)
            return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    return None

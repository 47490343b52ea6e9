"""What `doctor` has learned of a server: hints that spare a run what it would learn in vain.

No check is ever left out for a hint: what it says that a server checks is believed only when the
server shows it in the run itself. A hint is a week good; a file that is damaged says nothing.
"""

from __future__ import annotations

import json
import os
import secrets
from contextlib import suppress
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from sealift.state import state_directory

FILE_NAME = "servers.json"
LIFETIME = 7 * 24 * 3600.0
MAX_FILE_SIZE = 1024 * 1024
_VERSION = 1


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a server was found to do; None where that is not known.

    It compares a CRC64NVME (`checks_crc`) or a Content-MD5 (`checks_md5`) to the bytes it gets,
    keeps the CRC64NVME of a whole multipart object (`keeps_whole_crc`), copies objects under a
    customer key by CopyObject (`copies_sealed`), and refuses writes whose condition does not hold.
    """

    learned_at: float = 0.0
    checks_crc: bool | None = None
    checks_md5: bool | None = None
    keeps_whole_crc: bool | None = None
    copies_sealed: bool | None = None
    put_if_absent: bool | None = None
    put_if_match: bool | None = None
    complete_if_absent: bool | None = None
    copy_if_absent: bool | None = None


UNKNOWN = Capabilities()
_FLAGS = tuple(field.name for field in fields(Capabilities) if field.name != "learned_at")


def endpoint_of(scope: str) -> str:
    """The server in the scope of a bucket, `https://host:port/bucket`."""
    return scope.rsplit("/", 1)[0]


def recall(directory: str | None, scope: str, now: float) -> Capabilities:
    """What was learned of the server of a bucket at most `LIFETIME` before `now`."""
    return _read(directory, now).get(endpoint_of(scope), UNKNOWN)


def remember(directory: str | None, scope: str, learned: Capabilities, now: float) -> None:
    """Write down what was learned `now`. Raises OSError."""
    path = _path(directory)
    if path is None:
        return
    servers = _read(directory, now) | {endpoint_of(scope): replace(learned, learned_at=now)}
    document = {
        "version": _VERSION,
        "servers": {name: asdict(entry) for name, entry in sorted(servers.items())},
    }
    os.makedirs(os.path.dirname(path), 0o700, exist_ok=True)
    temporary = f"{path}.{secrets.token_hex(4)}.tmp"
    try:
        fd = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
        with open(fd, "w", encoding="ascii") as file:
            json.dump(document, file, indent=1)
            file.write("\n")
            file.flush()
            os.fsync(fd)
        os.replace(temporary, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise


def _path(directory: str | None) -> str | None:
    directory = directory or state_directory()
    return None if directory is None else os.path.join(directory, FILE_NAME)


def _read(directory: str | None, now: float) -> dict[str, Capabilities]:
    path = _path(directory)
    if path is None:
        return {}
    try:
        with open(path, "rb") as file:
            document = json.loads(file.read(MAX_FILE_SIZE))
        if document["version"] != _VERSION:
            return {}
        found = {str(name): _entry(row) for name, row in document["servers"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}
    return {
        name: entry
        for name, entry in found.items()
        if entry is not None and 0 <= now - entry.learned_at < LIFETIME
    }


def _entry(row: Any) -> Capabilities | None:
    """A row of the file, None where it is not as `remember` writes it."""
    if not isinstance(row, dict) or type(row.get("learned_at")) not in (int, float):
        return None
    flags = {name: row.get(name) for name in _FLAGS}
    if any(flag is not None and type(flag) is not bool for flag in flags.values()):
        return None
    return Capabilities(learned_at=float(row["learned_at"]), **flags)

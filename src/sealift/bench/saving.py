"""Writes recommended settings to `sealift.toml`: its table [transfer]; the rest stays as it is."""

from __future__ import annotations

import os
import tempfile

from sealift.bench.cells import short_size
from sealift.config import FILE_NAME, Transfer
from sealift.errors import SettingsError


def save_transfer(transfer: Transfer, path: str | None) -> str:
    """Write the table [transfer] of `path`, by default of `./sealift.toml`; returns the path.

    What is None is left out. Comments and other tables are kept, and the file is whole at every
    moment. Raises SettingsError.
    """
    chosen = os.path.realpath(path or FILE_NAME)
    try:
        text = _read(chosen)
        _write(chosen, with_transfer(text, transfer, chosen))
    except (OSError, UnicodeDecodeError) as reason:
        about = getattr(reason, "strerror", None) or "it is not UTF-8"
        raise SettingsError(
            f"cannot save to {chosen}: {about}", hint="write the flags where you need them"
        ) from None
    return path or FILE_NAME


def with_transfer(text: str, transfer: Transfer, source: str) -> str:
    """`text`, a TOML document, with this table [transfer]. SettingsError when it is none."""
    import tomlkit  # here: only --save needs it
    from tomlkit.exceptions import ParseError

    values: dict[str, int | str | None] = {
        "concurrency": transfer.concurrency,
        "part-size": None if transfer.part_size is None else short_size(transfer.part_size),
    }
    try:
        document = tomlkit.parse(text)
    except ParseError as error:
        raise SettingsError(f"{source} is not TOML: {error}", hint="correct it") from None
    table = document.get("transfer")
    if table is None:
        if not any(values.values()):
            return text
        table = tomlkit.table()
        document["transfer"] = table
    for name, value in values.items():
        if value is not None:
            table[name] = value
        elif name in table:
            del table[name]
    return tomlkit.dumps(document)


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", newline="") as file:
            return file.read()
    except FileNotFoundError:
        return ""


def _write(path: str, text: str) -> None:
    """Write beside the file, then rename: who reads it meanwhile finds the old or the new one."""
    mode = os.stat(path).st_mode & 0o777 if os.path.exists(path) else 0o644
    descriptor, temporary = tempfile.mkstemp(prefix=".sealift-toml-", dir=os.path.dirname(path))
    try:
        with open(descriptor, "w", encoding="utf-8", newline="") as file:
            os.fchmod(descriptor, mode)
            file.write(text)
            file.flush()
            os.fsync(descriptor)
        os.rename(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise

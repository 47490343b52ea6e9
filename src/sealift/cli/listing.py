"""What `ls` and `stat` print: data on stdout, for people or as JSON lines."""

from __future__ import annotations

import datetime
import json
from typing import TYPE_CHECKING, Any

from sealift.checksums import encode
from sealift.console.text import escape, size
from sealift.model import Location, RemoteObject

if TYPE_CHECKING:
    from sealift.engine import Engine


async def print_level(engine: Engine, prefix: Location, *, as_json: bool) -> None:
    """Print what is directly below a prefix, as `aws s3 ls` does."""
    async for entry in engine.list_level(prefix):
        if as_json:
            print(json.dumps(_as_json(entry)))
        elif isinstance(entry, str):
            print(f"{'PRE':>30} {escape(entry.removeprefix(_parent(prefix)))}")
        else:
            name = escape(entry.name.removeprefix(_parent(prefix)))
            print(f"{_local_time(entry.modified)} {entry.size:>10} {name}")


def _parent(prefix: Location) -> str:
    return prefix.name[: prefix.name.rfind("/") + 1]


def _as_json(entry: RemoteObject | str) -> dict[str, Any]:
    if isinstance(entry, str):
        return {"prefix": entry}
    return {
        "name": entry.name,
        "size": entry.size,
        "etag": entry.etag,
        "modified": entry.modified,
        "storage_class": entry.storage_class,
    }


def _local_time(seconds: float) -> str:
    moment = datetime.datetime.fromtimestamp(seconds, tz=datetime.UTC).astimezone()
    return moment.strftime("%Y-%m-%d %H:%M:%S")


async def print_stat(engine: Engine, location: Location, key_id: str, *, as_json: bool) -> None:
    """Print what HEAD says of an object, which the customer key `key_id` opens."""
    head = await engine.stat(location)
    facts = head.facts
    mtime = None if facts.mtime_ns is None else facts.mtime_ns / 1e9
    checksum = None if facts.crc is None else encode(facts.crc)
    if as_json:
        print(
            json.dumps(
                {
                    "name": location.name,
                    "bucket": location.bucket,
                    "size": head.size,
                    "etag": head.etag,
                    "version_id": head.version_id,
                    "modified": head.modified,
                    "mtime": mtime,
                    "storage_class": head.storage_class,
                    "content_type": head.content_type,
                    "key_id": key_id,
                    "crc64nvme": checksum,
                }
            )
        )
        return
    rows = {
        "object": str(location),
        "size": f"{head.size} ({size(head.size)})",
        "ETag": head.etag,
        "version": head.version_id,
        "stored": _local_time(head.modified),
        "file time": None if mtime is None else _local_time(mtime),
        "type": head.content_type,
        "class": head.storage_class,
        "key id": key_id,
        "CRC64NVME": checksum or "none stored",
    }
    for label, value in rows.items():
        if value:
            print(f"{label:<10} {escape(value)}")

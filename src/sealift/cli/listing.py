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


class Listing:
    """Prints what is found at `prefix` as `aws s3 ls` does, and adds it up."""

    def __init__(self, prefix: Location, *, as_json: bool, human_readable: bool) -> None:
        self._prefix = prefix
        self._as_json = as_json
        self._human_readable = human_readable
        self._count = 0
        self._total = 0

    async def print_level(self, engine: Engine) -> None:
        """Print what is directly below the prefix."""
        parent = self._prefix.name[: self._prefix.name.rfind("/") + 1]
        async for entry in engine.list_level(self._prefix):
            if not isinstance(entry, str):
                self._print(entry, entry.name.removeprefix(parent))
            elif self._as_json:
                print(json.dumps({"prefix": entry}))
            else:
                print(f"{'PRE':>30} {escape(entry.removeprefix(parent))}")

    async def print_all(self, engine: Engine) -> None:
        """Print all objects whose names start with the prefix, by their whole names."""
        async for page in engine.list_all(self._prefix):
            for entry in page:
                self._print(entry, entry.name)

    def print_summary(self) -> None:
        """Print how many objects were printed, and their bytes."""
        if self._as_json:
            summary = {"event": "summary", "count": self._count, "size": self._total}
            print(json.dumps(summary))
            return
        print(f"\nTotal Objects: {self._count}")
        print(f"   Total Size: {self._size(self._total)}")

    def _print(self, entry: RemoteObject, shown: str) -> None:
        self._count += 1
        self._total += entry.size
        if self._as_json:
            print(json.dumps(_as_json(entry)))
        else:
            print(f"{_local_time(entry.modified)} {self._size(entry.size):>10} {escape(shown)}")

    def _size(self, amount: int) -> str:
        return size(amount) if self._human_readable else str(amount)


def _as_json(entry: RemoteObject) -> dict[str, Any]:
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


async def print_stat(engine: Engine, location: Location, *, as_json: bool) -> None:
    """Print what HEAD says of an object, and which customer key opens it."""
    opened = await engine.open(location)
    head, held = opened.head, engine.held_key(opened.key_id)
    key_id = None if held is None else held.key.key_id
    encryption = "SSE-C" if head.key_md5 else str(head.encryption or "none")
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
                    "encryption": encryption,
                    "key_id": key_id,
                    "key_source": None if held is None else held.source,
                    "found_by": opened.found_by or None,
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
        "encryption": encryption,
        "key id": key_id,
        "key from": "" if held is None else held.source,
        "found by": opened.found_by,
        "CRC64NVME": checksum or "none stored",
    }
    for label, value in rows.items():
        if value:
            print(f"{label:<10} {escape(value)}")

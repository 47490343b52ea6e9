"""What every driver is told by its environment."""

from __future__ import annotations

import base64
import hashlib
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Task:
    """Move everything between `directory` and `prefix` of `bucket`, up or down."""

    is_up: bool
    directory: str
    bucket: str
    prefix: str
    endpoint_url: str
    ca_file: str
    region: str
    access_key: str
    secret_key: str = field(repr=False)
    customer_key: str = field(repr=False)
    connections: int
    part_size: int

    def customer_headers(self) -> list[tuple[str, str]]:
        """The customer key as headers."""
        digest = hashlib.md5(self.raw_customer_key(), usedforsecurity=False).digest()
        start = "x-amz-server-side-encryption-customer-"
        return [
            (start + "algorithm", "AES256"),
            (start + "key", self.customer_key),
            (start + "key-MD5", base64.b64encode(digest).decode()),
        ]

    def boto_customer_key(self) -> dict[str, str | bytes]:
        """The customer key as boto takes it: it encodes it and adds the MD5 itself."""
        return {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": self.raw_customer_key()}

    def raw_customer_key(self) -> bytes:
        return base64.b64decode(self.customer_key)

    def files(self) -> Iterator[tuple[str, str, int]]:
        """Path, object name and size of each file to upload."""
        for directory, _, names in os.walk(self.directory):
            for name in names:
                path = os.path.join(directory, name)
                object_name = self.prefix + os.path.relpath(path, self.directory)
                yield path, object_name, os.stat(path).st_size

    def path_of(self, name: str) -> str:
        """Where the object `name` goes; makes its directory."""
        path = os.path.join(self.directory, name.removeprefix(self.prefix))
        directory = os.path.dirname(path)
        if directory not in _made:
            os.makedirs(directory, exist_ok=True)
            _made.add(directory)
        return path


_made: set[str] = set()


def read_task() -> Task:
    environ = os.environ
    return Task(
        is_up=sys.argv[1] == "up",
        directory=environ["BENCH_DIRECTORY"],
        bucket=environ["BENCH_BUCKET"],
        prefix=environ["BENCH_PREFIX"],
        endpoint_url=environ["AWS_ENDPOINT_URL"],
        ca_file=str(Path(environ["AWS_CA_BUNDLE"])),
        region=environ["AWS_REGION"],
        access_key=environ["AWS_ACCESS_KEY_ID"],
        secret_key=environ["AWS_SECRET_ACCESS_KEY"],
        customer_key=environ["SSE_CUSTOMER_KEY_BASE64"],
        connections=int(environ["BENCH_CONNECTIONS"]),
        part_size=int(environ["BENCH_PART_SIZE"]),
    )

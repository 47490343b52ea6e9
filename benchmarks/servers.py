"""The server that is measured against, and a plain client that prepares and checks what it holds.

The client is boto3, slow and trusted, and never measured. It gives every object that is to be
downloaded its CRC64NVME, which S3 itself adds to objects that come without a checksum.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from benchmarks.cells import Cell
from benchmarks.sink import sink, sink_available
from sealift import checksums
from sealift.embedded import S3Server
from sealift.errors import SettingsError
from sealift.model import MiB

BUCKET = "bench"
_THREADS = 32
# Objects whose bytes are compared after an upload, and how many bytes at most.
_SAMPLE_COUNT = 50
_SAMPLE_SIZE = 512 * MiB
_CHUNK_SIZE = MiB


@contextlib.contextmanager
def serve(kind: str, directory: Path, *, delay: float, discard: bool) -> Iterator[S3Server]:
    """Run the sink, or Ceph's gateway, which can neither wait nor discard."""
    if kind == "sink":
        if reason := sink_available():
            raise SettingsError(reason)
        with sink(directory, delay=delay, discard=discard) as server:
            yield server
        return
    from tests.servers.ceph import ceph, ceph_available

    if reason := ceph_available():
        raise SettingsError(reason)
    with ceph(directory) as server:
        yield server


class Keeper:
    """Puts, lists, reads and removes objects, outside the measured time."""

    def __init__(self, server: S3Server, customer_key: bytes) -> None:
        self._sealed = {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": customer_key}
        self._client: Any = boto3.client(
            "s3",
            endpoint_url=server.endpoint_url,
            verify=str(server.ca_file),
            aws_access_key_id=server.access_key,
            aws_secret_access_key=server.secret_key,
            region_name=server.region,
            config=Config(
                max_pool_connections=_THREADS,
                # framed bodies are not kept by the sink
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
                s3={"addressing_style": "path"},
            ),
        )

    def make_bucket(self) -> None:
        self._client.create_bucket(Bucket=BUCKET)

    def seed(self, prefix: str, root: Path, names: Mapping[str, bytes], *, sealed: bool) -> None:
        """Put the files below `root` as single objects."""

        def put(name: str) -> None:
            path = root / name
            with path.open("rb") as file:
                crc = 0
                while chunk := file.read(_CHUNK_SIZE):
                    crc = checksums.crc64(chunk, crc)
                file.seek(0)
                self._client.put_object(
                    Bucket=BUCKET,
                    Key=prefix + name,
                    Body=file,
                    ChecksumCRC64NVME=checksums.encode(crc),
                    **(self._sealed if sealed else {}),
                )

        with ThreadPoolExecutor(_THREADS) as pool:
            for _ in pool.map(put, names):
                pass

    def sizes(self, prefix: str) -> dict[str, int]:
        """What is there, by the name below the prefix."""
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix)
        return {
            entry["Key"].removeprefix(prefix): entry["Size"]
            for page in pages
            for entry in page.get("Contents", [])
        }

    def list_first(self, prefix: str) -> None:
        """Have the sink sort its names, as it does at the first LIST after a change."""
        self._client.list_objects_v2(Bucket=BUCKET, Prefix=prefix, MaxKeys=1)

    def check(
        self, prefix: str, cell: Cell, digests: Mapping[str, bytes], *, sealed: bool
    ) -> tuple[str | None, str]:
        """What is wrong with an upload, or None; and how far it was looked at."""
        sizes = self.sizes(prefix)
        if sizes.keys() != digests.keys():
            missing, strange = digests.keys() - sizes.keys(), sizes.keys() - digests.keys()
            return f"{len(missing)} objects missing, {len(strange)} strange", "names"
        for name, size in sizes.items():
            if size != cell.size:
                return f"{name} has {size} bytes", "sizes"
        count = max(min(_SAMPLE_COUNT, _SAMPLE_SIZE // cell.size), 1)
        sample = list(digests)[:: -(-len(digests) // count)]
        kept = 0
        for name in sample:
            digest, is_zeros = self._digest(prefix + name, sealed=sealed)
            if digest == digests[name]:
                kept += 1
            elif not is_zeros:
                return f"{name} differs", "bytes"
        return None, f"names, sizes, bytes of {kept}"

    def _digest(self, name: str, *, sealed: bool) -> tuple[bytes, bool]:
        """The digest of an object's bytes, and whether they are zeros: those the sink has not kept.

        Zeros are all one has of them, so the first chunk that is not zeros settles it.
        """
        reply = self._client.get_object(Bucket=BUCKET, Key=name, **(self._sealed if sealed else {}))
        digest, is_zeros = hashlib.sha256(), True
        with contextlib.closing(reply["Body"]) as body:
            for chunk in body.iter_chunks(_CHUNK_SIZE):
                if is_zeros and chunk.count(0) == len(chunk):
                    return b"", True
                is_zeros = False
                digest.update(chunk)
        return digest.digest(), False

    def remove(self, prefix: str) -> None:
        """Remove all objects and unfinished uploads below the prefix."""
        for upload in self._client.list_multipart_uploads(Bucket=BUCKET, Prefix=prefix).get(
            "Uploads", []
        ):
            self._client.abort_multipart_upload(
                Bucket=BUCKET, Key=upload["Key"], UploadId=upload["UploadId"]
            )
        names = [prefix + name for name in self.sizes(prefix)]
        for start in range(0, len(names), 1000):
            batch = [{"Key": name} for name in names[start : start + 1000]]
            self._client.delete_objects(Bucket=BUCKET, Delete={"Objects": batch, "Quiet": True})

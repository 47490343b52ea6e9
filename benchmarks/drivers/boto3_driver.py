"""boto3: one transfer manager for all files, so that its threads are started once.

`upload_file` makes a manager, with its threads, for every file. Sizes from LIST save the HEAD
that a download otherwise begins with, as aws-cli does it.
https://boto3.amazonaws.com/v1/documentation/api/latest/guide/s3.html#multipart-transfers
"""

from __future__ import annotations

from typing import Any

import boto3
from boto3.s3.transfer import TransferConfig, create_transfer_manager
from botocore.config import Config
from s3transfer.subscribers import BaseSubscriber

from benchmarks.drivers.shared import Task, read_task


class _Known(BaseSubscriber):  # type: ignore[misc]  # boto3 has no types
    """Tells the manager what LIST has told already."""

    def __init__(self, size: int, etag: str) -> None:
        self._size = size
        self._etag = etag

    def on_queued(self, future: Any, **_: Any) -> None:
        future.meta.provide_transfer_size(self._size)
        if hasattr(future.meta, "provide_object_etag"):
            future.meta.provide_object_etag(self._etag)


def main() -> None:
    task = read_task()
    client = boto3.client(
        "s3",
        config=Config(max_pool_connections=task.connections, s3={"addressing_style": "path"}),
    )
    config = TransferConfig(
        max_concurrency=task.connections,
        multipart_threshold=task.part_size,
        multipart_chunksize=task.part_size,
        preferred_transfer_client="classic",
    )
    with create_transfer_manager(client, config) as manager:
        futures = _up(task, manager) if task.is_up else _down(task, manager, client)
        errors = [error for future in futures if (error := _error(future)) is not None]
    if errors:
        raise SystemExit("\n".join(errors))


def _error(future: Any) -> str | None:
    """What an object failed with; the manager would cancel the others if it went through."""
    try:
        future.result()
    except Exception as error:
        return f"{future.meta.call_args.key}: {error}"
    return None


def _up(task: Task, manager: Any) -> list[Any]:
    sealed = task.boto_customer_key()
    return [
        manager.upload(path, task.bucket, name, extra_args=dict(sealed))
        for path, name, _ in task.files()
    ]


def _down(task: Task, manager: Any, client: Any) -> list[Any]:
    sealed = task.boto_customer_key()
    futures = []
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=task.bucket, Prefix=task.prefix)
    for page in pages:
        for entry in page.get("Contents", []):
            known = _Known(entry["Size"], entry["ETag"])
            path = task.path_of(entry["Key"])
            futures.append(
                manager.download(
                    task.bucket, entry["Key"], path, extra_args=dict(sealed), subscribers=[known]
                )
            )
    return futures


if __name__ == "__main__":
    main()

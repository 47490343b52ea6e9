"""aioboto3: its own upload_file and download_file, a limited number of files at once.

https://aioboto3.readthedocs.io/en/latest/usage.html: one client for all. Its pool must hold as
many connections as files are in flight (botocore's `max_pool_connections`, 10 by default).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import aioboto3
from aiobotocore.config import AioConfig
from boto3.s3.transfer import TransferConfig

from benchmarks.drivers.shared import Task, read_task


async def _main() -> None:
    task = read_task()
    connections = AioConfig(max_pool_connections=task.connections, s3={"addressing_style": "path"})
    config = TransferConfig(
        max_concurrency=task.connections,
        multipart_threshold=task.part_size,
        multipart_chunksize=task.part_size,
    )
    async with aioboto3.Session().client("s3", config=connections) as client:
        await (_up if task.is_up else _down)(task, client, config)


async def _up(task: Task, client: Any, config: TransferConfig) -> None:
    sealed = task.boto_customer_key()

    async def put(path: str, name: str) -> None:
        await client.upload_file(path, task.bucket, name, ExtraArgs=dict(sealed), Config=config)

    await _spread(task, put, [(path, name) for path, name, _ in task.files()])


async def _down(task: Task, client: Any, config: TransferConfig) -> None:
    sealed = task.boto_customer_key()
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=task.bucket, Prefix=task.prefix)
    names = [entry["Key"] async for page in pages for entry in page.get("Contents", [])]

    async def get(name: str, path: str) -> None:
        await client.download_file(task.bucket, name, path, ExtraArgs=dict(sealed), Config=config)

    await _spread(task, get, [(name, task.path_of(name)) for name in names])


async def _spread(
    task: Task, move: Callable[[str, str], Awaitable[None]], pairs: list[tuple[str, str]]
) -> None:
    limit = asyncio.Semaphore(task.connections)

    async def limited(one: str, other: str) -> None:
        async with limit:
            await move(one, other)

    await asyncio.gather(*[limited(one, other) for one, other in pairs])


if __name__ == "__main__":
    asyncio.run(_main())

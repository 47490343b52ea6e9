"""obstore: the Rust crate object_store, many calls at once from asyncio.

`unsigned_payload` spares the SHA-256 of every body, which TLS makes needless; object_store sends
no other checksum by default. Files are read and parts are sent by Rust (`put_async` of a path).
https://developmentseed.org/obstore/latest/api/store/aws/
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable
from pathlib import Path

import obstore
from obstore.store import S3Store

from benchmarks.drivers.shared import Task, read_task

# A part or range each, so that large objects alone fill the connections.
_RANGES_AT_ONCE = 16


def _open_store(task: Task) -> S3Store:
    return S3Store(
        task.bucket,
        endpoint=task.endpoint_url,
        region=task.region,
        access_key_id=task.access_key,
        secret_access_key=task.secret_key,
        virtual_hosted_style_request=False,
        unsigned_payload=True,
        server_side_encryption="sse-c",
        sse_customer_key_base64=task.customer_key,
        client_options={"root_certificate": Path(task.ca_file).read_bytes(), "timeout": "600s"},
    )


async def _main() -> None:
    task = read_task()
    store = _open_store(task)
    limit = asyncio.Semaphore(task.connections)
    if task.is_up:
        moves = [_put(task, store, limit, *file) for file in task.files()]
    else:
        found = [
            (entry["path"], entry["size"])
            async for page in obstore.list(store, task.prefix, chunk_size=1000)
            for entry in page
        ]
        moves = [_get(task, store, limit, name, size) for name, size in found]
    await asyncio.gather(*moves)


async def _put(
    task: Task, store: S3Store, limit: asyncio.Semaphore, path: str, name: str, size: int
) -> None:
    async with limit:
        if size <= task.part_size:
            await obstore.put_async(store, name, Path(path), use_multipart=False)
        else:
            await obstore.put_async(
                store,
                name,
                Path(path),
                chunk_size=task.part_size,
                max_concurrency=_RANGES_AT_ONCE,
            )


async def _get(task: Task, store: S3Store, limit: asyncio.Semaphore, name: str, size: int) -> None:
    path = task.path_of(name)
    if size <= task.part_size:
        async with limit:
            reply = await obstore.get_async(store, name)
            body = await reply.bytes_async()
        with open(path, "wb") as file:  # noqa: ASYNC230 - a small write is cheaper than a thread
            file.write(body)
        return
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o644)
    try:
        ranges: list[Awaitable[None]] = [
            _get_range(store, limit, name, descriptor, start, min(start + task.part_size, size))
            for start in range(0, size, task.part_size)
        ]
        await asyncio.gather(*ranges)
    finally:
        os.close(descriptor)


async def _get_range(
    store: S3Store, limit: asyncio.Semaphore, name: str, descriptor: int, start: int, end: int
) -> None:
    async with limit:
        body = await obstore.get_range_async(store, name, start=start, end=end)
        await asyncio.to_thread(os.pwrite, descriptor, memoryview(body), start)


if __name__ == "__main__":
    asyncio.run(_main())
    # now and then its threads abort the interpreter while that shuts down (0.12.1)
    os._exit(0)

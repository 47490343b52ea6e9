"""Syncs a directory to a prefix and says what that took:

    python examples/sync.py photos s3://my-bucket/photos

The customer key and the rest come from `.env` and the environment, as for the command line.
"""

import asyncio
import sys

import sealift


async def main(directory: str, prefix: str) -> None:
    async with sealift.Engine(sealift.load_options()) as engine:
        report = await engine.sync(directory, prefix, sealift.SyncOptions(delete=True))
    print(f"{report.moved_count} moved ({report.moved_size} bytes), {report.removed_count} removed")
    print(f"{report.unchanged_count} were the same, {report.seconds:.1f} s")
    report.raise_for_failures()


asyncio.run(main(*sys.argv[1:]))

"""Follows a copy while it runs: a line for each file, and how far all of it is.

python examples/progress_events.py photos/ s3://my-bucket/photos/
"""

import asyncio
import sys

import sealift


async def main(source: str, destination: str) -> None:
    async with (
        sealift.Engine(sealift.load_options()) as engine,
        engine.follow(engine.copy(source, destination)) as run,
    ):
        async for event in run:
            match event:
                case sealift.Finished(job=job):
                    done = engine.progress
                    print(f"{done.moved_size:>12} of {done.planned_size}  {job.location.name}")
                case sealift.Failed(name=name, error=error):
                    print(f"{name}: {error}", file=sys.stderr)
    run.report.raise_for_failures()


asyncio.run(main(*sys.argv[1:]))

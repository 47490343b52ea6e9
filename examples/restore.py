"""Brings a prefix back, then proves that the directory and the prefix hold the same:

python examples/restore.py s3://my-bucket/photos/ restored
"""

import asyncio
import sys

import sealift


async def main(prefix: str, directory: str) -> int:
    async with sealift.Engine(sealift.load_options()) as engine:
        report = await engine.restore(prefix, directory)
        for failure in report.failures:
            print(f"{failure.name}: {failure.error}", file=sys.stderr)
        proof = await engine.verify(directory, prefix, sealift.VerifyOptions(is_sealed=True))
    print(f"{report.moved_count} files restored, {proof.sealed_count} objects sealed")
    for finding, count in proof.findings.items():
        print(f"{finding.value}: {count}", file=sys.stderr)
    return 0 if report.ok and proof.is_verified else 1


sys.exit(asyncio.run(main(*sys.argv[1:])))

"""Run one test server by hand: `python -m tests.servers ceph|ministack|sink`.

Prints the environment that points S3 clients at it and waits for Ctrl-C. The bucket
`sealift-test` exists already.
"""

from __future__ import annotations

import argparse
import contextlib
import signal
import tempfile
from collections.abc import Sequence
from pathlib import Path

import boto3
from botocore.config import Config

from sealift.embedded import S3Server, ministack

BUCKET = "sealift-test"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.servers", description=__doc__)
    parser.add_argument("server", choices=["ceph", "ministack", "sink"])
    parser.add_argument("--delay", type=float, default=0.0, help="sink: seconds before each answer")
    parser.add_argument("--discard", action="store_true", help="sink: throw uploads away")
    options = parser.parse_args(arguments)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    with (
        contextlib.suppress(KeyboardInterrupt),
        tempfile.TemporaryDirectory(prefix=f"sealift-{options.server}-") as directory,
        _server(options, Path(directory)) as server,
    ):
        make_bucket(server)
        print("\n".join(exports(server)), flush=True)
        signal.pause()


def _server(
    options: argparse.Namespace, directory: Path
) -> contextlib.AbstractContextManager[S3Server]:
    if options.server == "ceph":
        from tests.servers.ceph import ceph

        return ceph(directory)
    if options.server == "sink":
        from benchmarks.sink import sink

        return sink(directory, delay=options.delay, discard=options.discard)
    return ministack(directory)


def exports(server: S3Server) -> list[str]:
    """Shell lines that point AWS clients at `server`."""
    variables = {
        "AWS_ENDPOINT_URL": server.endpoint_url,
        "AWS_CA_BUNDLE": str(server.ca_file),
        "AWS_ACCESS_KEY_ID": server.access_key,
        "AWS_SECRET_ACCESS_KEY": server.secret_key,
        "AWS_REGION": server.region,
    }
    return [f"export {name}={value}" for name, value in variables.items()]


def make_bucket(server: S3Server, bucket: str = BUCKET) -> None:
    client = boto3.client(
        "s3",
        endpoint_url=server.endpoint_url,
        verify=str(server.ca_file),
        aws_access_key_id=server.access_key,
        aws_secret_access_key=server.secret_key,
        region_name=server.region,
        config=Config(s3={"addressing_style": "path"}),
    )
    client.create_bucket(Bucket=bucket)


if __name__ == "__main__":
    main()

"""awscrt: the C client aws-c-s3, which splits objects and chooses its connections itself.

It is told a throughput target, from which it takes the number of connections, and file names, so
that no byte passes through Python (`send_filepath`, `recv_filepath`).
https://awslabs.github.io/aws-crt-python/api/s3.html
"""

from __future__ import annotations

import os
import threading
from concurrent.futures import Future
from urllib.parse import quote, urlsplit

from awscrt.auth import AwsCredentialsProvider
from awscrt.http import HttpHeaders, HttpRequest
from awscrt.io import ClientBootstrap, ClientTlsContext, TlsContextOptions
from awscrt.s3 import (
    S3Client,
    S3RequestTlsMode,
    S3RequestType,
    create_default_s3_signing_config,
)

from benchmarks.drivers.shared import Task, read_task

# In flight in the client, which opens a file for each.
_REQUESTS_AT_ONCE = 512
# For a connection of its own it reckons with the throughput S3 gives one: aws-c-s3's default
# target of 10 gives a few dozen connections, which latency makes too few.
_GBPS_PER_CONNECTION = 10 / 25


class _Peer:
    def __init__(self, task: Task) -> None:
        self._task = task
        trust = TlsContextOptions()
        trust.override_default_trust_store_from_path(None, task.ca_file)
        credentials = AwsCredentialsProvider.new_static(task.access_key, task.secret_key)
        self._client = S3Client(
            bootstrap=ClientBootstrap.get_or_create_static_default(),
            region=task.region,
            tls_mode=S3RequestTlsMode.ENABLED,
            tls_connection_options=ClientTlsContext(trust).new_connection_options(),
            signing_config=create_default_s3_signing_config(
                region=task.region, credential_provider=credentials
            ),
            part_size=task.part_size,
            throughput_target_gbps=max(10.0, task.connections * _GBPS_PER_CONNECTION),
        )
        self._host = urlsplit(task.endpoint_url).netloc
        self._places = threading.Semaphore(_REQUESTS_AT_ONCE)

    def move(self, kind: S3RequestType, name: str, path: str, size: int) -> Future[None]:
        self._places.acquire()
        headers = HttpHeaders([("host", self._host), *self._task.customer_headers()])
        is_up = kind is S3RequestType.PUT_OBJECT
        if is_up:
            headers.add("content-length", str(size))
        target = f"/{self._task.bucket}/{quote(name)}"
        request = HttpRequest("PUT" if is_up else "GET", target, headers)
        place = {"send_filepath" if is_up else "recv_filepath": path}
        future: Future[None] = self._client.make_request(
            type=kind, request=request, **place
        ).finished_future
        future.add_done_callback(lambda _: self._places.release())
        return future


def main() -> None:
    task = read_task()
    peer = _Peer(task)
    if task.is_up:
        futures = [peer.move(S3RequestType.PUT_OBJECT, n, p, s) for p, n, s in task.files()]
    else:
        futures = [
            peer.move(S3RequestType.GET_OBJECT, name, task.path_of(name), 0) for name in _names()
        ]
    for future in futures:
        future.result()


def _names() -> list[str]:
    """aws-c-s3 has no LIST for Python, so the names are given."""
    with open(os.environ["BENCH_NAMES_FILE"]) as file:
        return file.read().splitlines()


if __name__ == "__main__":
    main()

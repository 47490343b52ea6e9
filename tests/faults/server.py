"""`FaultServer`: an S3 that misbehaves as told. See the package docstring for how to use it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from .customer import Dialect, key_md5_of
from .front import Certificate, Front
from .messages import Reply, Request
from .s3 import S3
from .scripts import ReplaceObject
from .settings import Settings
from .stored import Stored, Upload


class FaultServer(Front):
    """An in-memory S3 on loopback, in its own thread, for the time of a `with` block."""

    def __init__(
        self,
        certificate: Certificate | None,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        tls: bool = True,
        dialect: Dialect = "aws",
        buckets: Iterable[str] = ("bucket",),
        chunks: bool = False,
    ) -> None:
        super().__init__(certificate, host=host, port=port, tls=tls)
        self.s3 = S3(dialect=dialect, secure=tls, buckets=buckets)
        self.settings = Settings(dialect)
        self.chunks = chunks

    @property
    def objects(self) -> dict[tuple[str, str], Stored]:
        """(bucket, name) -> what is stored."""
        return self.s3.objects

    @property
    def uploads(self) -> dict[str, Upload]:
        """Upload id -> multipart upload in progress."""
        return self.s3.uploads

    @property
    def expired_tokens(self) -> set[str]:
        """Session tokens and access keys that are answered by 400 ExpiredToken."""
        return self.s3.expired_tokens

    @property
    def clock_offset(self) -> float:
        """Seconds by which the server's clock is wrong."""
        return self.s3.clock_offset

    @clock_offset.setter
    def clock_offset(self, seconds: float) -> None:
        self.s3.clock_offset = seconds

    def store(
        self,
        name: str,
        body: bytes,
        *,
        bucket: str = "bucket",
        customer_key: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Stored:
        """Put an object there without a client."""
        key_md5 = None if customer_key is None else key_md5_of(customer_key)
        return self.s3.store(bucket, name, body, headers, key_md5)

    # -- what connections ask of their server

    def replace_object(self, request: Request, by: ReplaceObject) -> None:
        self.s3.replace_object(request.bucket, request.name, by.body, by.customer_key_md5)

    async def serve(self, request: Request) -> Reply:
        reply = self.settings.serve(request)
        return self.s3.serve(request) if reply is None else self.s3.dress(request, reply)

    def dress(self, request: Request, reply: Reply) -> Reply:
        return self.s3.dress(request, reply)

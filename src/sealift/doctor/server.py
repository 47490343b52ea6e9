"""What is checked of the server, of who asks it, and of what the bucket is set to."""

from __future__ import annotations

import ssl
import time

from sealift.doctor.findings import Check, Finding, failure, ok, skipped, warning
from sealift.doctor.visit import Visit
from sealift.errors import ReplyError, SealiftError, SettingsError
from sealift.replies import http_seconds
from sealift.wire.address import is_of_aws
from sealift.wire.http1 import request_head

# Seconds. AWS renews its certificates months before they expire.
SHORT_LIFE = 14 * 24 * 3600.0
NOTABLE_SKEW = 30.0
# https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html: RequestTimeTooSkewed
MAX_SKEW = 15 * 60.0

# botocore's words for where it found credentials.
_SOURCES = {
    "": "where botocore found it",
    "env": "the environment",
    "shared-credentials-file": "the credentials file of the AWS configuration",
    "config-file": "the AWS configuration file",
    "custom-process": "the credential_process of the profile",
    "assume-role": "the role of the profile",
    "assume-role-with-web-identity": "a role, by web identity",
    "sso": "SSO",
    "container-role": "the role of the container",
    "iam-role": "the role of the instance",
}
_DAY = 24 * 3600.0


async def _credentials(visit: Visit) -> Finding:
    found, source = await visit.session.credentials()
    kind = "temporary ones" if found.token else "an access key"
    return ok(f"{kind}, {_shortened(found.access_key)}, from {_SOURCES.get(source, source)}")


def _shortened(access_key: str) -> str:
    return f"...{access_key[-4:]}" if len(access_key) > 8 else "..."


async def _endpoint(visit: Visit) -> Finding:
    try:
        server = await visit.session.server(visit.place and visit.place.bucket)
    except SettingsError:  # without credentials botocore does not say where a bucket is
        server = await visit.session.server(None)
    pool = visit.session.pool(server)
    began = time.monotonic()
    tls = await visit.retrier.run(server.netloc, pool.greet)
    span = time.monotonic() - began
    visit.certificate = tls.getpeercert() or {}
    head = request_head("HEAD", "/", [("host", server.netloc)])
    sent_at = time.time()
    reply = await visit.retrier.run(server.netloc, pool.exchange, "HEAD", head)
    told = http_seconds(reply.head.get(b"date"))
    if told is not None:  # cut to whole seconds, somewhere between the request and its reply
        visit.clock_offset = told + 0.5 - (sent_at + time.time()) / 2
    return ok(f"https://{server.netloc} answers, {tls.version()}, connected in {span * 1e3:.0f} ms")


async def _certificate(visit: Visit) -> Finding:
    expiry = visit.certificate.get("notAfter")
    if not isinstance(expiry, str):
        return skipped("the certificate tells no end")
    seconds = ssl.cert_time_to_seconds(expiry)
    day = time.strftime("%Y-%m-%d", time.gmtime(seconds))
    left = seconds - time.time()
    if left < SHORT_LIFE:
        return warning(
            f"trusted, and valid only until {day}", "have the server's certificate renewed in time"
        )
    return ok(f"trusted, valid until {day}, {left / _DAY:.0f} days")


async def _clock(visit: Visit) -> Finding:
    offset = visit.clock_offset
    if offset is None:
        return skipped("the server does not tell the time")
    if abs(offset) < NOTABLE_SKEW:
        return ok("this machine's clock is that of the server")
    text = f"this machine's clock is {abs(offset):.0f} s {'behind' if offset > 0 else 'ahead'}"
    if abs(offset) < MAX_SKEW:
        return warning(text, "set it, before it is 15 minutes off and requests are refused")
    return warning(text, "set it: sealift signs with the server's time, other tools are refused")


async def _identity(visit: Visit) -> Finding:
    try:
        caller = await (await visit.session.control()).caller()
    except SealiftError as error:
        return skipped(f"the server does not tell whose credentials they are ({_brief(error)})")
    return ok(f"they are those of {caller}") if caller else skipped("the server tells no name")


def _brief(error: SealiftError) -> str:
    if isinstance(error, ReplyError):
        return f"{error.operation} {error.status}"
    return error.message


async def _bucket(visit: Visit) -> Finding:
    try:
        visit.client = await visit.session.objects(visit.bucket)
    except SettingsError as error:
        return failure(error.message, error.hint)
    address = visit.client.address
    way = "by host name" if address.base_path == "/" else "by path"
    text = f"{visit.bucket} is there, in {address.region}, reached {way} at {address.netloc}"
    try:
        settings = await visit.session.settings(visit.bucket)
        region = await settings.region()
    except SealiftError:
        return ok(text)
    if is_of_aws(address.netloc) and region != address.region:
        return warning(
            f"{text}, and is in {region}", f"give --region {region}: each run looks for it first"
        )
    return ok(text)


async def _sse_c(visit: Visit) -> Finding:
    settings = await visit.session.settings(visit.bucket)
    try:
        encryption = await visit.retrier.run(visit.bucket, settings.encryption)
    except ReplyError as error:
        if _is_lacking(error):
            return ok(f"not blocked: the server has no such setting ({_brief(error)})")
        return _unread("s3:GetEncryptionConfiguration", error)
    if encryption.blocks_customer_keys:
        return failure(
            "blocked: no object can be written under a customer key",
            f"run: sealift doctor --allow-sse-c s3://{visit.bucket}",
        )
    return ok(f"not blocked; default encryption of the bucket: {encryption}")


async def _versioning(visit: Visit) -> Finding:
    settings = await visit.session.settings(visit.bucket)
    try:
        status = await visit.retrier.run(visit.bucket, settings.versioning)
    except ReplyError as error:
        return _unread("s3:GetBucketVersioning", error)
    visit.versioning = status
    if status == "Enabled":
        return ok("enabled: what is replaced or removed stays as an older version, and is paid for")
    return ok(f"{status.lower() or 'never enabled'}: what is replaced or removed is gone")


async def _lifecycle(visit: Visit) -> Finding:
    settings = await visit.session.settings(visit.bucket)
    try:
        days = await visit.retrier.run(visit.bucket, settings.days_to_abort)
    except ReplyError as error:
        return _unread("s3:GetLifecycleConfiguration", error)
    if days is None:
        return warning(
            "no rule aborts unfinished uploads: what a run leaves that never goes on is paid for",
            "add a lifecycle rule with AbortIncompleteMultipartUpload, for example after 7 days",
        )
    return ok(f"a rule aborts unfinished uploads after {days} days")


def _unread(right: str, error: ReplyError) -> Finding:
    if error.status == 403:
        return skipped("may not be read", f"that needs {right}")
    if _is_lacking(error):
        return skipped(f"the server has no such setting ({_brief(error)})")
    return skipped(f"could not be read ({_brief(error)})", "run doctor again")


def _is_lacking(error: ReplyError) -> bool:
    """Whether a server says that it has no such setting, and not that it cannot answer now."""
    return error.status in (400, 404, 405, 501)


SERVER_CHECKS: tuple[Check[Visit], ...] = (
    Check("credentials", _credentials, ("settings",)),
    Check("endpoint", _endpoint, ("settings",)),
    Check("certificate", _certificate, ("endpoint",)),
    Check("clock", _clock, ("endpoint",)),
    Check("identity", _identity, ("credentials", "endpoint")),
)
BUCKET_CHECKS: tuple[Check[Visit], ...] = (
    Check("bucket", _bucket, ("credentials", "endpoint")),
    Check("sse-c", _sse_c, ("bucket",)),
    Check("versioning", _versioning, ("bucket",)),
    Check("lifecycle", _lifecycle, ("bucket",)),
)

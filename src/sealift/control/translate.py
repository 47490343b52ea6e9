"""botocore's exceptions as ours, in one table. No header and no request text is carried over."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager

import aiohttp
from botocore import exceptions as boto
from botocore.parsers import ResponseParserError

from sealift.errors import Cause, NetworkError, ObjectError, SealiftError, SettingsError
from sealift.replies import reply_error
from sealift.wire.address import is_passing

# What botocore wraps is told apart first: one of its exceptions stands for several causes.
_WRAPPED: tuple[tuple[type[BaseException], Cause, str, str], ...] = (
    (aiohttp.ClientConnectorCertificateError, Cause.PERMANENT,
     "the server's certificate is not trusted",
     "give the right --ca-bundle or correct the endpoint"),
    (aiohttp.ClientConnectorError, Cause.CONNECT, "cannot connect",
     "check the endpoint and the network"),
    (aiohttp.ClientOSError, Cause.RESET, "connection lost", ""),
)  # fmt: skip

_NETWORK: tuple[tuple[type[Exception], Cause, str, str], ...] = (
    (boto.SSLError, Cause.CONNECT, "no TLS connection", "check the endpoint and the network"),
    (boto.ProxyConnectionError, Cause.CONNECT, "cannot connect to the proxy", "check HTTPS_PROXY"),
    (boto.ConnectTimeoutError, Cause.CONNECT, "no connection in time",
     "check the endpoint and the network"),
    (boto.EndpointConnectionError, Cause.CONNECT, "cannot connect",
     "check the endpoint and the network"),
    (boto.ReadTimeoutError, Cause.STALLED, "no answer in time", ""),
    (boto.ConnectionClosedError, Cause.RESET, "the server closed the connection", ""),
    (boto.HTTPClientError, Cause.RESET, "the connection failed", ""),
    (ResponseParserError, Cause.GARBLED, "malformed reply", ""),
)  # fmt: skip

_SETTINGS: tuple[tuple[type[Exception], str], ...] = (
    (boto.ProfileNotFound, "give an existing profile by --profile or PROFILE"),
    (boto.NoCredentialsError, "give a profile by --profile or PROFILE, or set AWS_ACCESS_KEY_ID"),
    (boto.PartialCredentialsError, "complete your AWS configuration"),
    (boto.CredentialRetrievalError, "check your AWS configuration, for example by: aws sso login"),
    (boto.TokenRetrievalError, "log in again, for example by: aws sso login"),
    (boto.SSOTokenLoadError, "log in again, for example by: aws sso login"),
    (boto.UnauthorizedSSOTokenError, "log in again, for example by: aws sso login"),
    (boto.NoRegionError, "give --region or set AWS_REGION"),
    (boto.InvalidRegionError, "check --region"),
    (boto.ConfigParseError, "correct your AWS configuration file"),
    (boto.ParamValidationError, "check the name of the bucket and of the object"),
)


@contextmanager
def translated(operation: str, *, sealed: bool = False) -> Iterator[None]:
    """Raise botocore's exceptions as ours; `sealed` says that a customer key was sent."""
    try:
        yield
    except (boto.BotoCoreError, boto.ClientError, ResponseParserError, ValueError) as error:
        raise _translate(operation, error, sealed=sealed) from None


def _translate(operation: str, error: Exception, *, sealed: bool) -> SealiftError:
    if isinstance(error, boto.ClientError):
        details = error.response.get("Error", {})
        meta = error.response.get("ResponseMetadata", {})
        status = int(meta.get("HTTPStatusCode", 0))
        code = str(details.get("Code", ""))
        # A reply without a body has its status for a code, and the phrase for a message.
        bare = code.isdigit()
        return reply_error(
            operation,
            status,
            "" if bare else code,
            "" if bare else str(details.get("Message", "")),
            meta.get("HTTPHeaders", {}),
            sealed=sealed,
        )
    for setting, hint in _SETTINGS:
        if isinstance(error, setting):
            return SettingsError(_first_line(error), hint=hint)
    wrapped = getattr(error, "kwargs", {}).get("error")
    if isinstance(wrapped, aiohttp.ClientConnectorDNSError) and _is_unknown_name(wrapped):
        return NetworkError(
            f"{operation}: cannot find the host {wrapped.host}",
            cause=Cause.PERMANENT,
            hint="check the endpoint",
        )
    if not isinstance(error, boto.ProxyConnectionError):
        for reason, cause, text, hint in _WRAPPED:
            if isinstance(wrapped, reason):
                return NetworkError(f"{operation}: {text}", cause=cause, hint=hint)
    for kind, cause, text, hint in _NETWORK:
        if isinstance(error, kind):
            return NetworkError(f"{operation}: {text}", cause=cause, hint=hint)
    if isinstance(error, ValueError):  # botocore: an endpoint that is no URL, a name it cannot send
        return SettingsError(_first_line(error), hint="check --endpoint-url and the name")
    return ObjectError(f"{operation}: {type(error).__name__}")


def _is_unknown_name(error: aiohttp.ClientConnectorDNSError) -> bool:
    """Whether the name is not known, rather than not found out for the moment."""
    reason = error.os_error
    return isinstance(reason, socket.gaierror) and not is_passing(reason)


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]

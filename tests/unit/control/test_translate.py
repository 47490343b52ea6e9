"""Every exception of botocore becomes one of ours, and none carries what was sent."""

from __future__ import annotations

import socket
from typing import Any

import aiohttp
import pytest
from aiohttp.client_reqrep import ConnectionKey
from botocore import exceptions as boto
from botocore.parsers import ResponseParserError

from sealift.control.translate import translated
from sealift.errors import (
    Cause,
    NetworkError,
    ObjectError,
    ReplyError,
    SealiftError,
    SettingsError,
    WrongCustomerKeyError,
)

URL = "https://host.example/bucket/name"
SECRET = "the-customer-key"


def translate(error: Exception, *, sealed: bool = False) -> SealiftError:
    with pytest.raises(SealiftError) as caught, translated("Act", sealed=sealed):
        raise error
    assert caught.value.__suppress_context__
    return caught.value


def client_error(status: int, code: str, message: str = "", **headers: str) -> boto.ClientError:
    return boto.ClientError(
        {
            "Error": {"Code": code, "Message": message},
            "ResponseMetadata": {"HTTPStatusCode": status, "HTTPHeaders": headers},
        },
        "HeadObject",
    )


def test_what_succeeds_and_what_is_ours_passes() -> None:
    with translated("Act"):
        pass
    with pytest.raises(ObjectError, match="ours"), translated("Act"):
        raise ObjectError("ours")
    with pytest.raises(KeyError), translated("Act"):
        raise KeyError("a bug")


def test_replies() -> None:
    error = translate(client_error(404, "NoSuchKey", "Not there.", **{"x-amz-request-id": "r1"}))
    assert isinstance(error, ReplyError)
    assert (error.status, error.code, error.cause) == (404, "NoSuchKey", Cause.PERMANENT)
    assert str(error).startswith("Act 404 NoSuchKey: Not there (request r1)")


def test_replies_carry_what_the_retry_needs() -> None:
    headers = {"retry-after": "7", "date": "Wed, 21 Oct 2015 07:28:00 GMT"}
    error = translate(client_error(503, "SlowDown", "x", **headers))
    assert isinstance(error, ReplyError)
    assert (error.cause, error.retry_after, error.date) == (Cause.THROTTLED, 7.0, headers["date"])


def test_a_reply_without_a_body_has_no_code() -> None:
    error = translate(client_error(404, "404", "Not Found"))
    assert isinstance(error, ReplyError)
    assert (error.status, error.code) == (404, "")
    assert "404 404" not in str(error)


def test_a_reply_about_the_customer_key() -> None:
    text = "The calculated MD5 hash of the key did not match the hash that was provided."
    error = translate(client_error(400, "InvalidArgument", text), sealed=True)
    assert isinstance(error, WrongCustomerKeyError)


def test_a_reply_without_anything() -> None:
    error = translate(boto.ClientError({}, "HeadObject"))
    assert isinstance(error, ReplyError)
    assert error.status == 0


@pytest.mark.parametrize(
    ("error", "hint"),
    [
        (boto.ProfileNotFound(profile="p"), "--profile"),
        (boto.NoCredentialsError(), "AWS_ACCESS_KEY_ID"),
        (boto.PartialCredentialsError(provider="env", cred_var="x"), "AWS configuration"),
        (boto.CredentialRetrievalError(provider="p", error_msg="e"), "aws sso login"),
        (boto.TokenRetrievalError(provider="p", error_msg="e"), "aws sso login"),
        (boto.SSOTokenLoadError(error_msg="e"), "aws sso login"),
        (boto.UnauthorizedSSOTokenError(), "aws sso login"),
        (boto.NoRegionError(), "--region"),
        (boto.InvalidRegionError(region_name="x y"), "--region"),
        (boto.ConfigParseError(path="p", error="e"), "configuration file"),
        (boto.ParamValidationError(report="bad\nsecond line"), "name of the bucket"),
        (ValueError("Invalid endpoint: x y"), "--endpoint-url"),
    ],
)
def test_settings(error: Exception, hint: str) -> None:
    ours = translate(error)
    assert isinstance(ours, SettingsError)
    assert hint in ours.hint
    assert "\n" not in str(ours)


def os_error(kind: type[aiohttp.ClientConnectorError], reason: OSError) -> Exception:
    key = ConnectionKey("host.example", 443, True, True, None, None, None)
    return kind(key, reason)


UNKNOWN = os_error(aiohttp.ClientConnectorDNSError, socket.gaierror(socket.EAI_NONAME, "unknown"))
PASSING = os_error(aiohttp.ClientConnectorDNSError, socket.gaierror(socket.EAI_AGAIN, "later"))
REFUSED = os_error(aiohttp.ClientConnectorError, ConnectionRefusedError(111, "refused"))


def wrapped(kind: type[Exception], inner: Exception | str = SECRET, **more: Any) -> Exception:
    return kind(endpoint_url=URL, proxy_url=URL, request=SECRET, error=inner, **more)


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (wrapped(boto.SSLError), Cause.CONNECT),
        (wrapped(boto.ProxyConnectionError), Cause.CONNECT),
        (wrapped(boto.ProxyConnectionError, REFUSED), Cause.CONNECT),
        (wrapped(boto.ConnectTimeoutError), Cause.CONNECT),
        (wrapped(boto.EndpointConnectionError), Cause.CONNECT),
        (wrapped(boto.EndpointConnectionError, REFUSED), Cause.CONNECT),
        (wrapped(boto.EndpointConnectionError, UNKNOWN), Cause.PERMANENT),
        (wrapped(boto.EndpointConnectionError, PASSING), Cause.CONNECT),
        (wrapped(boto.HTTPClientError, aiohttp.ClientOSError(104, "reset")), Cause.RESET),
        (wrapped(boto.ReadTimeoutError), Cause.STALLED),
        (wrapped(boto.ConnectionClosedError), Cause.RESET),
        (wrapped(boto.HTTPClientError), Cause.RESET),
        (ResponseParserError(f"invalid XML: {SECRET}"), Cause.GARBLED),
    ],
)
def test_network(error: Exception, cause: Cause) -> None:
    ours = translate(error)
    assert isinstance(ours, NetworkError)
    assert ours.cause is cause
    assert str(ours).startswith("Act: ")
    assert SECRET not in str(ours)
    assert SECRET not in repr(ours.__dict__)


def test_the_proxy_is_blamed_for_the_proxy() -> None:
    ours = translate(wrapped(boto.ProxyConnectionError, REFUSED))
    assert "proxy" in str(ours)


def test_anything_else_is_named_by_its_type_alone() -> None:
    ours = translate(boto.DataNotFoundError(data_path=SECRET))
    assert type(ours) is ObjectError
    assert ours.message == "Act: DataNotFoundError"

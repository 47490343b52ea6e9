"""SigV4: known answers from AWS, and the same signature as botocore for anything at all."""

from __future__ import annotations

import copy
import datetime
import hashlib
import string
from collections.abc import Iterator
from unittest import mock
from urllib.parse import urlsplit

import botocore.auth
import botocore.config
import botocore.credentials
import botocore.session
import pytest
from botocore.awsrequest import AWSRequest, AWSResponse
from hypothesis import example, given
from hypothesis import strategies as st

from sealift.wire.sigv4 import (
    UNSIGNED_PAYLOAD,
    Credentials,
    Signer,
    amz_date,
    query_string,
    uri_path,
)

EXAMPLE = Credentials("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
EMPTY_HASH = hashlib.sha256(b"").hexdigest()

# https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html, "Examples"
KNOWN = {
    "GetObject": (
        ("GET", "/test.txt", "", {"range": "bytes=0-9"}, EMPTY_HASH),
        "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
    ),
    "PutObject": (
        (
            "PUT",
            "/" + uri_path("test$file.text"),
            "",
            {
                "date": "Fri, 24 May 2013 00:00:00 GMT",
                "x-amz-storage-class": "REDUCED_REDUNDANCY",
            },
            hashlib.sha256(b"Welcome to Amazon S3.").hexdigest(),
        ),
        "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
    ),
    "GetBucketLifecycle": (
        ("GET", "/", query_string([("lifecycle", "")]), {}, EMPTY_HASH),
        "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
    ),
    "ListObjects": (
        ("GET", "/", query_string([("prefix", "J"), ("max-keys", "2")]), {}, EMPTY_HASH),
        "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
    ),
}


@pytest.mark.parametrize("operation", KNOWN)
def test_known_answers_of_aws(operation: str) -> None:
    (method, path, query, extra, payload_hash), signature = KNOWN[operation]
    headers = sorted(
        {
            "host": "examplebucket.s3.amazonaws.com",
            "x-amz-content-sha256": payload_hash,
            "x-amz-date": "20130524T000000Z",
            **extra,
        }.items()
    )
    value = Signer(EXAMPLE, "us-east-1").authorization(
        method, path, query, headers, "20130524T000000Z", payload_hash
    )
    names = ";".join(name for name, _ in headers)
    assert value == (
        "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, "
        f"SignedHeaders={names}, Signature={signature}"
    )


# No controls and no lone surrogates; everything else that a name or header may hold.
texts = st.text(st.characters(exclude_categories=["Cc", "Cs"]), max_size=40)
names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60)
tokens = st.text(string.ascii_letters + string.digits + "/+=", min_size=1, max_size=80)
header_names = st.text(string.ascii_lowercase + string.digits + "-", min_size=1, max_size=20)
instants = st.integers(0, 4_102_444_799)


@given(
    method=st.sampled_from(["GET", "PUT", "POST", "HEAD", "DELETE"]),
    name=names,
    params=st.lists(st.tuples(texts.filter(bool), texts), max_size=5),
    metadata=st.dictionaries(header_names, texts, max_size=6),
    credentials=st.builds(Credentials, tokens, tokens, st.none() | tokens),
    region=st.from_regex(r"[a-z]{2}-[a-z]{4,9}-[1-9]", fullmatch=True),
    now=instants,
    body=st.none() | st.binary(max_size=50),
)
@example("GET", "a//../b/./c", [("uploads", "")], {}, EXAMPLE, "eu-central-1", 0, None)
@example("PUT", "~*'() +%2F", [("a", "1"), ("a!", "0")], {}, EXAMPLE, "eu-central-1", 1, None)
def test_signs_as_botocore(
    method: str,
    name: str,
    params: list[tuple[str, str]],
    metadata: dict[str, str],
    credentials: Credentials,
    region: str,
    now: int,
    body: bytes | None,
) -> None:
    path, query = f"/bucket/{uri_path(name)}", query_string(params)
    payload_hash = UNSIGNED_PAYLOAD if body is None else hashlib.sha256(body).hexdigest()
    fields = {f"x-amz-meta-{key}": " ".join(value.split()) for key, value in metadata.items()}

    request = AWSRequest(method, f"https://s3.example:9000{path}?{query}", dict(fields), body)
    sign_payload = mock.Mock(s3={"payload_signing_enabled": body is not None})
    request.context["client_config"] = sign_payload
    theirs = botocore.auth.S3SigV4Auth(
        botocore.credentials.Credentials(
            credentials.access_key, credentials.secret_key, credentials.token
        ),
        "s3",
        region,
    )
    moment = datetime.datetime.fromtimestamp(now, datetime.UTC).replace(tzinfo=None)
    with mock.patch("botocore.auth.get_current_datetime", return_value=moment):
        theirs.add_auth(request)

    fields["host"] = "s3.example:9000"
    fields["x-amz-content-sha256"] = payload_hash
    fields["x-amz-date"] = amz_date(now)
    if credentials.token is not None:
        fields["x-amz-security-token"] = credentials.token
    assert request.headers["X-Amz-Date"] == amz_date(now)
    ours = Signer(credentials, region).authorization(
        method, path, query, sorted(fields.items()), amz_date(now), payload_hash
    )
    assert ours == request.headers["Authorization"]


def test_the_day_key_follows_the_date_there_and_back() -> None:
    def sign(signer: Signer, date: str) -> str:
        return signer.authorization("GET", "/", "", [("host", "h")], date, UNSIGNED_PAYLOAD)

    dates = ["20240229T235959Z", "20240301T000000Z", "20240229T235959Z"]
    shared = Signer(EXAMPLE, "us-east-1")
    values = [sign(shared, date) for date in dates]
    assert values == [sign(Signer(EXAMPLE, "us-east-1"), date) for date in dates]
    assert len(set(values)) == 2


class Wire:
    """A botocore client whose requests are kept instead of sent."""

    def __init__(self) -> None:
        session = botocore.session.Session()
        session.set_credentials(EXAMPLE.access_key, EXAMPLE.secret_key)
        self.client = session.create_client(
            "s3",
            region_name="us-east-1",
            endpoint_url="https://s3.example:9000",
            config=botocore.config.Config(
                s3={"addressing_style": "path"},
                request_checksum_calculation="when_required",
            ),
        )
        self.client.meta.events.register("before-send.s3", self._keep)

    def _keep(self, request: object, **_: object) -> AWSResponse:
        self.request = copy.copy(request)
        return AWSResponse("https://s3.example", 200, {}, mock.Mock(stream=lambda: iter([b""])))


@pytest.fixture(scope="module")
def wire() -> Iterator[Wire]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_CONFIG_FILE", "/dev/null")
        patch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
        yield Wire()


@given(name=names)
@example("plain/name-0.bin")
@example("/leading//double/./../dots/")
@example("~tilde *'()!$&+,;=:@[]{}|\\^`<>\"#?% ")
@example("Überfahrt/船/\U0001f6a2")
def test_path_is_what_botocore_sends(wire: Wire, name: str) -> None:
    """Path and signature of a whole request that botocore was about to send."""
    wire.client.head_object(Bucket="bucket", Key=name, PartNumber=3)
    sent = wire.request
    parts = urlsplit(sent.url)  # type: ignore[attr-defined]
    assert parts.path == f"/bucket/{uri_path(name)}"

    headers = {key.lower(): value for key, value in sent.headers.items()}  # type: ignore[attr-defined]
    authorization = headers["authorization"].decode()
    signed = authorization.split("SignedHeaders=")[1].split(",")[0].split(";")
    date = headers["x-amz-date"].decode()
    fields = {key: headers[key].decode() for key in signed if key != "host"}
    fields["host"] = parts.netloc
    assert authorization == Signer(EXAMPLE, "us-east-1").authorization(
        "HEAD",
        parts.path,
        query_string([("partNumber", "3")]),
        sorted(fields.items()),
        date,
        fields["x-amz-content-sha256"],
    )


@pytest.mark.parametrize(
    ("params", "query"),
    [
        ([], ""),
        ([("uploads", "")], "uploads="),
        ([("uploadId", "a/b+c="), ("partNumber", "7")], "partNumber=7&uploadId=a%2Fb%2Bc%3D"),
        ([("a-", "1"), ("a", "2"), ("a", "1")], "a=1&a=2&a-=1"),
        ([("prefix", "é ~")], "prefix=%C3%A9%20~"),
    ],
)
def test_query_string(params: list[tuple[str, str]], query: str) -> None:
    assert query_string(params) == query


def test_a_name_that_is_no_unicode_is_refused() -> None:
    with pytest.raises(ValueError, match="surrogates"):
        uri_path("caf\udce9")


@given(instants, st.floats(0, 0.999))
def test_amz_date(second: int, fraction: float) -> None:
    expected = datetime.datetime.fromtimestamp(second, datetime.UTC).strftime("%Y%m%dT%H%M%SZ")
    assert amz_date(second) == expected
    assert amz_date(float(second) + fraction) in (expected, amz_date(second + 1))


def test_repr_hides_the_secrets() -> None:
    credentials = Credentials("AKIA", "hush-secret", "hush-token")
    signer = Signer(credentials, "us-east-1")
    signer.authorization("GET", "/", "", [("host", "h")], "20240101T000000Z", UNSIGNED_PAYLOAD)
    for text in (
        str(credentials),
        repr(credentials),
        f"{credentials}",
        "%r" % (credentials,),  # noqa: UP031 - every way of formatting
        repr([credentials]),
        repr(signer),
        repr(signer._day),
    ):
        assert "hush" not in text
    assert "AKIA" in repr(credentials)

"""Whenever the environment alone decides who signs and where, botocore decides the same.

botocore changes; this is what notices. It makes no request here: the answers are read off its
client, and off a request that it signs and may not send.
"""

from __future__ import annotations

import os
import random
import string
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sealift.control import open_control
from sealift.environment import DirectRoute, read_direct_route
from sealift.errors import SealiftError
from sealift.wire.operations import Bucket
from sealift.wire.sigv4 import Credentials

ENDPOINT = "https://s3.example.com:9000"
KEYS = {"AWS_ACCESS_KEY_ID": "AK", "AWS_SECRET_ACCESS_KEY": "SK"}
BUCKETS = ("bucket", "a.b.c", "with-hyphen-0", "123")

# What a run may be given, most of it plain, some of it for botocore alone.
URLS = [
    ENDPOINT, "https://127.0.0.1", "https://Host.example/", "https://host:443", "https://h_x",
    "https://[::1]:9000", "https://host/path", "https://user@host", "https://host:99999",
    "https://s3.eu-west-1.amazonaws.com", "https://s3-accelerate.amazonaws.com", "https://",
    "https://host?x=y", "https://a..b", "https://x.amazonaws.com.cn", "", "rubbish",
]  # fmt: skip
REGIONS = [
    "us-east-1", "eu-west-1", "us-gov-west-1", "cn-north-1", "garage", "auto", "fr-par", "default",
    "eu-central-003", "aws-global", "fips-us-east-1", "us-east-1-fips", "s3-external-1", "us_east",
    "EU", "x y", "", "-a", "minio1", "us-iso-east-1", "dualstack", "a", "nl-ams-1", "ru-7",
]  # fmt: skip
VARIABLES: dict[str, list[str]] = {
    "AWS_ACCESS_KEY_ID": ["AK", ""],
    "AWS_SECRET_ACCESS_KEY": ["SK", ""],
    "AWS_SESSION_TOKEN": ["TOKEN", ""],
    "AWS_SECURITY_TOKEN": ["OLD"],
    "AWS_ACCOUNT_ID": ["123456789012"],
    "AWS_CREDENTIAL_EXPIRATION": ["2999-01-01T00:00:00Z"],
    "AWS_PROFILE": ["other", "default", ""],
    "AWS_DEFAULT_PROFILE": ["other"],
    "AWS_REGION": REGIONS,
    "AWS_DEFAULT_REGION": REGIONS,
    "AWS_ENDPOINT_URL": URLS,
    "AWS_ENDPOINT_URL_S3": URLS,
    "AWS_ENDPOINT_URL_STS": ["https://sts.example"],
    "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": ["true", "false", "x"],
    "AWS_CA_BUNDLE": ["@ca", ""],
    "AWS_USE_FIPS_ENDPOINT": ["true", "false"],
    "AWS_USE_DUALSTACK_ENDPOINT": ["true", "false"],
    "AWS_S3_US_EAST_1_REGIONAL_ENDPOINT": ["regional", "legacy", "x"],
    "AWS_S3_USE_ARN_REGION": ["true"],
    "AWS_S3_DISABLE_MULTIREGION_ACCESS_POINTS": ["true"],
    "AWS_DEFAULTS_MODE": ["standard", "legacy", "x"],
    "AWS_STS_REGIONAL_ENDPOINTS": ["legacy", "regional"],
    "AWS_RETRY_MODE": ["standard", "adaptive", "x"],
    "AWS_MAX_ATTEMPTS": ["3", "x"],
    "AWS_SIGV4A_SIGNING_REGION_SET": ["*"],
    "AWS_ACCOUNT_ID_ENDPOINT_MODE": ["required", "x"],
    "AWS_AUTH_SCHEME_PREFERENCE": ["sigv4a"],
    "AWS_DISABLE_HOST_PREFIX_INJECTION": ["true"],
    "AWS_DATA_PATH": ["/nowhere"],
    "AWS_REQUEST_CHECKSUM_CALCULATION": ["when_required", "x"],
    "AWS_RESPONSE_CHECKSUM_VALIDATION": ["when_required", "x"],
    "AWS_ROLE_ARN": ["arn:aws:iam::123456789012:role/x"],
    "AWS_WEB_IDENTITY_TOKEN_FILE": ["/nowhere"],
    "AWS_CONTAINER_CREDENTIALS_FULL_URI": ["http://127.0.0.1:1/"],
    "AWS_EXECUTION_ENV": ["AWS_ECS_FARGATE"],
    "AWS_CLI_AUTO_PROMPT": ["off"],
    "AWS_PAGER": [""],
    "AWS_LAMBDA_FUNCTION_NAME": ["x"],
}
LINES: dict[str, list[str]] = {
    "region": REGIONS,
    "output": ["json"],
    "endpoint_url": URLS,
    "ca_bundle": ["@ca", ""],
    "services": ["mine"],
    "aws_access_key_id": ["FILE"],
    "aws_secret_access_key": ["FILE"],
    "aws_session_token": ["FILE"],
    "role_arn": ["arn:aws:iam::123456789012:role/x"],
    "source_profile": ["other"],
    "credential_process": ["/bin/false"],
    "sso_session": ["s"],
    "retry_mode": ["standard", "x"],
    "max_attempts": ["3", "x"],
    "cli_pager": [""],
    "use_fips_endpoint": ["true"],
    "use_dualstack_endpoint": ["true"],
    "ignore_configured_endpoint_urls": ["true"],
    "defaults_mode": ["standard"],
    "parameter_validation": ["false"],
    "s3_us_east_1_regional_endpoint": ["regional", "x"],
    "sigv4a_signing_region_set": ["*"],
    "s3": [
        "x", "", "\n  addressing_style = path", "\n  addressing_style = virtual",
        "\n  addressing_style = auto", "\n  max_concurrent_requests = 20", "\n  no equals sign",
        "\n  addressing_style = path\n  use_accelerate_endpoint = true",
        "\n  use_dualstack_endpoint = true", "\n  us_east_1_regional_endpoint = regional",
        "\n  payload_signing_enabled = true", "\n  use_arn_region = true", "\n  a = b = c",
        "\n  signature_version = s3",
    ],
}  # fmt: skip
SECTIONS = [
    "default", "profile default", 'profile "default"', "profile  default", "profile other", "other",
    "services mine", "sso-session s", "DEFAULT", "profile 'x", "profiledefault", "profile\tdefault",
]  # fmt: skip


@dataclass(frozen=True)
class Case:
    """One user's settings; `@ca` stands for a bundle that exists."""

    environ: dict[str, str]
    config: str | None = None
    credentials: str | None = None
    endpoint_url: str | None = None
    region: str | None = None
    ca_bundle: str | None = None


def chosen(pool: dict[str, list[str]], most: int) -> st.SearchStrategy[dict[str, str]]:
    """A few of the settings, each with one of its values."""
    entry = st.sampled_from(sorted(pool)).flatmap(
        lambda name: st.tuples(st.just(name), st.sampled_from(pool[name]))
    )
    return st.lists(entry, max_size=most).map(dict)


def file_text(sections: dict[str, dict[str, str]]) -> str:
    return "".join(
        f"[{section}]\n" + "".join(f"{name} = {value}\n" for name, value in lines.items())
        for section, lines in sections.items()
    )


files = st.none() | st.dictionaries(st.sampled_from(SECTIONS), chosen(LINES, 3), max_size=3).map(
    file_text
)
usual = st.fixed_dictionaries(
    {name: st.just(value) for name, value in KEYS.items()}
    | {"AWS_ENDPOINT_URL": st.sampled_from([ENDPOINT, *URLS])}
)
cases = st.builds(
    Case,
    environ=st.tuples(usual, chosen(VARIABLES, 3)).map(lambda pair: pair[0] | pair[1]),
    config=files,
    credentials=files,
    endpoint_url=st.none() | st.sampled_from(URLS),
    region=st.none() | st.sampled_from(REGIONS),
    ca_bundle=st.sampled_from([None, None, None, "@ca"]),
)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A home without AWS settings, and an environment without any."""
    from sealift.embedded import make_certificate

    home = tmp_path_factory.mktemp("home")
    (home / "ca").write_bytes(make_certificate(tmp_path_factory.mktemp("tls")).ca_file.read_bytes())
    before = dict(os.environ)
    yield home
    os.environ.clear()
    os.environ.update(before)


def install(case: Case, home: Path) -> dict[str, Any]:
    """Make a case this process's; returns the arguments."""
    ca = str(home / "ca")
    os.environ.clear()
    os.environ.update(HOME=str(home), AWS_EC2_METADATA_DISABLED="true")
    os.environ.update({name: value.replace("@ca", ca) for name, value in case.environ.items()})
    (home / ".aws").mkdir(exist_ok=True)
    for name, text in (("config", case.config), ("credentials", case.credentials)):
        path = home / ".aws" / name
        path.unlink(missing_ok=True)
        if text is not None:
            path.write_text(text.replace("@ca", ca))
    return {
        "profile": None,
        "region": case.region,
        "endpoint_url": case.endpoint_url,
        "ca_bundle": case.ca_bundle and ca,
    }


def by_botocore(arguments: dict[str, Any]) -> tuple[DirectRoute, list[Bucket]]:
    async def ask() -> tuple[DirectRoute, list[Bucket]]:
        async with open_control(**arguments) as control:
            credentials = await control.credentials()
            located = [await control.locate(bucket) for bucket in BUCKETS]
        (server,) = {server for server, _ in located}
        reached = [bucket for _, bucket in located]
        return DirectRoute(server, credentials, reached[0].region, control.ca_bundle), reached

    return anyio.run(ask)


def compare(case: Case, home: Path) -> DirectRoute | None:
    arguments = install(case, home)
    direct = read_direct_route(os.environ, **arguments)
    if direct is not None:
        route, reached = by_botocore(arguments)
        assert direct == route
        assert direct.credentials.secret_key == route.credentials.secret_key
        assert direct.credentials.token == route.credentials.token
        assert [direct.bucket(bucket) for bucket in BUCKETS] == reached
    return direct


@settings(
    max_examples=100,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(case=cases)
def test_botocore_decides_the_same(home: Path, case: Case) -> None:
    compare(case, home)


@pytest.mark.parametrize(
    "case",
    [
        Case({**KEYS, "AWS_ENDPOINT_URL": ENDPOINT}),
        Case({**KEYS, "AWS_ENDPOINT_URL": "https://x.example", "AWS_ENDPOINT_URL_S3": ENDPOINT}),
        Case({**KEYS, "AWS_SESSION_TOKEN": "TOKEN"}, endpoint_url=ENDPOINT),
        Case({**KEYS, "AWS_SESSION_TOKEN": ""}, endpoint_url="https://127.0.0.1/"),
        Case(KEYS, config=f"[default]\nregion = eu-west-1\nendpoint_url = {ENDPOINT}\n"),
        Case(
            {**KEYS, "AWS_REGION": "eu-west-1", "AWS_DEFAULT_REGION": "eu-west-2"},
            endpoint_url=ENDPOINT,
        ),
        Case({**KEYS, "AWS_DEFAULT_REGION": "eu-west-2"}, endpoint_url=ENDPOINT, region="auto"),
        Case({**KEYS, "AWS_CA_BUNDLE": "@ca"}, endpoint_url=ENDPOINT),
        Case({**KEYS, "AWS_CA_BUNDLE": ""}, endpoint_url=ENDPOINT, ca_bundle="@ca"),
        Case(
            KEYS,
            "[default]\nregion=x\ns3 =\n  addressing_style = path\n  max_queue_size = 5\n",
            "[default]\naws_access_key_id = F\naws_secret_access_key = F\nca_bundle = @ca\n"
            "region = eu-west-3\n[work]\nrole_arn = x\n",
            endpoint_url=ENDPOINT,
        ),
        Case(KEYS, config="[profile work]\nsso_start_url = x\n", endpoint_url=ENDPOINT),
    ],
)
def test_the_plain_cases_need_no_botocore(home: Path, case: Case) -> None:
    assert compare(case, home) is not None


@pytest.mark.parametrize("region", REGIONS)
@pytest.mark.parametrize("where", ["argument", "AWS_REGION", "AWS_DEFAULT_REGION", "config"])
def test_regions(home: Path, region: str, where: str) -> None:
    if where == "argument":
        case = Case(KEYS, endpoint_url=ENDPOINT, region=region)
    elif where == "config":
        case = Case(KEYS, config=f"[default]\nregion = {region}\n", endpoint_url=ENDPOINT)
    else:
        case = Case({**KEYS, where: region}, endpoint_url=ENDPOINT)
    compare(case, home)


@pytest.mark.parametrize("name", sorted(VARIABLES))
def test_variables(home: Path, name: str) -> None:
    for value in VARIABLES[name]:
        compare(Case({**KEYS, "AWS_ENDPOINT_URL": ENDPOINT, name: value}), home)


@pytest.mark.parametrize("section", SECTIONS)
@pytest.mark.parametrize("name", sorted(LINES))
def test_lines_of_files(home: Path, section: str, name: str) -> None:
    for value in LINES[name] if section == "default" else LINES[name][:1]:
        text = f"[{section}]\n{name} = {value}\n"
        compare(Case(KEYS, config=text, endpoint_url=ENDPOINT), home)
    compare(Case(KEYS, credentials=text, endpoint_url=ENDPOINT), home)


SPECIAL_NAMES = (
    "bucket--use1-az4--x-s3", "x-s3alias", "arn:aws:s3:us-east-1:1:accesspoint/x", "xn--a",
    "a--op-s3", "a--ol-s3", "a..b", "1.2.3.4", "ab", "a" * 63, "a" * 64, "a.-b", "a/b", "A", "a_b",
    "mfzwi23gnjvgw.mrap", "sthree-x", "amzn-s3-demo-x", "x.mrap",
)  # fmt: skip


def test_names_of_buckets(home: Path) -> None:
    arguments = install(Case(KEYS, endpoint_url=ENDPOINT), home)
    direct = read_direct_route(os.environ, **arguments)
    assert direct is not None
    chance = random.Random(7)
    letters = string.ascii_lowercase + string.digits + "-."
    names = ["".join(chance.choices(letters, k=chance.randrange(1, 66))) for _ in range(500)]

    async def locate() -> dict[str, Any]:
        async with open_control(**arguments) as control:
            return {
                name: (await control.locate(name))[1]
                for name in (*SPECIAL_NAMES, *BUCKETS, *names)
                if direct.bucket(name) is not None
            }

    located = anyio.run(locate)
    assert located == {name: direct.bucket(name) for name in located}
    assert len(located) > 100
    assert not {"bucket--use1-az4--x-s3", "x-s3alias", "xn--a"} & set(located)


@pytest.mark.parametrize(
    "case",
    [
        Case({"AWS_ACCESS_KEY_ID": "AK"}, endpoint_url=ENDPOINT),
        Case({**KEYS, "AWS_PROFILE": "x"}, endpoint_url=ENDPOINT),
        Case({**KEYS, "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true", "AWS_ENDPOINT_URL": ENDPOINT}),
        Case({**KEYS, "AWS_SOMETHING_NEW": "x"}, endpoint_url=ENDPOINT),
        Case(KEYS, config="[default]\nsomething_new = x\n", endpoint_url=ENDPOINT),
        Case(KEYS, config="[default]\ns3 =\n  something_new = x\n", endpoint_url=ENDPOINT),
        Case(KEYS, config="[default]\ns3 =\n  addressing_style = virtual\n", endpoint_url=ENDPOINT),
        Case(KEYS, config="[default\n", endpoint_url=ENDPOINT),
        Case(KEYS, config="[default]\nregion = a\nregion = b\n", endpoint_url=ENDPOINT),
        Case(KEYS),
        Case({**KEYS, "AWS_ENDPOINT_URL": ENDPOINT}, endpoint_url=""),
        Case({**KEYS, "AWS_MAX_ATTEMPTS": "9" * 5000}, endpoint_url=ENDPOINT),
        Case(KEYS, endpoint_url="http://s3.example.com"),
    ],
)
def test_what_botocore_must_decide(home: Path, case: Case) -> None:
    arguments = install(case, home)
    assert read_direct_route(os.environ, **arguments) is None


def test_changed_models_are_botocore_s(home: Path) -> None:
    arguments = install(Case(KEYS, endpoint_url=ENDPOINT), home)
    models = home / ".aws" / "models"
    models.mkdir()
    try:
        assert read_direct_route(os.environ, **arguments) is None
    finally:
        models.rmdir()


def test_a_profile_is_botocore_s(home: Path) -> None:
    arguments = install(Case(KEYS, endpoint_url=ENDPOINT), home)
    assert read_direct_route(os.environ, **(arguments | {"profile": "x"})) is None
    assert read_direct_route(os.environ, **(arguments | {"profile": ""})) is None


def test_the_secrets_do_not_show() -> None:
    assert "SK" not in repr(Credentials("AK", "SK", "TOKEN"))


def test_botocore_reads_aws_region_too(home: Path) -> None:
    """It does not by itself; the AWS CLI does."""
    environ = {**KEYS, "AWS_REGION": "eu-west-3", "AWS_DEFAULT_REGION": "eu-west-1"}
    arguments = install(Case(environ, endpoint_url=ENDPOINT), home)
    assert by_botocore(arguments)[0].region == "eu-west-3"


def test_errors_are_ours(home: Path) -> None:
    arguments = install(Case(KEYS, config="[default\n", endpoint_url=ENDPOINT), home)
    with pytest.raises(SealiftError):
        by_botocore(arguments)

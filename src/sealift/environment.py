"""Who signs and where, when environment variables alone decide it.

botocore knows every rule there is and takes 0.4 s to load. This module knows the plainest case, a
custom endpoint and both keys in the environment, and answers it as botocore does
(tests/contract/test_environment.py compares the two). Of anything it does not know for certain, be
it a variable or a line in a configuration file, it says None: botocore decides.

`direct_route` is pure; `read_direct_route` reads the files that it needs.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sealift.errors import SettingsError
from sealift.wire.address import Server
from sealift.wire.operations import Bucket
from sealift.wire.sigv4 import Credentials

DEFAULT_REGION = "us-east-1"

# What may be set: what is read below, what the keys in the environment go before, and what has no
# say in these matters.
_VARIABLES = frozenset({
    "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_ACCOUNT_ID",
    "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_CA_BUNDLE", "AWS_CONFIG_FILE",
    "AWS_SHARED_CREDENTIALS_FILE", "AWS_ROLE_ARN", "AWS_ROLE_SESSION_NAME",
    "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_AUTHORIZATION_TOKEN",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "AWS_EC2_METADATA_DISABLED", "AWS_EXECUTION_ENV",
    "AWS_VAULT", "AWS_PAGER", "AWS_DEFAULT_OUTPUT", "AWS_REQUEST_CHECKSUM_CALCULATION",
    "AWS_RESPONSE_CHECKSUM_VALIDATION", "AWS_RETRY_MODE", "AWS_MAX_ATTEMPTS",
})  # fmt: skip
_VARIABLE_PREFIXES = ("AWS_ENDPOINT_URL", "AWS_CLI_")

# Lines of the default profile, or of its `s3` part, that change nothing here; and the ones read.
_LINES = frozenset({
    "region", "output", "ca_bundle", "endpoint_url", "aws_access_key_id", "aws_secret_access_key",
    "aws_session_token", "retry_mode", "max_attempts",
})  # fmt: skip
_LINE_PREFIX = "cli_"
_S3_LINES = frozenset({
    "addressing_style", "max_concurrent_requests", "max_queue_size", "max_bandwidth",
    "multipart_threshold", "multipart_chunksize",
})  # fmt: skip
_DEFAULT_PROFILE = r"""profile\s+["']?default["']?\s*"""

_LABEL = r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_ENDPOINT = rf"https://{_LABEL}(\.{_LABEL}){{0,9}}(:[0-9]{{1,5}})?/?"
_REGION = r"[a-z]+(-[a-z]+)*-?[0-9]{0,3}"
_SPECIAL_REGION = ("fips", "global", "external", "dualstack")
# Names by which botocore knows access points, directory buckets and Outposts have `--` in them, or
# end in `-s3alias`.
_BUCKET = r"(?!.*(--|\.\.|\.-|-\.|-s3alias$))[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]"


@dataclass(frozen=True, slots=True)
class DirectRoute:
    """A server, who signs, for which region, and the certificates to trust."""

    server: Server
    credentials: Credentials
    region: str
    ca_bundle: str | None

    def bucket(self, name: str) -> Bucket | None:
        """How a bucket is reached, always by its path; None for a name that needs botocore."""
        if re.fullmatch(_BUCKET, name) is None:
            return None
        return Bucket(self.server.netloc, f"/{name}/", self.region, name)


def chosen_region(region: str | None, environ: Mapping[str, str]) -> str | None:
    """The region asked for; AWS_REGION goes first, as in the AWS CLI: botocore does not read it."""
    return region or environ.get("AWS_REGION") or None


def direct_route(
    environ: Mapping[str, str],
    configs: Sequence[str],
    *,
    profile: str | None,
    region: str | None,
    endpoint_url: str | None,
    ca_bundle: str | None,
) -> DirectRoute | None:
    """What arguments, environment and configuration say, or None when botocore must decide.

    `configs` are the texts of the configuration file and of the credentials file, whose default
    profile goes over the other's.
    """
    access_key = environ.get("AWS_ACCESS_KEY_ID")
    secret_key = environ.get("AWS_SECRET_ACCESS_KEY")
    if not access_key or not secret_key or profile is not None or not _plain_variables(environ):
        return None
    default = _default_profile(configs) if configs else {}
    if default is None:
        return None
    url = endpoint_url
    if url is None:
        url = (
            environ.get("AWS_ENDPOINT_URL_S3")
            or environ.get("AWS_ENDPOINT_URL")
            or default.get("endpoint_url", "")
        )
    found = chosen_region(region, environ)
    if found is None:
        found = environ.get("AWS_DEFAULT_REGION", default.get("region", DEFAULT_REGION))
    if not _is_plain_region(found) or not _is_plain_endpoint(url):
        return None
    try:
        server = Server.from_url(url)
    except SettingsError:
        return None
    return DirectRoute(
        server,
        Credentials(access_key, secret_key, environ.get("AWS_SESSION_TOKEN") or None),
        found,
        ca_bundle or environ.get("AWS_CA_BUNDLE", default.get("ca_bundle")) or None,
    )


def read_direct_route(
    environ: Mapping[str, str],
    *,
    profile: str | None,
    region: str | None,
    endpoint_url: str | None,
    ca_bundle: str | None,
) -> DirectRoute | None:
    """`direct_route` with this user's configuration files."""
    configs = _read_configs(environ)
    if configs is None:
        return None
    return direct_route(
        environ,
        configs,
        profile=profile,
        region=region,
        endpoint_url=endpoint_url,
        ca_bundle=ca_bundle,
    )


def _read_configs(environ: Mapping[str, str]) -> list[str] | None:
    """The files that there are; None when one cannot be read, or botocore's own data are changed.

    https://docs.aws.amazon.com/sdkref/latest/guide/file-location.html
    """
    if os.path.isdir(os.path.expanduser("~/.aws/models")):
        return None
    texts = []
    for variable, default in (
        ("AWS_CONFIG_FILE", "~/.aws/config"),
        ("AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials"),
    ):
        path = os.path.expanduser(os.path.expandvars(environ.get(variable, default)))
        if not os.path.isfile(path):
            continue
        try:
            with open(path) as file:
                texts.append(file.read())
        except (OSError, UnicodeDecodeError):
            return None
    return texts


def _plain_variables(environ: Mapping[str, str]) -> bool:
    return all(
        name in _VARIABLES or name.startswith(_VARIABLE_PREFIXES)
        for name in environ
        if name.startswith("AWS_")
    ) and _plain_retries(environ.get("AWS_RETRY_MODE"), environ.get("AWS_MAX_ATTEMPTS"))


def _plain_retries(mode: str | None, attempts: str | None) -> bool:
    """Whether botocore takes these settings, which change nothing here."""
    return mode in (None, "legacy", "standard", "adaptive") and (
        attempts is None or re.fullmatch("[1-9][0-9]{0,3}", attempts) is not None
    )


def _is_plain_region(region: str) -> bool:
    return re.fullmatch(_REGION, region) is not None and not any(
        special in region for special in _SPECIAL_REGION
    )


def _is_plain_endpoint(url: str) -> bool:
    return re.fullmatch(_ENDPOINT, url) is not None and "amazonaws" not in url.lower()


def _default_profile(configs: Sequence[str]) -> dict[str, str] | None:
    """The lines of the default profile that count, or None when others do as well."""
    import configparser

    merged: dict[str, str] = {}
    for text in configs:
        parser = configparser.RawConfigParser()
        try:
            parser.read_string(text)
        except configparser.Error:
            return None
        for section in parser.sections():
            if re.fullmatch(_DEFAULT_PROFILE, section):
                return None
            lines = {name: parser.get(section, name) for name in parser.options(section)}
            if not all(_is_well_nested(value) for value in lines.values()):
                return None
            if section == "default":
                merged |= lines
    style = merged.pop("s3", "\n")
    if not style.startswith("\n") or not _is_plain_s3(style):
        return None
    if not all(_is_plain_line(name, text) for name, text in merged.items()):
        return None
    return merged if _plain_retries(merged.get("retry_mode"), merged.get("max_attempts")) else None


def _is_plain_line(name: str, text: str) -> bool:
    return (name in _LINES or name.startswith(_LINE_PREFIX)) and "\n" not in text


def _is_well_nested(value: str) -> bool:
    """Whether botocore can read an indented block: `name = value` in each line."""
    return not value.startswith("\n") or all(
        "=" in line for line in value.splitlines() if line.strip()
    )


def _is_plain_s3(block: str) -> bool:
    for line in block.splitlines():
        name, _, value = (text.strip() for text in line.partition("="))
        if name and name not in _S3_LINES:
            return False
        if name == "addressing_style" and value not in ("auto", "path"):
            return False
    return True

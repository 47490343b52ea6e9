"""Flags over the environment over `.env`; nothing is guessed, nothing is expanded."""

from __future__ import annotations

import base64
import os
from pathlib import Path

import pytest

from sealift.errors import CustomerKeyError, SettingsError
from sealift.keys import CustomerKey
from sealift.settings import read_settings

ONE, TWO, THREE = (CustomerKey(bytes([first, *range(31)])) for first in (100, 101, 102))


def text_of(key: CustomerKey) -> str:
    return "".join(dict(key.headers())["x-amz-server-side-encryption-customer-key"])


@pytest.fixture(autouse=True)
def working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write_env(text: str, name: str = ".env") -> str:
    Path(name).write_text(text, encoding="utf-8")
    return name


def test_nothing_is_set() -> None:
    settings = read_settings(None, None, {})
    assert (settings.bucket_name, settings.key, settings.profile) == (None, None, None)
    assert settings.customer_key is None
    assert not settings.aws
    for require in (settings.require_bucket, settings.require_key, settings.require_customer_key):
        with pytest.raises(SettingsError, match=r"; .*\.env"):
            require()


def test_reads_the_five_names_of_env() -> None:
    write_env(f"BUCKET_NAME=b\nKEY=dir/k.bin\nPROFILE=p\n{ONE.env_lines()}")
    settings = read_settings(None, None, {})
    assert settings.require_bucket() == "b"
    assert settings.require_key() == "dir/k.bin"
    assert settings.profile == "p"
    assert settings.require_customer_key() == ONE


def test_the_environment_goes_before_env() -> None:
    write_env(f"BUCKET_NAME=b\nKEY=k\nPROFILE=p\n{ONE.env_lines()}")
    environ = {"BUCKET_NAME": "B", "KEY": "K", "PROFILE": "P"}
    environ["SSE_CUSTOMER_KEY_BASE64"] = text_of(TWO)
    settings = read_settings(None, None, environ)
    assert (settings.bucket_name, settings.key, settings.profile) == ("B", "K", "P")
    assert settings.customer_key == TWO  # the MD5 in .env belongs to the key in .env


def test_an_md5_in_the_environment_goes_before_that_of_env() -> None:
    write_env(ONE.env_lines())
    with pytest.raises(CustomerKeyError, match="SSE_CUSTOMER_KEY_MD5 does not belong"):
        _ = read_settings(None, None, {"SSE_CUSTOMER_KEY_MD5": TWO.md5}).customer_key


def test_the_key_file_goes_before_both_and_needs_no_md5() -> None:
    path = Path("key")
    path.write_bytes(base64.b64decode(text_of(THREE)))
    path.chmod(0o600)
    write_env("SSE_CUSTOMER_KEY_BASE64=rubbish\nSSE_CUSTOMER_KEY_MD5=rubbish\n")
    environ = {"SSE_CUSTOMER_KEY_BASE64": "rubbish", "SSE_CUSTOMER_KEY_MD5": ONE.md5}
    assert read_settings(None, str(path), environ).customer_key == THREE


def test_empty_counts_as_not_given() -> None:
    write_env(f"BUCKET_NAME=b\nKEY=\nPROFILE\n{ONE.env_lines()}")
    environ = {"BUCKET_NAME": "", "SSE_CUSTOMER_KEY_BASE64": "", "SSE_CUSTOMER_KEY_MD5": ""}
    settings = read_settings(None, None, environ)
    assert settings.bucket_name == "b"
    assert settings.key is None
    assert settings.profile is None
    assert settings.customer_key == ONE


@pytest.mark.parametrize(
    ("file", "environ", "profile"),
    [
        ("PROFILE=p", {}, "p"),
        ("PROFILE=p\nAWS_PROFILE=a", {}, "p"),
        ("AWS_PROFILE=a", {}, None),  # boto reads it
        ("PROFILE=p", {"AWS_PROFILE": "A"}, None),  # boto reads it
        ("PROFILE=p", {"AWS_PROFILE": ""}, "p"),
        ("PROFILE=p", {"AWS_PROFILE": "A", "PROFILE": "P"}, "P"),
        ("", {"PROFILE": "P"}, "P"),
    ],
)
def test_profile_and_aws_profile(file: str, environ: dict[str, str], profile: str | None) -> None:
    write_env(file)
    assert read_settings(None, None, environ).profile == profile


def test_hands_over_what_boto_reads_and_nothing_else() -> None:
    aws = {
        "AWS_REGION": "eu-west-1",
        "AWS_ENDPOINT_URL_S3": "https://h",
        "HTTPS_PROXY": "http://p:1",
        "no_proxy": "x",
    }
    lines = "\n".join(f"{name}={value}" for name, value in aws.items())
    write_env(f"{lines}\nLD_PRELOAD=x\nPATH=x\nPYTHONPATH=x\n{ONE.env_lines()}")
    settings = read_settings(None, None, {})
    assert settings.aws == aws
    assert "eu-west-1" not in repr(settings)
    assert text_of(ONE) not in repr(settings)


def test_reading_changes_no_environment() -> None:
    write_env(f"BUCKET_NAME=b\nAWS_REGION=r\n{ONE.env_lines()}")
    before = dict(os.environ)
    environ: dict[str, str] = {}
    read_settings(None, None, environ)
    assert dict(os.environ) == before
    assert environ == {}


def test_nothing_is_expanded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/root")
    write_env("KEY='${HOME}/$HOME'\nBUCKET_NAME=${HOME}\n")
    settings = read_settings(None, None, os.environ | {"KEY": "", "BUCKET_NAME": ""})
    assert settings.key == "${HOME}/$HOME"
    assert settings.bucket_name == "${HOME}"


@pytest.mark.parametrize("text", ["\ufeffKEY=k\nBUCKET_NAME=b\n", "KEY=k\r\nBUCKET_NAME=b\r\n",
                                  "export KEY='k'\n# x\n\nBUCKET_NAME = \"b\""])  # fmt: skip
def test_reads_what_editors_write(text: str) -> None:
    Path(".env").write_bytes(text.encode())
    settings = read_settings(None, None, {})
    assert (settings.key, settings.bucket_name) == ("k", "b")


def test_env_file_replaces_env() -> None:
    write_env("BUCKET_NAME=b\nKEY=k\n")
    write_env("BUCKET_NAME=other\n", "other.env")
    settings = read_settings("other.env", None, {})
    assert settings.bucket_name == "other"
    assert settings.key is None


@pytest.mark.parametrize("name", ["missing.env", "."])
def test_an_env_file_that_was_named_must_exist(name: str) -> None:
    with pytest.raises(SettingsError, match=r"there is no file .*; check --env-file"):
        read_settings(name, None, {})


def test_env_in_a_parent_directory_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    write_env("BUCKET_NAME=b\n")
    Path("below").mkdir()
    monkeypatch.chdir("below")
    assert read_settings(None, None, {}).bucket_name is None


@pytest.mark.parametrize("named", [True, False])
def test_an_unreadable_file_is_no_empty_file(named: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    name = write_env("BUCKET_NAME=b\n")

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("dotenv.main.open", refuse, raising=False)  # root may read everything
    with pytest.raises(SettingsError, match=r"cannot read \.env; check its permissions"):
        read_settings(name if named else None, None, {})


@pytest.mark.parametrize(
    ("content", "what"), [(b"KEY=\xff\xfe\n", "is not UTF-8"), (b"AWS_REGION=a\0b\n", "NUL byte")]
)
def test_a_file_that_is_no_text_is_refused(content: bytes, what: str) -> None:
    Path(".env").write_bytes(content)
    with pytest.raises(SettingsError, match=f"{what}; save it as text"):
        read_settings(None, None, {})


def test_a_wrong_key_in_env_is_named_but_not_shown() -> None:
    write_env(f"SSE_CUSTOMER_KEY_BASE64={text_of(ONE)[:-5]}\n")
    with pytest.raises(CustomerKeyError, match="SSE_CUSTOMER_KEY_BASE64") as caught:
        _ = read_settings(None, None, {}).keyring
    assert text_of(ONE)[:8] not in str(caught.value)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o660])
def test_a_file_with_a_key_that_others_may_read_is_told_of(mode: int) -> None:
    write_env(ONE.env_lines())
    Path(".env").chmod(mode)
    settings = read_settings(None, None, {})
    assert settings.notes == (
        "the customer key in .env can be read by others; run: chmod 600 .env",
    )
    assert settings.customer_key == ONE


@pytest.mark.parametrize(("mode", "text"), [(0o600, ONE.env_lines()), (0o644, "BUCKET_NAME=b\n")])
def test_a_file_without_a_key_or_of_ones_own_is_not(mode: int, text: str) -> None:
    write_env(text)
    Path(".env").chmod(mode)
    assert read_settings(None, None, {}).notes == ()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_the_env_of_another_user_is_refused_unless_it_is_named() -> None:
    """In /tmp, say: it would tell where the customer key goes."""
    write_env("BUCKET_NAME=b\nAWS_ENDPOINT_URL=https://theirs.example\n")
    os.chown(".env", 65534, 65534)
    with pytest.raises(SettingsError, match=r"\.env belongs to another user; .* --env-file \.env"):
        read_settings(None, None, {})
    assert read_settings(".env", None, {}).bucket_name == "b"


@pytest.mark.parametrize(
    "name",
    [
        "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE", "AWS_WEB_IDENTITY_TOKEN_FILE",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
    ],
)  # fmt: skip
def test_an_env_that_was_not_named_runs_no_program_and_sends_no_file(name: str) -> None:
    write_env(f"BUCKET_NAME=b\n{name}=config\n")
    with pytest.raises(SettingsError, match=rf"\.env sets {name}, .* --env-file \.env"):
        read_settings(None, None, {})
    assert read_settings(".env", None, {}).aws == {name: "config"}

"""What is wrong with the settings ends a command with 2 and one sentence that says what to change;
nothing on stdout, no traceback, and no connection was opened."""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.cli.conftest import RAW_KEY, Ended

from sealift.keys import CustomerKey

TEXT = base64.b64encode(RAW_KEY).decode()
URI = "s3://bucket/name"
OBJECT_COMMANDS = {
    "put": ("put", "name.bin", URI),
    "get": ("get", URI, "back"),
    "cp up": ("cp", "name.bin", URI),
    "cp down": ("cp", URI, "back"),
    "restore": ("restore", "s3://bucket/", "back"),
    "stat": ("stat", URI),
}
COMMANDS = {**OBJECT_COMMANDS, "ls": ("ls", "s3://bucket/")}

pytestmark = pytest.mark.usefixtures("silent_endpoint")


def assert_refused(ended: Ended, pattern: str) -> None:
    assert ended.status == 2, ended
    assert ended.stdout == ""
    # a command that has opened its screen may have told what it is about to do
    *heading, line = ended.stderr.splitlines()
    assert len(heading) <= 1, ended.stderr
    assert re.fullmatch(rf"sealift: .*{pattern}.*", line), line
    assert "; " in line or line.endswith(": No such file or directory"), "says what to change"
    assert "Traceback" not in ended.stderr
    assert TEXT not in ended.stderr
    assert not Path("back").exists()


def write_env(**values: str) -> None:
    settings = {"BUCKET_NAME": "bucket", "KEY": "name.bin", "SSE_CUSTOMER_KEY_BASE64": TEXT}
    lines = [f"{name}={value}\n" for name, value in (settings | values).items() if value]
    Path(".env").write_text("".join(lines))


@pytest.mark.parametrize("command", OBJECT_COMMANDS)
@pytest.mark.parametrize(
    ("values", "pattern"),
    [
        ({"SSE_CUSTOMER_KEY_BASE64": "not/base64!"}, "SSE_CUSTOMER_KEY_BASE64 is not base64"),
        ({"SSE_CUSTOMER_KEY_BASE64": TEXT[:24]}, "18 bytes instead of 32"),
        ({"SSE_CUSTOMER_KEY_BASE64": "A" * 43 + "="}, "one byte repeated"),
        ({"SSE_CUSTOMER_KEY_MD5": "AAAA"}, "SSE_CUSTOMER_KEY_MD5 does not belong"),
        ({"SSE_CUSTOMER_KEY_BASE64": ""}, "no customer key; .*--key-file"),
    ],
)
def test_customer_keys(
    run: Callable[..., Ended], command: str, values: dict[str, str], pattern: str
) -> None:
    write_env(**values)
    assert_refused(run(*OBJECT_COMMANDS[command]), pattern)


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("mode", [0o640, 0o604])
def test_case_31_a_key_file_that_others_may_read(
    run: Callable[..., Ended], command: str, mode: int
) -> None:
    Path("the.key").write_bytes(RAW_KEY)
    Path("the.key").chmod(mode)
    assert_refused(run(*COMMANDS[command], "--key-file", "the.key"), r"chmod 600 the\.key")


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    ("options", "pattern"),
    [
        (("--profile", "nobody"), "profile .*nobody.*--profile"),
        (("--key-file", "missing"), "cannot read the key file missing: .*--key-file"),
        (("--env-file", "missing"), "no file missing; check --env-file"),
        (("--part-size", "big"), "'big' is not a size; write for example 64MiB"),
        (("--part-size", "1MiB"), "--part-size 1048576 is out of range; S3 takes 5MiB to 5GiB"),
        (("--part-size", "6GiB"), "--part-size .* is out of range"),
        (("--memory", "x"), "'x' is not a size"),
        (("--memory", "1MiB"), "--memory is too small to work with; give at least 152MiB"),
        (("--max-bandwidth", "fast"), "'fast' is not a size"),
        (("--max-bandwidth", "0"), "--max-bandwidth must be more than 0"),
        (("--concurrency", "0"), "--concurrency 0 is out of range; give 1 to 1024"),
        (("-j", "-5"), "--concurrency -5 is out of range"),
        (("-j", "5000"), "--concurrency 5000 is out of range"),
        (("--log-level", "loud"), "'loud' is no log level; give debug, info"),
        (("--endpoint-url", "http://127.0.0.1:1"), "not https.*; use an https:// endpoint"),
        (("--endpoint-url", "https://"), "--endpoint-url"),
        (("--endpoint-url", "rubbish"), "--endpoint-url"),
    ],
)
def test_options(
    run: Callable[..., Ended], command: str, options: tuple[str, ...], pattern: str
) -> None:
    assert_refused(run(*COMMANDS[command], *options), pattern)


def test_a_missing_bundle_of_certificates(run: Callable[..., Ended]) -> None:
    ended = run("get", URI, "back", "--ca-bundle", "missing.pem")
    assert_refused(ended, r"missing\.pem; check --ca-bundle")


@pytest.mark.parametrize(
    ("values", "words", "pattern"),
    [
        ({"BUCKET_NAME": ""}, ("put",), "no bucket is named; .*BUCKET_NAME"),
        ({"BUCKET_NAME": ""}, ("get",), "no bucket is named"),
        ({"BUCKET_NAME": ""}, ("ls",), "no bucket is named"),
        ({"BUCKET_NAME": ""}, ("stat",), "no bucket is named"),
        ({"BUCKET_NAME": ""}, ("put", "name.bin"), "no bucket is named"),
        ({"KEY": ""}, ("put",), "no object is named; .*KEY"),
        ({"KEY": ""}, ("get",), "no object is named"),
        ({"KEY": ""}, ("stat",), "no object is named"),
        ({"PROFILE": "nobody"}, ("get",), "profile .*nobody.*PROFILE"),
        ({"AWS_ENDPOINT_URL_S3": "http://127.0.0.1:1"}, ("get",), "not https"),
    ],
)
def test_env(
    run: Callable[..., Ended], values: dict[str, str], words: tuple[str, ...], pattern: str
) -> None:
    write_env(**values)
    assert_refused(run(*words), pattern)


@pytest.mark.parametrize(
    ("words", "pattern"),
    [
        (("cp", "name.bin", URI, "--source-region", "x"), "copies from s3 to s3; leave"),
        (("cp", URI, "back", "--source-region", "x"), "copies from s3 to s3; leave"),
        (("cp", URI, URI, "--source-key-file", "missing"), "cannot read the key file missing"),
        (("cp", "name.bin", "other"), "neither side is an s3:// URI; write s3://BUCKET/NAME"),
        (("cp", "name.bin", "s3://"), "names no bucket"),
        (("cp", "missing", URI), "cannot read missing: No such file"),
        (("put", "name.bin", "bucket/name"), "is not an s3:// URI"),
        (("put", "missing", URI), "cannot read missing: No such file"),
        (("put", ".", URI), r"\. is a directory; use: sealift cp"),
        (("put", "name.bin", "s3://bucket/" + "x" * 1025), "1025 bytes, S3 allows 1024; shorten"),
        (("get", "/bucket/name", "back"), "is not an s3:// URI"),
        (("get", "s3://bucket/", "back"), "names no object"),
        (("restore", "bucket"), "is not an s3:// URI"),
        (("stat", "s3:///x"), "names no bucket"),
        (("ls", "bucket"), "is not an s3:// URI"),
    ],
)
def test_arguments(run: Callable[..., Ended], words: tuple[str, ...], pattern: str) -> None:
    assert_refused(run(*words), pattern)


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("nonsense",),
        ("cp", "only-one"),
        ("restore",),
        ("get", URI, "back", "more"),
        ("get", "--nonsense"),
        ("get", "--concurrency", "many"),
        ("--concurrency", "many", "get"),
        ("restore", URI, "--names", "other"),
        ("get", "--endpoint-url"),
    ],
)
def test_wrong_usage(run: Callable[..., Ended], words: tuple[str, ...]) -> None:
    """typer's own words, over several lines, but the same exit code and nothing on stdout."""
    ended = run(*words)
    assert ended.status == 2
    if words:
        assert ended.stdout == ""
        assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("switch", ["--json", "--quiet", "--no-progress"])
def test_how_it_is_shown_does_not_matter(run: Callable[..., Ended], switch: str) -> None:
    write_env(SSE_CUSTOMER_KEY_MD5="AAAA")
    assert_refused(run("get", switch), "SSE_CUSTOMER_KEY_MD5 does not belong")


def test_no_credentials(run: Callable[..., Ended]) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        del os.environ[name]
    assert_refused(run("ls"), "credentials.*AWS_ACCESS_KEY_ID")


@pytest.mark.parametrize(
    ("words", "pattern"),
    [
        (("get", "--key-file", "missing"), "cannot read the key file missing"),
        (("get", "--profile", "nobody"), "nobody"),
        (("cp", "name.bin", URI, "--endpoint-url", "http://127.0.0.1:1"), "not https"),
    ],
)
def test_a_process_of_its_own_says_the_same(
    run_process: Callable[..., Ended], words: tuple[str, ...], pattern: str
) -> None:
    assert_refused(run_process(*words), pattern)


def test_even_debug_logs_show_no_key(run_process: Callable[..., Ended]) -> None:
    ended = run_process("get", "--log-level", "debug", "--profile", "nobody")
    assert ended.status == 2
    assert ended.stdout == ""
    for secret in (TEXT, RAW_KEY.hex(), CustomerKey(RAW_KEY).md5):
        assert secret not in ended.stderr


# Encryption


@pytest.mark.parametrize("command", OBJECT_COMMANDS)
def test_the_customer_key_is_wanted_by_name_and_by_default(
    run: Callable[..., Ended], command: str
) -> None:
    Path("name.bin").write_bytes(b"x")
    write_env(SSE_CUSTOMER_KEY_BASE64="")
    for words in ((), ("--sse", "c")):
        assert_refused(run(*OBJECT_COMMANDS[command], *words), "there is no customer key.*--sse")


@pytest.mark.parametrize("kind", ["aes256", "kms:", "kms:a b", "S3", "customer"])
def test_an_encryption_that_does_not_exist(run: Callable[..., Ended], kind: str) -> None:
    Path("name.bin").write_bytes(b"x")
    write_env()
    assert_refused(run("put", "name.bin", URI, "--sse", kind), "--sse .* is unknown")


@pytest.mark.parametrize(
    ("words", "pattern"),
    [
        (("cp", "name.bin", URI, "--sse", "s3", "--tag-key-id"), "--tag-key-id"),
        (("cp", URI, "back", "--tag-key-id"), "--tag-key-id"),
        (("sync", "s3://bucket/", "back", "--tag-key-id"), "--tag-key-id"),
        (("cp", "name.bin", URI, "--source-sse", "none"), "options of the source"),
        (
            ("cp", URI, "s3://bucket/b", "--source-sse", "s3", "--source-key-file", "k"),
            "takes no customer key",
        ),
    ],
)
def test_options_of_encryption_that_do_not_fit(
    run: Callable[..., Ended], words: tuple[str, ...], pattern: str
) -> None:
    Path("name.bin").write_bytes(b"x")
    write_env()
    assert_refused(run(*words), pattern)


def test_a_source_that_is_said_to_be_sealed_wants_its_key(run: Callable[..., Ended]) -> None:
    write_env(SSE_CUSTOMER_KEY_BASE64="")
    words = ("cp", URI, "s3://bucket/b", "--sse", "s3", "--source-sse", "c")
    assert_refused(run(*words), "there is no customer key")

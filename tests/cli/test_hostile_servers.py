"""What a server, a name or a stranger in between says is never obeyed, and always shown escaped."""

from __future__ import annotations

import datetime
import os
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import trustme
from tests.cli.conftest import MANIFEST, RAW_KEY, Ended
from tests.faults import Certificate, ConnectProxy, FaultServer, Match, Redirect, Status
from tests.kit import Certificate as Files

Run = Callable[..., Ended]
OBEYED = ("\x1b", "\x07", "\r", "\x9b", "\u202e", "\u2066")
ODD = "p/a\x1b[2J\x07\r\n\u202eb"
SHOWN = r"p/a\x1b[2J\x07\x0d\x0a\u202eb"
URI = "s3://bucket/name.bin"
COMMANDS = {
    "put": ("put", "name.bin", URI),
    "get": ("get", URI, "back"),
    "cp up": ("cp", "name.bin", URI),
    "cp down": ("cp", "s3://bucket/", "back"),
    "cp across": ("cp", "s3://bucket/", "s3://bucket/other/"),
    "sync": ("sync", "s3://bucket/", "back"),
    "restore": ("restore", "s3://bucket/", "back"),
    "verify": ("verify", "--manifest", "manifest"),
    "ls": ("ls", "s3://bucket/"),
    "stat": ("stat", URI),
    "cat": ("cat", URI),
    "rm": ("rm", URI),
}


def assert_escaped(ended: Ended) -> None:
    shown = ended.stdout + ended.stderr
    assert not [sign for sign in OBEYED if sign in shown], ascii(shown)
    assert "Traceback" not in shown


# Plain HTTP


@pytest.fixture
def plain(work: Path) -> Iterator[str]:
    """The URL of a listener that speaks to nobody, and to which nobody may connect."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        with pytest.raises(BlockingIOError):
            listener.accept()


def assert_http_refused(ended: Ended) -> None:
    assert (ended.status, ended.stdout) == (2, "")
    *_, line = ended.stderr.splitlines()
    assert "is not https, and a customer key must never cross plain HTTP" in line
    assert "use an https:// endpoint" in line
    assert not Path("back").exists()


@pytest.mark.parametrize("command", COMMANDS)
def test_case_27_plain_http_is_refused_before_a_socket_opens(
    run: Run, plain: str, command: str
) -> None:
    Path("manifest").write_text(MANIFEST)
    assert_http_refused(run(*COMMANDS[command], "--endpoint-url", plain))


@pytest.mark.parametrize("source", ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "config"])
def test_case_27_wherever_the_endpoint_is_named(run: Run, plain: str, source: str) -> None:
    if source == "config":
        config = Path.home() / ".aws" / "config"
        config.parent.mkdir()
        config.write_text(f"[default]\nendpoint_url = {plain}\n")
    else:
        os.environ[source] = plain
    assert_http_refused(run("put"))


@pytest.mark.usefixtures("server")
def test_case_27_of_the_source_of_a_copy(run: Run, plain: str) -> None:
    assert_http_refused(run(*COMMANDS["cp across"], "--source-endpoint-url", plain))


# Redirects


@pytest.mark.parametrize("status", [301, 307])
@pytest.mark.parametrize(
    ("operation", "words", "exit_code"),
    [
        ("ListObjectsV2", ("put",), 2),
        ("PutObject", ("put",), 1),
        ("HeadObject", ("get", URI, "back"), 1),
        ("GetObject", ("get", URI, "back"), 1),
    ],
)
def test_case_28_a_redirect_is_told_escaped_and_not_followed(
    server: FaultServer,
    certificate: Certificate,
    run: Run,
    operation: str,
    words: tuple[str, ...],
    exit_code: int,
    status: int,
) -> None:
    server.store("name.bin", b"content", customer_key=RAW_KEY)
    with FaultServer(certificate) as other, FaultServer(None, tls=False) as unsafe:
        for there in (other, unsafe):
            # The first contact goes on by botocore, whose parser takes no such sign.
            sign = "" if operation == "ListObjectsV2" else "\x9b31m"
            target = f"{there.endpoint_url}/{sign}/bucket"
            server.script(Match(operation=operation, times=None), Redirect(status, target))
            ended = run(*words, "--no-progress")

            assert (ended.status, ended.stdout) == (exit_code, "")
            assert f"redirects are not followed; the server named {there.endpoint_url}/" in (
                ended.stderr
            )
            assert_escaped(ended)
            assert not Path("back").exists()
            server._scripts.clear()
        assert (other.connections, unsafe.connections) == (0, 0)


# Certificates


class Stranger:
    """Certificates that must not be trusted, by what is wrong with them."""

    @staticmethod
    def authority(directory: Path) -> tuple[Files, str]:
        made = Files.make(directory)
        (directory / "other").mkdir()
        other = Files.make(directory / "other")
        return Files(made.cert_file, made.key_file, other.ca_file), "unable to get local issuer"

    @staticmethod
    def name(directory: Path) -> tuple[Files, str]:
        return Files.make(directory, "elsewhere.example"), "Hostname mismatch"

    @staticmethod
    def date(directory: Path) -> tuple[Files, str]:
        authority = trustme.CA()
        day = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)
        leaf = authority.issue_cert("localhost", not_after=day)
        files = Files(directory / "cert", directory / "key", directory / "ca")
        leaf.private_key_pem.write_to_path(files.key_file)
        leaf.cert_chain_pems[0].write_to_path(files.cert_file)
        authority.cert_pem.write_to_path(files.ca_file)
        return files, "certificate has expired"


@pytest.mark.parametrize("wrong", ["authority", "name", "date"])
@pytest.mark.parametrize("command", ["put", "restore", "ls"])
def test_case_29_a_certificate_that_is_not_to_be_trusted_ends_all_at_once(
    run: Run, tmp_path: Path, wrong: str, command: str
) -> None:
    (tmp_path / "stranger").mkdir()
    files, reason = getattr(Stranger, wrong)(tmp_path / "stranger")
    with FaultServer(files) as server, ConnectProxy() as counter:
        os.environ |= {
            "AWS_ENDPOINT_URL": server.endpoint_url,
            "AWS_CA_BUNDLE": str(files.ca_file),
            "HTTPS_PROXY": counter.url,
        }
        began = time.monotonic()
        ended = run(*COMMANDS[command], "--no-progress")

        assert (ended.status, ended.stdout) == (2, "")
        *_, line = ended.stderr.splitlines()
        assert f"the certificate of localhost:{server.port} is not trusted: {reason}" in line
        assert "give the right --ca-bundle or correct the endpoint; nothing was sent" in line
        assert time.monotonic() - began < 5.0
        assert len(counter.connects) == 1, "a certificate does not get better by another look"
        assert server.requests == []


# Key files


def to_another_user(path: Path) -> None:
    path.write_bytes(RAW_KEY)
    path.chmod(0o600)
    os.chown(path, 65534, 65534)


KEY_FILES: dict[str, tuple[bytes, str]] = {
    "too short": (RAW_KEY[:31], "the.key"),
    "too long": (RAW_KEY * 2, "the.key"),
    "a base64 of 16 bytes": (b"AAECAwQFBgcICQoLDA0ODw==", "16 bytes instead of 32"),
    "no base64": (b"not base64 at all, but text!", "is not base64; give the base64 form"),
    "empty": (b"", "0 bytes instead of 32"),
}


@pytest.mark.parametrize("command", ["put", "get", "cp across", "restore", "stat"])
@pytest.mark.parametrize("kind", KEY_FILES)
@pytest.mark.usefixtures("silent_endpoint")
def test_case_31_a_key_file_that_is_not_as_it_must_be(run: Run, command: str, kind: str) -> None:
    content, reason = KEY_FILES[kind]
    Path("the.key").write_bytes(content)
    Path("the.key").chmod(0o600)

    ended = run(*COMMANDS[command], "--key-file", "the.key")

    assert (ended.status, ended.stdout) == (2, "")
    (line,) = ended.stderr.splitlines()
    assert "the key file the.key" in line
    assert reason in line
    assert not Path("back").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
@pytest.mark.parametrize("is_link", [True, False])
@pytest.mark.usefixtures("silent_endpoint")
def test_case_31_a_key_file_of_another_user_also_by_a_link(run: Run, is_link: bool) -> None:
    to_another_user(Path("theirs"))
    Path("link").symlink_to("theirs")

    ended = run("put", "--key-file", "link" if is_link else "theirs")

    assert (ended.status, ended.stdout) == (2, "")
    assert "belongs to another user; use a file of your own" in ended.stderr


@pytest.mark.usefixtures("silent_endpoint")
def test_case_31_a_link_to_a_file_that_others_may_read(run: Run) -> None:
    Path("open").write_bytes(RAW_KEY)
    Path("open").chmod(0o644)
    Path("link").symlink_to("open")

    ended = run("put", "--key-file", "link")

    assert (ended.status, ended.stdout) == (2, "")
    assert "can be read by others" in ended.stderr


# Names and texts


def test_case_35_names_that_a_terminal_would_obey(
    server: FaultServer, run: Run, run_process: Run, work: Path
) -> None:
    server.store(ODD, b"1", customer_key=RAW_KEY)
    server.store("p/wrong\x1b", b"1", customer_key=bytes(range(1, 33)))
    server.store("p/good", b"12", customer_key=RAW_KEY)

    listed = run("ls", "s3://bucket/p/")
    down = run_process("restore", "s3://bucket/p/", "back/", "--log-level", "debug")
    up = run("cp", "back/", "s3://bucket/q/", "--no-progress")
    removed = run("rm", "--recursive", "--dry-run", "s3://bucket/q/")

    assert (listed.status, down.status, up.status, removed.status) == (0, 1, 0, 0)
    for ended in (listed, down, up, removed):
        assert_escaped(ended)
    assert [line.split()[-1] for line in listed.stdout.splitlines()] == [
        SHOWN[2:], "good", r"wrong\x1b",
    ]  # fmt: skip
    assert r"p/wrong\x1b: " in down.stderr
    assert f"DEBUG sealift begin s3://bucket/{SHOWN}" in down.stderr
    assert (work / "back" / ODD[2:]).read_bytes() == b"1"
    assert f"would remove s3://bucket/q/{SHOWN[2:]}" in removed.stdout


def test_case_35_texts_of_a_server_that_a_terminal_would_obey(
    server: FaultServer, run: Run
) -> None:
    message = "\x1b[2J\x07\u202e\x9b31m&#xd;&#xa;sealift: all is well"
    body = f"<Error><Code>AccessDenied</Code><Message>{message}</Message></Error>".encode()
    headers = {"x-amz-request-id": "\x9b2J"}
    server.script(Match(operation="PutObject", times=None), Status(403, headers=headers, body=body))

    ended = run("put", "--no-progress")

    assert ended.status == 1
    assert_escaped(ended)
    assert r"\x1b[2J\x07\u202e\x9b31m\x0d\x0asealift: all is well" in ended.stderr


@pytest.mark.parametrize("command", ["cp", "restore", "sync"])
def test_case_32_a_name_with_a_nul_byte_is_refused(
    server: FaultServer, run: Run, command: str
) -> None:
    """Some servers take such names."""
    for name in ("p/a\0b", "p/..\0/x", "p/good"):
        server.store(name, b"1", customer_key=RAW_KEY)

    ended = run(command, "s3://bucket/p/", "back/", "--no-progress")

    assert ended.status == 1
    assert r"p/a\x00b: a name with a NUL byte cannot be a file" in ended.stderr
    assert "2 objects failed" in ended.stderr
    assert_escaped(ended)
    assert os.listdir("back") == ["good"]


BOMB = (
    b'<?xml version="1.0"?><!DOCTYPE lolz [<!ENTITY a0 "lol">'
    + b"".join(b'<!ENTITY a%d "%s">' % (n, b"&a%d;" % (n - 1) * 10) for n in range(1, 10))
    + b"]><ListBucketResult><IsTruncated>false</IsTruncated><Contents><Key>&a9;</Key>"
    b"<Size>1</Size></Contents></ListBucketResult>"
)


@pytest.mark.parametrize("command", ["ls", "sync"])
def test_case_35_an_xml_bomb_is_an_error_and_costs_nothing(
    server: FaultServer, run: Run, command: str
) -> None:
    script = server.script(
        Match(operation="ListObjectsV2", times=None, after=1), Status(200, body=BOMB)
    )
    words = {
        "ls": ("ls", "s3://bucket/"),
        "sync": ("sync", ".", "s3://bucket/", "--delete", "--force"),
    }
    began = time.process_time()

    ended = run(*words[command], "--no-progress")

    assert ended.status == 1
    assert "the reply has a document type" in ended.stderr
    assert time.process_time() - began < 2.0
    # A malformed reply may be the fault of the line: a few attempts.
    assert 1 <= script.used <= 4
    assert not server.seen("DeleteObjects")

"""Certificates are always checked, and HTTP/1.1 is the only protocol offered."""

from __future__ import annotations

import contextlib
import ssl
import subprocess
import sys
from pathlib import Path

import pytest
import trustme

from sealift.errors import SettingsError
from sealift.tls import client_context


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def shake_hands(client: ssl.SSLContext, server: ssl.SSLContext, name: str) -> ssl.SSLObject:
    """A handshake in memory; raises what the client raises."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = client.wrap_bio(to_client, to_server, server_hostname=name)
    theirs = server.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(5):
        for side in (ours, theirs):
            with contextlib.suppress(ssl.SSLWantReadError):
                side.do_handshake()
    return ours


def server_context(authority: trustme.CA, **options: object) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost", **options).configure_cert(context)
    context.set_alpn_protocols(["h2", "http/1.1"])
    return context


@pytest.fixture
def bundle(authority: trustme.CA, tmp_path: Path) -> str:
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(path)
    return str(path)


def test_trusts_the_bundle_and_speaks_http_1(authority: trustme.CA, bundle: str) -> None:
    ours = shake_hands(client_context(bundle), server_context(authority), "localhost")
    assert ours.selected_alpn_protocol() == "http/1.1"
    assert ours.version() in ("TLSv1.2", "TLSv1.3")


def test_refuses_another_authority(bundle: str) -> None:
    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(client_context(bundle), server_context(trustme.CA()), "localhost")


def test_refuses_another_name(authority: trustme.CA, bundle: str) -> None:
    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(client_context(bundle), server_context(authority), "example.org")


def test_the_system_does_not_trust_a_stranger(authority: trustme.CA) -> None:
    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(client_context(None), server_context(authority), "localhost")


def test_a_bundle_replaces_the_certificates_of_the_system(bundle: str) -> None:
    assert client_context(bundle).cert_store_stats()["x509_ca"] == 1


@pytest.mark.parametrize("use_bundle", [True, False])
def test_case_29_always_verifies(bundle: str, use_bundle: bool) -> None:
    context = client_context(bundle if use_bundle else None)
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2


@pytest.mark.parametrize("content", [None, b"", b"no certificate"])
def test_an_unusable_bundle_is_named(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SettingsError, match=r"cannot read certificates from .*; check --ca-bundle"):
        client_context(str(path))


_COUNT = """
import sys
from sealift.tls import client_context
print(client_context(None).cert_store_stats()["x509_ca"], "certifi" in sys.modules)
"""


def count_certificates(**environ: str) -> tuple[int, bool]:
    shown = subprocess.run(
        [sys.executable, "-c", _COUNT], env=environ, capture_output=True, text=True, check=True
    )
    count, used = shown.stdout.split()
    return int(count), used == "True"


def test_certifi_stands_in_where_the_system_has_none(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    nowhere = str(tmp_path / "nowhere")
    for directory in (nowhere, str(tmp_path / "empty")):
        count, used = count_certificates(SSL_CERT_FILE=nowhere, SSL_CERT_DIR=directory)
        assert used
        assert count > 50


def test_certifi_adds_nothing_where_the_system_has_some(tmp_path: Path, bundle: str) -> None:
    """An administrator who distrusts an authority is obeyed."""
    nowhere = str(tmp_path / "nowhere")
    assert count_certificates(SSL_CERT_FILE=bundle, SSL_CERT_DIR=nowhere) == (1, False)
    directory = str(Path(bundle).parent)
    assert count_certificates(SSL_CERT_FILE=nowhere, SSL_CERT_DIR=directory) == (0, False)

"""The one way this project makes a TLS context: certificates are always checked."""

from __future__ import annotations

import functools
import os
import ssl

from sealift.errors import SettingsError


@functools.cache
def client_context(ca_bundle: str | None) -> ssl.SSLContext:
    """A client context that trusts `ca_bundle`, or the system's certificates without one.

    HTTP/1.1 is the only protocol offered (RFC 7301): some servers would choose HTTP/2.
    """
    try:
        context = ssl.create_default_context(cafile=ca_bundle)
    except (OSError, ssl.SSLError):
        raise SettingsError(
            f"cannot read certificates from {ca_bundle}", hint="check --ca-bundle"
        ) from None
    if ca_bundle is None and not _finds_system_certificates(context):
        import certifi

        context.load_verify_locations(cafile=certifi.where())
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    return context


def _finds_system_certificates(context: ssl.SSLContext) -> bool:
    """Whether OpenSSL knows this system's certificates; Python from python.org on macOS does not.

    Those in a directory are looked up when they are needed, so they are not counted.
    """
    directory = ssl.get_default_verify_paths().capath
    return bool(context.cert_store_stats()["x509_ca"] or (directory and os.listdir(directory)))

"""The one way this project makes a TLS context: certificates are always checked."""

from __future__ import annotations

import ssl

from sealift.errors import SettingsError


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
    if ca_bundle is None and not context.cert_store_stats()["x509_ca"]:
        import certifi

        context.load_verify_locations(cafile=certifi.where())
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    return context

"""Who signs the requests to an endpoint, and by which clock. Pure."""

from __future__ import annotations

from sealift.errors import SettingsError
from sealift.wire.sigv4 import Credentials, Signer


class Identity:
    """Who signs, and by which clock; shared by all buckets, put right in one place.

    `clock_offset` is how many seconds the server's clock is ahead of this machine's.
    """

    def __init__(self, credentials: Credentials) -> None:
        self.clock_offset = 0.0
        self.renew(credentials)

    def renew(self, credentials: Credentials) -> None:
        """Sign with these credentials from now on; SettingsError when no header can hold them."""
        if any(sign in credentials.access_key + (credentials.token or "") for sign in "\r\n\0"):
            raise SettingsError(
                "the access key or the session token has a line break or a NUL in it",
                hint="set it without",
            )
        self.credentials = credentials
        self._signers: dict[str, Signer] = {}

    def signer(self, region: str) -> Signer:
        """The signer for a region, kept with its day key."""
        signer = self._signers.get(region)
        if signer is None:
            signer = self._signers[region] = Signer(self.credentials, region)
        return signer

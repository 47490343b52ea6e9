"""Makes durable what was written.

fsync(2) of macOS leaves it in the cache of the drive, where a power cut takes it away, and says so:
https://developer.apple.com/library/archive/documentation/System/Conceptual/ManPages_iPhoneOS/man2/fsync.2.html
"""

from __future__ import annotations

import errno
import fcntl
import os

_FULL_SYNC: int | None = getattr(fcntl, "F_FULLFSYNC", None)
# What a file system answers that knows no such thing, as SMB does.
_UNKNOWN = frozenset((errno.EINVAL, errno.ENOTSUP, errno.ENOTTY, errno.EOPNOTSUPP))


def sync(fd: int) -> None:
    """Sync a file or a directory, through to the medium. OSError."""
    if _FULL_SYNC is not None:
        try:
            fcntl.fcntl(fd, _FULL_SYNC)
        except OSError as reason:
            if reason.errno not in _UNKNOWN:
                raise
        else:
            return
    os.fsync(fd)

"""The one error tree. Foreign exceptions are translated into it once, at the boundary.

SealiftError                 everything sealift raises on purpose
├── UsageError               wrong arguments; nothing was touched (exit 2)
│   ├── SettingsError        a setting is missing or wrong
│   └── CustomerKeyError     a customer key cannot be read or is no key
├── ObjectError              one object failed, the others go on (exit 1)
│   ├── ReplyError           the server answered with an error
│   │   └── WrongCustomerKeyError  the object is sealed under another key
│   │       └── UnsealedError      it is under no customer key, and one was sent
│   ├── NetworkError         no usable answer came
│   │   └── ProtocolError    the answer is not HTTP as RFC 9112 defines it
│   ├── IntegrityError       bytes or replies contradict what was promised
│   │   └── NotSealedError   the reply does not say that the bytes were encrypted as asked
│   ├── ObjectChangedError   the object was replaced while it was read
│   ├── SourceChangedError   the file was changed while it was sent
│   ├── UploadGoneError      the server has forgotten an upload before it was complete
│   ├── OvertakenError       something else stands where an object was to be written
│   ├── UnsafeNameError      a name that would leave the target, or that no server can hold
│   ├── VerifyError          an object was looked at, and is not as it should be
│   └── LocalFileError       the local disk refused
├── RunError                 some objects of a run failed; for programs, see `Report`
├── CatalogueError           the memory of earlier runs is of no use; noted, never fatal
├── JournalError             the journal of this run is of no use; noted, never fatal
└── Interrupted              the user stopped the run (exit 130)

No error carries headers, a customer key or credentials; messages may be shown as they are once
control characters are escaped.
"""

from __future__ import annotations

import enum
import errno
import os
from typing import ClassVar


class Cause(enum.Enum):
    """Why an attempt failed: what the retry policy decides on."""

    CONNECT = "cannot connect"
    NAME_LOOKUP = "name lookup failed for the moment"
    STALE = "an idle connection was closed by the server"
    RESET = "connection lost"
    STALLED = "no progress"
    GARBLED = "malformed reply"
    THROTTLED = "the server asks to slow down"
    SERVER = "server error"
    CONFLICT = "conflicting operation"
    BAD_DIGEST = "checksum mismatch"
    SKEWED = "clock skew"
    EXPIRED = "expired credentials"
    PERMANENT = "permanent"


class Obstacle(enum.Enum):
    """What keeps an object from being read, however often it is tried with the keys at hand.

    PLAIN: it is under no customer key, and nobody has allowed that.
    """

    PLAIN = "plain"
    MISSING_KEY = "missing key"
    UNKNOWN_KEY = "unknown key"
    ARCHIVED = "archived"


class Denial(enum.Enum):
    """Why a server refused, as far as the evidence tells; see `refusals`."""

    SSE_C_BLOCKED = "the bucket blocks SSE-C"
    POLICY = "a policy forbids it or does not allow it"
    WRONG_KEY = "another customer key"
    MISSING = "perhaps no such object"
    CLOCK = "clock skew"
    CREDENTIALS = "wrong credentials"
    LOCKED = "Object Lock"
    ARCHIVED = "archived"
    UNKNOWN = "no right, or another customer key"


class SealiftError(Exception):
    """Root of the tree.

    `hint` says what to do next, as one sentence without a full stop, or is empty; without one of
    its own an error has the `advice` of its class.
    """

    advice: ClassVar[str] = ""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint or self.advice

    def __str__(self) -> str:
        return f"{self.message}; {self.hint}" if self.hint else self.message


class UsageError(SealiftError):
    """Wrong arguments: nothing was started."""


class SettingsError(UsageError):
    """A setting is missing or wrong."""


class CustomerKeyError(UsageError):
    """A customer key cannot be read, or what was read is no key."""


class RunError(SealiftError):
    """Some objects of a run failed, the others are done; raised only when asked for."""


class CatalogueError(SealiftError):
    """The memory of earlier runs is damaged or cannot be used: the run goes on without."""


class JournalError(SealiftError):
    """The journal of unfinished work cannot be used: the run goes on without."""


class Interrupted(SealiftError):  # noqa: N818 - not a fault
    """The user stopped the run."""


class ObjectError(SealiftError):
    """One object could not be moved; `cause` tells the retry policy why.

    `obstacle` is what kept it from being read, where that was found out; `key_id` is then that of
    the key that is missing.
    """

    cause: Cause = Cause.PERMANENT
    obstacle: Obstacle | None = None
    key_id: str | None = None

    def __init__(self, message: str, *, hint: str = "", cause: Cause | None = None) -> None:
        super().__init__(message, hint=hint)
        if cause is not None:
            self.cause = cause
        self.retry_after: float | None = None
        self.attempts = 1


class ReplyError(ObjectError):
    """The server answered `status` with the S3 error `code` (empty when the reply had no body).

    `text` is its message. `sealed` says that a customer key was sent, `denial` why it was refused.
    """

    sealed: bool = False
    denial: Denial | None = None

    def __init__(
        self,
        operation: str,
        status: int,
        code: str,
        text: str,
        *,
        cause: Cause,
        request_id: str = "",
        hint: str = "",
    ) -> None:
        what = f"{status} {code}" if code else f"{status}"
        detail = f": {text.rstrip('.')}" if text else ""
        reference = f" (request {request_id})" if request_id else ""
        super().__init__(f"{operation} {what}{detail}{reference}", hint=hint, cause=cause)
        self.operation = operation
        self.status = status
        self.code = code
        self.text = text
        self.date: str | None = None


class WrongCustomerKeyError(ReplyError):
    """The object is sealed under another customer key, or under none."""


class UnsealedError(WrongCustomerKeyError):
    """The object is under no customer key, and one was sent."""


class NetworkError(ObjectError):
    """No usable answer came: connect, TLS, reset, stall, short body.

    `received` counts the bytes that came all the same, from the start of what was asked for; they
    are in the caller's buffer and belong to the version asked for.
    """

    advice = "check the network, then run the same command again"
    cause = Cause.RESET
    received: int = 0


class ProtocolError(NetworkError):
    """The peer's bytes are not HTTP/1.x as RFC 9112 defines it."""

    advice = "check that the endpoint is an S3 server, and what stands before it"
    cause = Cause.GARBLED


class IntegrityError(ObjectError):
    """What arrived is not what was sent or promised."""

    advice = "run the same command again; if it stays so, ask whoever runs the server"
    cause = Cause.BAD_DIGEST


class NotSealedError(IntegrityError):
    """The reply does not say that what was asked for was done to encrypt the bytes, so that they
    may be stored or served as plaintext.

    `version_id` is the version that a versioned bucket holds of them, `stored` how they are stored;
    `stays` says that they are all there is, in the place of their own source.
    """

    advice = "use a server that does what was asked for"
    cause = Cause.PERMANENT
    version_id: str | None = None
    stored: str = "UNENCRYPTED"
    stays: bool = False


class ObjectChangedError(ObjectError):
    """The object was replaced while it was being read: begin anew, on the new version."""

    advice = "run the same command again"


class SourceChangedError(ObjectError):
    """The local file was changed while it was being sent: begin anew, once."""

    advice = "run the same command again"


class UploadGoneError(ObjectError):
    """The server has forgotten an upload before it was complete: begin anew, once."""

    advice = "run the same command again"


class OvertakenError(ObjectError):
    """Something else stands where an object was to be written: it was left as it is."""


class UnsafeNameError(ObjectError):
    """A name that would leave the target directory, or that no server can hold."""

    advice = "rename it, or leave it out by --exclude"


class VerifyError(ObjectError):
    """An object was looked at, and is not as it should be: `findings` are the words for what."""

    def __init__(
        self,
        message: str,
        findings: tuple[str, ...],
        *,
        hint: str = "",
        cause: Cause | None = None,
    ) -> None:
        super().__init__(message, hint=hint, cause=cause)
        self.findings = findings


_ADVICE = {
    errno.ENOSPC: "free some space and run the same command again",
    errno.EDQUOT: "free some space and run the same command again",
    errno.EACCES: "check the permissions",
    errno.EPERM: "check the permissions",
    errno.EROFS: "the file system is read-only",
    errno.EMFILE: "raise the limit of open files (ulimit -n) or lower --concurrency",
    errno.ENAMETOOLONG: "the name is too long for this file system",
    errno.ENOTDIR: "a file stands where a directory is needed",
    errno.EEXIST: "a device, pipe or socket stands where the file belongs",
    errno.EISDIR: "a directory stands where the file belongs",
    errno.ELOOP: "a symbolic link stands where a directory is needed; links are not followed",
}


class LocalFileError(ObjectError):
    """The local disk refused; `errno` is kept."""

    def __init__(self, action: str, name: str, reason: OSError) -> None:
        text = os.strerror(reason.errno) if reason.errno else str(reason)
        super().__init__(f"cannot {action} {name}: {text}", hint=_ADVICE.get(reason.errno or 0, ""))
        self.errno = reason.errno

"""Runs the program that gives customer keys, as a password manager does.

Without a shell; what it says on stderr goes to the user, who may have to answer it; what it prints
is a key and is never shown. It does not inherit customer keys: those are out of the environment by
now.
"""

from __future__ import annotations

import os
import select
import shlex
import subprocess
import sys
import time

from sealift.errors import CustomerKeyError
from sealift.key_sources.files import MAX_CONTENT_SIZE
from sealift.keys import SecretBytes

# Seconds: a person may have to find a passphrase or a finger.
TIMEOUT = 120.0


def run_key_command(command: str, timeout: float = TIMEOUT) -> bytes:
    """What `command` prints on stdout. Raises CustomerKeyError."""
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise CustomerKeyError(
            f"the key command cannot be read: {error}", hint="check its quotes"
        ) from None
    if not words:
        raise CustomerKeyError("the key command is empty", hint="name a program")
    program = words[0]
    stdin = None if sys.stdin is not None and sys.stdin.isatty() else subprocess.DEVNULL
    try:
        child = subprocess.Popen(  # noqa: S603 - the user's own setting
            words, stdin=stdin, stdout=subprocess.PIPE
        )
    except (OSError, ValueError) as reason:
        text = os.strerror(reason.errno or 0) if isinstance(reason, OSError) else "a NUL byte"
        raise CustomerKeyError(
            f"cannot run the key command {program}: {text}", hint="check --key-command"
        ) from None
    try:
        assert child.stdout is not None
        with child.stdout:
            content = _read(child.stdout.fileno(), program, timeout)
        status = child.wait(timeout)
    except subprocess.TimeoutExpired:
        raise _slow(program, timeout) from None
    finally:
        if child.poll() is None:
            child.kill()
            child.wait()
    if status:
        how = f"with exit code {status}" if status > 0 else f"by signal {-status}"
        raise CustomerKeyError(
            f"the key command {program} ended {how}", hint="run it by hand to see why"
        )
    return content


def _read(fd: int, program: str, timeout: float) -> bytes:
    deadline = time.monotonic() + timeout
    chunks: list[bytes] = []
    size = 0
    while size <= MAX_CONTENT_SIZE:
        ready, _, _ = select.select([fd], [], [], max(deadline - time.monotonic(), 0.0))
        if not ready:
            raise _slow(program, timeout)
        chunk = SecretBytes(os.read(fd, MAX_CONTENT_SIZE))
        if not chunk:
            return SecretBytes(b"".join(chunks))
        chunks.append(chunk)
        size += len(chunk)
    raise CustomerKeyError(
        f"the key command {program} printed more than {MAX_CONTENT_SIZE} bytes",
        hint="it is to print keys in base64 or as .env lines",
    )


def _slow(program: str, timeout: float) -> CustomerKeyError:
    return CustomerKeyError(
        f"the key command {program} has not ended within {timeout:g} s",
        hint="run it by hand to see what it waits for",
    )

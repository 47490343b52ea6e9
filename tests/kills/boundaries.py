"""Counts the system calls of a process that change or tell something, and kills it at one of them.

A seccomp filter hands each such call to a supervisor before it is carried out (seccomp(2) and
seccomp_unotify(2)): those of all threads, in one order. strace can kill too, but its counters are
each thread's own, so that what one thread does hides what others do.
"""

from __future__ import annotations

import array
import ctypes
import errno
import fcntl
import os
import platform
import select
import signal
import socket
import struct
import time

# Of x86-64.
CALLS = {
    "write": 1, "close": 3, "pwrite64": 18, "writev": 20, "connect": 42, "sendto": 44,
    "sendmsg": 46, "shutdown": 48, "flock": 73, "fsync": 74, "fdatasync": 75, "truncate": 76,
    "ftruncate": 77, "rename": 82, "mkdir": 83, "rmdir": 84, "link": 86, "unlink": 87,
    "chmod": 90, "fchmod": 91, "openat": 257, "mkdirat": 258, "unlinkat": 263, "renameat": 264,
    "linkat": 265, "utimensat": 280, "fallocate": 285, "pwritev": 296, "sendmmsg": 307,
    "renameat2": 316,
}  # fmt: skip
_NAMES = {number: name for name, number in CALLS.items()}
_SECCOMP = 317
_SET_MODE_FILTER = 1
_NEW_LISTENER = 1 << 3
_NO_NEW_PRIVS = 38
_ARCHITECTURE = 0xC000003E
_ALLOW, _NOTIFY = 0x7FFF0000, 0x7FC00000
_RECEIVE, _SEND = 0xC0502100, 0xC0182101
_CONTINUE = 1
# Where struct seccomp_data has the number of the call, the architecture, the arguments.
_AT_NUMBER, _AT_ARCHITECTURE, _AT_ARGUMENTS = 0, 4, 16
_LOAD, _EQUAL, _ANY_BIT, _RETURN = 0x20, 0x15, 0x45, 0x06
_NOTIFICATION = struct.Struct("=QII iI Q 6Q")
_ANSWER = struct.Struct("=QqiI")


def can_count() -> bool:
    """Whether this machine can do it; the calls are numbered for x86-64."""
    return platform.machine() == "x86_64" and platform.system() == "Linux"


def be_supervised(channel: socket.socket) -> None:
    """Have the counted calls of this process, from now on, wait for the other end of `channel`."""
    libc = ctypes.CDLL(None, use_errno=True)
    program = _program(channel.fileno())
    room = ctypes.create_string_buffer(program, len(program))
    head = ctypes.create_string_buffer(
        struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(room))
    )
    if libc.prctl(_NO_NEW_PRIVS, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")
    listener = libc.syscall(_SECCOMP, _SET_MODE_FILTER, _NEW_LISTENER, head)
    if listener < 0:
        raise OSError(ctypes.get_errno(), "seccomp")
    socket.send_fds(channel, [b"listener"], [listener])


def supervise(
    pid: int, channel: socket.socket, kill_at: int, directory: str, time_limit: float
) -> list[str]:
    """Let the process run, but kill it before it makes its counted call number `kill_at`, from 1.

    Returns the calls counted, the one that it was killed at included. What goes to other threads
    (pipes, event counters) does not count, nor what is closed but sockets and files below
    `directory`. Raises TimeoutError, and the process is killed, when it takes too long.
    """
    _, (listener, *_), _, _ = socket.recv_fds(channel, 16, 1)
    deadline = time.monotonic() + time_limit
    calls: list[str] = []
    poll = select.poll()
    poll.register(listener, select.POLLIN)
    request = array.array("B", bytes(_NOTIFICATION.size))
    try:
        while True:
            events = poll.poll(max(0.0, deadline - time.monotonic()) * 1000)
            if not events:
                os.kill(pid, signal.SIGKILL)
                raise TimeoutError(f"the process did not end; its last calls: {calls[-5:]}")
            if not events[0][1] & select.POLLIN:
                return calls
            request[:] = array.array("B", bytes(_NOTIFICATION.size))
            try:
                fcntl.ioctl(listener, _RECEIVE, request)
            except OSError as error:
                if error.errno in (errno.ENOENT, errno.EINTR):  # the thread is gone
                    continue
                raise
            identifier, _, _, number, _, _, first, *_ = _NOTIFICATION.unpack(request)
            call = _described(pid, number, first, directory)
            if call is not None:
                calls.append(call)
                if len(calls) == kill_at:
                    os.kill(pid, signal.SIGKILL)
                    return calls
            try:
                fcntl.ioctl(listener, _SEND, _ANSWER.pack(identifier, 0, 0, _CONTINUE))
            except OSError as error:
                if error.errno != errno.ENOENT:
                    raise
    finally:
        os.close(listener)


def _described(pid: int, number: int, first: int, directory: str) -> str | None:
    """The call and what it is about; None when it does not count."""
    name = _NAMES[number]
    if name in ("openat", "mkdir", "mkdirat", "unlink", "unlinkat", "rename", "renameat"):
        return name
    try:
        what = os.readlink(f"/proc/{pid}/fd/{first & 0xFFFFFFFF}")
    except OSError:  # of a closed descriptor, or of a process that may not be looked at
        return None if name == "close" else name
    if what.startswith(("pipe:", "anon_inode:")):
        return None
    if name == "close" and not what.startswith(("socket:", directory)):
        return None
    return f"{name} {what}"


def _program(channel: int) -> bytes:
    """The filter; only `openat` that creates counts, and what is sent over `channel` does not."""
    steps = [
        (_LOAD, 0, 0, _AT_ARCHITECTURE),
        (_EQUAL, 1, 0, _ARCHITECTURE),
        (_RETURN, 0, 0, _ALLOW),
    ]
    steps += [(_LOAD, 0, 0, _AT_NUMBER)]
    for name, number in CALLS.items():
        if name not in ("openat", "sendmsg"):
            steps += [(_EQUAL, 0, 1, number), (_RETURN, 0, 0, _NOTIFY)]
    steps += [
        (_EQUAL, 0, 4, CALLS["openat"]),
        (_LOAD, 0, 0, _AT_ARGUMENTS + 2 * 8),
        (_ANY_BIT, 0, 1, os.O_CREAT),
        (_RETURN, 0, 0, _NOTIFY),
        (_RETURN, 0, 0, _ALLOW),
        (_EQUAL, 0, 3, CALLS["sendmsg"]),
        (_LOAD, 0, 0, _AT_ARGUMENTS),
        (_EQUAL, 1, 0, channel),
        (_RETURN, 0, 0, _NOTIFY),
        (_RETURN, 0, 0, _ALLOW),
    ]
    return b"".join(struct.pack("=HBBI", *step) for step in steps)

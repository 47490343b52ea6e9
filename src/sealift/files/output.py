"""A descriptor that bytes are written to in order: stdout, which may be a pipe that is not read."""

from __future__ import annotations

import contextlib
import os
import select
import stat

# Milliseconds between two looks at whether to go on waiting for a reader.
LOOK_INTERVAL = 200


class Output:
    """Writes in a thread; `give_up` ends a write that waits for a reader.

    A pipe is opened anew, without waiting: the flag would otherwise hold for whoever shares it.
    """

    def __init__(self, fd: int) -> None:
        self._given_up = False
        self._fd = fd
        self._pipe = _open_pipe(fd)

    def write(self, data: memoryview) -> None:
        """Write all of `data`, or less after `give_up`. Raises OSError."""
        if self._pipe is None:
            while data and not self._given_up:
                data = data[os.write(self._fd, data) :]
            return
        poll = select.poll()
        poll.register(self._pipe, select.POLLOUT)
        while data and not self._given_up:
            if poll.poll(LOOK_INTERVAL):
                with contextlib.suppress(BlockingIOError):  # another writer was quicker
                    data = data[os.write(self._pipe, data) :]

    def give_up(self) -> None:
        """Write no more."""
        self._given_up = True

    def close(self) -> None:
        """Close what was opened here; the descriptor given stays open."""
        if self._pipe is not None:
            os.close(self._pipe)


def _open_pipe(fd: int) -> int | None:
    """The pipe `fd` as a descriptor of its own that does not wait; None for all else."""
    if not stat.S_ISFIFO(os.fstat(fd).st_mode):
        return None
    try:
        return os.open(f"/proc/self/fd/{fd}", os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:  # no Linux, or a pipe of another user
        return None

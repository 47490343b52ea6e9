"""The signals that stop a run: Ctrl-C, `kill` and systemd, a terminal that is closed.

One that is ignored from the start stays ignored: so `nohup` and shells want it.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager

_STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def stopping() -> list[signal.Signals]:
    """Those that are to stop this process."""
    return [each for each in _STOPPING if signal.getsignal(each) is not signal.SIG_IGN]


def catch() -> None:
    """Let them raise KeyboardInterrupt."""
    for each in stopping():
        signal.signal(each, signal.default_int_handler)


@contextmanager
def kept() -> Iterator[None]:
    """A block that may change what they do, as event loops do."""
    before = {each: signal.getsignal(each) for each in _STOPPING}
    try:
        yield
    finally:
        for each, handler in before.items():
            if handler is not None:  # it is not Python's
                signal.signal(each, handler)


def ignore() -> None:
    """The outcome is decided: nothing is to change the exit status any more."""
    for each in _STOPPING:
        signal.signal(each, signal.SIG_IGN)

"""The log file of a run: each line with the time in UTC, the level and the process.

It never ends a run: what cannot be written is told once on stderr. logrotate may rename the file
or copy and truncate it.
"""

from __future__ import annotations

import io
import logging
import logging.handlers
import os
import re
import stat
import sys
import time
from contextlib import suppress

from sealift.console.text import escape
from sealift.errors import LocalFileError, UsageError
from sealift.key_sources.files import without_keys

_FLAGS = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
_BEGIN = re.compile(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z [A-Z]+ \[\d+\] ")
_BEGIN_SIZE = 64


class LogFile(logging.handlers.WatchedFileHandler):
    """Appends to the file at `path`, which is new, empty or a log of sealift. UsageError."""

    def __init__(self, path: str) -> None:
        self._is_broken = False
        try:
            super().__init__(os.path.abspath(path), encoding="utf-8", errors="backslashreplace")
        except OSError as reason:
            error = LocalFileError("write to", path, reason)
            raise UsageError(error.message, hint="give --log-file another name") from None
        self.setFormatter(_Formatter())

    def _open(self) -> io.TextIOWrapper:
        fd = os.open(self.baseFilename, _FLAGS, 0o600)
        try:
            _check(fd, self.baseFilename)
            # No buffer: what a full disk refuses is gone, and is not tried again at the end.
            raw = io.FileIO(fd, "a")
            return io.TextIOWrapper(
                raw,
                encoding=self.encoding,
                errors=self.errors,
                write_through=True,
            )
        except BaseException:
            os.close(fd)
            raise

    def emit(self, record: logging.LogRecord) -> None:
        try:
            super().emit(record)
        except (OSError, UsageError) as reason:  # of a reopening
            self._complain(reason)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: ARG002, N802 - as it is called
        reason = sys.exception()
        if isinstance(reason, OSError):
            self._complain(reason)

    def _complain(self, reason: Exception) -> None:
        if self._is_broken:
            return
        self._is_broken = True
        text = reason.strerror if isinstance(reason, OSError) else str(reason)
        with suppress(OSError):
            name = escape(self.baseFilename)
            print(f"sealift: cannot write to the log {name}: {text}", file=sys.stderr)


class _Formatter(logging.Formatter):
    """One line for each line of a record, traceback included, safe to show."""

    converter = staticmethod(time.gmtime)

    def __init__(self) -> None:
        super().__init__(
            "%(asctime)s.%(msecs)03dZ %(levelname)s [%(process)d] ", "%Y-%m-%dT%H:%M:%S"
        )

    def format(self, record: logging.LogRecord) -> str:
        record.asctime = self.formatTime(record, self.datefmt)
        begin = self.formatMessage(record)
        lines = record.getMessage().splitlines()
        if record.exc_info:
            lines += self.formatException(record.exc_info).splitlines()
        return "\n".join(begin + escape(without_keys(line)) for line in lines)


def _check(fd: int, path: str) -> None:
    """UsageError for what is no log: a key, say, or a file of the user's."""
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        raise UsageError(f"{path} is no file", hint="give --log-file another name")
    begin = os.pread(fd, _BEGIN_SIZE, 0)
    if begin and not _BEGIN.match(begin):
        raise UsageError(
            f"{path} is there already, and is no log of sealift",
            hint="give --log-file another name",
        )

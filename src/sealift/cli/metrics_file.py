"""The file that `--metrics-file` names: whole at any time, for whoever reads it."""

from __future__ import annotations

import os
import stat
import sys
from contextlib import suppress
from dataclasses import replace

from sealift.console.metrics import FIRST_LINE, Ended, last_success, render
from sealift.console.text import escape
from sealift.errors import LocalFileError, SealiftError, UsageError

SUFFIX = ".prom"
_MAX_SIZE = 1 << 20
# For a node_exporter that runs as another user; there are no secrets in it.
_MODE = 0o644


class MetricsFile:
    """UsageError when `path` cannot be written, or is a file of other content."""

    def __init__(self, path: str) -> None:
        self._shown = path
        if not path.endswith(SUFFIX):
            raise UsageError(
                f"{path} does not end in {SUFFIX}", hint="node_exporter would not read it"
            )
        try:
            self._path = os.path.abspath(path)
            directory, name = os.path.split(self._path)
            # node_exporter reads *.prom alone.
            self._temporary = os.path.join(directory, f".{name}.{os.getpid()}.tmp")
            self._read()
            os.close(self._create())
            os.unlink(self._temporary)
        except OSError as reason:
            error = LocalFileError("write", path, reason)
            raise UsageError(error.message, hint="give --metrics-file another name") from None

    def write(self, run: Ended, *, succeeded: bool) -> str:
        """Write what is told of a run; when it last `succeeded` is kept from the earlier file.

        Returns what went wrong, which is told on stderr, too.
        """
        try:
            moment = run.ended if succeeded else last_success(self._read(), run.labels)
            content = render(replace(run, succeeded=moment)).encode()
            fd = self._create()
            try:
                with open(fd, "wb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(fd)
                os.replace(self._temporary, self._path)
            except BaseException:
                with suppress(OSError):
                    os.unlink(self._temporary)
                raise
        except OSError as reason:
            return _told(LocalFileError("write", self._shown, reason))
        except UsageError as error:  # another file has come into its place
            return _told(error)
        return ""

    def _create(self) -> int:
        with suppress(FileNotFoundError):  # of a killed process that had this number
            os.unlink(self._temporary)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
        fd = os.open(self._temporary, flags, _MODE)
        os.fchmod(fd, _MODE)
        return fd

    def _read(self) -> str:
        """What is there; UsageError when that is none of ours."""
        try:
            found = os.lstat(self._path)
            if stat.S_ISREG(found.st_mode):
                with open(self._path, encoding="utf-8", errors="replace") as file:
                    text = file.read(_MAX_SIZE)
                if not text or text.startswith(FIRST_LINE):
                    return text
        except FileNotFoundError:
            return ""
        raise UsageError(
            f"{self._shown} is there already, and holds no metrics of sealift",
            hint="give --metrics-file another name",
        )


def _told(error: SealiftError) -> str:
    with suppress(OSError):
        print(f"sealift: {escape(error.message)}", file=sys.stderr)
    return error.message

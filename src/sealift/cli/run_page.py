"""Writes the page of `--report`, also when the run failed or was interrupted."""

from __future__ import annotations

import os
import platform
import sys
import time
from datetime import UTC, datetime

from sealift import __version__
from sealift.cli.wording import command_line
from sealift.console.screen import Console
from sealift.errors import UsageError
from sealift.files.whole import check_writable, write_whole
from sealift.pages.document import moment
from sealift.pages.drawing import check_library


class RunPage:
    """UsageError when it could not be written to `path`, or not be drawn."""

    def __init__(self, path: str) -> None:
        if not path.endswith((".html", ".htm")):
            raise UsageError(f"--report {path} is no page", hint="give a name that ends in .html")
        check_library()
        check_writable(path)
        self._path = os.path.abspath(path)
        self._began = time.time()

    def write(self, console: Console) -> None:
        """Write what the console, which is closed by now, has seen. LocalFileError."""
        from sealift.pages.run import run_page

        if console.outcome is None:  # it never opened
            return
        setting = {
            "command": command_line(sys.argv[1:]),
            "began": moment(datetime.fromtimestamp(self._began, UTC).isoformat()),
            "sealift": __version__,
            "Python": platform.python_version(),
            "system": platform.platform(),
            "CPUs": f"{os.cpu_count()}",
        }
        page = run_page(console.tally, console.outcome, console.course.samples, setting)
        write_whole(self._path, page)

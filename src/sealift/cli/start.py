"""The first steps of the command line: what holds for all commands, then the one asked for."""

from __future__ import annotations

import os
import sys

from sealift.cli.quick import read

_COMPLETION = "_SEALIFT_COMPLETE"


def run() -> None:
    """Run the command line in `sys.argv` and exit."""
    from sealift.cli.harden import keep_memory_private
    from sealift.descriptors import raise_limit

    keep_memory_private()
    raise_limit()
    line = None if _COMPLETION in os.environ else read(sys.argv[1:])
    if line is None:
        from sealift.cli.app import app

        app()
        return
    from sealift.cli.commands import COMMANDS
    from sealift.console.screen import drop_stdout

    try:
        COMMANDS[line.command](line.shared, *line.arguments)
    except BrokenPipeError:  # the reader has seen enough
        drop_stdout()
        sys.exit(1)

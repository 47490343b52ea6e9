"""The first steps of the command line: what holds for all commands, then the one asked for."""

from __future__ import annotations

import os
import sys

from sealift.cli import signals
from sealift.cli.exits import EXIT_FAILED, EXIT_INTERRUPTED
from sealift.cli.quick import read

_COMPLETION = "_SEALIFT_COMPLETE"
_ACCOUNTS = ("--log-file", "--metrics-file")


def run() -> None:
    """Run the command line in `sys.argv` and exit."""
    from sealift.cli.harden import keep_memory_private
    from sealift.descriptors import raise_limit

    signals.catch()
    keep_memory_private()
    raise_limit()
    try:
        if _COMPLETION not in os.environ and any(w.startswith(_ACCOUNTS) for w in sys.argv[1:]):
            _run_with_account()
        else:
            _run_command()
    except KeyboardInterrupt:  # where nothing was under way that had to be cleaned up
        sys.exit(EXIT_INTERRUPTED)
    finally:
        signals.ignore()


def _run_with_account() -> None:
    from sealift.cli.account import Account
    from sealift.errors import UsageError

    try:
        account = Account(sys.argv[1:])
    except UsageError as error:
        from sealift.cli.running import fail

        fail(error)
    with account:
        _run_command()


def _run_command() -> None:
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
        sys.exit(EXIT_FAILED)

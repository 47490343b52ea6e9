"""The `sealift` command."""

from __future__ import annotations

import contextlib
import gc
import os
import sys


def main() -> None:
    """Run the command line and exit."""
    _refuse_windows()
    try:
        _run()
    except KeyboardInterrupt:  # before or after `run` knows what to do with it
        sys.exit(130)


def _run() -> None:
    _import_nothing_from_here()
    _open_closed_streams()
    if sys.argv[1:] == ["--version"]:  # the command line takes longer to load than to answer this
        from sealift import __version__

        print(f"sealift {__version__}")
        return
    # Nothing that is imported becomes garbage; run_engine turns collection on again.
    gc.disable()
    from sealift.cli.start import run

    run()


def _refuse_windows() -> None:
    """Before anything is imported that is not there."""
    if sys.platform == "win32":
        print(
            "sealift runs on Linux and macOS, not on Windows: install it in WSL "
            "(https://learn.microsoft.com/windows/wsl/install) and run it there",
            file=sys.stderr,
        )
        sys.exit(2)


def _import_nothing_from_here() -> None:
    """`python -m` looks for modules in the working directory first, where the data of others is."""
    with contextlib.suppress(OSError):
        if sys.path[:1] == [os.getcwd()]:
            del sys.path[0]


def _open_closed_streams() -> None:
    """Let stdin, stdout and stderr exist: the next file or socket would get the number of one."""
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        if getattr(sys, name) is None:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free
            setattr(sys, name, os.fdopen(number, mode, closefd=False))


if __name__ == "__main__":
    main()

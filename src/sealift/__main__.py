"""The `sealift` command."""

from __future__ import annotations

import gc
import sys


def main() -> None:
    """Run the command line and exit."""
    if sys.argv[1:] == ["--version"]:  # the command line takes longer to load than to answer this
        from sealift import __version__

        print(f"sealift {__version__}")
        return
    # Nothing that is imported becomes garbage; run_engine turns collection on again.
    gc.disable()
    try:
        from sealift.cli.app import run

        run()
    except KeyboardInterrupt:  # before the engine took over the signal
        sys.exit(130)


if __name__ == "__main__":
    main()

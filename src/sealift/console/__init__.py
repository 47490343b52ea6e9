"""Shows a run to whoever watches: a terminal, a log, a program, or nobody.

Import `open_console`; the modules below are its parts:

    text     escape, size, rate, duration, shorten      pure
    meter    throughput and time left                   pure
    summary  the end of a run in words                  pure
    table    the end of a run for a terminal
    screen   Console: emit, the thread, the ending
    live plain jsonl quiet                              one console each
"""

from __future__ import annotations

import os
import sys

from sealift.console.screen import Console

__all__ = ["Console", "open_console"]


def open_console(
    *,
    quiet: bool,
    json: bool,
    progress: bool,
    heading: str = "",
    key_id: str | None = None,
) -> Console:
    """The console that fits the options and stderr; `json` wins over `quiet`."""
    if json:
        from sealift.console.jsonl import JsonConsole

        return JsonConsole(heading=heading, key_id=key_id)
    if quiet:
        from sealift.console.quiet import QuietConsole

        return QuietConsole(heading=heading, key_id=key_id)
    if progress and sys.stderr.isatty() and os.environ.get("TERM") not in ("dumb", "unknown"):
        from sealift.console.live import LiveConsole

        return LiveConsole(heading=heading, key_id=key_id)
    from sealift.console.plain import PlainConsole

    return PlainConsole(heading=heading, key_id=key_id, progress=progress)

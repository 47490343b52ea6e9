"""What a dry run would do, on stdout: one line for each act."""

from __future__ import annotations

from sealift.console.text import escape, size
from sealift.events import Event, Would


class WouldPrinter:
    """Prints `would upload photos/a.jpg to s3://bucket/photos/a.jpg (1.2 MiB)`."""

    def emit(self, event: Event) -> None:
        if isinstance(event, Would):
            to = f" to {escape(event.to)}" if event.to else ""
            print(f"would {event.act} {escape(event.name)}{to} ({size(event.size)})")

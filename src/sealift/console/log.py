"""Events as log records, for `--log-level`: retries and skips at INFO, failures at ERROR."""

from __future__ import annotations

import logging

from sealift.console.text import escape
from sealift.events import Event, Failed, Finished, Noted, Removed, Retried, Skipped, Started

_logger = logging.getLogger("sealift")


class LogReporter:
    """Writes what happens to the logger `sealift`; of skips like one another the first at INFO."""

    def __init__(self) -> None:
        self._reasons: set[str] = set()

    def emit(self, event: Event) -> None:
        match event:
            case Started(job):
                _logger.debug("begin %s", escape(str(job.location)))
            case Finished(job):
                _logger.debug("done %s, %d bytes", escape(str(job.location)), job.size)
            case Failed(name, error):
                _logger.error("failed %s: %s", escape(name), escape(str(error)))
            case Removed(name):
                _logger.debug("removed %s", escape(name))
            case Skipped(name, reason):
                level = logging.DEBUG if reason in self._reasons else logging.INFO
                self._reasons.add(reason)
                _logger.log(level, "skipped %s: %s", escape(name), escape(reason))
            case Retried(name, attempt, delay, error):
                _logger.info(
                    "retry %s in %.1f s, attempt %d failed: %s",
                    escape(name), delay, attempt, escape(str(error)),
                )  # fmt: skip
            case Noted(text):
                _logger.warning("%s", escape(text))
            case _:
                pass

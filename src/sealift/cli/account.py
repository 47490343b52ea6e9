"""The account of this process for whoever was not there: `--log-file` and `--metrics-file`.

It is opened before the command line is parsed and closed after the last word was said, so that
wrong usage and crashes are in it too. There is one a process, as there is one exit status.
"""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from sealift import __version__
from sealift.cli import signals
from sealift.cli.current import begin
from sealift.cli.exits import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_USAGE
from sealift.cli.metrics_file import MetricsFile
from sealift.cli.wording import command_line, spoken, value_of
from sealift.console.logfile import LogFile
from sealift.console.metrics import Ended
from sealift.console.summary import Outcome, Status, is_empty, rows, title
from sealift.console.text import span
from sealift.errors import Interrupted, SealiftError
from sealift.events import Tally

_logger = logging.getLogger("sealift")


@dataclass(frozen=True, slots=True)
class _Watched:
    tally: Tally
    heading: str
    key_id: str | None


class Account:
    """That of a process with these command words; a context manager around all it does.

    UsageError when one of the files cannot be written.
    """

    def __init__(self, words: Sequence[str]) -> None:
        self._words = words
        self._began = time.time()
        self._clock = time.monotonic()
        self._watched: _Watched | None = None
        self._is_closed = False
        log_path, metrics_path = (value_of(words, f"--{kind}-file") for kind in ("log", "metrics"))
        self._log = None if log_path is None else LogFile(log_path)
        self._metrics = None
        if self._log is not None:
            level = logging.getLevelNamesMapping().get(
                (value_of(words, "--log-level") or "info").upper(), logging.INFO
            )
            if level > logging.DEBUG:
                self._log.addFilter(_is_of_interest)
            logging.basicConfig(level=level, handlers=[self._log])
        self.say(f"start: {command_line(words)} (version {__version__})")
        if metrics_path is not None:
            try:
                self._metrics = MetricsFile(metrics_path)
            except SealiftError as error:
                self.say(str(error), logging.ERROR)
                self.close(EXIT_USAGE)
                raise

    @property
    def is_logging(self) -> bool:
        """Whether there is a log file."""
        return self._log is not None

    def say(self, text: str, level: int = logging.INFO) -> None:
        """Write a line to the log file, if there is one."""
        if self._log is not None:
            _logger.log(level, "%s", text)

    def watch(self, tally: Tally, heading: str, key_id: str | None) -> None:
        """Tell of the run that `tally` adds up."""
        self._watched = _Watched(tally, heading, key_id)

    def close(self, code: int) -> None:
        """The process ends with this exit status."""
        if self._is_closed:
            return
        self._is_closed = True
        signals.ignore()
        seconds = time.monotonic() - self._clock
        if self._watched is not None and not (code == EXIT_USAGE and is_empty(self._watched.tally)):
            self.say(_summary(self._watched, code, seconds))
        self.say(f"exit {code} after {span(seconds)}")
        if self._metrics is not None:
            told = spoken(self._words)
            run = Ended(
                __version__,
                told._asdict(),
                self._began,
                time.time(),
                seconds,
                code,
                0.0,
                self._watched.tally if self._watched else Tally(),
            )
            counts = code == 0 and "--dry-run" not in self._words
            trouble = self._metrics.write(run, succeeded=counts)
            if trouble:
                self.say(trouble, logging.ERROR)

    def __enter__(self) -> Self:
        begin(self)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if isinstance(error, SystemExit):
            self._explain(error.__context__)
            self.close(code_of(error))
        elif isinstance(error, KeyboardInterrupt):
            self.say("interrupted", logging.WARNING)
            self.close(EXIT_INTERRUPTED)
        elif error is None:
            self.close(0)
        else:
            if self._log is not None:
                # Without the values of variables: one may be a key.
                text = "".join(traceback.format_exception(error))
                self.say(f"crashed\n{text}", logging.CRITICAL)
            self.close(EXIT_FAILED)

    def _explain(self, reason: BaseException | None) -> None:
        """Say why the process ends early: our errors, and those of the parser of command lines."""
        if isinstance(reason, Interrupted):
            self.say(str(reason), logging.WARNING)
        elif isinstance(reason, SealiftError):
            self.say(str(reason), logging.ERROR)
        elif reason is not None and hasattr(reason, "format_message"):
            self.say(reason.format_message(), logging.ERROR)


def code_of(error: SystemExit) -> int:
    """The exit status of a process that ends so."""
    if error.code is None:
        return 0
    return error.code if isinstance(error.code, int) else EXIT_FAILED


def _is_of_interest(record: logging.LogRecord) -> bool:
    """Of what libraries say only what may be trouble."""
    return record.name == _logger.name or record.levelno >= logging.WARNING


def _summary(watched: _Watched, code: int, seconds: float) -> str:
    tally = watched.tally
    status = {0: Status.COMPLETE, EXIT_INTERRUPTED: Status.INTERRUPTED}.get(
        code, Status.FAILED if tally.failed_count else Status.STOPPED
    )
    outcome = Outcome(status, seconds, watched.heading, watched.key_id)
    table = "; ".join(f"{label} {value}".strip() for label, value in rows(tally, outcome))
    return f"{title(tally, outcome)}: {table}"

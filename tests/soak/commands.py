"""The program under test: run to its end, or killed in the middle."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_IMPATIENT = Path(__file__).with_name("impatient.py")
# Seconds: longer than any command of a soak takes, and than one that is interrupted may.
_LONGEST = 150.0
_LONGEST_END = 15.0
_POLL = 0.005


class Broken(Exception):  # noqa: N818 - what a soak is for
    """Something that must hold does not."""


@dataclass(frozen=True)
class Stop:
    """A signal, when that many more requests were seen and then some seconds have passed."""

    number: signal.Signals
    request_count: int
    seconds: float


@dataclass(frozen=True)
class Ended:
    words: tuple[str, ...]
    status: int
    lines: list[dict[str, Any]]
    stderr: str

    @property
    def failed(self) -> dict[str, str]:
        """The objects that failed, and why."""
        return {
            line["name"]: f"{line['type']}: {line['error']}"
            for line in self.lines
            if line["event"] == "failed"
        }


class Commands:
    """Runs commands in `work`; what they print is kept in `output` until `forget_output`."""

    def __init__(
        self,
        work: Path,
        output: Path,
        environment: Mapping[str, str],
        request_count: Callable[[], int],
    ) -> None:
        self.kills: Counter[str] = Counter()
        self._work = work
        self._output = output
        self._environment = environment
        self._request_count = request_count
        self._number = 0
        output.mkdir()

    def run(self, *words: str, stop: Stop | None = None, patient: bool = False) -> Ended:
        """Run one command; `stop` ends it early, unless it is quicker."""
        self._number += 1
        stem = self._output / f"{self._number:05}"
        (stem.with_suffix(".words")).write_text(f"{words} {stop}\n")
        program = ["-m", "sealift"] if patient else [str(_IMPATIENT)]
        out, err = stem.with_suffix(".out"), stem.with_suffix(".err")
        with out.open("wb") as stdout, err.open("wb") as stderr:
            child = subprocess.Popen(
                [sys.executable, *program, *words],
                cwd=self._work,
                env=dict(self._environment),
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
            )
            try:
                if stop is not None:
                    self._stop(child, stop)
                child.wait(_LONGEST)
            except subprocess.TimeoutExpired:
                raise Broken(f"{words} hangs; see {err}") from None
            finally:
                child.kill()
                child.wait()
        text = err.read_text(errors="replace")
        if "Traceback" in text:
            raise Broken(f"{words} has printed a traceback; see {err}")
        return Ended(words, child.returncode, _parsed(out), text)

    def forget_output(self) -> None:
        for path in self._output.iterdir():
            path.unlink()

    def _stop(self, child: subprocess.Popen[bytes], stop: Stop) -> None:
        """Send the signal when its time has come."""
        wanted = self._request_count() + stop.request_count
        while child.poll() is None and self._request_count() < wanted:
            time.sleep(_POLL)
        try:
            child.wait(stop.seconds)
        except subprocess.TimeoutExpired:
            child.send_signal(stop.number)
            self.kills[stop.number.name] += 1
            child.wait(_LONGEST_END)


def _parsed(path: Path) -> list[dict[str, Any]]:
    """The JSON lines of a command; the last one may be torn when it was killed."""
    lines = []
    for line in path.read_text(errors="replace").splitlines():
        try:
            lines.append(json.loads(line))
        except ValueError:
            break
    return lines

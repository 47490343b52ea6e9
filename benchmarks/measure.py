"""One run of one command: how long it took and what it used.

Time is that of the whole process, from before its start to its end. CPU is user and system time of
the process and of all descendants it waited for (wait4). Memory is the peak of the *largest* of
these processes: the kernel keeps no peak of the sum.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sealift.embedded import log_tail, tethered

LAUNCHER = Path(__file__).with_name("launcher.py")
# More than the launcher's own timeout, which kills the command.
_GRACE = 10.0


@dataclass(frozen=True, slots=True)
class Usage:
    """Seconds, bytes and the exit status; a negative status is the signal that ended it."""

    wall: float
    cpu: float
    peak_memory: int
    status: int
    timed_out: bool
    tail: str


def measure(
    command: Sequence[str],
    *,
    environ: Mapping[str, str],
    directory: Path,
    log_file: Path,
    timeout: float,
) -> Usage:
    """Run `command` in `directory`; what it starts ends with this call, or with this process."""
    report_file = log_file.with_suffix(".usage")
    for file in (report_file, log_file):
        file.unlink(missing_ok=True)
    launch = [sys.executable, "-I", "-S", str(LAUNCHER), str(report_file), str(timeout)]
    arguments = [*launch, str(directory), *command]
    with tethered(arguments, log_file=log_file, env=environ, grace=0.0) as child:
        try:
            child.wait(timeout + _GRACE)
        except subprocess.TimeoutExpired:
            return Usage(timeout, 0.0, 0, -1, True, log_tail(log_file))
    if not report_file.exists():
        return Usage(0.0, 0.0, 0, child.returncode, False, log_tail(log_file))
    wall, cpu, peak_memory, status, timed_out = report_file.read_text().split()
    return Usage(
        wall=float(wall),
        cpu=float(cpu),
        peak_memory=int(peak_memory),
        status=int(status),
        timed_out=timed_out == "1",
        tail=log_tail(log_file),
    )

"""Steps of the interpreter: how many bytecodes each Python function runs.

callgrind sees one function, the interpreter's loop, and not whose code it runs. This counts that
part, without callgrind, by the interpreter's own tracing.
"""

from __future__ import annotations

import json
import os
import sys
import sysconfig
import threading
from collections import Counter
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

from benchmarks.callgrind import Counts

_ROOTS = sorted((*sys.path, sysconfig.get_path("stdlib")), key=len, reverse=True)


class Steps:
    """Counts in this thread and those made later; used as callgrind's `Counting` is."""

    def __init__(self, out_file: Path) -> None:
        self._out_file = out_file
        self._counts: Counter[CodeType] = Counter()
        self._dumps: dict[str, list[tuple[str, str, int]]] = {}
        threading.settrace(self._trace)
        sys.settrace(self._trace)

    def start(self) -> None:
        """Nothing: counting began before any thread was made."""

    def zero(self) -> None:
        self._counts = Counter()

    def dump(self, label: str) -> None:
        counts = self._counts
        self.zero()  # what follows here counts elsewhere
        self._dumps[label] = [
            (_module(code), code.co_qualname, count) for code, count in counts.items()
        ]
        self._out_file.write_text(json.dumps(self._dumps))

    def _trace(self, frame: FrameType, event: str, _: Any) -> Any:
        if event == "call":
            frame.f_trace_opcodes = True
            frame.f_trace_lines = False
        elif event == "opcode":
            self._counts[frame.f_code] += 1
        return self._trace


def read_steps(out_file: Path) -> dict[str, Counts]:
    """Steps by label, then by module and function."""
    dumps = {}
    for label, rows in json.loads(out_file.read_text()).items():
        counts: Counts = Counter()
        for module, function, count in rows:
            counts[module, function] += count
        dumps[label] = counts
    return dumps


def _module(code: CodeType) -> str:
    """`sealift.wire.pool`, from the file's path."""
    path = code.co_filename
    for root in _ROOTS:
        if root and path.startswith(root + os.sep):
            path = path[len(root) + 1 :]
            break
    return path.removesuffix(".py").replace(os.sep, ".")

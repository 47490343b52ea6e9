"""valgrind's callgrind: counts the instructions of a program, by the function they belong to.

Counting begins and ends where the program asks: `Counting` sends valgrind's client requests, which
are instructions that do nothing on a processor (valgrind.h, callgrind.h). They differ between
processors; here are those of x86-64.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import platform
import re
import shutil
import subprocess
from collections import Counter
from pathlib import Path

# valgrind.h: a request is four rotations of rdi that cancel out, then an exchange of rbx with
# itself; rax points at the number of the request and its arguments, rdx holds the answer.
_ROTATIONS = bytes.fromhex("48c1c703 48c1c70d 48c1c73d 48c1c733 4887db")
_CODE = bytes.fromhex("4889f8 31d2") + _ROTATIONS + bytes.fromhex("4889d0 c3")
_RUNNING_ON_VALGRIND = 0x1001
# callgrind.h: VG_USERREQ_TOOL_BASE('C', 'T') and what is counted from there.
_BASE = (ord("C") << 24) | (ord("T") << 16)
_ZERO_STATS, _DUMP_STATS_AT, _START = _BASE + 1, _BASE + 3, _BASE + 4

_LABEL = "desc: Trigger: Client Request: "
# A line of costs begins with a position, absolute or relative to the last one.
_POSITION = frozenset("0123456789+-*")
# `name'2` is the same function, called by itself.
_RECURSION = re.compile(r"'\d+$")

# How often, by the place and the name of a function.
Counts = Counter[tuple[str, str]]


def valgrind_missing() -> str | None:
    """None when programs can be counted here, else what is wrong."""
    if platform.machine() != "x86_64":
        return f"instructions are counted on x86-64 only, and this is {platform.machine()}"
    if shutil.which("valgrind") is None:
        return "valgrind is not here: apt-get install valgrind"
    return None


def valgrind_version() -> str:
    """As in `valgrind-3.19.0`; empty where there is none."""
    if shutil.which("valgrind") is None:
        return ""
    return subprocess.run(
        ["valgrind", "--version"], stdout=subprocess.PIPE, text=True, check=True
    ).stdout.strip()


def counted(command: list[str], out_file: Path) -> list[str]:
    """The command that runs `command` under callgrind, at rest until the program starts it."""
    options = ["-q", "--tool=callgrind", "--instr-atstart=no", f"--callgrind-out-file={out_file}"]
    return ["valgrind", *options, *command]


class Counting:
    """The way of the counted program to callgrind. Raises RuntimeError when that does not run."""

    def __init__(self) -> None:
        memory = mmap.mmap(
            -1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC
        )
        memory.write(_CODE)
        self._memory = memory
        address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
        self._call = ctypes.CFUNCTYPE(ctypes.c_size_t, ctypes.c_void_p)(address)
        if not self._request(_RUNNING_ON_VALGRIND):
            raise RuntimeError("this is not valgrind")

    def start(self) -> None:
        """Begin to count; the program runs some fifty times slower from here on."""
        self._request(_START)

    def zero(self) -> None:
        self._request(_ZERO_STATS)

    def dump(self, label: str) -> None:
        """Write what was counted since the last `zero` or `dump`, under a label."""
        text = ctypes.create_string_buffer(label.encode())
        self._request(_DUMP_STATS_AT, ctypes.addressof(text))

    def _request(self, number: int, argument: int = 0) -> int:
        arguments = (ctypes.c_size_t * 6)(number, argument)
        return int(self._call(ctypes.addressof(arguments)))


def read_dumps(out_file: Path) -> dict[str, Counts]:
    """Instructions by label, then by shared object and function."""
    return dict(read_dump(path) for path in out_file.parent.glob(f"{out_file.name}.*"))


def read_dump(path: Path) -> tuple[str, Counts]:
    """The label and the counts; the format: https://valgrind.org/docs/manual/cl-format.html."""
    label, where, function = "", "", ""
    counts: Counts = Counter()
    objects: dict[str, str] = {}
    functions: dict[str, str] = {}
    with path.open() as lines:
        for line in lines:
            key, _, text = line.rstrip("\n").partition("=")
            if key[:1] in _POSITION:
                counts[where, function] += int(line.split()[1])
            elif key.startswith(_LABEL):
                label = key.removeprefix(_LABEL)
            elif key == "ob":
                where = os.path.basename(_name(text, objects))
            elif key == "fn":
                function = _RECURSION.sub("", _name(text, functions))
            elif key == "cob":
                _name(text, objects)
            elif key == "cfn":
                _name(text, functions)
            elif key == "calls":
                next(lines)  # what is called counts for itself
    return label, counts


def _name(text: str, known: dict[str, str]) -> str:
    """A name is written once, as `(7) name`, and then `(7)`."""
    number, _, name = text.partition(" ")
    return known.setdefault(number, name)

"""The rows: a fault, what a client is asked to do meanwhile, and which outcomes pass.

The numbers are those of the cases in docs/reliability.md, as far as a client can be put to them
from outside.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace

from tests.faults import (
    ApplyThenReset,
    Complete200Empty,
    Complete200Error,
    FaultServer,
    Flip,
    FlipRequest,
    IgnoreRange,
    Match,
    Request,
    ResetReply,
    ResetRequest,
    Stall,
    Status,
    Truncate,
)

from benchmarks.faults.clients import Client
from benchmarks.faults.stories import (
    READS,
    changing_source,
    climbing_names,
    full_disk,
    killed_down,
    killed_up,
    linked_directory,
    one_of_twenty,
    redirected,
    replaced,
    storm,
    unsealed_down,
    unsealed_up,
    wrong_key,
)
from benchmarks.faults.trial import (
    CONTENTS,
    LARGE,
    Outcome,
    ShiftRange,
    Trial,
    Verdict,
    size_asked,
)
from sealift.model import MiB

_RIGHT = frozenset({Outcome.RIGHT})
_FAILED = frozenset({Outcome.FAILED})
_EITHER = _RIGHT | _FAILED


@dataclass(frozen=True, slots=True)
class Row:
    """`counted` says which requests the number in each cell is of."""

    case: str
    title: str
    counted: str
    passing: frozenset[Outcome]
    run: Callable[[Trial], Verdict]
    needs_seal: bool = False
    needs_tree: bool = False
    needs_root: bool = False

    def why_not(self, client: Client) -> str | None:
        """Why a client is not put to it."""
        if self.needs_seal and not client.sealed:
            return "no SSE-C"
        if self.needs_tree and not client.moves_trees:
            return "moves no trees"
        if self.needs_root and os.geteuid() != 0:
            return "needs root"
        return None


# What many rows are made of


def _upload(
    name: str, operation: str, script: Callable[[FaultServer], object]
) -> Callable[[Trial], Verdict]:
    def run(trial: Trial) -> Verdict:
        trial.give(name)
        script(trial.server)
        ended = trial.up()
        return Verdict(trial.of_upload(ended, name), ended, trial.count(operation))

    return run


def _download(name: str, script: Callable[[FaultServer], object]) -> Callable[[Trial], Verdict]:
    def run(trial: Trial) -> Verdict:
        trial.keep(name)
        script(trial.server)
        ended = trial.down()
        outcome = trial.of_download(ended, name, CONTENTS[name])
        return Verdict(outcome, ended, trial.count("GetObject"))

    return run


def _on(match: Match, *faults: object) -> Callable[[FaultServer], object]:
    return lambda server: server.script(match, *faults)  # type: ignore[arg-type]


def _is_large(request: Request) -> bool:
    """A GET of more than the faults let through."""
    return size_asked(request, len(LARGE)) > 2 * MiB


def _is_later_range(request: Request) -> bool:
    first = request.headers.get("range", "bytes=0-")
    return _is_large(request) and not first.startswith("bytes=0-")


_GET = Match(operation="GetObject", where=_is_large)
_GET_TWICE = replace(_GET, times=2)
_LATER_RANGE = Match(operation="GetObject", where=_is_later_range)
_PART = "UploadPart"
_FIRST_PART = Match(operation=_PART, part=1)
_COMPLETE = "CompleteMultipartUpload"

_INTERNAL = Status(500, "InternalError", "This multipart completion is already in progress")


ROWS = (
    Row("1", "reset amid a part, twice", "UploadPart", _RIGHT,
        _upload("large", _PART, _on(replace(_FIRST_PART, times=2), ResetRequest(MiB)))),
    Row("2", "reset amid a GET, twice", "GetObject", _RIGHT,
        _download("large", _on(_GET_TWICE, ResetReply(MiB)))),
    Row("3", "GET ends early with a clean close, twice", "GetObject", _RIGHT,
        _download("large", _on(_GET_TWICE, Truncate(MiB)))),
    Row("4", "GET stalls amid the body, once", "GetObject", _RIGHT,
        _download("large", _on(_GET, Stall("reply", MiB)))),
    Row("6", "503 SlowDown to all requests for 10 s, 20 files up", "all", _RIGHT, storm),
    Row("7", "500 for ever to one of 20 files", "for that file", _FAILED, one_of_twenty),
    Row("8", "Complete: 200 with an Error, once", _COMPLETE, _RIGHT,
        _upload("large", _COMPLETE, _on(Match(operation=_COMPLETE), Complete200Error()))),
    Row("9", "Complete: 200 without a body, not done, once", _COMPLETE, _EITHER,
        _upload("large", _COMPLETE, _on(Match(operation=_COMPLETE), Complete200Empty()))),
    Row("10", "Complete done, reply lost", _COMPLETE, _RIGHT,
        _upload("large", _COMPLETE, _on(Match(operation=_COMPLETE), ApplyThenReset()))),
    Row("11", "Complete: 500 for ever", _COMPLETE, _FAILED,
        _upload("large", _COMPLETE, _on(Match(operation=_COMPLETE, times=None), _INTERNAL))),
    Row("12", "kill -9 2 s after the fourth of nine parts, same command again",
        "UploadPart, second run", _RIGHT, killed_up),
    Row("13", "kill -9 after six of nine ranges in 6 s, same command again",
        "GetObject, second run", _RIGHT, killed_down),
    Row("16", "source rewritten and grown during the upload", "UploadPart", _EITHER,
        changing_source),
    Row("18", "object replaced between two ranges", "GetObject", _EITHER, replaced),
    Row("20a", "200 and everything to a range, once", "GetObject", _EITHER,
        _download("large", _on(_LATER_RANGE, IgnoreRange()))),
    Row("20b", "another range, and its Content-Range, once", "GetObject", _EITHER,
        _download("large", _on(_LATER_RANGE, ShiftRange()))),
    Row("21a", "byte flipped in a range, once", "GetObject", _RIGHT,
        _download("large", _on(_GET, Flip(1000)))),
    Row("21b", "byte flipped in a small object, once", "GetObject", _RIGHT,
        _download("small", _on(Match(operation="GetObject"), Flip(1000)))),
    Row("22a", "byte flipped in a part going up, once", "UploadPart", _RIGHT,
        _upload("large", _PART, _on(_FIRST_PART, FlipRequest(1000)))),
    Row("22b", "byte flipped in a small file going up, once", "PutObject", _RIGHT,
        _upload("small", "PutObject", _on(Match(operation="PutObject"), FlipRequest(1000)))),
    Row("23", "server stores plaintext: PUT without echo", "PutObject", _FAILED, unsealed_up,
        needs_seal=True),
    Row("24", "plain object in place of a sealed one: GET without echo", "GetObject", _FAILED,
        unsealed_down, needs_seal=True),
    Row("25", "wrong customer key, small object", "GET and HEAD", _FAILED, wrong_key,
        needs_seal=True),
    Row("28a", "GET and HEAD redirected to another host", "to that host", _FAILED,
        redirected("small", *READS, up=False)),
    Row("28b", "PUT redirected to another host", "to that host", _FAILED,
        redirected("small", "PutObject", up=True)),
    Row("32", "names with .. in a prefix", "GetObject", _FAILED, climbing_names,
        needs_tree=True),
    Row("33", "symbolic link in place of a directory of the target", "GetObject", _FAILED,
        linked_directory, needs_tree=True),
    Row("36", "disk full amid a download", "GetObject", _FAILED, full_disk, needs_root=True),
)  # fmt: skip

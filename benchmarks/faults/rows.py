"""The rows: a fault, what a client is asked to do meanwhile, and which outcomes pass.

The numbers are those of the cases in docs/reliability.md, as far as a client can be put to them
from outside.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.faults import (
    ApplyThenReset,
    Complete200Empty,
    Complete200Error,
    FaultServer,
    Flip,
    FlipRequest,
    IgnoreRange,
    Match,
    Redirect,
    Request,
    ResetReply,
    ResetRequest,
    Stall,
    Status,
    Truncate,
    WrongRange,
)

from benchmarks.faults.clients import Client
from benchmarks.faults.trial import (
    BIG,
    BUCKET,
    CONTENTS,
    LARGE,
    PREFIX,
    SMALL,
    Act,
    Ended,
    IgnoreKey,
    Kill,
    Outcome,
    Trial,
    Verdict,
    below,
    size_asked,
    with_wrong_key,
)
from sealift.model import MiB

_RIGHT = frozenset({Outcome.RIGHT})
_FAILED = frozenset({Outcome.FAILED})
_EITHER = _RIGHT | _FAILED
_KEY_HEADER = "x-amz-server-side-encryption-customer-key"
_STORM_SECONDS = 10.0
_READS = ("GetObject", "HeadObject")


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


_PART = "UploadPart"
_COMPLETE = "CompleteMultipartUpload"
_GET = Match(operation="GetObject")
_RANGE = Match(operation="GetObject", where=lambda request: "range" in request.headers)
_INTERNAL = Status(500, "InternalError", "This multipart completion is already in progress")


# Rows of their own


def _storm(trial: Trial) -> Verdict:
    names = _twenty(trial)
    began: list[float] = []

    def rages(_: Request) -> bool:
        began.append(time.monotonic())
        return began[-1] - began[0] < _STORM_SECONDS

    slow_down = Status(503, "SlowDown", "Please reduce your request rate.")
    trial.server.script(Match(where=rages, times=None), slow_down)
    ended = trial.up()
    return Verdict(_of_twenty(trial, ended, names), ended, len(trial.server.requests))


def _one_of_twenty(trial: Trial) -> Verdict:
    names = _twenty(trial)
    bad = names.pop(7)
    trial.server.script(Match(name=PREFIX + bad, times=None), Status(500, "InternalError"))
    ended = trial.up()
    outcome = _of_twenty(trial, ended, names)
    if outcome is Outcome.RIGHT:
        outcome = Outcome.MISSING
    elif outcome is Outcome.FALSE_FAILURE:
        outcome = Outcome.FAILED if bad in ended.output else Outcome.UNNAMED
    else:
        count = sum(trial.body(name) is None for name in names)
        return Verdict(outcome, ended, _asked(trial, bad), f"{count} others not there")
    return Verdict(outcome, ended, _asked(trial, bad))


def _asked(trial: Trial, name: str) -> int:
    return sum(request.name == PREFIX + name for request in trial.server.requests)


def _twenty(trial: Trial) -> list[str]:
    names = [f"n{number:02}" for number in range(20)]
    for name in names:
        (trial.source / name).write_bytes(name.encode() * 500)
    return names


def _of_twenty(trial: Trial, ended: Ended, names: list[str]) -> Outcome:
    right = all(trial.body(name) == name.encode() * 500 for name in names)
    if ended.hung:
        return Outcome.HUNG
    if ended.status:
        return Outcome.FALSE_FAILURE if right else Outcome.FAILED
    return Outcome.RIGHT if right else Outcome.WRONG


def _killed_up(trial: Trial) -> Verdict:
    trial.give("big")
    alive = [True]
    kill = Kill(lambda: _part_count(trial) >= 4)
    match = Match(operation=_PART, after=4, times=None, where=lambda _: alive[0])
    trial.server.script(match, (Act(kill.now.set), Stall("request")))
    trial.up(kill)
    alive[0] = False
    before, kept = len(trial.server.requests), _part_count(trial)
    ended = trial.up()
    again = trial.count(_PART, since=before)
    outcome = trial.of_upload(ended, "big")
    left = len(trial.server.uploads)
    note = f"{kept} of 9 parts were there, {again} sent"
    return Verdict(outcome, ended, again, note + (f", {left} upload left" if left else ""))


def _part_count(trial: Trial) -> int:
    return sum(len(upload.parts) for upload in list(trial.server.uploads.values()))


def _killed_down(trial: Trial) -> Verdict:
    trial.keep("big")
    alive = [True]
    kill = Kill(lambda: trial.count("GetObject") >= 4)
    match = Match(operation="GetObject", after=4, times=None, where=lambda _: alive[0])
    trial.server.script(match, (Act(kill.now.set), Stall("before_head")))
    trial.down(kill)
    alive[0] = False
    before, partial = len(trial.server.requests), trial.file("big")
    ended = trial.down()
    asked = [
        request for request in trial.server.requests[before:] if request.operation == "GetObject"
    ]
    fetched = sum(size_asked(request, len(BIG)) for request in asked)
    outcome = trial.of_download(ended, "big", BIG)
    if partial is not None and outcome is Outcome.RIGHT:
        outcome = Outcome.PARTIAL
    left = [name for name in below(trial.target) if name != "big"]
    note = f"{fetched / len(BIG):.0%} fetched again"
    return Verdict(
        outcome, ended, len(asked), note + (f", {len(left)} other file left" if left else "")
    )


def _changing_source(trial: Trial) -> Verdict:
    """Rewritten, and a MiB longer, when the first part comes in."""
    trial.give("big")
    new = BIG[::-1] + SMALL * 50

    def rewrite() -> None:
        with (trial.source / "big").open("r+b") as file:
            file.write(new)

    trial.server.script(Match(operation=_PART), Act(rewrite))
    ended = trial.up()
    found, parts = trial.body("big"), trial.count(_PART)
    if ended.hung:
        return Verdict(Outcome.HUNG, ended, parts)
    if ended.status:
        outcome = Outcome.FAILED if found is None else Outcome.FALSE_FAILURE
        return Verdict(Outcome.ORPHAN if trial.server.uploads else outcome, ended, parts)
    if found in (new, BIG):
        return Verdict(Outcome.RIGHT, ended, parts, "new" if found == new else "as it was")
    return Verdict(Outcome.WRONG, ended, parts)


def _replaced(trial: Trial) -> Verdict:
    trial.keep("large")

    def replace() -> None:
        trial.server.objects[BUCKET, PREFIX + "large"] = trial.stored["large2"]

    trial.server.script(Match(operation="GetObject", after=1), Act(replace))
    ended = trial.down()
    outcome = trial.of_download(ended, "large", LARGE, CONTENTS["large2"])
    return Verdict(outcome, ended, trial.count("GetObject"))


def _unsealed_up(trial: Trial) -> Verdict:
    trial.give("small")
    trial.server.script(Match(times=None), IgnoreKey())
    ended = trial.up()
    is_there = trial.body("small") is not None
    if ended.hung:
        outcome = Outcome.HUNG
    elif ended.status == 0:
        outcome = Outcome.UNSEALED
    else:
        outcome = Outcome.PLAINTEXT_LEFT if is_there else Outcome.FAILED
    return Verdict(outcome, ended, trial.count("PutObject"))


def _unsealed_down(trial: Trial) -> Verdict:
    """Somebody has put a plain object there, and the server says nothing of it."""
    trial.server.store(PREFIX + "small", SMALL[::-1])
    trial.server.script(Match(times=None), IgnoreKey())
    ended = trial.down()
    outcome = trial.of_download(ended, "small", SMALL[::-1])
    if outcome in (Outcome.RIGHT, Outcome.FALSE_FAILURE):
        outcome = Outcome.UNSEALED
    return Verdict(outcome, ended, trial.count("GetObject"))


def _wrong_key(trial: Trial) -> Verdict:
    trial.keep("small")
    ended = with_wrong_key(trial).down()
    outcome, requests = trial.of_download(ended, "small", SMALL), trial.count(*_READS)
    if outcome is Outcome.FAILED and requests > 2:
        outcome = Outcome.TOO_MANY
    return Verdict(outcome, ended, requests)


def _redirected(name: str, *operations: str, up: bool) -> Callable[[Trial], Verdict]:
    def run(trial: Trial) -> Verdict:
        with FaultServer(trial.certificate, chunks=True) as other:
            other.store(PREFIX + name, CONTENTS[name], customer_key=trial.sealing_key)
            where = f"https://127.0.0.1:{other.port}/{BUCKET}/{PREFIX}{name}"
            for operation in operations:
                trial.server.script(Match(operation=operation, times=None), Redirect(307, where))
            if up:
                trial.give(name)
                ended = trial.up()
                outcome = trial.of_upload(ended, name)
            else:
                trial.keep(name)
                ended = trial.down()
                outcome = trial.of_download(ended, name, CONTENTS[name])
            sent = list(other.requests)
        note = ""
        if sent:
            keys = any(_KEY_HEADER in request.headers for request in sent)
            outcome = Outcome.LEAKED if keys else Outcome.FOLLOWED
            if any("authorization" in request.headers for request in sent):
                note = "signature sent as well"
        return Verdict(outcome, ended, len(sent), note)

    return run


def _climbing_names(trial: Trial) -> Verdict:
    good = {"ok", "a..b"}
    for name in (*good, "../out1", "d/../../out2", "d/../../../../out3", "d//abs"):
        trial.server.store(PREFIX + name, name.encode() * 100, customer_key=trial.sealing_key)
    ended = trial.down()
    outside = below(trial.directory, (trial.target, trial.directory / "state", trial.source))
    outside = [name for name in outside if Path(name).name.startswith("out")]
    there = good <= set(below(trial.target))
    if outside:
        return Verdict(Outcome.OUTSIDE, ended, trial.count("GetObject"), " ".join(outside))
    if ended.hung:
        outcome = Outcome.HUNG
    elif ended.status:
        outcome = Outcome.FAILED
    else:
        outcome = Outcome.SILENT
    return Verdict(
        outcome, ended, trial.count("GetObject"), "" if there else "good names not there"
    )


def _linked_directory(trial: Trial) -> Verdict:
    elsewhere = trial.around / "elsewhere"
    elsewhere.mkdir()
    (trial.target / "link").symlink_to(elsewhere)
    for name in ("ok", "link/f"):
        trial.server.store(PREFIX + name, SMALL, customer_key=trial.sealing_key)
    ended = trial.down()
    if below(elsewhere):
        outcome = Outcome.OUTSIDE
    elif ended.hung:
        outcome = Outcome.HUNG
    else:
        outcome = Outcome.FAILED if ended.status else Outcome.SILENT
    return Verdict(outcome, ended, trial.count("GetObject"))


def _full_disk(trial: Trial) -> Verdict:
    trial.keep("big")
    with _tmpfs(trial.target, 16 * MiB):
        ended = trial.down()
        outcome = trial.of_download(ended, "big", BIG)
        left = sum((trial.target / name).stat().st_size for name in below(trial.target))
    note = f"{left / MiB:.0f} MiB left on the disk" if left else ""
    return Verdict(outcome, ended, trial.count("GetObject"), note)


@contextlib.contextmanager
def _tmpfs(directory: Path, size: int) -> Iterator[None]:
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(directory)]
    subprocess.run(mount, check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", str(directory)], check=True)


ROWS = (
    Row("1", "reset amid a part, twice", "UploadPart", _RIGHT,
        _upload("large", _PART, _on(Match(operation=_PART, times=2), ResetRequest(MiB)))),
    Row("2", "reset amid a GET, twice", "GetObject", _RIGHT,
        _download("large", _on(Match(operation="GetObject", times=2), ResetReply(MiB)))),
    Row("3", "GET ends early with a clean close, twice", "GetObject", _RIGHT,
        _download("large", _on(Match(operation="GetObject", times=2), Truncate(MiB)))),
    Row("4", "GET stalls amid the body, once", "GetObject", _RIGHT,
        _download("large", _on(_GET, Stall("reply", MiB)))),
    Row("6", "503 SlowDown to all requests for 10 s, 20 files up", "all", _RIGHT, _storm),
    Row("7", "500 for ever to one of 20 files", "for that file", _FAILED, _one_of_twenty),
    Row("8", "Complete: 200 with an Error, once", _COMPLETE, _RIGHT,
        _upload("large", _COMPLETE, _on(Match(operation=_COMPLETE), Complete200Error()))),
    Row("9", "Complete: 200 without a body, not done, once", _COMPLETE, _EITHER,
        _upload("large", _COMPLETE, _on(Match(operation=_COMPLETE), Complete200Empty()))),
    Row("10", "Complete done, reply lost", _COMPLETE, _RIGHT,
        _upload("large", _COMPLETE, _on(Match(operation=_COMPLETE), ApplyThenReset()))),
    Row("11", "Complete: 500 for ever", _COMPLETE, _FAILED,
        _upload("large", _COMPLETE, _on(Match(operation=_COMPLETE, times=None), _INTERNAL))),
    Row("12", "kill -9 amid an upload, same command again", "UploadPart, second run", _RIGHT,
        _killed_up),
    Row("13", "kill -9 amid a download, same command again", "GetObject, second run", _RIGHT,
        _killed_down),
    Row("16", "source rewritten and grown during the upload", "UploadPart", _EITHER,
        _changing_source),
    Row("18", "object replaced between two ranges", "GetObject", _EITHER, _replaced),
    Row("20a", "200 and everything to a range, once", "GetObject", _EITHER,
        _download("large", _on(_RANGE, IgnoreRange()))),
    Row("20b", "wrong Content-Range, once", "GetObject", _EITHER,
        _download("large", _on(_RANGE, WrongRange()))),
    Row("21a", "byte flipped in a range, once", "GetObject", _EITHER,
        _download("large", _on(_GET, Flip(1000)))),
    Row("21b", "byte flipped in a small object, once", "GetObject", _EITHER,
        _download("small", _on(_GET, Flip(1000)))),
    Row("22a", "byte flipped in a part going up, once", "UploadPart", _RIGHT,
        _upload("large", _PART, _on(Match(operation=_PART), FlipRequest(1000)))),
    Row("22b", "byte flipped in a small file going up, once", "PutObject", _RIGHT,
        _upload("small", "PutObject", _on(Match(operation="PutObject"), FlipRequest(1000)))),
    Row("23", "server stores plaintext: PUT without echo", "PutObject", _FAILED, _unsealed_up,
        needs_seal=True),
    Row("24", "plain object in place of a sealed one: GET without echo", "GetObject", _FAILED,
        _unsealed_down, needs_seal=True),
    Row("25", "wrong customer key, small object", "GET and HEAD", _FAILED, _wrong_key,
        needs_seal=True),
    Row("28a", "GET and HEAD redirected to another host", "to that host", _FAILED,
        _redirected("small", *_READS, up=False)),
    Row("28b", "PUT redirected to another host", "to that host", _FAILED,
        _redirected("small", "PutObject", up=True)),
    Row("32", "names with .. in a prefix", "GetObject", _FAILED, _climbing_names,
        needs_tree=True),
    Row("33", "symbolic link in place of a directory of the target", "GetObject", _FAILED,
        _linked_directory, needs_tree=True),
    Row("36", "disk full amid a download", "GetObject", _FAILED, _full_disk, needs_root=True),
)  # fmt: skip

"""Rows that take more than one fault and a look at one file."""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.faults import Delay, FaultServer, Match, Redirect, Request, Stall, Status

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

READS = ("GetObject", "HeadObject")
_KEY_HEADER = "x-amz-server-side-encryption-customer-key"
_STORM_SECONDS = 10.0
_SLOW_SECONDS = 6.0
_PART = "UploadPart"


def storm(trial: Trial) -> Verdict:
    names = _twenty(trial)
    began: list[float] = []

    def rages(_: Request) -> bool:
        began.append(time.monotonic())
        return began[-1] - began[0] < _STORM_SECONDS

    slow_down = Status(503, "SlowDown", "Please reduce your request rate.")
    trial.server.script(Match(where=rages, times=None), slow_down)
    ended = trial.up()
    return Verdict(_of_twenty(trial, ended, names), ended, len(trial.server.requests))


def one_of_twenty(trial: Trial) -> Verdict:
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


def killed_up(trial: Trial) -> Verdict:
    trial.give("big")
    alive = [True]
    kill = Kill(lambda: _part_count(trial) >= 4, settle=2.0)
    match = Match(operation=_PART, after=4, times=None, where=lambda _: alive[0])
    trial.server.script(match, (Act(kill.now.set), Stall("request")))
    trial.up(kill)
    alive[0] = False
    before = len(trial.server.requests)
    ended = trial.up()
    again = trial.count(_PART, since=before)
    outcome = trial.of_upload(ended, "big")
    left = len(trial.server.uploads)
    note = f"sent {again} of 9, 4 were there"
    return Verdict(outcome, ended, again, note + (f", {left} left open" if left else ""))


def _part_count(trial: Trial) -> int:
    return sum(len(upload.parts) for upload in list(trial.server.uploads.values()))


def killed_down(trial: Trial) -> Verdict:
    """Four ranges come at once, two 6 s later: long enough for a client that takes notes."""
    trial.keep("big")
    alive = [True]
    kill = Kill(lambda: trial.count("GetObject") >= 6, settle=_SLOW_SECONDS + 1.0)
    match = Match(operation="GetObject", after=4, times=2, where=lambda _: alive[0])
    trial.server.script(match, (Act(kill.now.set), Delay(_SLOW_SECONDS)))
    match = Match(operation="GetObject", times=None, where=lambda _: alive[0] and kill.now.is_set())
    trial.server.script(match, Stall("before_head"))
    trial.down(kill)
    alive[0] = False
    before, partial = len(trial.server.requests), trial.file("big")
    ended = trial.down()
    asked = [
        request for request in trial.server.requests[before:] if request.operation == "GetObject"
    ]
    fetched = sum(size_asked(request, len(BIG)) for request in asked)
    outcome = trial.of_download(ended, "big", BIG)
    if outcome is Outcome.RIGHT and partial is not None:
        outcome = Outcome.PARTIAL
    elif outcome is Outcome.RIGHT and fetched >= len(BIG):
        outcome = Outcome.AGAIN
    left = [name for name in below(trial.target) if name != "big"]
    note = f"fetched {fetched / len(BIG):.0%} of it"
    return Verdict(
        outcome, ended, len(asked), note + (f", {len(left)} other file left" if left else "")
    )


def changing_source(trial: Trial) -> Verdict:
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


def replaced(trial: Trial) -> Verdict:
    trial.keep("large")

    def put_other() -> None:
        trial.server.objects[BUCKET, PREFIX + "large"] = trial.stored["large2"]

    trial.server.script(Match(operation="GetObject", after=1), Act(put_other))
    ended = trial.down()
    outcome = trial.of_download(ended, "large", LARGE, CONTENTS["large2"])
    return Verdict(outcome, ended, trial.count("GetObject"))


def unsealed_up(trial: Trial) -> Verdict:
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


def unsealed_down(trial: Trial) -> Verdict:
    """Somebody has put a plain object there, and the server says nothing of it."""
    trial.server.store(PREFIX + "small", SMALL[::-1])
    trial.server.script(Match(times=None), IgnoreKey())
    ended = trial.down()
    outcome = trial.of_download(ended, "small", SMALL[::-1])
    if outcome in (Outcome.RIGHT, Outcome.FALSE_FAILURE):
        outcome = Outcome.UNSEALED
    return Verdict(outcome, ended, trial.count("GetObject"))


def wrong_key(trial: Trial) -> Verdict:
    trial.keep("small")
    ended = with_wrong_key(trial).down()
    outcome, requests = trial.of_download(ended, "small", SMALL), trial.count(*READS)
    if outcome is Outcome.FAILED and requests > 2:
        outcome = Outcome.TOO_MANY
    return Verdict(outcome, ended, requests)


def redirected(name: str, *operations: str, up: bool) -> Callable[[Trial], Verdict]:
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
        if any(_KEY_HEADER in request.headers for request in sent):
            outcome = Outcome.LEAKED
        elif sent:
            outcome = Outcome.ASKED if ended.status else Outcome.STRAYED
        is_signed = any("authorization" in request.headers for request in sent)
        return Verdict(outcome, ended, len(sent), "with a signature" if is_signed else "")

    return run


def climbing_names(trial: Trial) -> Verdict:
    good = {"ok", "a..b"}
    for name in (*good, "../out1", "d/../../out2", "d/../../../../out3", "d//abs"):
        trial.server.store(PREFIX + name, name.encode() * 100, customer_key=trial.sealing_key)
    ended = trial.down()
    outside = below(trial.directory, (trial.target, trial.directory / "state", trial.source))
    outside = [name for name in outside if Path(name).name.startswith("out")]
    there = good <= set(below(trial.target))
    if outside:
        note = f"{len(outside)} of 3"
        return Verdict(Outcome.OUTSIDE, ended, trial.count("GetObject"), note)
    if ended.hung:
        outcome = Outcome.HUNG
    elif ended.status:
        outcome = Outcome.FAILED
    else:
        outcome = Outcome.SILENT
    return Verdict(
        outcome, ended, trial.count("GetObject"), "" if there else "good names not there"
    )


def linked_directory(trial: Trial) -> Verdict:
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


def full_disk(trial: Trial) -> Verdict:
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

"""The commands that deal with unfinished runs: `jobs`, `resume`, `clean`."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime

from sealift.cleaning import clean_run
from sealift.cli.exits import EXIT_FAILED, EXIT_USAGE
from sealift.cli.wording import command_line
from sealift.console.text import count, escape, size
from sealift.engine import Engine
from sealift.errors import ObjectError, UsageError
from sealift.journal import DeadRun, dead_runs, live_upload_ids
from sealift.pair_lock import PairLock


def print_jobs(*, as_json: bool) -> None:
    """Print a line for each run that did not come to its end, the newest last."""
    with _dead_runs() as found:
        for dead in _by_age(found):
            run = dead.run
            print(_as_json(dead) if as_json else _as_line(dead))
            if not as_json and not run.words:
                print("    begun by a program: only that can go on with it")


def run_resume(token: str | None) -> int:
    """Run the commands of unfinished runs again, each in its directory; the highest exit code.

    With `token` only the one that begins with it. A command that was begun twice runs once.
    """
    lock = PairLock(("resume",), command_line(["resume"]), other="another sealift resume")
    with suppress(OSError):  # where there are no locks each command finds that out by itself
        lock.take()
    try:
        return _resume(token)
    finally:
        lock.release()


def _resume(token: str | None) -> int:
    with _dead_runs() as found:
        chosen = _chosen(found, token)
    named = ((tuple(dead.run.words), dead.run.directory) for dead in chosen if dead.run.words)
    runs = dict.fromkeys(named)
    if not runs:
        raise UsageError("there is nothing to go on with", hint="sealift jobs lists what there is")
    worst = 0
    for words, directory in runs:
        if not os.path.isdir(directory):
            gone = f"sealift: the directory {directory} is not there any more"
            print(escape(gone), file=sys.stderr)
            worst = max(worst, EXIT_USAGE)
            continue
        print(f"sealift {escape(shlex.join(words))}", file=sys.stderr)
        # -P: what lies in that directory is data, and no module of ours.
        command = [sys.executable, "-P", "-m", "sealift", *words]
        worst = max(worst, _status_of(command, directory))
    return worst


def _status_of(command: Sequence[str], directory: str) -> int:
    """The exit status of a command, EXIT_FAILED if it was killed. It outlives no interrupt."""
    process = subprocess.Popen(command, cwd=directory)  # noqa: S603
    try:
        status = process.wait()
    except KeyboardInterrupt:
        process.terminate()  # if it has not had the signal as well; time to clean up is its own
        process.wait()
        raise
    if status < 0:
        print(f"sealift: it was killed by signal {-status}", file=sys.stderr)
        return EXIT_FAILED
    return status


async def clean(engine: Engine, token: str | None, older_than: float, *, as_json: bool) -> None:
    """Undo unfinished runs that began `older_than` seconds ago; raises ObjectError at the end."""
    failed = 0
    with _dead_runs() as found:
        alive = live_upload_ids(None, found)
        for dead in _chosen(found, token):
            if time.time() - dead.run.started_at < older_than:
                continue
            async for done in clean_run(dead, engine.bucket_client, engine.retrier, alive):
                failed += done.error is not None
                text = f"{done.text}: {done.error}" if done.error else done.text
                if as_json:
                    line = {"run": dead.run.token, "failed": done.error is not None, "text": text}
                    print(json.dumps(line))
                else:
                    print(escape(text), file=sys.stderr if done.error else sys.stdout)
    if failed:
        raise ObjectError(f"{failed} things could not be undone", hint="run it again later")


@contextmanager
def _dead_runs() -> Iterator[list[DeadRun]]:
    """All dead runs, locked for the block; damage is told on stderr."""
    damaged: list[str] = []
    with dead_runs(None, damaged) as found:
        for text in damaged:
            print(f"sealift: {escape(text)}", file=sys.stderr)
        yield found


def _chosen(found: Sequence[DeadRun], token: str | None) -> list[DeadRun]:
    chosen = [dead for dead in _by_age(found) if dead.run.token.startswith(token or "")]
    if token is not None and not chosen:
        raise UsageError(f"there is no unfinished run {token}", hint="sealift jobs lists them")
    return chosen


def _by_age(found: Sequence[DeadRun]) -> list[DeadRun]:
    return sorted(found, key=lambda dead: dead.run.started_at)


def _as_line(dead: DeadRun) -> str:
    run = dead.run
    began = datetime.fromtimestamp(run.started_at).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    command = shlex.join(run.words) or run.scope
    return f"{run.token[:8]}  {began}  {_open_work(dead)}\n    {escape(command)}"


def _open_work(dead: DeadRun) -> str:
    sent = sum(part.size for upload in dead.uploads for part in upload.parts)
    fetched = sum(done.size for download in dead.downloads for done in download.ranges)
    work = []
    if dead.uploads:
        total = sum(upload.size for upload in dead.uploads)
        work.append(f"{count(len(dead.uploads), 'upload')}, {size(sent)} of {size(total)}")
    if dead.downloads:
        total = sum(download.size for download in dead.downloads)
        work.append(f"{count(len(dead.downloads), 'download')}, {size(fetched)} of {size(total)}")
    return "; ".join(work) or "no large object under way"


def _as_json(dead: DeadRun) -> str:
    run = dead.run
    return json.dumps(
        {
            "run": run.token,
            "started_at": run.started_at,
            "words": list(run.words),
            "directory": run.directory,
            "bucket": run.scope,
            "root": run.root,
            "uploads": [
                {
                    "name": upload.name,
                    "path": upload.path,
                    "size": upload.size,
                    "sent": sum(part.size for part in upload.parts),
                    "upload_id": upload.upload_id,
                    "key_id": upload.key_id,
                }
                for upload in dead.uploads
            ],
            "downloads": [
                {
                    "name": download.name,
                    "path": os.path.join(download.root, download.path),
                    "size": download.size,
                    "fetched": sum(done.size for done in download.ranges),
                    "key_id": download.key_id,
                }
                for download in dead.downloads
            ],
        }
    )

"""`sealift doctor`: each finding is a line, as soon as it is there."""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NoReturn

from sealift.cli.engine_options import make_options
from sealift.cli.exits import EXIT_FAILED
from sealift.cli.removing import can_ask
from sealift.cli.running import fail, printing, run_loop, usage_checked
from sealift.cli.shared import Shared
from sealift.console.text import count, escape
from sealift.doctor import (
    Finding,
    Machine,
    Status,
    allow_customer_keys,
    examine,
    read_encryption,
)
from sealift.errors import CustomerKeyError, SealiftError, UsageError
from sealift.events import Silent
from sealift.files.disk import Disk
from sealift.keyring import Keyring
from sealift.model import Location
from sealift.session import Session

if TYPE_CHECKING:
    from rich.console import Console

    from sealift.control.rules import Encryption
    from sealift.options import Options

_WIDTHS = (max(map(len, Status)) + 1, len("content-md5") + 2)
_STYLES = {
    Status.OK: "green",
    Status.WARNING: "yellow",
    Status.FAILURE: "bold red",
    Status.SKIPPED: "dim",
}


@dataclass
class _Printer:
    """Prints findings on stdout and counts them."""

    as_json: bool
    quiet: bool

    def __post_init__(self) -> None:
        self.counts: Counter[Status] = Counter()
        self._screen = None if self.as_json or not sys.stdout.isatty() else _screen()

    def hear(self, name: str, finding: Finding) -> None:
        self.counts[finding.status] += 1
        if self.quiet and finding.status is not Status.FAILURE:
            return
        if self.as_json:
            print(_as_json(name, finding), flush=True)
        elif self._screen is not None:
            _draw(self._screen, name, finding)
        else:
            print(_as_text(name, finding), flush=True)

    def close(self) -> None:
        """Print how many of each there were."""
        if self.as_json:
            print(json.dumps({"event": "summary"} | {each: self.counts[each] for each in Status}))
        elif not self.quiet:
            print(
                f"{self.counts[Status.OK]} ok, {count(self.counts[Status.WARNING], 'warning')}, "
                f"{count(self.counts[Status.FAILURE], 'failure')}, "
                f"{self.counts[Status.SKIPPED]} skipped"
            )


def _as_json(name: str, finding: Finding) -> str:
    return json.dumps(
        {
            "event": "finding",
            "check": name,
            "status": finding.status,
            "text": finding.text,
            "advice": finding.advice,
        }
    )


def _as_text(name: str, finding: Finding) -> str:
    status, label = _WIDTHS
    line = f"{finding.status:<{status}} {name:<{label}} {escape(finding.text)}"
    return f"{line}; {escape(finding.advice)}" if finding.advice else line


def _screen() -> Console:
    from rich.console import Console  # here: no other output needs it

    return Console(highlight=False)


def _draw(screen: Console, name: str, finding: Finding) -> None:
    from rich.table import Table
    from rich.text import Text

    grid = Table.grid(padding=(0, 1, 0, 0))
    for width in _WIDTHS:
        grid.add_column(width=width, no_wrap=True)
    grid.add_column(overflow="fold", ratio=1)
    text = Text(escape(finding.text))
    grid.add_row(Text(finding.status, style=_STYLES[finding.status]), Text(name), text)
    if finding.advice:
        grid.add_row("", "", Text(f"→ {escape(finding.advice)}", style="bold"))
    screen.print(grid)


def run_doctor(
    shared: Shared, uri: str | None, target: str | None, allow_sse_c: bool, yes: bool
) -> NoReturn:
    """Look at everything and exit: 0 also with warnings, 1 with failures."""
    broken: list[CustomerKeyError] = []
    with usage_checked(shared, broken) as settings:
        name = uri or (settings.bucket_name and f"s3://{settings.bucket_name}")
        place = Location.parse(name) if name else None
        if yes and not allow_sse_c:
            raise UsageError("--yes answers the question of --allow-sse-c", hint="leave it out")
        options = make_options(shared, settings, sealed=False)
        if allow_sse_c:
            if place is None:
                settings.require_bucket()
                raise AssertionError
            if not (yes or can_ask()):
                raise UsageError(
                    f"s3://{place.bucket} would be changed, and there is no terminal to ask at",
                    hint="add --yes; nothing was touched",
                )
    printer = _Printer(shared.json, shared.quiet)
    try:
        with printing():
            if allow_sse_c and place is not None:
                _allow(options, place.bucket, printer, yes=yes)
            else:
                keyring, problems = settings.keys.survey()
                customer_key = keyring.default
                options = replace(options, customer_key=customer_key, keyring=keyring)
                machine = Machine(
                    customer_key.key_id if customer_key else None,
                    tuple(held.key.key_id for held in keyring),
                    (*broken, *problems),
                    _key_paths(shared, keyring),
                    target or ("tmp" if os.path.isdir("tmp") else "."),
                    Disk(),
                )
                try:
                    run_loop(lambda: examine(options, place, machine, printer.hear))
                finally:
                    machine.disk.close()
                printer.close()
    except SealiftError as error:
        fail(error)
    raise SystemExit(EXIT_FAILED if printer.counts[Status.FAILURE] else 0)


def _key_paths(shared: Shared, keyring: Keyring) -> tuple[str, ...]:
    """The files that hold the customer keys at hand."""
    env_file = shared.env_file or ".env"
    named = {place for held in keyring for place in held.source.split(", ")}
    paths = [place for place in named if os.path.isfile(place)]
    if any(place.endswith(f" in {env_file}") for place in named):
        paths.append(env_file)
    return tuple(sorted(paths))


def _allow(options: Options, bucket: str, printer: _Printer, *, yes: bool) -> None:
    seen: list[Encryption] = []

    async def look(session: Session) -> None:
        seen.append(await read_encryption(session, bucket))

    async def change(session: Session) -> None:
        printer.hear("sse-c", await allow_customer_keys(session, bucket, seen[0]))

    _with_session(options, look)
    (encryption,) = seen
    if not encryption.rules or (
        encryption.blocked is not None and not encryption.blocks_customer_keys
    ):
        text = f"s3://{bucket} takes objects under customer keys; nothing was changed"
        printer.hear("sse-c", Finding(Status.OK, text))
        return
    kept = str(encryption.allowing_customer_keys())
    question = f"Let s3://{bucket} take objects under customer keys (SSE-C)? Its default encryption"
    if not yes and not _says_yes(f"{question} stays {kept}. [y/N] "):
        raise UsageError("nothing was changed")
    _with_session(options, change)


def _with_session(options: Options, work: Callable[[Session], object]) -> None:
    async def run() -> None:
        async with Session(options, Silent()) as session:
            await work(session)  # type: ignore[misc]

    run_loop(run)


def _says_yes(question: str) -> bool:
    print(escape(question), end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")

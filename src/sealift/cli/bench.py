"""`sealift bench`: measures an endpoint and recommends settings.

Without a URI and a bucket it measures MiniStack, an S3 server that it starts on this machine.
Nothing that it stores outlives the run. Objects are sealed with the customer key; where there is
none, and on the embedded server, with one made for the run that only this process's memory holds.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import urlsplit

from sealift import __version__
from sealift.bench.advice import advise
from sealift.bench.advice import record as advice_record
from sealift.bench.cells import Cell, Plan
from sealift.bench.changes import NOTE, Change, changes, differences
from sealift.bench.results import Result, Run, Setting, read_run, setting_record
from sealift.bench.saving import save_transfer
from sealift.bench.sweep import sweep
from sealift.bench.words import advice_lines, change_line
from sealift.cli.bench_display import Display, open_display
from sealift.cli.demo import make_bucket, options_for
from sealift.cli.engine_options import make_options, seals
from sealift.cli.exits import EXIT_FAILED
from sealift.cli.measuring import Measuring
from sealift.cli.running import collect_seldom, fail, printing, run_loop, usage_checked
from sealift.cli.shared import Shared
from sealift.config import FILE_NAME, Transfer
from sealift.console.text import escape
from sealift.embedded import ministack
from sealift.errors import SealiftError, UsageError
from sealift.files.whole import check_writable, write_whole
from sealift.keys import CustomerKey
from sealift.model import Location
from sealift.options import Options
from sealift.settings import Settings

BUCKET = "sealift-bench"
_INTERRUPTED = "what it had stored was removed"


def run_bench(shared: Shared, uri: str | None, measuring: Measuring) -> NoReturn:
    """Measure and exit: 0 when everything moved, 1 when requests failed for good."""
    with usage_checked(shared) as settings:
        root = _root(uri, settings)
        plan = measuring.plan(shared, embedded=root is None)
        old = None if measuring.compare is None else _read(measuring.compare)
        config_path = shared.config or settings.keys.config.source
        saved = (config_path or FILE_NAME) if measuring.save else None
        for path in (measuring.report, measuring.save_json, saved):
            if path is not None:
                check_writable(path)
        if measuring.report is not None:
            from sealift.pages.drawing import check_library

            check_library()
    display = open_display(
        as_json=shared.json, quiet=shared.quiet, progress=not shared.no_progress, plan=plan
    )
    try:
        with printing(), _place(shared, settings, root, display) as (options, where):
            bench = _Bench(plan, options, where, embedded=root is None, display=display)
            with display:
                run_loop(bench.run, hint=_INTERRUPTED)
            bench.conclude(measuring, old, config_path)
    except SealiftError as error:
        fail(error)
    raise SystemExit(EXIT_FAILED if any(each.failed_count for each in bench.results) else 0)


class _Bench:
    """One run, from the first request to the last file written."""

    def __init__(
        self, plan: Plan, options: Options, root: Location, *, embedded: bool, display: Display
    ) -> None:
        self.results: list[Result] = []
        self._plan = plan
        self._options = options
        self._root = root
        self._embedded = embedded
        self._display = display
        self._setting: Setting | None = None

    async def run(self) -> None:
        """Measure all cells."""
        collect_seldom()
        self.results = await sweep(
            self._options, self._root, self._plan, self, is_lasting=not self._embedded
        )

    # What `sweep` tells

    def reached(self, scope: str) -> None:
        key = self._options.customer_key
        self._setting = Setting(
            sealift=__version__,
            endpoint=urlsplit(scope).netloc,
            bucket=self._root.bucket,
            embedded=self._embedded,
            key_id=None if key is None else key.key_id,
            date=datetime.now(UTC).isoformat(timespec="seconds"),
            python=platform.python_version(),
            system=f"{platform.system()} {platform.machine()}",
            cpu_count=os.cpu_count() or 1,
            memory=self._options.memory,
            seconds=self._plan.seconds,
            cell_count=len(self._plan.cells()),
        )
        self._display.record(setting_record(self._setting))

    def begin(self, cell: Cell) -> None:
        self._display.begin(cell)

    def end(self, result: Result) -> None:
        self._display.end(result)

    def note(self, text: str) -> None:
        self._display.note(text)

    # At the end

    def conclude(self, measuring: Measuring, old: Run | None, config_path: str | None) -> None:
        """Recommend, compare, and write what was asked for; settings to `config_path`.

        Raises UsageError.
        """
        display, setting = self._display, self._setting
        assert setting is not None
        advice = advise(self.results)
        if advice is not None:
            display.record(advice_record(advice))
        display.say(advice_lines(advice))
        found: list[Change] = []
        if old is not None:
            found = changes(old, self.results)
            for each in found:
                display.record(_change_record(each))
            display.say(_comparison(old, setting, found, measuring.compare or ""))
        if measuring.save_json is not None:
            lines = [json.dumps(record) + "\n" for record in display.records]
            write_whole(measuring.save_json, "".join(lines))
        if measuring.save and advice is not None:
            if advice.is_guess:
                display.say(["a guess is not saved"])
            else:
                path = save_transfer(Transfer(advice.concurrency, advice.part_size), config_path)
                display.say([f"saved to {path}"])
        if measuring.report is not None:
            from sealift.bench.page import page

            write_whole(measuring.report, page(setting, self.results, advice, found))
            display.say([f"report: {measuring.report}"])


def _root(uri: str | None, settings: Settings) -> Location | None:
    """Where objects are stored; None: on the embedded server."""
    if uri is None:
        return None if settings.bucket_name is None else Location(settings.bucket_name)
    found = Location.parse(uri)
    if found.name and not found.name.endswith("/"):
        found = found.child("/")
    return found


@contextmanager
def _place(
    shared: Shared, settings: Settings, root: Location | None, display: Display
) -> Iterator[tuple[Options, Location]]:
    """The options by which the endpoint is reached, and where; started here if there is none."""
    if root is not None:
        options = make_options(shared, settings, sealed=False)
        if not seals(shared):
            yield options, root
            return
        customer_key = settings.customer_key
        if customer_key is None and len(settings.keyring):
            customer_key = settings.require_customer_key()  # says which one to name
        if customer_key is None:
            customer_key = CustomerKey.generate()
            display.note("there is no customer key: one made for this run seals the objects")
        yield replace(options, customer_key=customer_key), root
        return
    directory = Path(tempfile.mkdtemp(prefix="sealift-bench-"))
    try:
        display.note("no bucket is named: measuring MiniStack, started on this machine with TLS")
        with ministack(directory / "server") as server:
            limits = make_options(shared, settings, sealed=False)
            options = replace(
                options_for(server, CustomerKey.generate(), directory),
                memory=limits.memory,
                max_bandwidth=limits.max_bandwidth,
            )
            make_bucket(options, BUCKET)
            yield options, Location(BUCKET)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _comparison(old: Run, setting: Setting, found: list[Change], path: str) -> list[str]:
    lines = [escape(f"compared with {path} of {old.setting.date}:")]
    lines += [f"  differs: {escape(text)}" for text in differences(old.setting, setting)]
    lines += [f"  {change_line(each)}" for each in found]
    return [*lines, f"  {NOTE}"] if found else [*lines, "  the two runs have no cell in common"]


def _change_record(change: Change) -> dict[str, Any]:
    cell = change.cell
    return {
        "event": "change",
        "way": cell.way.value,
        "size": cell.size,
        "part_size": cell.part_size,
        "concurrency": cell.concurrency,
        "before": change.before,
        "after": change.after,
        "rate": round(change.rate, 4),
        "noise": round(change.noise, 4),
        "counts": change.counts,
        "request": change.request and round(change.request, 4),
        "first_byte": change.first_byte and round(change.first_byte, 4),
    }


def _read(path: str) -> Run:
    try:
        with open(path, encoding="utf-8") as file:
            return read_run(file, path)
    except OSError as reason:
        raise UsageError(f"cannot read {path}: {reason.strerror}", hint="check --compare") from None
    except UnicodeDecodeError:
        raise UsageError(f"{path} is no text", hint="check --compare") from None

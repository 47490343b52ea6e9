"""Runs one command of the engine: settings, console, signals, exit code.

Exit codes: 0 all done, or one of `exits`.
"""

from __future__ import annotations

import asyncio
import gc
import importlib.util
import logging
import os
import sys
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any, NoReturn, TypeVar

import anyio

from sealift.cli import signals
from sealift.cli.current import current
from sealift.cli.engine_options import make_options
from sealift.cli.exits import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_USAGE
from sealift.cli.shared import Shared
from sealift.console import open_console
from sealift.console.log import LogReporter
from sealift.console.screen import drop_stdout
from sealift.console.text import escape
from sealift.console.would import WouldPrinter
from sealift.engine import Engine
from sealift.errors import (
    CustomerKeyError,
    Interrupted,
    LocalFileError,
    ObjectError,
    SealiftError,
    UsageError,
)
from sealift.events import Fanout, Reporter
from sealift.key_sources.files import is_key_name, without_keys
from sealift.keyring import Keyring
from sealift.options import Options, SourceOptions
from sealift.settings import Settings, read_settings

GO_ON = "run the same command again to go on"

T = TypeVar("T")
Command = Callable[[Engine], Awaitable[object]]


@contextmanager
def usage_checked(
    shared: Shared, broken: list[CustomerKeyError] | None = None
) -> Iterator[Settings]:
    """The settings, for a block that checks arguments: what is wrong ends the process with 2.

    What is wrong with the `--key-file` goes to `broken` instead, where that is given.
    """
    try:
        if shared.log_level is not None:
            _configure_logging(shared.log_level)
        settings = _read(shared, broken)
        account = current()
        for note in settings.notes:
            if account is not None:
                account.say(note, logging.WARNING)
            if not shared.quiet:
                print(f"sealift: {escape(note)}", file=sys.stderr)
        for name in list(filter(is_key_name, os.environ)):  # a credential_process would inherit it
            del os.environ[name]
        for name, value in settings.aws.items():
            os.environ.setdefault(name, value)
        yield settings
    except UsageError as error:
        fail(error)


def _read(shared: Shared, broken: list[CustomerKeyError] | None) -> Settings:
    read = partial(
        read_settings,
        shared.env_file,
        environ=os.environ,
        key_directory=shared.key_dir,
        key_command=shared.key_command,
        config=shared.config,
    )
    try:
        return read(key_file=shared.key_file)
    except CustomerKeyError as error:
        if broken is None:
            raise
        broken.append(error)
        return read(key_file=None)


def execute(
    shared: Shared,
    settings: Settings,
    command: Command,
    *,
    heading: str,
    answer: Sequence[str] = (),
    answers_failure: bool = False,
    dry_run: bool = False,
    sealed: bool = True,
    source: SourceOptions | None = None,
    allow_unsealed: bool = False,
    writes: bool = True,
    tag_key_id: bool = False,
    keyring: Keyring | None = None,
) -> NoReturn:
    """Run a transfer under a console; print the `answer` lines that it left; exit.

    Where objects failed the answer is printed only if it `answers_failure`. What `writes` to S3
    needs a default key, if it is `sealed`; what only reads, any. With `keyring` these keys are at
    hand, whatever is `sealed`. A dry run prints what would happen on stdout, and has no bars.
    """
    try:
        options = make_options(
            shared,
            settings,
            sealed=sealed,
            source=source,
            allow_unsealed=allow_unsealed,
            writes=writes,
            tag_key_id=tag_key_id,
            keyring=keyring,
        )
        key_id = options.customer_key.key_id if options.customer_key else None
        with open_console(
            quiet=shared.quiet,
            json=shared.json,
            progress=not (shared.no_progress or dry_run),
            heading=heading,
            key_id=key_id,
        ) as console:
            account = current()
            reporters: list[Reporter] = [console]
            if account is not None:
                account.watch(console.tally, heading, key_id)
            if shared.log_level or (account is not None and account.is_logging):
                reporters.append(LogReporter())
            if dry_run and not shared.json:
                reporters.append(WouldPrinter())
            reporter = console if len(reporters) == 1 else Fanout(reporters)
            run_engine(options, reporter, command)
    except SealiftError as error:
        fail(error)
    failed = console.tally.failed_count > 0
    if not shared.json and (answers_failure or not failed):
        with printing():
            for line in answer:
                print(escape(line))
    raise SystemExit(EXIT_FAILED if failed else 0)


def answer_of(
    shared: Shared,
    settings: Settings,
    command: Callable[[Engine], Awaitable[T]],
    *,
    sealed: bool = True,
) -> T:
    """Run a command that finds something out, and return it; what goes wrong ends the process."""
    answers: list[T] = []

    async def keep(engine: Engine) -> None:
        answers.append(await command(engine))

    try:
        run_engine(make_options(shared, settings, sealed=sealed), None, keep)
    except SealiftError as error:
        fail(error)
    return answers[0]


def execute_quietly(
    shared: Shared,
    settings: Settings,
    command: Command,
    *,
    sealed: bool = True,
    allow_unsealed: bool = False,
    writes: bool = True,
) -> NoReturn:
    """Run a command that prints its own answer; exit."""
    try:
        options = make_options(
            shared, settings, sealed=sealed, allow_unsealed=allow_unsealed, writes=writes
        )
        with printing():
            run_engine(options, None, command)
    except SealiftError as error:
        fail(error)
    raise SystemExit(0)


@contextmanager
def printing() -> Iterator[None]:
    """A block that prints to stdout: say so when that takes no more, as on a full disk."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:  # the reader has seen enough
        raise
    except OSError as reason:
        drop_stdout()
        fail(LocalFileError("write to", "stdout", reason))


def fail(error: SealiftError) -> NoReturn:
    """Say what is wrong on stderr, and exit with the code of this kind of error."""
    interrupted = isinstance(error, Interrupted)
    with suppress(OSError):  # the terminal may be gone
        print(shown(error) if interrupted else f"sealift: {shown(error)}", file=sys.stderr)
    if interrupted:
        raise SystemExit(EXIT_INTERRUPTED)
    raise SystemExit(EXIT_FAILED if isinstance(error, ObjectError) else EXIT_USAGE)


def shown(error: SealiftError) -> str:
    """The text of an error, fit for a terminal; a key that was typed by mistake is not repeated."""
    return escape(without_keys(str(error)))


def run_engine(options: Options, reporter: Reporter | None, command: Command) -> None:
    """Run `command` on an engine, on uvloop where it exists. Raises SealiftError."""

    async def work() -> None:
        async with Engine(options, reporter) as engine:
            collect_seldom()
            await command(engine)

    run_loop(work)


def collect_seldom() -> None:
    """Turn the garbage collection on again that `main` has turned off, now that all is loaded."""
    gc.freeze()  # what was imported, perhaps botocore, stays
    # Transfers leave no cycles behind: looking every 700 objects is 5 % of a small one.
    gc.set_threshold(50_000)
    gc.enable()


def run_loop(work: Callable[[], Awaitable[None]], *, hint: str = GO_ON) -> None:
    """Run `work` on a loop of its own; `hint` is for who interrupts it. Raises SealiftError."""
    use_uvloop = importlib.util.find_spec("uvloop") is not None
    options = {"use_uvloop": use_uvloop}
    with signals.kept():
        anyio.run(_interruptible, work, hint, backend="asyncio", backend_options=options)


async def _interruptible(work: Callable[[], Awaitable[None]], hint: str) -> None:
    """Run `work`; the first signal to stop cancels it cleanly, the second ends the process."""
    asyncio.get_running_loop().set_exception_handler(_log_loop_error)
    interrupted = False
    failure: BaseException | None = None

    async def watch(scope: anyio.CancelScope) -> None:
        nonlocal interrupted
        with anyio.open_signal_receiver(*signals.stopping()) as received:
            async for _ in received:
                if interrupted:
                    end_at_once()
                interrupted = True
                scope.cancel()

    async with anyio.create_task_group() as group:
        with anyio.CancelScope() as scope:
            group.start_soon(watch, scope)
            try:
                await work()
            except Exception as error:  # noqa: BLE001 - raised below, out of the task group
                failure = error
        group.cancel_scope.cancel()
    if interrupted:
        raise Interrupted("interrupted", hint=hint)
    if failure is not None:
        raise failure


def end_at_once() -> NoReturn:
    """End the process amid its work: a second signal, or nobody who waits for the first to do."""
    account = current()
    if account is not None:
        account.close(EXIT_INTERRUPTED)
    os._exit(EXIT_INTERRUPTED)


def _log_loop_error(
    loop: asyncio.AbstractEventLoop,  # noqa: ARG001
    context: dict[str, Any],
) -> None:
    """Keep what goes wrong in a connection's callbacks off the screen.

    The exchange fails by itself and is made again. One such error is uvloop's own: when the server
    closes while reading is paused, its TLS writes to the closed socket.
    """
    logging.getLogger("sealift").debug("%s: %r", context["message"], context.get("exception"))


def _configure_logging(level: str) -> None:
    """Log to stderr, unless there is a log file."""
    number = logging.getLevelNamesMapping().get(level.upper())
    if number is None:
        raise UsageError(
            f"{level!r} is no log level", hint="give debug, info, warning, error or critical"
        )
    account = current()
    if account is None or not account.is_logging:
        logging.basicConfig(
            level=number, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s %(message)s"
        )

"""Runs one command of the engine: settings, console, signals, exit code.

Exit codes: 0 all done; 1 some objects failed, each named; 2 wrong usage, settings or key, nothing
started; 130 interrupted.
"""

from __future__ import annotations

import asyncio
import gc
import importlib.util
import logging
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, NoReturn, TypeVar

import anyio

from sealift.cli.quick import aim
from sealift.cli.shared import SAME_SIDE, Shared, SourceSide
from sealift.config import Transfer
from sealift.console import open_console
from sealift.console.log import LogReporter
from sealift.console.screen import drop_stdout
from sealift.console.text import escape
from sealift.console.would import WouldPrinter
from sealift.encryption import CUSTOMER, parse_sse
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
from sealift.key_sources.files import is_key_name, read_key_file, without_keys
from sealift.keyring import Keyring
from sealift.model import DEFAULT_PART_SIZE, parse_size
from sealift.options import DEFAULT_MEMORY, Options, SourceOptions
from sealift.settings import Settings, read_settings

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130

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
        if not shared.quiet:
            for note in settings.notes:
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
        with open_console(
            quiet=shared.quiet,
            json=shared.json,
            progress=not (shared.no_progress or dry_run),
            heading=heading,
            key_id=options.customer_key.key_id if options.customer_key else None,
        ) as console:
            reporters: list[Reporter] = [console]
            if shared.log_level:
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
    if isinstance(error, Interrupted):
        print(shown(error), file=sys.stderr)
        raise SystemExit(EXIT_INTERRUPTED)
    print(f"sealift: {shown(error)}", file=sys.stderr)
    raise SystemExit(EXIT_FAILED if isinstance(error, ObjectError) else EXIT_USAGE)


def shown(error: SealiftError) -> str:
    """The text of an error, fit for a terminal; a key that was typed by mistake is not repeated."""
    return escape(without_keys(str(error)))


def make_options(
    shared: Shared,
    settings: Settings,
    *,
    sealed: bool,
    source: SourceOptions | None = None,
    allow_unsealed: bool = False,
    writes: bool = True,
    tag_key_id: bool = False,
    keyring: Keyring | None = None,
) -> Options:
    """The engine's options from flags and settings. Raises UsageError."""
    # Commands that need no key transfer nothing: sealift.toml need not be read for them.
    transfer = settings.keys.config.transfer if sealed else Transfer()
    encryption = None
    if not seals(shared):
        encryption, sealed = parse_sse(shared.sse or ""), False
    if tag_key_id and not sealed:
        raise UsageError("--tag-key-id is for objects under a customer key", hint="leave it out")
    any_key = sealed and not writes and len(settings.keyring)
    part_size = parse_size(shared.part_size) if shared.part_size else transfer.part_size
    return Options(
        customer_key=(settings.customer_key if any_key else settings.require_customer_key())
        if sealed
        else None,
        profile=shared.profile or settings.profile,
        region=shared.region,
        endpoint_url=shared.endpoint_url,
        ca_bundle=shared.ca_bundle,
        concurrency=transfer.concurrency if shared.concurrency is None else shared.concurrency,
        part_size=DEFAULT_PART_SIZE if part_size is None else part_size,
        memory=parse_size(shared.memory) if shared.memory else DEFAULT_MEMORY,
        max_bandwidth=parse_size(shared.max_bandwidth) if shared.max_bandwidth else None,
        source=source,
        allow_unsealed=allow_unsealed,
        keyring=keyring or (settings.keyring if sealed else Keyring()),
        encryption=encryption,
        tag_key_id=tag_key_id,
        words=tuple(sys.argv[1:]),
        aim=aim(sys.argv[1:]),
    )


def source_options(
    side: SourceSide, shared: Shared, settings: Settings, *, across: bool
) -> SourceOptions | None:
    """How the source of a copy is reached, what was not given as the destination is.

    All keys at hand may be tried on it; a server of its own is shown no more than those of its key
    file. None when it is all the same; `across`: both sides are in S3. Raises UsageError.
    """
    differs = across and not seals(shared) and len(settings.keyring) > 0
    if side == SAME_SIDE and not differs:
        return None
    is_sealed = side.source_sse in (None, CUSTOMER)
    if not is_sealed and side.source_key_file is not None:
        raise UsageError(
            f"--source-sse {side.source_sse} takes no customer key",
            hint="leave --source-key-file or --source-sse out",
        )
    customer_key = settings.customer_key if is_sealed else None
    keyring = settings.keyring if is_sealed else Keyring()
    if side.source_key_file is not None:
        held = read_key_file(side.source_key_file)
        customer_key = held[0].key
        is_elsewhere = side.source_endpoint_url not in (None, shared.endpoint_url)
        keyring = Keyring(held) if is_elsewhere else keyring.with_more(held)
    elif is_sealed and (side.source_sse is not None or seals(shared)):
        customer_key = settings.require_customer_key()
    return SourceOptions(
        customer_key=customer_key,
        profile=side.source_profile or shared.profile or settings.profile,
        region=side.source_region or shared.region,
        endpoint_url=side.source_endpoint_url or shared.endpoint_url,
        ca_bundle=side.source_ca_bundle or shared.ca_bundle,
        keyring=keyring,
    )


def seals(shared: Shared) -> bool:
    """Whether objects are under a customer key."""
    return shared.sse in (None, CUSTOMER)


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
    anyio.run(_interruptible, work, hint, backend="asyncio", backend_options=options)


async def _interruptible(work: Callable[[], Awaitable[None]], hint: str) -> None:
    """Run `work`; the first SIGINT or SIGTERM cancels it cleanly, the second ends the process."""
    asyncio.get_running_loop().set_exception_handler(_log_loop_error)
    interrupted = False
    failure: BaseException | None = None

    async def watch(scope: anyio.CancelScope) -> None:
        nonlocal interrupted
        with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            async for _ in signals:
                if interrupted:
                    os._exit(EXIT_INTERRUPTED)
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
    number = logging.getLevelNamesMapping().get(level.upper())
    if number is None:
        raise UsageError(
            f"{level!r} is no log level", hint="give debug, info, warning, error or critical"
        )
    logging.basicConfig(
        level=number, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s %(message)s"
    )

"""How the commands of an engine run: one at a time, each with a report and events."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

import anyio

from sealift.errors import UsageError
from sealift.events import Event, Fanout, Reporter, Tally, Traffic
from sealift.report import Progress, Report, progress_of, report_of

MAX_BEHIND = 10_000

P = ParamSpec("P")
E = TypeVar("E", bound="Runs")


class Run:
    """A command that runs while its events are read: `async for event in run`.

    The iteration ends with the command, and raises what that raises; `report` is there then. Who
    reads slowly holds nothing up: of more than 10,000 unread events the oldest are dropped, and
    `dropped_count` says how many. The report counts them all the same.
    """

    def __init__(self, command: Coroutine[Any, Any, Report]) -> None:
        self.dropped_count = 0
        self._command = command
        self._unread: deque[Event] = deque()
        self._news = anyio.Event()
        self._report: Report | None = None
        self._error: BaseException | None = None
        self._is_over = False

    @property
    def report(self) -> Report:
        """What the command has done; RuntimeError before its events have all been read."""
        if self._report is None:
            raise RuntimeError("the report is there when the iteration has ended")
        return self._report

    def emit(self, event: Event) -> None:
        """Take an event of the command."""
        if len(self._unread) == MAX_BEHIND:
            self._unread.popleft()
            self.dropped_count += 1
        self._unread.append(event)
        self._news.set()

    async def execute(self) -> None:
        """Run the command to its end; what it raises is for who reads the events."""
        try:
            self._report = await self._command
        except Exception as error:  # noqa: BLE001 - raised by __aiter__
            self._error = error
        finally:
            self._is_over = True
            self._news.set()

    async def __aiter__(self) -> AsyncIterator[Event]:
        while True:
            while self._unread:
                yield self._unread.popleft()
            if self._is_over:
                break
            self._news = anyio.Event()
            await self._news.wait()
        if self._error is not None:
            raise self._error


class Runs:
    """What runs commands; `reporter` hears of all of them, `tally` adds up the last one."""

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter
        self.tally = Tally()
        self._over = anyio.Event()
        self._is_open = self._is_running = False

    def emit(self, event: Event) -> None:
        """Add an event up, and pass it on."""
        self.tally.emit(event)
        self._reporter.emit(event)

    @asynccontextmanager
    async def follow(self, command: Coroutine[Any, Any, Report]) -> AsyncIterator[Run]:
        """Run a command of this engine, and read its events meanwhile:

            async with engine.follow(engine.sync("photos/", "s3://bucket/photos/")) as run:
                async for event in run:
                    ...
            run.report

        Who leaves before the events end cancels the command.
        """
        run, reporter = Run(command), self._reporter
        failure: Exception | None = None
        self._reporter = Fanout([reporter, run])
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(run.execute)
                try:
                    yield run
                except Exception as error:  # noqa: BLE001 - raised below, out of the task group
                    failure = error
                group.cancel_scope.cancel()
        finally:
            self._reporter = reporter
            command.close()
        if failure is not None:
            raise failure

    def request_count(self) -> int:
        """How many requests were sent since the beginning."""
        return 0

    async def ended(self) -> None:
        """Wait until no command runs."""
        if self._is_running:
            await self._over.wait()

    @property
    def progress(self) -> Progress:
        """How far the command is that runs, or has run last."""
        return progress_of(self.tally)

    @contextmanager
    def running(self) -> Iterator[None]:
        """A block for one command; UsageError when it cannot begin."""
        if not self._is_open:
            raise UsageError("the engine is not open", hint="use it in: async with")
        if self._is_running:
            raise UsageError(
                "the engine runs another command", hint="await that first, or make a second engine"
            )
        self._is_running, self._over = True, anyio.Event()
        self.tally = Tally()
        before = self.request_count()
        try:
            yield
        finally:
            self.emit(Traffic(self.request_count() - before))
            self._is_running = False
            self._over.set()


def reported(
    method: Callable[Concatenate[E, P], Coroutine[Any, Any, str | None]],
) -> Callable[Concatenate[E, P], Coroutine[Any, Any, Report]]:
    """Let a command return its report; it returns the path that the report is to have, if any."""

    @wraps(method)
    async def run(self: E, /, *arguments: P.args, **options: P.kwargs) -> Report:
        began = time.monotonic()
        with self.running():
            path = await method(self, *arguments, **options)
        return report_of(self.tally, time.monotonic() - began, path)

    return run


def check_loop() -> None:
    """UsageError when what is awaited is on no loop of asyncio, be it trio's."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        raise UsageError("the engine runs on asyncio", hint="use sealift.blocking") from None

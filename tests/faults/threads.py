"""An event loop in a thread of its own.

A server under test must not share the loop of the test: it has to answer while an async test
computes, while a plain test blocks in boto3, and while a subprocess runs the command line.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Self

_START_SECONDS = 10.0


class LoopThread:
    """Runs `_open` in the thread, then whatever that started, until `__exit__`."""

    def __init__(self) -> None:
        self.errors: list[Exception] = []
        """Mistakes of the fake itself: raised when the `with` block ends."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._ready = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name=type(self).__name__, daemon=True)

    async def _open(self) -> asyncio.Server | asyncio.BaseTransport:
        raise NotImplementedError

    def __enter__(self) -> Self:
        self._thread.start()
        if not self._ready.wait(_START_SECONDS):
            raise TimeoutError("the server did not start")
        if self.errors:
            raise self.errors[0]
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(_START_SECONDS)
        if self.errors and error is None:
            raise ExceptionGroup("the fake server failed", self.errors)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Start a task that ends with the thread at the latest."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _run(self) -> None:
        try:
            asyncio.run(self._main())
        except Exception as error:
            self.errors.append(error)
        finally:
            self._ready.set()

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        server = await self._open()
        self._ready.set()
        await self._stop.wait()
        server.close()
        while self._tasks:  # a connection may come in while others end
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.sleep(0)  # lets aborted transports close their sockets

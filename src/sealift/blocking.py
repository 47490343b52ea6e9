"""The engine for scripts and notebooks without `await`:

    with blocking.Engine(load_options()) as engine:
        report = engine.sync("photos/", "s3://bucket/photos/")

An event loop in a thread of its own runs each command, so it works where a loop runs already.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future
from contextlib import ExitStack
from functools import wraps
from importlib.util import find_spec
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, TypeVar

from anyio.from_thread import BlockingPortal, start_blocking_portal

from sealift.engine import Engine as AsyncEngine
from sealift.errors import UsageError
from sealift.events import Reporter
from sealift.model import Location, RemoteObject
from sealift.options import Options
from sealift.report import Progress

P = ParamSpec("P")
T = TypeVar("T")


def _waiting(
    command: Callable[Concatenate[AsyncEngine, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[Engine, P], T]:
    @wraps(command)
    def wait(self: Engine, /, *arguments: P.args, **options: P.kwargs) -> T:
        return self._wait(lambda: command(self._engine, *arguments, **options))

    return wait


class Engine:
    """As `sealift.Engine`, but each command returns when it has ended.

    Ctrl-C cancels the command cleanly, and is raised when that is done. A `reporter` hears of
    events on the thread of the loop: it must return at once, and call no command.
    """

    def __init__(self, options: Options, reporter: Reporter | None = None) -> None:
        self._engine = AsyncEngine(options, reporter)
        self._stack = ExitStack()
        self._portal: BlockingPortal | None = None

    def __enter__(self) -> Engine:
        with ExitStack() as stack:
            uvloop = {"use_uvloop": find_spec("uvloop") is not None}
            self._portal = stack.enter_context(start_blocking_portal("asyncio", uvloop))
            stack.enter_context(self._portal.wrap_async_context_manager(self._engine))
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()
        self._portal = None

    put = _waiting(AsyncEngine.put)
    get = _waiting(AsyncEngine.get)
    copy = _waiting(AsyncEngine.copy)
    restore = _waiting(AsyncEngine.restore)
    sync = _waiting(AsyncEngine.sync)
    rekey = _waiting(AsyncEngine.rekey)
    remove = _waiting(AsyncEngine.remove)
    remove_tree = _waiting(AsyncEngine.remove_tree)
    verify = _waiting(AsyncEngine.verify)
    verify_manifest = _waiting(AsyncEngine.verify_manifest)
    stat = _waiting(AsyncEngine.stat)

    def list_tree(self, source: Location | str) -> Iterator[RemoteObject]:
        """What is below a prefix, as it is listed."""
        pages = aiter(self._engine.list_tree(source))

        async def next_page() -> list[RemoteObject] | None:
            return await anext(pages, None)

        while (page := self._wait(next_page)) is not None:
            yield from page

    @property
    def progress(self) -> Progress:
        """How far the command is that runs in another thread, or has run last."""
        return self._engine.progress

    def _wait(self, call: Callable[[], Coroutine[Any, Any, T]]) -> T:
        if self._portal is None:
            raise UsageError("the engine is not open", hint="use it in: with")
        future: Future[T] = self._portal.start_task_soon(call)
        try:
            return future.result()
        except BaseException:
            # Ctrl-C strikes this thread: the command is to end before that is passed on.
            future.cancel()
            self._portal.call(self._engine.ended)
            raise

"""What tools that dump the variables of a program would show: of an error, or of all there is."""

from __future__ import annotations

import gc
import inspect
import io
import sys
import traceback
from collections.abc import Iterator
from types import BuiltinFunctionType, FrameType, FunctionType, ModuleType, TracebackType
from typing import Any

import rich.console
import rich.traceback

_CONTAINERS = (list, tuple, set, frozenset)
_TOLD_BY_NAME = (type, ModuleType, FunctionType, BuiltinFunctionType)


def dumped(error: BaseException) -> str:
    """All that a walker finds from an error on: its chain, also where it is suppressed, its
    attributes, and the variables of every frame and of their attributes."""
    for each in _chain(error):
        each.__traceback__ = _of_ours(each.__traceback__)
    shown = [
        "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format()),
        _by_rich(error),
    ]
    for each in _chain(error):
        shown += [repr(each), str(each), repr(each.args), repr(vars(each))]
        if isinstance(each, UnicodeError):
            shown.append(repr(getattr(each, "object", None)))
        for frame in _frames(each.__traceback__):
            shown += _variables(frame)
    return "\n".join(shown)


def dump_all() -> str:
    """What can be reached from the garbage collector's books and from the stacks of all threads,
    as far as a representation of it can be made; and the variables of suspended coroutines."""
    shown: list[str] = []
    for each in gc.get_objects():
        if inspect.iscoroutine(each) and each.cr_frame is not None:
            shown += _variables(each.cr_frame)
        elif isinstance(each, dict):
            shown += [_part_repr(part) for pair in list(each.items()) for part in pair]
        elif isinstance(each, _CONTAINERS):
            shown += [_part_repr(part) for part in list(each)]
        elif not isinstance(each, _TOLD_BY_NAME):
            shown.append(_safe_repr(each))
    for frame in sys._current_frames().values():
        shown += [text for each in _outwards(frame) for text in _variables(each)]
    return "\n".join(shown)


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: list[BaseException | None] = [None]
    left: list[BaseException | None] = [error]
    while left:
        each = left.pop()
        if each is None or each in seen:
            continue
        seen.append(each)
        yield each
        left += [each.__cause__, each.__context__]
        if isinstance(each, BaseExceptionGroup):
            left += each.exceptions


def _of_ours(trace: TracebackType | None) -> TracebackType | None:
    """The trace from the first frame that is not the test's: that may hold what it likes."""
    while trace is not None and _is_test(trace.tb_frame):
        trace = trace.tb_next
    return trace


def _is_test(frame: FrameType) -> bool:
    return frame.f_globals["__name__"].partition(".")[0] in ("tests", "_pytest", "pluggy")


def _frames(trace: TracebackType | None) -> Iterator[FrameType]:
    while trace is not None:
        yield trace.tb_frame
        trace = trace.tb_next


def _outwards(frame: FrameType | None) -> Iterator[FrameType]:
    while frame is not None:
        if not _is_test(frame):
            yield frame
        frame = frame.f_back


def _variables(frame: FrameType) -> list[str]:
    shown = []
    for name, value in list(frame.f_locals.items()):
        shown.append(f"{name} = {_safe_repr(value)}")
        shown += [f"{name}.{key} = {_safe_repr(part)}" for key, part in _attributes(value)]
    return shown


def _attributes(value: Any) -> list[tuple[str, Any]]:
    found = dict(getattr(value, "__dict__", {}))
    for kind in type(value).__mro__:
        slots = kind.__dict__.get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            if hasattr(value, name):
                found[name] = getattr(value, name)
    return list(found.items())


def _part_repr(part: Any) -> str:
    """Of a part of a container; another container in the collector's books has its own turn."""
    if isinstance(part, _TOLD_BY_NAME) or (
        isinstance(part, (dict, *_CONTAINERS)) and gc.is_tracked(part)
    ):
        return ""
    return _safe_repr(part)


def _safe_repr(value: Any) -> str:
    try:
        text = repr(value)
    except Exception:
        return ""
    return text[:100_000]


def _by_rich(error: BaseException) -> str:
    console = rich.console.Console(record=True, file=io.StringIO(), width=200)
    trace = rich.traceback.Traceback.from_exception(
        type(error), error, error.__traceback__, show_locals=True, locals_max_length=100,
        locals_max_string=100,
    )  # fmt: skip
    console.print(trace)
    return console.export_text()

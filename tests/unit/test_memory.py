"""Buffers never exceed the budget together, and come in the order they were asked for."""

from __future__ import annotations

from collections.abc import Callable

import anyio
import anyio.lowlevel
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sealift.errors import UsageError
from sealift.memory import KEPT_SIZE, Memory
from sealift.model import KiB, MiB

pytestmark = pytest.mark.anyio


async def settle() -> None:
    for _ in range(5):
        await anyio.lowlevel.checkpoint()


class Holder:
    """Tasks that hold buffers until they are told to let go."""

    def __init__(self, memory: Memory, group: anyio.abc.TaskGroup) -> None:
        self._memory = memory
        self._group = group
        self.held: list[str] = []
        self.scopes: dict[str, anyio.CancelScope] = {}
        self._release: dict[str, anyio.Event] = {}

    async def ask(self, name: str, size: int) -> None:
        self._group.start_soon(self._hold, name, size)
        await settle()

    async def let_go(self, name: str) -> None:
        self._release[name].set()
        await settle()

    async def cancel(self, name: str) -> None:
        self.scopes[name].cancel()
        await settle()

    async def _hold(self, name: str, size: int) -> None:
        self._release[name] = anyio.Event()
        with anyio.CancelScope() as self.scopes[name]:
            async with self._memory.buffer(size) as room:
                assert len(room) == size
                self.held.append(name)
                try:
                    await self._release[name].wait()
                finally:
                    self.held.remove(name)


async def test_waits_for_room_first_come_first_served() -> None:
    async with anyio.create_task_group() as group:
        holder = Holder(Memory(4 * MiB), group)
        await holder.ask("a", 2 * MiB)
        await holder.ask("b", 2 * MiB)
        await holder.ask("c", 4 * MiB)
        await holder.ask("d", 1 * MiB)  # would fit before c, but came later
        assert holder.held == ["a", "b"]
        await holder.let_go("a")
        assert holder.held == ["b"]
        await holder.let_go("b")
        assert holder.held == ["c"]
        await holder.let_go("c")
        assert holder.held == ["d"]
        await holder.let_go("d")


async def test_a_buffer_beyond_the_budget_comes_alone() -> None:
    async with anyio.create_task_group() as group:
        holder = Holder(Memory(1 * MiB), group)
        await holder.ask("small", 1)
        await holder.ask("huge", 64 * MiB)
        assert holder.held == ["small"]
        await holder.let_go("small")
        assert holder.held == ["huge"]
        await holder.ask("next", 1)
        assert holder.held == ["huge"]
        await holder.let_go("huge")
        assert holder.held == ["next"]
        await holder.let_go("next")


async def test_empty_buffers_wait_for_nothing_but_their_turn() -> None:
    async with anyio.create_task_group() as group:
        holder = Holder(Memory(1 * MiB), group)
        await holder.ask("all", 1 * MiB)
        await holder.ask("empty", 0)
        assert holder.held == ["all", "empty"]
        await holder.let_go("all")
        await holder.let_go("empty")


async def test_whoever_is_cancelled_while_waiting_leaves_the_queue() -> None:
    async with anyio.create_task_group() as group:
        holder = Holder(Memory(4 * MiB), group)
        await holder.ask("a", 2 * MiB)
        await holder.ask("wide", 4 * MiB)
        await holder.ask("b", 2 * MiB)
        assert holder.held == ["a"]
        await holder.cancel("wide")
        assert holder.held == ["a", "b"]  # what stood behind it need not wait for another release
        await holder.let_go("a")
        await holder.let_go("b")


async def test_whoever_is_cancelled_just_when_granted_gives_it_back() -> None:
    async with anyio.create_task_group() as group:
        holder = Holder(Memory(4 * MiB), group)
        await holder.ask("a", 4 * MiB)
        await holder.ask("b", 4 * MiB)
        await holder.ask("c", 4 * MiB)
        holder._release["a"].set()
        holder.scopes["b"].cancel()
        await settle()
        assert holder.held == ["c"]
        await holder.let_go("c")
        await holder.ask("again", 4 * MiB)
        assert holder.held == ["again"]
        await holder.let_go("again")


async def test_whoever_is_cancelled_while_holding_gives_it_back() -> None:
    async with anyio.create_task_group() as group:
        holder = Holder(Memory(4 * MiB), group)
        await holder.ask("a", 4 * MiB)
        await holder.cancel("a")
        await holder.ask("b", 4 * MiB)
        assert holder.held == ["b"]
        await holder.let_go("b")


async def test_large_buffers_are_used_again() -> None:
    memory = Memory(8 * MiB)
    async with memory.buffer(1 * MiB) as room:
        room[:] = b"x" * len(room)
        first = room.obj
    async with memory.buffer(1 * MiB - 5) as room:  # of the same power of two
        assert room.obj is first
        assert len(room) == 1 * MiB - 5
        async with memory.buffer(1 * MiB) as other:
            assert other.obj is not first
    async with memory.buffer(KEPT_SIZE - 1) as room:
        small = room.obj
        assert len(small) == KEPT_SIZE - 1  # exact: nothing is wasted on small ones
    async with memory.buffer(KEPT_SIZE - 1) as room:
        assert room.obj is not small


async def test_kept_buffers_make_room_for_another_size() -> None:
    memory = Memory(4 * MiB)
    for size in (1 * MiB, 2 * MiB, 4 * MiB, 512 * KiB, 4 * MiB):
        async with memory.buffer(size):
            assert memory._used + memory._kept_size <= 4 * MiB


requests = st.lists(
    st.tuples(
        st.integers(0, 3 * MiB),  # size
        st.integers(0, 5),  # steps to hold it
        st.integers(0, 8),  # steps until it is cancelled, 8: never
    ),
    max_size=30,
)


@given(requests, st.integers(3 * MiB, 8 * MiB))
@settings(max_examples=60)
def test_never_exceeds_the_budget(asked: list[tuple[int, int, int]], budget: int) -> None:
    budget = max(budget, 4 * MiB)  # so that each alone fits
    memory = Memory(budget)
    held = 0
    served = 0

    async def hold(size: int, steps: int, patience: int, done: Callable[[], None]) -> None:
        nonlocal held
        async with memory.buffer(size) as room:
            held += len(room.obj)
            kept = sum(len(buffer) for buffers in memory._kept.values() for buffer in buffers)
            assert kept == memory._kept_size
            assert held + kept <= budget
            try:
                for _ in range(steps):
                    await anyio.lowlevel.checkpoint()
            finally:
                held -= len(room.obj)
        done()

    async def patient(size: int, steps: int, patience: int) -> None:
        def done() -> None:
            nonlocal served
            served += 1

        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as group:
                group.start_soon(hold, size, steps, patience, done)
                if patience < 8:
                    for _ in range(patience):
                        await anyio.lowlevel.checkpoint()
                    scope.cancel()

    async def main() -> None:
        async with anyio.create_task_group() as group:
            for request in asked:
                group.start_soon(patient, *request)

    anyio.run(main)
    assert held == 0
    assert memory._used == 0
    assert not memory._waiting
    assert served >= sum(patience == 8 for _, _, patience in asked)


def test_the_budget_leaves_room_for_the_process() -> None:
    assert Memory.for_process(256 * MiB)._budget == 136 * MiB
    with pytest.raises(
        UsageError, match="--memory is too small to work with; give at least 152MiB"
    ):
        Memory.for_process(152 * MiB - 1)
    Memory.for_process(152 * MiB)

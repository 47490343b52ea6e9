"""When a slow request is sent again, and what becomes of the other one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import anyio
import pytest

from sealift import hedge as hedge_module
from sealift.errors import NetworkError
from sealift.hedge import SHARE, Hedge
from sealift.wire.connection import Counter

pytestmark = pytest.mark.anyio


@dataclass
class Whole:
    moved: int = 0


@dataclass
class Sender:
    """Requests whose end a test decides; each counts 10 bytes when it begins."""

    began: list[asyncio.Future[str]] = field(default_factory=list)
    cancelled: int = 0

    async def __call__(self, counter: Counter) -> str:
        answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.began.append(answer)
        counter.moved += 10
        try:
            return await answer
        except asyncio.CancelledError:
            self.cancelled += 1
            raise

    async def begun(self, count: int) -> None:
        while len(self.began) < count:  # noqa: ASYNC110
            await asyncio.sleep(0)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hedge_module, "LEAST_WAIT", 0.01)


async def at_once(counter: Counter) -> str:
    counter.moved += 1
    return "at once"


async def seasoned(requests: int = SHARE) -> Hedge:
    """A hedge that has seen some requests, all of them fast."""
    hedge = Hedge()
    for _ in range(requests):
        await hedge.run(Whole(), at_once, at_once)
    return hedge


Act = Callable[[list[asyncio.Future[str]]], object]


async def race(
    hedge: Hedge,
    sender: Sender,
    act: Act,
    again: Callable[[Counter], Awaitable[str] | None] | None = None,
    count: int = 2,
) -> tuple[str, Whole]:
    """Run one request, and `act` when `count` copies of it are under way."""
    whole = Whole()
    running = asyncio.ensure_future(hedge.run(whole, sender, again or sender))
    await sender.begun(count)
    act(sender.began)
    return await asyncio.wait_for(running, 5), whole


async def test_the_second_counts_when_it_ends_first() -> None:
    sender = Sender()

    result, whole = await race(await seasoned(), sender, lambda sent: sent[1].set_result("second"))

    assert (result, whole.moved, sender.cancelled) == ("second", 10, 1)


async def test_the_first_counts_when_it_ends_first() -> None:
    sender = Sender()

    result, whole = await race(await seasoned(), sender, lambda sent: sent[0].set_result("first"))

    assert (result, whole.moved, sender.cancelled) == ("first", 10, 1)


@pytest.mark.parametrize("failing", [0, 1])
async def test_one_that_fails_leaves_it_to_the_other(failing: int) -> None:
    def act(sent: list[asyncio.Future[str]]) -> None:
        sent[failing].set_exception(NetworkError("lost"))
        asyncio.get_running_loop().call_later(0.01, sent[1 - failing].set_result, "other")

    result, whole = await race(await seasoned(), Sender(), act)

    assert (result, whole.moved) == ("other", 10)


async def test_when_both_fail_the_first_error_is_raised() -> None:
    def act(sent: list[asyncio.Future[str]]) -> None:
        sent[1].set_exception(NetworkError("second"))
        sent[0].set_exception(NetworkError("first"))

    with pytest.raises(NetworkError, match="first"):
        await race(await seasoned(), Sender(), act)


async def test_nothing_is_sent_again_before_a_hundred_requests() -> None:
    hedge = await seasoned(SHARE - 1)
    sender = Sender()
    running = asyncio.ensure_future(hedge.run(Whole(), sender, sender))
    await sender.begun(1)
    await asyncio.sleep(0.05)

    assert len(sender.began) == 1

    sender.began[0].set_result("first")
    assert await running == "first"


async def test_one_request_in_a_hundred_is_sent_again_at_most() -> None:
    hedge = await seasoned(3 * SHARE)
    senders = [Sender() for _ in range(10)]
    running = [asyncio.ensure_future(hedge.run(Whole(), one, one)) for one in senders]
    await asyncio.sleep(0.1)

    assert sum(len(sender.began) for sender in senders) == 10 + 3

    for sender in senders:
        sender.began[0].set_result("first")
    assert await asyncio.gather(*running) == ["first"] * 10


async def test_without_room_for_a_second_the_first_goes_on() -> None:
    sender = Sender()

    def act(sent: list[asyncio.Future[str]]) -> None:
        asyncio.get_running_loop().call_later(0.05, sent[0].set_result, "first")

    result, whole = await race(await seasoned(), sender, act, again=lambda _: None, count=1)

    assert (result, whole.moved, len(sender.began)) == ("first", 10, 1)


async def test_an_interrupt_ends_both() -> None:
    hedge, sender = await seasoned(), Sender()
    async with anyio.create_task_group() as group:
        group.start_soon(hedge.run, Whole(), sender, sender)
        await sender.begun(2)
        group.cancel_scope.cancel()

    assert sender.cancelled == 2


async def test_what_is_usual_is_not_slow() -> None:
    """The slowest but one in a hundred says what is slow."""
    now = 0.0
    hedge = Hedge(lambda: now)

    async def take(counter: Counter) -> str:
        nonlocal now
        now += 3.0
        return "done"

    for _ in range(SHARE):
        await hedge.run(Whole(), take, take)
    sender = Sender()
    running = asyncio.ensure_future(hedge.run(Whole(), sender, sender))
    await sender.begun(1)
    await asyncio.sleep(0.1)  # well beyond the least wait, well below 3 s

    assert len(sender.began) == 1

    sender.began[0].set_result("first")
    await running

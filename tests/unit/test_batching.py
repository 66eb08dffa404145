"""Questions that come one at a time, answered many at a time."""

import asyncio

import pytest

from inference.batching import Batcher


class Desk:
    """Answers with the square, once the gate is open; keeps what it was asked together."""

    def __init__(self):
        self.gate = asyncio.Event()
        self.asked = []

    async def answer(self, numbers):
        self.asked.append(list(numbers))
        await self.gate.wait()
        if 0 in numbers:
            raise ValueError("no zero")
        return [n * n for n in numbers]


@pytest.fixture
async def desk():
    return Desk()


async def ask(batcher, *numbers):
    tasks = [asyncio.create_task(batcher.ask(n)) for n in numbers]
    await asyncio.sleep(0)
    return tasks


async def test_what_is_asked_while_it_is_busy_is_answered_together(desk):
    batcher = Batcher(desk.answer, most=3)
    first = await ask(batcher, 1)
    await asyncio.sleep(0)
    rest = await ask(batcher, 2, 3, 4, 5)
    desk.gate.set()
    assert await asyncio.gather(*first, *rest) == [1, 4, 9, 16, 25]
    assert desk.asked == [[1], [2, 3, 4], [5]]
    assert await batcher.ask(6) == 36


async def test_an_error_goes_to_those_that_asked_together_and_to_nobody_else(desk):
    batcher = Batcher(desk.answer, most=2)
    desk.gate.set()
    results = await asyncio.gather(*(batcher.ask(n) for n in (0, 1, 2)), return_exceptions=True)
    assert [type(r) for r in results] == [ValueError, ValueError, int]


async def test_where_the_answer_is_cancelled_nobody_waits_for_ever():
    async def cancelled(_):
        await asyncio.sleep(0)
        raise asyncio.CancelledError

    batcher = Batcher(cancelled, most=1)
    results = await asyncio.wait_for(asyncio.gather(*(batcher.ask(n) for n in (1, 2)), return_exceptions=True), 1)
    assert [type(r) for r in results] == [asyncio.CancelledError] * 2


async def test_who_gives_up_is_not_asked_for(desk):
    batcher = Batcher(desk.answer, most=2)
    (first,) = await ask(batcher, 1)
    await asyncio.sleep(0)
    second, third = await ask(batcher, 2, 3)
    second.cancel()
    await asyncio.sleep(0)
    desk.gate.set()
    assert await asyncio.gather(first, third) == [1, 9]
    assert desk.asked == [[1], [3]]

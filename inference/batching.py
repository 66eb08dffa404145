"""Questions that come one at a time, answered many at a time."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

A = TypeVar("A")
R = TypeVar("R")


class Batcher(Generic[A, R]):
    """Asks ``answer`` for all that has been asked while it was busy with the questions before, ``most`` at once.

    ``answer`` gives one result an argument, in order. What it raises is raised to all that asked together; where it is
    cancelled, so is all that waits. Used from one event loop.
    """

    def __init__(self, answer: Callable[[Sequence[A]], Awaitable[Sequence[R]]], most: int) -> None:
        self._answer = answer
        self._most = most
        self._waiting: list[tuple[A, asyncio.Future[R]]] = []
        self._at_work: asyncio.Task[None] | None = None

    async def ask(self, argument: A) -> R:
        """The result for one argument. Raises what ``answer`` raises."""
        future: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._waiting.append((argument, future))
        if self._at_work is None:
            self._at_work = asyncio.create_task(self._work())
        return await future

    async def _work(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = self._waiting[: self._most], self._waiting[self._most :]
                await self._settle(batch)
        finally:
            self._at_work = None
            for _, future in self._waiting:
                future.cancel()

    async def _settle(self, batch: Sequence[tuple[A, asyncio.Future[R]]]) -> None:
        asked = [(argument, future) for argument, future in batch if not future.done()]  # some have given up
        try:
            results = await self._answer([argument for argument, _ in asked]) if asked else []
            for (_, future), result in zip(asked, results, strict=True):
                if not future.done():
                    future.set_result(result)
        except Exception as error:  # noqa: BLE001 - it belongs to those that asked
            for _, future in asked:
                if not future.done():
                    future.set_exception(error)
        finally:
            for _, future in asked:
                future.cancel()  # does nothing where it has its answer

"""Record batches in flight: read side by side, applied in the order of their partition. No Faust in here."""

import asyncio
import contextlib
import random
import time
from collections.abc import Awaitable, Callable, Collection, Iterator, Sequence
from itertools import islice
from typing import Generic, TypeVar

import structlog

from .record_batches import Partition, RecordBatch

_log = structlog.get_logger()

P = TypeVar("P")
A = TypeVar("A")
R = TypeVar("R")

FIRST_WAIT_SECONDS = 0.1
LONGEST_WAIT_SECONDS = 5.0
_SAY_AGAIN_SECONDS = 10.0
_CANCEL_SECONDS = 2.0


class _Ride(Generic[P]):
    """One batch on its way: what was prepared of it, the batch behind it, and whether it is applied."""

    __slots__ = ("ack", "applied", "batch", "behind", "prepared")

    def __init__(self, batch: RecordBatch, ack: Callable[[], None]) -> None:
        self.batch = batch
        self.ack = ack
        self.prepared: P | None = None
        self.behind: _Ride[P] | None = None
        self.applied = False

    def ready(self) -> "Iterator[_Ride[P]]":
        """This batch and those right behind it, up to the first that is still being prepared."""
        ride: _Ride[P] | None = self
        while ride is not None and ride.prepared is not None:
            yield ride
            ride = ride.behind


class Troubles:
    """Which batches of all lanes cannot be worked on now: said at first, every ten seconds, and once none is left.

    ``clock`` gives monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._waiting: set[RecordBatch] = set()
        self._attempts = 0
        self._began = 0.0
        self._said = float("-inf")
        self._silent = True
        self._back = asyncio.Event()

    def note(self, batch: RecordBatch, error: Exception) -> None:
        """A batch failed."""
        now = self._clock()
        if not self._waiting:
            self._began, self._attempts = now, 0
        self._waiting.add(batch)
        self._attempts += 1
        if now - self._said < _SAY_AGAIN_SECONDS:
            return
        self._said, self._silent = now, False
        _log.error(
            "batches_wait",
            batches=len(self._waiting),
            topic=batch.topic,
            partition=batch.partition,
            offset=batch.records[0].offset,
            since_seconds=round(now - self._began, 1),
            error=type(error).__name__,
            hint="they are tried again until it works; nothing is lost, the lag grows",
        )

    async def pause(self, seconds: float) -> None:
        """Wait that long, or until a batch that had failed gets through: then the others need wait no longer."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._back.wait(), seconds)

    def settle(self, batch: RecordBatch, *, through: bool) -> None:
        """A batch got through, or was given up to come again."""
        if batch not in self._waiting:
            return
        self._waiting.remove(batch)
        if through:
            self._back.set()
            self._back = asyncio.Event()
        if not self._waiting and not self._silent:
            self._silent = True
            lasted = round(self._clock() - self._began, 1)
            _log.warning("batches_wait_no_more", lasted_seconds=lasted, failed_attempts=self._attempts)


class Lanes(Generic[P]):
    """Runs ``prepare`` for several batches at a time and ``apply`` strictly in order within a partition.

    At most ``max_in_flight`` batches are between acceptance and acknowledgement. Both functions should never raise;
    where one does, the batch is tried again until it works, later batches of the partition wait, and nothing is
    acknowledged meanwhile.

    With ``join`` the batches that are ready by the time a partition's turn comes are applied as one: the further
    behind the worker is, the more events of one user share a write. It is half of those in flight at most, so that
    there is always something to prepare meanwhile. Lanes that share ``troubles`` speak of an outage with one voice.
    """

    def __init__(
        self,
        prepare: Callable[[RecordBatch], Awaitable[P]],
        apply: Callable[[P], Awaitable[None]],
        *,
        max_in_flight: int,
        join: Callable[[Sequence[P]], P] | None = None,
        troubles: Troubles | None = None,
    ) -> None:
        self._prepare = prepare
        self._apply = apply
        self._join = join
        self._most_joined = max(1, max_in_flight // 2)
        self._slots = asyncio.Semaphore(max_in_flight)
        self._tasks: dict[Partition, set[asyncio.Task[None]]] = {}
        self._newest: dict[Partition, tuple[asyncio.Task[None], _Ride[P]]] = {}
        self._drops: dict[Partition, int] = {}
        self._troubles = troubles or Troubles()
        self._closed = False

    @property
    def in_flight(self) -> int:
        """How many batches are accepted and not yet acknowledged."""
        return sum(map(len, self._tasks.values()))

    async def submit(self, batch: RecordBatch, ack: Callable[[], None]) -> None:
        """Accept a batch; waits while too many are in flight. ``ack`` is called once it is applied.

        A batch whose partition is dropped meanwhile is not accepted, nor is any after ``drain``: it will come again.
        """
        partition = (batch.topic, batch.partition)
        drops = self._drops.get(partition, 0)
        await self._slots.acquire()
        if self._closed or self._drops.get(partition, 0) != drops:
            self._slots.release()
            return
        ride: _Ride[P] = _Ride(batch, ack)
        before, ahead = self._newest.get(partition, (None, None))
        if ahead is not None:
            ahead.behind = ride
        task = asyncio.create_task(self._carry(ride, before))
        self._newest[partition] = (task, ride)
        self._tasks.setdefault(partition, set()).add(task)
        task.add_done_callback(lambda done: self._leave(partition, done))

    async def drop(self, partitions: Collection[Partition]) -> None:
        """Give up what is in flight of these partitions; returns once none of it runs any more."""
        going: list[asyncio.Task[None]] = []
        for partition in partitions:
            self._drops[partition] = self._drops.get(partition, 0) + 1
            self._newest.pop(partition, None)  # what comes again must not share the end of one that takes long to end
            going += self._tasks.get(partition, ())
        for task in going:
            task.cancel()
        if going:
            _, stuck = await asyncio.wait(going, timeout=_CANCEL_SECONDS)
            if stuck:
                _log.warning("dropped_batches_still_end", batches=len(stuck))

    async def drain(self, timeout: float) -> bool:  # noqa: ASYNC109 - the caller is a shutdown with a budget
        """Accept nothing more and wait for what is in flight. Gives up after ``timeout`` seconds: returns False."""
        self._closed = True
        running = [task for tasks in self._tasks.values() for task in tasks]
        if not running:
            return True
        _, late = await asyncio.wait(running, timeout=timeout)
        await self.drop(list(self._tasks))
        return not late

    async def _carry(self, ride: _Ride[P], before: asyncio.Task[None] | None) -> None:
        prepared = ride.prepared = await self._insist(self._prepare, ride.batch, ride.batch)
        if before is not None and not before.done():
            await asyncio.wait([before])
        if before is not None and before.cancelled():
            return
        if not ride.applied:
            together = list(islice(ride.ready(), self._most_joined)) if self._join else [ride]
            if self._join and len(together) > 1:
                prepared = self._join([r.prepared for r in together if r.prepared is not None])
            await self._insist(self._apply, prepared, ride.batch)
            for r in together:
                r.applied = True
        ride.ack()

    async def _insist(self, work: Callable[[A], Awaitable[R]], argument: A, batch: RecordBatch) -> R:
        attempts, through = 0, False
        try:
            while True:
                try:
                    result = await work(argument)
                except Exception as error:  # noqa: BLE001 - no exception may leave an agent: its batches would not come again
                    attempts += 1
                    self._troubles.note(batch, error)
                else:
                    through = True
                    return result
                wait = min(LONGEST_WAIT_SECONDS, FIRST_WAIT_SECONDS * 2 ** min(attempts - 1, 10))
                await self._troubles.pause(wait * random.uniform(0.5, 1.0))  # noqa: S311 - jitter
        finally:
            self._troubles.settle(batch, through=through)

    def _leave(self, partition: Partition, task: asyncio.Task[None]) -> None:
        self._slots.release()
        tasks = self._tasks[partition]
        tasks.discard(task)
        if not tasks:
            del self._tasks[partition]
        if self._newest.get(partition, (None,))[0] is task:
            del self._newest[partition]
        if not task.cancelled() and task.exception() is not None:
            _log.error("batch_not_acknowledged", topic=partition[0], error=type(task.exception()).__name__)

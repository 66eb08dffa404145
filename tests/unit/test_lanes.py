"""Lanes: side by side in preparation, in order in application, bounded; only what is applied is acknowledged."""

import asyncio
from types import SimpleNamespace

import pytest
from structlog.testing import capture_logs

from streams import lanes as module
from streams.lanes import Lanes, Troubles
from streams.observer import Lag
from streams.record_batches import Deliveries, RecordBatch
from tests.fakes import Clock


def batch(first, partition=0, size=10, topic="t"):
    records = [SimpleNamespace(offset=offset, timestamp=offset * 1000) for offset in range(first, first + size)]
    return RecordBatch(topic, partition, records)


class Work:
    """Prepares when it is told to, notes what is applied and acknowledged."""

    def __init__(self):
        self.gates = {}
        self.preparing = []
        self.applied = []
        self.acked = []
        self.fail_prepare = 0
        self.fail_apply = 0

    def hold(self, batch):
        self.gates[id(batch)] = asyncio.Event()
        return self.gates[id(batch)].set

    async def prepare(self, batch):
        self.preparing.append(batch)
        if id(batch) in self.gates:
            await self.gates[id(batch)].wait()
        if self.fail_prepare:
            self.fail_prepare -= 1
            raise RuntimeError("prepare")
        return batch

    async def apply(self, prepared):
        if self.fail_apply:
            self.fail_apply -= 1
            raise ConnectionError("apply")
        await asyncio.sleep(0)
        self.applied.append(prepared)

    def lanes(self, max_in_flight=4):
        return Lanes(self.prepare, self.apply, max_in_flight=max_in_flight)

    async def submit(self, lanes, *batches):
        for b in batches:
            await lanes.submit(b, lambda b=b: self.acked.append(b))


@pytest.fixture
def work():
    return Work()


@pytest.fixture(autouse=True)
def no_long_waits(monkeypatch):
    monkeypatch.setattr(module, "FIRST_WAIT_SECONDS", 0.001)


async def test_a_slow_batch_is_overtaken_in_preparation_but_not_in_application(work):
    lanes, slow, quick = work.lanes(), batch(0), batch(10)
    release = work.hold(slow)
    await work.submit(lanes, slow, quick)
    await asyncio.sleep(0.01)
    assert work.preparing == [slow, quick]
    assert work.applied == []
    release()
    assert await lanes.drain(1)
    assert work.applied == work.acked == [slow, quick]


async def test_partitions_do_not_wait_for_each_other(work):
    lanes, slow, other = work.lanes(), batch(0, partition=0), batch(0, partition=1)
    work.hold(slow)
    await work.submit(lanes, slow, other)
    await asyncio.sleep(0.01)
    assert work.acked == [other]


async def test_acceptance_waits_while_too_many_are_in_flight(work):
    lanes = work.lanes(max_in_flight=2)
    batches = [batch(n * 10) for n in range(3)]
    release = work.hold(batches[0])
    await work.submit(lanes, *batches[:2])
    third = asyncio.create_task(work.submit(lanes, batches[2]))
    await asyncio.sleep(0.01)
    assert not third.done()
    assert lanes.in_flight == 2
    release()
    await third
    assert await lanes.drain(1)
    assert work.acked == batches


async def test_what_fails_is_tried_until_it_works_and_the_next_one_waits(work):
    lanes, first, second = work.lanes(), batch(0), batch(10)
    work.fail_prepare, work.fail_apply = 2, 3
    await work.submit(lanes, first, second)
    assert await lanes.drain(2)
    assert work.applied == work.acked == [first, second]
    assert len(work.preparing) == 4


async def test_what_is_ready_when_its_turn_comes_is_applied_as_one(work):
    lanes = Lanes(work.prepare, work.apply, max_in_flight=6, join=list)
    first, second, third, slow, last = batches = [batch(n * 10) for n in range(5)]
    release, release_slow = work.hold(first), work.hold(slow)
    await work.submit(lanes, *batches)
    await asyncio.sleep(0.01)
    work.fail_apply = 1
    release()
    await asyncio.sleep(0.01)
    assert work.applied == [[first, second, third]]
    assert work.acked == [first, second, third]
    release_slow()
    assert await lanes.drain(1)
    assert work.applied[1:] == [[slow, last]]
    assert work.acked == batches


async def test_what_was_to_be_applied_as_one_is_dropped_as_one(work):
    lanes = Lanes(work.prepare, work.apply, max_in_flight=3, join=list)
    work.fail_apply = 1000
    await work.submit(lanes, *(batch(n * 10) for n in range(3)))
    await asyncio.sleep(0.01)
    await lanes.drop([("t", 0)])
    assert lanes.in_flight == 0
    assert work.applied == work.acked == []


async def test_a_dropped_partition_is_neither_applied_nor_acknowledged(work):
    lanes, gone, kept = work.lanes(), batch(0, partition=0), batch(0, partition=1)
    release, release_kept = work.hold(gone), work.hold(kept)
    await work.submit(lanes, gone, batch(10, partition=0), kept)
    await lanes.drop([("t", 0)])
    release()
    release_kept()
    assert lanes.in_flight == 1
    assert await lanes.drain(1)
    assert work.acked == [kept]


async def test_a_batch_that_waits_for_acceptance_goes_with_its_partition(work):
    """Were it accepted afterwards, it would run ahead of the records before it, which come again."""
    lanes = work.lanes(max_in_flight=1)
    held, waiting = batch(0), batch(10)
    work.hold(held)
    await work.submit(lanes, held)
    pending = asyncio.create_task(work.submit(lanes, waiting))
    await asyncio.sleep(0)
    await lanes.drop([("t", 0)])
    await pending
    again = batch(0)
    await work.submit(lanes, again)
    assert await lanes.drain(1)
    assert work.applied == work.acked == [again]


async def test_a_dropped_partition_starts_afresh_when_it_comes_back(work):
    lanes, before, after = work.lanes(), batch(0), batch(0)
    work.hold(before)
    await work.submit(lanes, before)
    await lanes.drop([("t", 0)])
    await work.submit(lanes, after)
    assert await lanes.drain(1)
    assert work.acked == [after]


async def test_what_comes_again_does_not_share_the_end_of_what_is_slow_to_end(work, monkeypatch):
    """A batch that ended with the one before it would never be acknowledged, and the next one would overtake it."""
    monkeypatch.setattr(module, "_CANCEL_SECONDS", 0.01)
    redis_is_back = asyncio.Event()

    async def prepare(prepared):
        if prepared is slow:
            try:
                await asyncio.sleep(60)
            finally:
                await redis_is_back.wait()
        return prepared

    slow, again, later = batch(0), batch(0), batch(10)
    lanes = Lanes(prepare, work.apply, max_in_flight=4)
    await work.submit(lanes, slow)
    await asyncio.sleep(0)
    await lanes.drop([("t", 0)])
    await work.submit(lanes, again, later)
    redis_is_back.set()
    assert await lanes.drain(1)
    assert work.applied == work.acked == [again, later]


async def test_drain_gives_up_on_what_does_not_end(work):
    lanes, stuck = work.lanes(), batch(0)
    work.hold(stuck)
    await work.submit(lanes, stuck)
    assert not await lanes.drain(0.01)
    assert lanes.in_flight == 0
    await work.submit(lanes, batch(10))
    await asyncio.sleep(0.01)
    assert work.acked == []


def test_the_log_is_done_up_to_the_first_batch_that_is_not():
    deliveries, batches = Deliveries(), [batch(n * 10) for n in range(3)]
    for b in batches:
        deliveries.deliver(b)
    deliveries.acknowledge(batches[1])
    assert deliveries.end(("t", 0)) is None
    deliveries.acknowledge(batches[0])
    assert deliveries.end(("t", 0)) == 20
    assert deliveries.waiting("t") == 1
    assert [deliveries.is_out(b) for b in batches] == [False, False, True]


def test_the_lag_is_what_is_not_done_and_the_age_of_the_oldest_of_it():
    deliveries, batches = Deliveries(), [batch(n * 10) for n in range(2)]
    assert deliveries.lag(("t", 0), 25, None, now=100.0) is None, "nothing is known of this partition"
    assert deliveries.lag(("t", 0), 25, 5, now=100.0) == Lag(20, 0.0)
    for b in batches:
        deliveries.deliver(b)
    assert deliveries.lag(("t", 0), 25, 5, now=100.0) == Lag(25, 100.0)
    deliveries.acknowledge(batches[0])
    assert deliveries.lag(("t", 0), 25, 5, now=100.0) == Lag(15, 90.0)
    deliveries.acknowledge(batches[1])
    assert deliveries.lag(("t", 0), 25, 5, now=100.0) == Lag(5, 0.0)


def test_an_acknowledgement_from_before_a_rebalance_moves_nothing():
    deliveries, stale, fresh = Deliveries(), batch(0), batch(0)
    deliveries.deliver(stale)
    deliveries.forget([("t", 0)])
    deliveries.deliver(fresh)
    deliveries.acknowledge(stale)
    assert deliveries.end(("t", 0)) is None
    assert not deliveries.is_out(stale)
    assert deliveries.is_out(fresh)


def told(logs):
    return [(log["event"], log.get("batches"), log.get("lasted_seconds")) for log in logs]


def test_an_outage_is_said_at_first_then_every_ten_seconds_and_when_it_is_over():
    clock = Clock()
    troubles, batches = Troubles(clock), [batch(0), batch(10), batch(20)]
    with capture_logs() as logs:
        for _ in range(250):
            for b in batches:
                troubles.note(b, ConnectionError())
            clock.now += 0.1
        for b in batches:
            troubles.settle(b, through=True)
    assert told(logs) == [
        ("batches_wait", 1, None),
        ("batches_wait", 3, None),
        ("batches_wait", 3, None),
        ("batches_wait_no_more", None, 25.0),
    ]


def test_a_batch_that_fails_again_and_again_for_a_moment_is_no_flood():
    clock = Clock()
    troubles, b = Troubles(clock), batch(0)
    with capture_logs() as logs:
        for _ in range(100):
            troubles.note(b, ConnectionError())
            troubles.settle(b, through=False)
            clock.now += 0.1
    assert told(logs) == [("batches_wait", 1, None), ("batches_wait_no_more", None, 0.0)]


async def test_the_first_batch_to_get_through_ends_the_wait_of_all():
    troubles, batches = Troubles(), [batch(0), batch(0, partition=1)]
    for b in batches:
        troubles.note(b, ConnectionError())
    waiting = asyncio.create_task(troubles.pause(60))
    await asyncio.sleep(0)
    troubles.settle(batches[0], through=False)
    await asyncio.sleep(0.01)
    assert not waiting.done(), "one that was given up tells nothing"
    troubles.settle(batches[1], through=True)
    await asyncio.wait_for(waiting, 1)

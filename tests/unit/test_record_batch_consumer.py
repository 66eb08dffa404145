"""The transport leans on private parts of Faust: these tests fail when they change. Then: what it does with them."""

import asyncio
import inspect
from types import SimpleNamespace

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.errors import IllegalStateError, KafkaTimeoutError
from faust.tables import recovery
from faust.transport import consumer as faust_consumer
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from streams.app import build_app
from streams.lanes import Lanes
from streams.settings import Settings
from streams.transport import RecordBatchConsumer, RecordBatchTransport

OWN = {
    *("acknowledge", "take", "lags", "seek_to_beginning", "_is_full", "_place", "_must_rewind", "_rewind", "_go_back"),
    *("_recall", "_forget"),
}
OVERRIDDEN = [
    name
    for name, value in vars(RecordBatchConsumer).items()
    if inspect.isfunction(value) and name not in OWN and not name.startswith("__")
]
CALLED_BY = {
    "_new_consumer_thread": (faust_consumer.ThreadDelegateConsumer.__init__, "self._new_consumer_thread()"),
    "_wait_next_records": (faust_consumer.Consumer.getmany, "self._wait_next_records(timeout)"),
    "_to_message": (faust_consumer.Consumer.getmany, "self._to_message"),
    "ack": (faust_consumer.Consumer, "def ack(self, message"),
    "_filter_tps_with_pending_acks": (faust_consumer.Consumer.force_commit, "self._filter_tps_with_pending_acks("),
    "_new_offset": (faust_consumer.Consumer._filter_committable_offsets, "self._new_offset(tp)"),
    "_commit_offsets": (faust_consumer.Consumer._commit_tps, "self._commit_offsets("),
    "_add_gap": (faust_consumer.Consumer._drain_messages, "self._add_gap("),
    "on_buffer_full": (faust_consumer.Consumer, "def on_buffer_full(self, tp"),
    "verify_event_path": (faust_consumer.Consumer.verify_all_partitions_active, "self.verify_event_path("),
    "on_partitions_revoked": (
        faust_consumer.ThreadDelegateConsumer.threadsafe_partitions_revoked,
        "on_partitions_revoked",
    ),
    "perform_seek": (faust_consumer.Consumer.getmany, "self.perform_seek()"),
    "resume_flow": (recovery.Recovery._resume_streams, "app.flow_control.resume()\n        consumer.resume_flow()"),
    "seek": (faust_consumer.Consumer, "def seek(self, partition"),
}


def test_every_override_is_known_to_these_tests():
    assert set(OVERRIDDEN) == set(CALLED_BY)


@pytest.mark.parametrize("name", sorted(CALLED_BY))
def test_faust_has_the_part_that_is_overridden(name):
    theirs = inspect.signature(getattr(driver.Consumer, name))
    ours = inspect.signature(getattr(RecordBatchConsumer, name))
    assert list(ours.parameters) == list(theirs.parameters)
    caller, call = CALLED_BY[name]
    assert call in inspect.getsource(caller)


def test_faust_fixes_how_long_a_fetch_waits_and_aiokafka_takes_our_word_for_it():
    assert "fetch_max_wait_ms=1500" in inspect.getsource(driver.AIOKafkaConsumerThread._create_worker_consumer)
    assert "fetch_max_wait_ms=self._fetch_max_wait_ms" in inspect.getsource(AIOKafkaConsumer.start)
    assert "self._create_worker_consumer(" in inspect.getsource(driver.AIOKafkaConsumerThread._create_consumer)


def test_faust_passes_over_a_message_as_the_transport_expects():
    source = inspect.getsource(faust_consumer.Consumer._drain_messages)
    assert "if r_offset is None or offset >= r_offset:" in source


@pytest.fixture
async def consumer():
    async def nothing(_):
        return None

    lanes = {topic: Lanes(nothing, nothing, max_in_flight=2) for topic in ("slow", "quick")}
    app = build_app(Settings(consumer_group="unit"), lanes)
    app.finalize()
    consumer = app.consumer
    assert isinstance(consumer, RecordBatchConsumer)
    assert isinstance(app.transport, RecordBatchTransport)
    app.consumer_generation_id = 1
    consumer._set_active_tps({TP("slow", 0), TP("quick", 0)})
    consumer.dropped = []
    consumer.polls = []
    consumer.seeks = 0

    async def on_dropped(tps):
        consumer.dropped.append(set(tps))

    async def getmany(active_partitions, timeout):  # noqa: ASYNC109
        consumer.polls.append(active_partitions)
        return {tp: records(0, 3) for tp in active_partitions}

    async def seek_to_committed():
        consumer.seeks += 1
        return {TP("slow", 0): 1, TP("quick", 0): 1}

    consumer.transport.on_dropped = on_dropped
    consumer._getmany = getmany
    consumer.seek_to_committed = seek_to_committed
    consumer.assignment = lambda: {TP("slow", 0), TP("quick", 0)}
    consumer.resume_flow()
    return consumer


def records(first, last):
    return [
        SimpleNamespace(
            topic="quick", partition=0, offset=offset, timestamp=1, timestamp_type=1, headers=(), key=None, value=b"",
            checksum=None, serialized_key_size=0, serialized_value_size=0,
        )
        for offset in range(first, last)
    ]  # fmt: skip


async def poll(consumer):
    batches, _ = await consumer._wait_next_records(0.01)
    for tp, (batch,) in batches.items():
        consumer._to_message(tp, batch)
    return {tp: batch for tp, (batch,) in batches.items()}


async def test_a_poll_becomes_one_message_a_partition(consumer):
    batches = await poll(consumer)
    assert {(b.topic, b.partition, b.end, len(b.records)) for b in batches.values()} == {
        ("slow", 0, 3, 3),
        ("quick", 0, 3, 3),
    }
    message = consumer._to_message(TP("quick", 0), batches[TP("quick", 0)])
    assert message.value is batches[TP("quick", 0)]
    assert message.offset == 2


async def test_a_topic_that_waits_is_not_polled_and_holds_up_no_other(consumer):
    slow = []
    for _ in range(consumer.transport.max_waiting):
        batches = await poll(consumer)
        slow.append(batches[TP("slow", 0)])
        consumer.acknowledge(batches[TP("quick", 0)])
    await poll(consumer)
    assert consumer.polls[-1] == {TP("quick", 0)}
    consumer.acknowledge(slow[0])
    await poll(consumer)
    assert TP("slow", 0) in consumer.polls[-1]


async def test_with_all_topics_waiting_it_waits_for_room_and_not_for_a_second(consumer):
    for _ in range(consumer.transport.max_waiting):
        last = await poll(consumer)
    polls = len(consumer.polls)
    waiting = asyncio.create_task(poll(consumer))
    await asyncio.sleep(0)
    for batch in last.values():
        consumer._deliveries.acknowledge(batch)
    started = asyncio.get_running_loop().time()
    consumer._room.set()
    await waiting
    assert asyncio.get_running_loop().time() - started < 0.04
    assert len(consumer.polls) == polls, "an empty set would poll every partition"


async def test_only_an_acknowledgement_by_the_lanes_moves_the_log(consumer):
    tp = TP("quick", 0)
    consumer.app.topics._acking_topics.add("quick")
    batch = (await poll(consumer))[tp]
    skipped = consumer._to_message(tp, batch)
    skipped.incref()
    skipped.ack(consumer)  # what Faust does with an event that it skips in a rebalance
    assert list(consumer._filter_tps_with_pending_acks()) == []
    consumer.acknowledge(batch)
    assert list(consumer._filter_tps_with_pending_acks()) == [tp]
    assert consumer._filter_committable_offsets([tp]) == {tp: 3}


async def test_records_of_an_unknown_generation_are_read_again(consumer):
    async def rebalanced(active_partitions, timeout):  # noqa: ASYNC109
        consumer.app.consumer_generation_id += 1
        return {tp: records(0, 3) for tp in active_partitions}

    consumer._getmany = rebalanced
    assert await poll(consumer) == {}
    assert consumer.seeks == 1


async def test_going_back_drops_what_is_out_and_starts_at_the_beginning_where_nothing_is_committed(
    consumer, monkeypatch
):
    batches = await poll(consumer)
    beginning = []

    async def seek_to_committed():
        return {TP("slow", 0): 17, TP("quick", 0): None}

    async def seek_to_beginning(*partitions):
        beginning.extend(partitions)

    monkeypatch.setattr(consumer, "seek_to_committed", seek_to_committed)
    monkeypatch.setattr(consumer, "seek_to_beginning", seek_to_beginning)
    await consumer.perform_seek()
    assert consumer.dropped == [{TP("slow", 0), TP("quick", 0)}]
    assert not any(consumer.take(batch) for batch in batches.values())
    assert beginning == [TP("quick", 0)]


async def test_a_batch_behind_one_that_got_lost_is_not_begun_and_both_come_again(consumer):
    """Begun, it would move its users' positions past the lost one: the worst that can happen here."""
    tp = TP("quick", 0)
    lost, later = (await poll(consumer))[tp], (await poll(consumer))[tp]
    assert not consumer.take(later)
    assert await poll(consumer) == {}
    assert consumer.seeks == 1
    assert not consumer.take(lost)
    assert consumer.take((await poll(consumer))[tp])


async def test_what_faust_empties_from_the_queues_as_flow_resumes_comes_again(consumer):
    tp = TP("quick", 0)
    first, second = (await poll(consumer)), (await poll(consumer))
    for batch in (*first.values(), second[TP("slow", 0)]):
        assert consumer.take(batch)
    consumer.resume_flow()
    assert await poll(consumer) == {}
    assert consumer.seeks == 1
    assert not consumer.take(second[tp])
    consumer.resume_flow()
    assert set(await poll(consumer)) == {tp, TP("slow", 0)}, "with nothing in the queues nothing has to come again"


async def test_what_was_polled_and_not_delivered_comes_again(consumer):
    await consumer._wait_next_records(0.01)  # a rebalance ends Faust's loop over what this brought
    assert await poll(consumer) == {}
    assert consumer.seeks == 1
    assert await poll(consumer)


async def test_what_was_polled_before_a_seek_is_not_delivered_after_it(consumer):
    batches, _ = await consumer._wait_next_records(0.01)
    await consumer.perform_seek()
    ((batch,), *_) = batches.values()
    consumer._to_message(TP(*batch.place), batch)
    assert not consumer.take(batch)


async def test_records_that_come_while_a_seek_is_under_way_are_read_again(consumer):
    polling, go_on = asyncio.Event(), asyncio.Event()

    async def getmany(active_partitions, timeout):  # noqa: ASYNC109
        polling.set()
        await go_on.wait()
        return {tp: records(0, 3) for tp in active_partitions}

    consumer._getmany = getmany
    waiting = asyncio.create_task(poll(consumer))
    await polling.wait()
    await consumer.perform_seek()
    go_on.set()
    assert await waiting == {}
    assert consumer.seeks == 2


async def test_a_seek_that_fails_is_made_up_for_before_the_next_poll(consumer, monkeypatch):
    """As when a rebalance comes between: aiokafka knows the partition no more ("No current assignment")."""
    seek = consumer.seek_to_committed
    failures = [IllegalStateError("No current assignment for partition"), KafkaTimeoutError()]

    async def failing():
        if failures:
            raise failures.pop(0)
        return await seek()

    monkeypatch.setattr("streams.transport._REWIND_AGAIN_SECONDS", 0.0)
    consumer.seek_to_committed = failing
    with pytest.raises(IllegalStateError):
        await consumer.perform_seek()
    assert await poll(consumer) == {}
    assert (consumer.seeks, consumer.polls) == (1, [])
    assert await poll(consumer)


async def test_of_two_seeks_at_once_one_waits_for_the_other(consumer):
    running = []

    async def seek_to_committed():
        assert not running
        running.append(1)
        await asyncio.sleep(0.01)
        running.pop()
        return {}

    consumer.seek_to_committed = seek_to_committed
    consumer.assignment = set
    await asyncio.gather(consumer.perform_seek(), consumer.perform_seek())


async def test_work_on_a_revoked_partition_cannot_begin_while_it_is_given_up(consumer):
    tp = TP("quick", 0)
    first, second = (await poll(consumer))[tp], (await poll(consumer))[tp]
    assert consumer.take(first)
    begun = []

    async def on_dropped(tps):
        begun.append(consumer.take(second))

    consumer.transport.on_dropped = on_dropped
    await consumer.on_partitions_revoked({tp})
    assert begun == [False]


async def test_a_failed_commit_is_tried_again(consumer, monkeypatch):
    tp = TP("quick", 0)
    consumer.acknowledge((await poll(consumer))[tp])

    async def refused(offsets):
        return False

    monkeypatch.setattr(consumer, "_commit", refused)
    monkeypatch.setattr(consumer, "assignment", lambda: {tp})
    monkeypatch.setattr(type(consumer.app.producer), "flush", lambda self: asyncio.sleep(0))
    assert not await consumer._commit_offsets(consumer._filter_committable_offsets([tp]))
    assert consumer._filter_committable_offsets([tp]) == {tp: 3}

"""A batch through a pipeline: what is rejected has gone out before the profile's position can pass it."""

import json

import pytest
from aiokafka import ConsumerRecord

from streams.decoding import Decoder
from streams.events import Reason, Rejected, TopicKind
from streams.observer import BatchApplied, Recorder
from streams.pipeline import Pipeline, Written
from streams.record_batches import RecordBatch

CLICK = {"user_id": "u", "occurred_at": 1_795_000_000_000, "action": "like", "item_id": "i"}


class Handler:
    """Rejects the event called "unknown", and dies in the write where it is told to."""

    def __init__(self, journal, dies):
        self._journal = journal
        self._dies = dies

    async def read(self, events):
        unknown = Rejected(Reason.UNKNOWN_ITEM, "no such item")
        return [unknown if e.event.event_id == "unknown" else e.event.event_id for e in events]

    async def write(self, log, results):
        self._journal.append(("write", log, list(results)))
        if self._dies:
            raise ConnectionError
        return Written(applied=len(results), updates=["update"])


class Outbox:
    fails = 0

    def __init__(self, journal):
        self._journal = journal

    async def publish(self, batch, rejected, updates):
        if self.fails:
            self.fails -= 1
            raise ConnectionError
        self._journal.append(("publish", sorted(rejected), list(updates)))


def batch_of(*ids):
    records = [
        ConsumerRecord(
            "clicks", 2, n, 1_795_000_000_000, 0, b"u", json.dumps(CLICK | {"event_id": i}).encode(), 0, 1, 1, ()
        )
        for n, i in enumerate(ids)
    ]
    return RecordBatch("clicks", 2, records)


@pytest.mark.parametrize("dies", [False, True])
async def test_rejects_go_out_before_the_write_and_updates_after_it(dies):
    journal = []
    decoder = Decoder(TopicKind.CLICKS, max_future_skew_us=0, max_value_bytes=10_000)
    pipeline = Pipeline("clicks", decoder, Handler(journal, dies), Outbox(journal), Recorder())
    prepared = await pipeline.prepare(batch_of("a", "unknown", "b"))
    assert journal == [("publish", [1], [])]
    if dies:
        with pytest.raises(ConnectionError):
            await pipeline.apply(prepared)
    else:
        await pipeline.apply(prepared)
    assert journal[1:] == [("write", "clicks/2", ["a", "b"])] + [("publish", [], ["update"])] * (not dies)


async def test_a_batch_without_rejects_sends_no_letters():
    journal = []
    decoder = Decoder(TopicKind.CLICKS, max_future_skew_us=0, max_value_bytes=10_000)
    pipeline = Pipeline("clicks", decoder, Handler(journal, dies=False), Outbox(journal), Recorder())
    await pipeline.prepare(batch_of("a"))
    assert not journal


async def test_where_updates_do_not_go_out_they_go_later_and_nothing_is_written_twice():
    journal, observer = [], Recorder()
    outbox = Outbox(journal)
    decoder = Decoder(TopicKind.CLICKS, max_future_skew_us=0, max_value_bytes=10_000)
    pipeline = Pipeline("clicks", decoder, Handler(journal, dies=False), outbox, observer)
    prepared = await pipeline.prepare(batch_of("a", "b"))
    outbox.fails = 1
    with pytest.raises(ConnectionError):
        await pipeline.apply(prepared)
    await pipeline.apply(prepared)
    assert journal == [("write", "clicks/2", ["a", "b"]), ("publish", [], ["update"])]
    assert [fact.applied for fact in observer.events if isinstance(fact, BatchApplied)] == [2]

"""A batch through a pipeline: what is rejected has gone out before the profile's position can pass it."""

import json
import time

import pytest
from aiokafka import ConsumerRecord

from profiles.comparison import Snapshot
from profiles.model import Applied, Observation
from streams.decoding import Decoder
from streams.events import Command, CommandKind, Reason, Rejected, TopicKind
from streams.observer import BatchApplied, EventsClamped, Recorder
from streams.pipeline import CommandHandler, Pipeline, ProfileHandler
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

    async def write(self, log, results, recorded):
        self._journal.append(("write", log, list(results)))
        if self._dies:
            raise ConnectionError
        recorded.applied, recorded.updates = len(results), ["update"]
        return recorded


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


async def test_where_updates_do_not_go_out_they_go_later_and_nothing_is_written_twice(monkeypatch):
    journal, observer = [], Recorder()
    outbox = Outbox(journal)
    decoder = Decoder(TopicKind.CLICKS, max_future_skew_us=0, max_value_bytes=10_000)
    pipeline = Pipeline("clicks", decoder, Handler(journal, dies=False), outbox, observer)
    prepared = await pipeline.prepare(batch_of("a", "b"))
    outbox.fails = 1
    with pytest.raises(ConnectionError):
        await pipeline.apply(prepared)
    written = time.time()
    monkeypatch.setattr(time, "time", lambda: written + 60)
    await pipeline.apply(prepared)
    assert journal == [("write", "clicks/2", ["a", "b"]), ("publish", [], ["update"])]
    (applied,) = [fact for fact in observer.events if isinstance(fact, BatchApplied)]
    assert applied.applied == 2
    (freshness,) = applied.freshness
    assert freshness < written + 1 - 1_795_000_000, "the profile has shown it since the write"


class Breaking:
    """Store and ledger: the one loses its connection behind the first event, the other behind the last."""

    def __init__(self):
        self.forgets = 0

    async def record(self, log, observations, recorded):
        for observation in observations[recorded.applied :]:
            recorded.applied += 1
            recorded.updates.append(Applied(observation.user, 0, 1))
            recorded.forgotten.add(observation.user)
            if recorded.applied == 1:
                raise ConnectionError
        return recorded

    async def forget(self, user):
        self.forgets += 1
        if self.forgets == 1:
            raise ConnectionError


async def test_what_a_write_did_before_it_failed_is_told_by_the_one_that_does_not():
    async def observe(placed):
        return [Observation(f"user of {p.event.event_id}", p.event.event_id, p.offset, 0, ()) for p in placed]

    journal, observer, breaking, changed = [], Recorder(), Breaking(), []
    decoder = Decoder(TopicKind.CLICKS, max_future_skew_us=0, max_value_bytes=10_000)
    handler = ProfileHandler(observe, breaking, changed.extend, breaking)
    pipeline = Pipeline("clicks", decoder, handler, Outbox(journal), observer)
    prepared = await pipeline.prepare(batch_of("a", "b"))
    for _ in range(2):
        with pytest.raises(ConnectionError):
            await pipeline.apply(prepared)
    await pipeline.apply(prepared)
    ((_, _, told),) = journal
    assert [update.user for update in told] == changed == ["user of a", "user of b"]
    (applied,) = [fact for fact in observer.events if isinstance(fact, BatchApplied)]
    assert (applied.applied, applied.replayed) == (2, 0)


async def test_an_event_from_the_future_is_counted_once_however_often_its_batch_is_prepared():
    observer, outbox = Recorder(), Outbox([])
    outbox.fails = 2
    decoder = Decoder(TopicKind.CLICKS, max_future_skew_us=-1, max_value_bytes=10_000)
    pipeline = Pipeline("clicks", decoder, Handler([], dies=False), outbox, observer)
    batch = batch_of("a", "unknown")
    for _ in range(2):
        with pytest.raises(ConnectionError):
            await pipeline.prepare(batch)
    await pipeline.prepare(batch)
    assert [fact.events for fact in observer.events if isinstance(fact, EventsClamped)] == [2]


class Profiles:
    """Store, ledger, snapshots: notes who was forgotten, and the most profiles that were read at once."""

    def __init__(self):
        self.forgotten = []
        self.most = 0

    async def forget(self, user, at=None):
        if at is not None:
            self.forgotten.append((user, at))

    async def read(self, users, *_):
        self.most = max(self.most, len(users))
        for user in users:
            at = max((at for name, at in self.forgotten if name == user), default=-1)
            yield user, (Snapshot({}, at, {}, {}, None),)


async def test_many_commands_hold_few_profiles_in_memory_and_letters_go_once_and_last():
    profiles, journal = Profiles(), []

    async def take_letters_back(users):
        journal.append(("letters", set(users)))

    async def tell(told, moment):
        journal.append(("told", [user for user, _, _ in told], moment))
        assert all(before.newest < now.newest for _, now, before in told)

    commands = [
        Command(event_id=f"c{n}", user_id=f"u{n}", occurred_at=n, command=CommandKind.FORGET) for n in range(250)
    ]
    handler = CommandHandler(profiles, profiles, take_letters_back, profiles, tell)
    assert (await handler.write("commands/0", commands)).applied == 250
    assert profiles.forgotten == [(c.user_id, c.occurred_at) for c in commands]
    assert profiles.most == 100
    assert [user for told in journal[:-1] for user in told[1]] == [c.user_id for c in commands]
    assert [told[2] for told in journal[:-1]] == [99, 199, 249]
    assert journal[-1] == ("letters", {c.user_id for c in commands})

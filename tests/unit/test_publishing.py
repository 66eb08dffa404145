"""What our own tools publish: a producer's ids and times stay, and what the brokers refuse does not count as sent."""

import json
from types import SimpleNamespace

import pytest
from kafka.errors import KafkaTimeoutError, TopicAuthorizationFailedError
from kafka.future import Future

from streams import connections, publishing
from streams.events import DeadLetter, Reason
from streams.publishing import InvalidEventError, Publisher, PublishError
from streams.replay import dead_letters
from streams.settings import Settings

SEGMENT = {
    "type": "track",
    "event": "Product Viewed",
    "userId": "u",
    "messageId": "m",
    "timestamp": "2026-01-01T00:00:00Z",
    "properties": {"product_id": "507"},
}
REFUSAL = TopicAuthorizationFailedError("no WRITE")


class Producer:
    """Kafka's, as far as it is asked here: ``outcome`` is what becomes of each record, or what sending raises."""

    outcome = None

    def __init__(self, **options):
        self.sent = []

    def send(self, topic, value, key, **more):
        if isinstance(self.outcome, KafkaTimeoutError):
            raise self.outcome
        self.sent.append(json.loads(value))
        return Future().success(None) if self.outcome is None else Future().failure(self.outcome)

    def flush(self, timeout):
        pass

    def close(self, timeout):
        pass


@pytest.fixture(autouse=True)
def producer(monkeypatch):
    async def let_in(settings):
        return None

    producer = Producer()
    monkeypatch.setattr(connections, "_knock", let_in)
    for module in (publishing, dead_letters):
        monkeypatch.setattr(module, "KafkaProducer", lambda **options: producer)
    return producer


@pytest.mark.parametrize(
    "event",
    [SEGMENT, {"user_id": "u", "action": "like", "item_id": "i", "properties": {"event_id": "e", "occurred_at": 5}}],
)
def test_ids_and_times_under_other_names_stay(producer, event):
    with Publisher(Settings()) as publisher:
        publisher.send(json.dumps(event).encode())
    assert producer.sent == [event]


def test_an_event_without_id_and_time_gets_them(producer):
    click = {"user_id": "u", "action": "like", "item_id": "i", "event_id": None}
    with Publisher(Settings()) as publisher:
        publisher.send(click)
        publisher.send(SEGMENT | {"messageId": None})
    first, second = producer.sent
    assert first["event_id"].startswith("cli-")
    assert "occurred_at" in first
    assert second["event_id"].startswith("cli-")
    assert "occurred_at" not in second


@pytest.mark.parametrize(
    "line", [b"{", b"\xff", b"[" * 100_000, b"[1]", b'{"user_id": "\\ud800", "action": "like", "item_id": "i"}']
)
def test_what_is_no_event_is_refused(producer, line):
    with Publisher(Settings()) as publisher, pytest.raises(InvalidEventError):
        publisher.send(line)
    assert not producer.sent


def test_what_the_brokers_refuse_was_not_sent(producer):
    producer.outcome = REFUSAL
    publisher = Publisher(Settings())
    publisher.send(SEGMENT)
    with pytest.raises(PublishError, match=r"refuses: .*TopicAuthorizationFailedError: no WRITE"):
        publisher.flush()


def test_a_topic_that_is_not_there_is_named(producer):
    producer.outcome = KafkaTimeoutError()
    publisher = Publisher(Settings())
    with pytest.raises(PublishError, match=r"the topic penchant\.clicks\.v1: start a worker"):
        publisher.send(SEGMENT)


@pytest.mark.parametrize("outcome", [None, REFUSAL])
def test_letters_that_the_brokers_refuse_are_not_replayed(producer, monkeypatch, outcome):
    letter = DeadLetter(
        reason=Reason.POISON,
        detail="",
        topic="penchant.clicks.v1",
        partition=0,
        offset=1,
        timestamp_ms=1,
        key=None,
        value="e30=",
        headers={},
        rejected_at="",
    )
    committed = []
    consumer = SimpleNamespace(commit=committed.append, close=lambda **_: None)
    monkeypatch.setattr(dead_letters, "open_consumer", lambda *_: (consumer, {}))
    monkeypatch.setattr(dead_letters, "standing", lambda *_: [letter])
    producer.outcome = outcome
    if outcome is None:
        assert dead_letters.replay_dead_letters(Settings(), Reason.POISON).sent == 1
    else:
        with pytest.raises(TopicAuthorizationFailedError):
            dead_letters.replay_dead_letters(Settings(), Reason.POISON)
    assert len(committed) == (outcome is None)

"""What Penchant publishes, read back by plain kafka-python code."""

import base64
import json
from types import SimpleNamespace

import pytest
from aiokafka import AIOKafkaProducer
from kafka import KafkaConsumer, TopicPartition

from profiles.model import Applied, Change, Stance
from profiles.policy import Policy
from streams.events import Reason, Rejected
from streams.outbox import Outbox
from streams.record_batches import RecordBatch
from streams.settings import load_settings
from streams.topics import DEAD_LETTERS, PROFILE_UPDATES, ensure_topics, topic_names

START = 1_795_000_000_000_000


def read(bootstrap, topic, key):
    """The record with that key: other tests may have published to the same broker."""
    consumer = KafkaConsumer(bootstrap_servers=bootstrap, consumer_timeout_ms=10_000, enable_auto_commit=False)
    partitions = [TopicPartition(topic, p) for p in consumer.partitions_for_topic(topic)]
    consumer.assign(partitions)
    consumer.seek_to_beginning(*partitions)
    found = next(record for record in consumer if record.key == key)
    consumer.close()
    return found


@pytest.fixture
async def outbox(broker):
    ensure_topics(load_settings(kafka_bootstrap=broker.bootstrap))
    names = topic_names()
    producer = AIOKafkaProducer(bootstrap_servers=broker.bootstrap)
    await producer.start()
    yield Outbox(
        producer,
        dead_letters_topic=names[DEAD_LETTERS],
        updates_topic=names[PROFILE_UPDATES],
        half_lives=Policy().half_lives,
    )
    await producer.stop()


async def test_updates_say_what_changed_and_dead_letters_why(broker, outbox):
    value = b"\xff not json"
    record = SimpleNamespace(offset=7, timestamp=START // 1000, key=b"k", value=value, headers=[("h", b"v")])
    batch = RecordBatch("penchant.clicks.v1", 3, [record])
    changes = [
        Change("cats", Stance.LIKE, "now", START + 6 * 3600 * 10**6),
        Change("horror", Stance.DISLIKE, "lasting", START),
    ]
    update = Applied("u{1}", newest=START, events=2, changes=changes)
    quiet = Applied("nobody-asked", newest=START, events=1)
    await outbox.publish(batch, {0: Rejected(Reason.INVALID_JSON, "no", "f")}, [update, quiet])

    published = read(broker.bootstrap, topic_names()[PROFILE_UPDATES], b"u{1}")
    assert json.loads(published.value) == {
        "user_id": "u{1}",
        "at": "2026-11-18T11:06:40+00:00",
        "events": 2,
        "changes": [
            {"interest": "cats", "stance": "like", "horizon": "now", "weight": 2.0},
            {"interest": "horror", "stance": "dislike", "horizon": "lasting", "weight": 1.0},
        ],
    }
    letter = json.loads(read(broker.bootstrap, topic_names()[DEAD_LETTERS], b"penchant.clicks.v1/3/7").value)
    assert (letter["reason"], letter["detail"], letter["field"]) == ("invalid_json", "no", "f")
    assert (letter["topic"], letter["partition"], letter["offset"]) == ("penchant.clicks.v1", 3, 7)
    assert base64.b64decode(letter["key"]) == b"k"
    assert base64.b64decode(letter["value"]) == value
    assert base64.b64decode(letter["headers"]["h"]) == b"v"

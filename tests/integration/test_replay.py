"""Dead letters are sent through again: the original bytes, once, and only those of the reason asked for."""

import base64
import json
import os
import subprocess
import sys

import pytest
from kafka import KafkaConsumer, KafkaProducer, TopicPartition

from streams.settings import load_settings
from streams.topics import ensure_topics

REASON = "unknown_item"


def letter(value, *, reason=REASON, topic="penchant.clicks.v1"):
    body = {
        "reason": reason,
        "detail": "",
        "topic": topic,
        "partition": 0,
        "offset": 1,
        "timestamp_ms": 1_795_000_000_000,
        "key": base64.b64encode(b"u1").decode(),
        "value": base64.b64encode(value).decode(),
        "headers": {"ce_id": base64.b64encode(b"\xff id").decode()},
        "rejected_at": "2026-11-24T12:00:00Z",
    }
    return json.dumps(body).encode()


@pytest.fixture
def environment(broker):
    return {**os.environ, "PENCHANT_KAFKA_BOOTSTRAP": broker.bootstrap, "PENCHANT_CONSUMER_GROUP": "replay-test"}


def replay(environment, *arguments):
    command = [sys.executable, "-m", "streams.cli", "replay", "--dead-letters", "--reason", REASON, "--json"]
    finished = subprocess.run(
        [*command, *arguments], env=environment, capture_output=True, text=True, check=True, timeout=60
    )
    (row,) = json.loads(finished.stdout)["reasons"]
    return row


def everything(broker, topic, seen):
    consumer = KafkaConsumer(bootstrap_servers=broker.bootstrap, auto_offset_reset="earliest")
    partitions = [TopicPartition(topic, n) for n in consumer.partitions_for_topic(topic)]
    consumer.assign(partitions)
    records, quiet = [], 0
    while quiet < 4:
        polled = consumer.poll(250)
        quiet = 0 if polled else quiet + 1
        records += [r for rows in polled.values() for r in rows if seen in (r.value or b"")]
    consumer.close()
    return records


def test_each_letter_is_replayed_once_with_its_bytes(broker, environment):
    ensure_topics(load_settings(kafka_bootstrap=broker.bootstrap))
    producer = KafkaProducer(bootstrap_servers=broker.bootstrap)
    other = letter(b"replayed-2", reason="poison")
    for value in (letter(b"{replayed-1 \xff"), other, b"no letter", letter(b"replayed-3")):
        producer.send("penchant.dead-letters.v1", value, b"u1")
    producer.send("penchant.dead-letters.v1", letter(b"replayed-4", topic="__consumer_offsets"), b"u1")
    producer.flush()

    counted = replay(environment, "--dry-run")
    assert (counted["sent"], counted["unreadable"]) == (2, 2)
    assert not everything(broker, "penchant.clicks.v1", b"replayed-")

    assert replay(environment) == counted
    records = everything(broker, "penchant.clicks.v1", b"replayed-")
    assert sorted(r.value for r in records) == [b"replayed-3", b"{replayed-1 \xff"]
    assert {(r.key, tuple(map(tuple, r.headers))) for r in records} == {(b"u1", (("ce_id", b"\xff id"),))}

    assert replay(environment)["seen"] == 0
    producer.send("penchant.dead-letters.v1", letter(b"replayed-5"), b"u1")
    producer.close()
    assert replay(environment)["sent"] == 1


def test_wrong_use_says_what_to_say(environment):
    finished = subprocess.run(
        [sys.executable, "-m", "streams.cli", "replay", "--dead-letters"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 2
    assert "--dead-letters --reason" in finished.stderr

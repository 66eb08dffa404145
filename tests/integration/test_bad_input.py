"""Bad input through the whole system: each gets a named reason or is handled, and the batch goes on."""

import base64
import json
from collections import Counter

import pytest
from kafka import KafkaConsumer, TopicPartition

from streams.demo.feed import publish_file, result, wait_until_done
from streams.demo.stack import running_stack
from streams.topics import DEAD_LETTERS, topic_names

NOW = "2026-11-24T12:00:00Z"


def click(**changes):
    event = {"event_id": "e", "user_id": "u", "occurred_at": NOW, "action": "like", "item_id": "i1", **changes}
    return json.dumps({name: value for name, value in event.items() if value is not None}).encode()


def comment(event_id, user, **changes):
    event = {"event_id": event_id, "user_id": user, "occurred_at": NOW, "kind": "comment", "text": "I love cats"}
    return json.dumps({**event, **changes}, ensure_ascii=False).encode()


BAD = [
    (b"{not json", "invalid_json"),
    (b"\xff\xfe\x00", "invalid_json"),
    (b"[1, 2]", "not_an_object"),
    (click(user_id=None), "missing_field"),
    (click(event_id=""), "bad_id"),
    (click(user_id="nul\0byte"), "bad_id"),
    (click(user_id=[1]), "wrong_type"),
    (click(action="teleport"), "unknown_value"),
    (click(occurred_at=1_795_000_000), "bad_time"),
    (click(occurred_at="yesterday"), "bad_time"),
    (click(action="dwell", dwell_ms=-5), "bad_number"),
    (b'{"event_id":"n","user_id":"u","occurred_at":NaN,"action":"click","item_id":"i1"}', "invalid_json"),
    (b'{"event_id":"n","user_id":"u","action":"click","a":' + b"[" * 50_000 + b"]" * 50_000 + b"}", "too_deep"),
    (click(item_id="never-published"), "unknown_item"),
    (click(item_id=None, item={"tags": []}), "item_without_text"),
    (b'{"item_id": "i2", "kind": "article"}', "item_without_text"),
    (comment("big", "u", text="x" * 2_000_000), "too_large"),
]
GOOD = [
    b'{"item_id": "i1", "kind": "article", "title": "How to raise cats"}',
    click(event_id="good-click"),
    comment("far-past", "old", occurred_at="1970-01-02T00:00:00Z"),
    comment("far-future", "future", occurred_at="2100-01-01T00:00:00Z"),
    comment("odd-id", "br{ace}s\nnew line 🐱"),
    comment("long", "long", text="I love cats. " * 4_000),
    comment("nul-text", "nul", text="I love \0 cats"),
    comment("surrogates", "emoji", text="I love cats 🐈‍⬛"),
]


@pytest.fixture(scope="module")
def outcome(tmp_path_factory):
    path = tmp_path_factory.mktemp("bad") / "events.jsonl"
    lines = [line for pair in zip([b for b, _ in BAD], GOOD * 3, strict=False) for line in pair]
    path.write_bytes(b"\n".join([*GOOD, *lines]))
    with running_stack({"ITEM_WAIT_SECONDS": "1"}) as stack:
        number = publish_file(path, stack.settings)
        wait_until_done(stack, number, lambda *_: None)
        yield result(stack, number), dead_letters(stack.settings.kafka_bootstrap, len(BAD))


def dead_letters(bootstrap, number):
    consumer = KafkaConsumer(bootstrap_servers=bootstrap, enable_auto_commit=False, consumer_timeout_ms=5000)
    topic = topic_names()[DEAD_LETTERS]
    partitions = [TopicPartition(topic, p) for p in sorted(consumer.partitions_for_topic(topic))]
    consumer.assign(partitions)
    consumer.seek_to_beginning(*partitions)
    letters = []
    for record in consumer:
        letters.append(json.loads(record.value))
        if len(letters) == number:
            break
    consumer.close()
    return letters


def test_every_bad_event_has_its_reason(outcome):
    found, _ = outcome
    assert found["counts"]["rejected"] == Counter(reason for _, reason in BAD)


def test_every_good_event_counts_once(outcome):
    found, _ = outcome
    assert found["counts"]["applied"] >= len(GOOD)
    assert set(found["users"]) == {"u", "old", "future", "br{ace}s\nnew line 🐱", "long", "nul", "emoji"}
    for user in found["users"]:
        assert "cats" in {row["interest"] for row in found["users"][user]["lasting"]}, user


def test_dead_letters_hold_origin_and_original_bytes(outcome):
    _, letters = outcome
    originals = {base64.b64decode(letter["value"]) for letter in letters}
    assert {value for value, reason in BAD if reason != "too_large"} <= originals
    for letter in letters:
        assert letter["topic"].startswith("penchant.")
        assert letter["detail"]
        assert letter["offset"] >= 0

"""The main job, whole, against the oracle: the demo on embedded parts, and a worker on a real broker and Redis."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from kafka import KafkaProducer
from redis import Redis

from profiles import keys
from profiles.decay import weight_at
from streams.demo.stack import Stack, await_ready
from streams.settings import load_settings
from tests.oracle import HALF_LIVES_US, assert_same, weights
from tests.stream import mixed_events, shown

EVENTS = 10_000
SHORT = 2_000


@pytest.fixture(scope="module")
def story(tmp_path_factory):
    events = mixed_events(EVENTS, seed=11)
    path = tmp_path_factory.mktemp("events") / "events.jsonl"
    path.write_text("\n".join(json.dumps(e, ensure_ascii=False) for e in events), encoding="utf-8")
    return path, events


def test_the_demo_equals_a_batch_recomputation(story):
    path, events = story
    command = [sys.executable, "-m", "streams.cli", "demo", "--events", str(path), "--exit", "--json"]
    finished = subprocess.run(command, capture_output=True, text=True, check=True, timeout=240)
    (line,) = finished.stdout.splitlines()
    found = json.loads(line)
    expected = weights(shown(events), at=max(e["occurred_at"] for e in events if "user_id" in e) * 1000)
    distinct = len({e["event_id"] for e in events if "user_id" in e})
    items = len(events) - EVENTS
    assert found["counts"]["consumed"] == EVENTS + items
    assert found["counts"]["applied"] == distinct + items
    assert found["counts"]["duplicates"] == EVENTS - distinct
    assert found["counts"]["rejected"] == {}
    assert set(found["users"]) == set(expected)
    for user, horizons in found["users"].items():
        profile = {}
        for horizon, rows in horizons.items():
            for stance in ("like", "dislike"):
                profile[stance, horizon] = {r["interest"]: r["weight"] for r in rows if r["stance"] == stance}
        assert_same(profile, expected[user], least=1e-9)
    assert 0 < found["latency_seconds"]["p50"] <= found["latency_seconds"]["p99"]


def test_a_worker_on_a_real_broker_equals_it_too(own_broker, redis_url):
    """As a user runs it: settings from the environment, events from plain kafka-python code."""
    events = mixed_events(SHORT, seed=12)
    settings = {
        "KAFKA_BOOTSTRAP": own_broker.bootstrap,
        "REDIS_URL": redis_url,
        "WEB_PORT": "0",
        "CONSUMER_GROUP": "main-job",
    }
    environment = {**os.environ, **{f"PENCHANT_{name}": value for name, value in settings.items()}}
    worker = subprocess.Popen(
        [sys.executable, "-m", "streams.cli", "worker"], env=environment, stdout=subprocess.PIPE, text=True
    )
    try:
        web = await_ready(worker)
        producer = KafkaProducer(bootstrap_servers=own_broker.bootstrap)
        for event in events:
            kind = "items" if "user_id" not in event else "comments" if "text" in event else "clicks"
            key = event.get("user_id", event.get("item_id"))
            producer.send(f"penchant.{kind}.v1", json.dumps(event).encode(), key.encode())
        producer.close()
        stack = Stack(load_settings(), web, worker)
        deadline = time.monotonic() + 120
        while stack.done() < len(events):
            assert time.monotonic() < deadline, f"{stack.done()} of {len(events)} events came to an end"
            time.sleep(0.2)
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(30) == 0
    finally:
        worker.kill()
    _compare(Redis.from_url(redis_url), events)


def _compare(redis, events):
    at = max(e["occurred_at"] for e in events if "user_id" in e) * 1000
    expected = weights(shown(events), at=at)
    for user, sums in expected.items():
        profile = {
            (stance, horizon): {
                member.decode(): weight_at(score, at, half_life)
                for member, score in redis.zrange(keys.interests(user, stance, horizon), 0, -1, withscores=True)
            }
            for horizon, half_life in HALF_LIVES_US.items()
            for stance in ("like", "dislike")
        }
        assert_same(profile, sums)

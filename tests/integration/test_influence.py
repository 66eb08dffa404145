"""Influence caps: whoever floods counts up to a bound, the same one in every replay, and nobody else notices."""

import json
import os
import random
import subprocess
import sys
import time
from dataclasses import replace

import pytest
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from redis import Redis as SyncRedis

from profiles import keys
from profiles.decay import weight_at
from profiles.model import Observation, Signal, Stance
from profiles.policy import Policy
from profiles.store import ProfileStore
from streams.demo.stack import Stack, await_ready
from streams.settings import load_settings
from tests.oracle import HALF_LIVES_US, HOUR_US, Caps, Commands, Shown, assert_same, weights, within_caps
from tests.stream import ITEMS, START_MS, shown

START = 1_795_000_000_000_000
CAPS = Caps(per_user=30, per_item=4)
POLICY = Policy(events_per_user_hour=CAPS.per_user, events_per_item_hour=CAPS.per_item)


@pytest.fixture
async def store(redis):
    store = ProfileStore(redis, POLICY)
    await store.prepare()
    return store


def observation(event, offset):
    signals = tuple(Signal(i, Stance(s), strength) for i, s, strength in event.signals)
    return Observation(event.user, event.event_id, offset, event.at, signals, event.target, event.appended)


def flood(seed, number=400):
    """One user in two is busy, with a favourite item; the log's clock moves on, and now and then stands wrong."""
    rng = random.Random(seed)
    events, clock = [], START
    for n in range(number):
        clock += rng.choice((0, 0, 10**7, 10**8))
        item = rng.choice(("spam", "spam", "a", "b", "c", None))
        signals = (
            ("hobby" if item is None else f"about-{item}", rng.choice(("like", "dislike")), rng.uniform(0.1, 5)),
        )
        appended = clock - rng.choice((0, 0, 0, HOUR_US))
        user = rng.choice(("busy", "busy", "busy", "calm"))
        events.append(Shown(user, f"e{n}", clock - 10**6, signals, item, "clicks/0", appended))
    return events


def profile(redis, user, at):
    return {
        (stance, horizon): {
            member.decode(): weight_at(score, at, half_life)
            for member, score in redis.zrange(keys.interests(user, stance, horizon), 0, -1, withscores=True)
        }
        for horizon, half_life in HALF_LIVES_US.items()
        for stance in ("like", "dislike")
    }


def assert_equal_to_oracle(url, events, caps, commands=None):
    with SyncRedis.from_url(url) as redis:
        for user in {e.user for e in events}:
            at = max(e.at for e in events if e.user == user)
            expected = weights(events, commands, at, caps)[user]
            assert_same(profile(redis, user, at), expected)


@pytest.mark.parametrize("seed", range(6))
async def test_any_batching_and_redelivery_caps_the_same_events(store, redis_url, seed):
    events = flood(seed)
    kept = within_caps(events, CAPS)
    assert len(events) - len(kept) > 50
    rng, log, done, capped = random.Random(seed), [observation(e, n) for n, e in enumerate(events)], 0, 0
    while done < len(log):
        end = min(len(log), done + rng.choice((1, 2, 9, 150)))
        outcome = await store.record("clicks/0", log[max(0, done - rng.randrange(40)) : end])
        assert outcome.applied == end - done
        done, capped = end, capped + outcome.capped
    assert capped == len(events) - len(kept)
    assert_equal_to_oracle(redis_url, events, CAPS)
    with pytest.raises(AssertionError):
        assert_equal_to_oracle(redis_url, events, None)


async def test_repeated_events_use_up_no_allowance(store, redis_url):
    events = flood(9, 120)
    log = [observation(e, n) for n, e in enumerate([*events[:40], *events[:40], *events])]
    for start in range(0, len(log), 17):
        await store.record("clicks/0", log[start : start + 17])
    assert_equal_to_oracle(redis_url, events, CAPS)


async def test_each_log_counts_for_itself(store, redis_url):
    clicks = flood(7, 100)
    comments = [replace(e, event_id=f"c-{e.event_id}", log="comments/3") for e in clicks]
    for start in range(0, 100, 10):
        for name, part in (("clicks/0", clicks), ("comments/3", comments)):
            await store.record(name, [observation(e, n) for n, e in enumerate(part)][start : start + 10])
    assert_equal_to_oracle(redis_url, [*clicks, *comments], CAPS)


async def test_what_a_user_rules_out_uses_up_the_allowance_as_well(store, redis_url):
    """Otherwise a command that comes earlier or later would let other events count."""
    events = [replace(e, user="u") for e in flood(8, 100)]
    await store.retract("u", "item:a", START + 10**12)
    await store.record("clicks/0", [observation(e, n) for n, e in enumerate(events)])
    assert_equal_to_oracle(redis_url, events, CAPS, Commands(retracted={("u", "item:a"): START + 10**12}))


async def test_a_forget_takes_the_list_of_items_along(redis, store):
    await store.record("clicks/0", [observation(e, n) for n, e in enumerate(flood(1))])
    assert 0 < await redis.ttl(keys.busy("busy")) <= POLICY.expiry_grace_seconds
    assert (await store.forget("busy", START + 10**12)).removed[keys.busy("busy")] == 1
    assert keys.busy("busy") not in await store.keys_of("busy")


async def test_the_list_of_items_outlives_its_hour_without_a_grace_too(redis, redis_url):
    store = ProfileStore(redis, replace(POLICY, expiry_grace_seconds=0))
    await store.prepare()
    events = flood(1)
    for n, event in enumerate(events):
        await store.record("clicks/0", [observation(event, n)])
    assert await redis.ttl(keys.busy("busy")) > 3600
    assert_equal_to_oracle(redis_url, events, CAPS)


async def test_who_is_not_busy_pays_nothing(redis, store):
    await store.record("clicks/0", [observation(replace(e, user="u"), n) for n, e in enumerate(flood(1, 4))])
    assert not await redis.exists(keys.busy("u"))


async def test_a_position_from_before_there_were_caps_is_understood(redis, store):
    await redis.hset(keys.meta("u"), mapping={"clicks/0": 5, "newest": START, "events": 6, "schema": 1})
    outcome = await store.record("clicks/0", [observation(replace(e, user="u"), n) for n, e in enumerate(flood(1, 8))])
    assert (outcome.replayed, outcome.applied) == (6, 2)


async def test_without_caps_all_counts(redis, redis_url):
    store = ProfileStore(redis, Policy(events_per_user_hour=0, events_per_item_hour=0))
    await store.prepare()
    events = flood(2)
    assert (await store.record("clicks/0", [observation(e, n) for n, e in enumerate(events)])).capped == 0
    assert_equal_to_oracle(redis_url, events, None)


def story():
    rng = random.Random(5)
    events = []
    for n in range(400):
        user = "flooder" if rng.random() < 0.8 else f"user {rng.randrange(8)}"
        item = ITEMS[0][0] if user == "flooder" and rng.random() < 0.6 else rng.choice(ITEMS)[0]
        at = START_MS + n * 1000
        events.append({"event_id": f"e{n}", "user_id": user, "occurred_at": at, "action": "like", "item_id": item})
    return [{"item_id": i, "kind": kind, "title": title} for i, kind, title in ITEMS], events


def test_a_flood_through_workers_equals_the_oracle_whatever_is_redelivered(own_broker, redis_url):
    """The first worker is killed on its way; the second is of another group: it gets everything from the beginning."""
    items, events = story()
    settings = {
        "KAFKA_BOOTSTRAP": own_broker.bootstrap,
        "REDIS_URL": redis_url,
        "WEB_PORT": "0",
        "ITEM_WAIT_SECONDS": "60",
        "MAX_EVENTS_PER_USER_HOUR": str(CAPS.per_user),
        "MAX_EVENTS_PER_ITEM_HOUR": str(CAPS.per_item),
    }
    base = {**os.environ, **{f"PENCHANT_{name}": value for name, value in settings.items()}}
    ids = {e["event_id"] for e in events}
    for group, poll, events_done in (("flood-1", "9", 200), ("flood-2", "64", 400)):
        own = {"PENCHANT_CONSUMER_GROUP": group, "PENCHANT_MAX_POLL_RECORDS": poll}
        command = [sys.executable, "-m", "streams.cli", "worker"]
        worker = subprocess.Popen(command, env={**base, **own}, stdout=subprocess.PIPE, text=True)
        try:
            stack = Stack(load_settings(), await_ready(worker), worker)
            _publish(own_broker, items, events[events_done - 200 : events_done])
            deadline = time.monotonic() + 60
            while _clicks(stack, "applied", "replayed", "duplicates") < events_done:
                assert time.monotonic() < deadline
                time.sleep(0.05)
            outcomes = {outcome: _clicks(stack, outcome) for outcome in ("replayed", "capped")}
        finally:
            worker.kill()
            worker.wait()
    assert min(outcomes.values()) > 0
    placed = _placed(own_broker, ids)
    in_log_order = sorted(shown(events), key=lambda e: placed[e.event_id][1])
    told = [
        replace(e, log=f"clicks/{partition}", appended=timestamp * 1000)
        for e in in_log_order
        for partition, _, timestamp in [placed[e.event_id]]
    ]
    assert len(told) - len(within_caps(told, CAPS)) > 200
    assert_equal_to_oracle(redis_url, told, CAPS)


def _publish(broker, items, events):
    producer = KafkaProducer(bootstrap_servers=broker.bootstrap)
    for event in [*items, *events]:
        kind = "clicks" if "user_id" in event else "items"
        key = event.get("user_id", event.get("item_id"))
        producer.send(f"penchant.{kind}.v1", json.dumps(event).encode(), key.encode())
    producer.close()


def _clicks(stack, *outcomes):
    samples = stack.metrics()
    return sum(
        samples.get(f'penchant_events_total{{outcome="{outcome}",topic="penchant.clicks.v1"}}', 0)
        for outcome in outcomes
    )


def _placed(broker, ids):
    """Where each event went: its id to partition, offset and timestamp in milliseconds."""
    consumer = KafkaConsumer(bootstrap_servers=broker.bootstrap, consumer_timeout_ms=3000)
    topic = "penchant.clicks.v1"
    consumer.assign([TopicPartition(topic, n) for n in consumer.partitions_for_topic(topic)])
    consumer.seek_to_beginning()
    found = {}
    for record in consumer:
        event = json.loads(record.value)
        if event["event_id"] in ids:
            found[event["event_id"]] = (record.partition, record.offset, record.timestamp)
        if len(found) == len(ids):
            break
    consumer.close()
    return found

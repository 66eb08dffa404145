"""Dead letters of a user are taken back: found whoever names them, replayed no more, everybody else's untouched."""

import asyncio
import base64
import json
import os
import subprocess
import sys
import threading
import uuid

import pytest
from kafka import KafkaProducer
from kafka.errors import KafkaError
from redis.asyncio import Redis

from inference.extraction import Passage
from inference.ledger import Ledger, LedgerExtractor
from profiles import keys
from profiles.model import Observation, Signal, Stance
from profiles.policy import Policy
from profiles.store import ProfileStore
from streams import letters
from streams.events import DEAD_LETTERS_TOPIC, Reason
from streams.letters import belongs_to, letter_key, letter_of, sweep, sweep_in_thread
from streams.replay.dead_letters import replay_dead_letters
from streams.settings import load_settings
from streams.topics import ensure_topics
from tests.fakes import KeywordExtractor

CLICKS, ITEMS = "penchant.clicks.v1", "penchant.items.v1"


def letter(value, key=b"other", *, topic=CLICKS, offset=1, headers=None):
    body = {
        "reason": "poison",
        "detail": "",
        "topic": topic,
        "partition": 0,
        "offset": offset,
        "timestamp_ms": 1_795_000_000_000,
        "key": None if key is None else base64.b64encode(key).decode(),
        "value": base64.b64encode(value).decode(),
        "headers": {name: base64.b64encode(held).decode() for name, held in (headers or {}).items()},
        "rejected_at": "2026-11-24T12:00:00Z",
    }
    return json.dumps(body).encode()


THEIRS = [
    letter(b"no json", b"ann"),
    letter(b'{"user_id": "ann"}'),
    letter(b'{"userId": "ann", "event": "x"}', None),
    letter(b'{"specversion": "1.0", "data": {"user_id": "ann"}}'),
    letter(b'{"user_id": "ann", "text": "cut o'),
    letter(b'["user_id", "ann"]'),
    letter(b'{"a":' * 5000 + b'"ann"' + b"}" * 5000),
]
OTHERS = [
    letter(b'{"user_id": "annabel"}'),
    letter(b'{"user_id": "bob", "parent_id": "ann"}'),
    letter(b'{"user_id": "annabel", "text": "cut o'),
    letter(b'{"item_id": "ann", "kind": "x"}', b"ann", topic=ITEMS),
    letter(b""),
    letter(b'{"user_id": ["ann"]}', b"\xff"),
]


@pytest.mark.parametrize("value", THEIRS)
def test_a_letter_is_its_users_by_key_by_name_or_where_it_cannot_be_read_by_the_id_in_it(value):
    assert belongs_to({"ann", "nobody"})(letter_of(value))


@pytest.mark.parametrize("value", OTHERS)
def test_a_letter_of_another_user_or_an_item_is_not(value):
    assert not belongs_to({"ann", "nobody"})(letter_of(value))


def test_an_id_beyond_ascii_is_found_in_what_cannot_be_read():
    assert belongs_to({"小雨"})(letter_of(letter('{"user_id": "小雨", '.encode())))
    assert belongs_to({"小雨"})(letter_of(letter(rb'{"user_id": "\u5c0f\u96e8", ')))


@pytest.mark.parametrize("change", [{"key": "a"}, {"value": "a"}, {"value": "界"}, {"headers": {"h": "a"}}], ids=str)
def test_what_is_no_base64_is_no_letter(change):
    assert letter_of(json.dumps(json.loads(letter(b"x")) | change).encode()) is None


@pytest.fixture
def settings(broker):
    """Of this test alone: the group names what was replayed, the user whose letters are meant."""
    settings = load_settings(kafka_bootstrap=broker.bootstrap, consumer_group=f"letters-{uuid.uuid4().hex[:8]}")
    ensure_topics(settings)
    replay_dead_letters(settings, Reason.POISON)
    return settings


def publish(settings, records):
    producer = KafkaProducer(bootstrap_servers=settings.kafka_bootstrap)
    for key, value in records:
        producer.send(DEAD_LETTERS_TOPIC, value, key)
    producer.close()


def event_of(user):
    return json.dumps({"user_id": user}).encode()


@pytest.fixture
def ann():
    return f"ann-{uuid.uuid4().hex[:8]}"


def test_what_is_taken_back_is_not_replayed(settings, ann):
    theirs = [(letter_key(CLICKS, 0, n), letter(event_of(ann), offset=n)) for n in range(20)]
    publish(
        settings,
        [*theirs, (letter_key(CLICKS, 0, 99), letter(event_of("bob"))), (b"legacy", letter(b"", ann.encode()))],
    )
    counted = sweep(settings, {ann}, take_back=False)
    assert (counted.found, counted.without_key) == (21, 0)
    assert sweep(settings, {ann}).found == 21
    assert sweep(settings, {ann}, take_back=False).found == 0
    assert sweep(settings, {ann}).found == 0
    assert replay_dead_letters(settings, Reason.POISON, dry_run=True).sent == 1


def test_a_sweep_that_was_cut_off_ends_when_it_is_repeated(settings, ann, monkeypatch):
    publish(settings, [(letter_key(CLICKS, 0, n), letter(event_of(ann), offset=n)) for n in range(4)])
    with monkeypatch.context() as patched:
        take_back = letters._take_back
        patched.setattr(letters, "_take_back", lambda settings, places: take_back(settings, places[:2]))
        sweep(settings, {ann})
    assert sweep(settings, {ann}).found == 2
    assert replay_dead_letters(settings, Reason.POISON, dry_run=True).sent == 0


def test_a_letter_that_is_written_again_after_it_was_taken_back_stands(settings, ann):
    key, value = letter_key(CLICKS, 0, 1), letter(event_of(ann))
    for _ in range(2):
        publish(settings, [(key, value)])
        assert sweep(settings, {ann}, take_back=False).found == 1
        assert replay_dead_letters(settings, Reason.POISON, dry_run=True).sent == 1
        sweep(settings, {ann})


async def test_one_sweep_takes_back_the_letters_of_several_users(settings, ann):
    users = {ann, f"{ann}-too"}
    owners = [*users, "bob"]
    publish(settings, [(letter_key(CLICKS, 0, n), letter(event_of(user), offset=n)) for n, user in enumerate(owners)])
    await sweep_in_thread(settings, users)
    assert sweep(settings, users, take_back=False).found == 0
    assert replay_dead_letters(settings, Reason.POISON, dry_run=True).sent == 1


async def test_without_a_topic_of_letters_there_is_nothing_to_take_back(own_broker, ann):
    await sweep_in_thread(load_settings(kafka_bootstrap=own_broker.bootstrap), {ann})


def test_brokers_that_fall_silent_end_a_sweep(own_broker, ann, monkeypatch):
    settings = load_settings(kafka_bootstrap=own_broker.bootstrap)
    ensure_topics(settings)
    publish(settings, [(b"k", letter(event_of(ann)))])
    monkeypatch.setattr(letters, "_SILENT_SECONDS", 1.0)
    open_consumer = letters.open_consumer

    def then_silence(*arguments):
        opened = open_consumer(*arguments)
        own_broker.kill()
        return opened

    monkeypatch.setattr(letters, "open_consumer", then_silence)
    with pytest.raises(KafkaError):
        sweep(settings, {ann})


async def test_a_sweep_that_nobody_waits_for_any_more_ends(settings, ann, monkeypatch):
    polled, ended = threading.Event(), threading.Event()

    def endless(settings, users, *, progress):
        try:
            while True:
                progress(0, 1)
                polled.set()
        finally:
            ended.set()

    monkeypatch.setattr(letters, "sweep", endless)
    sweeping = asyncio.create_task(sweep_in_thread(settings, {ann}))
    await asyncio.to_thread(polled.wait, 10)
    sweeping.cancel()
    assert await asyncio.to_thread(ended.wait, 10)


async def test_forget_takes_everything_and_its_receipt_is_checked_by_a_second_scan(settings, ann, redis_url):
    client = Redis.from_url(redis_url)
    store, ledger = ProfileStore(client, Policy()), Ledger(client, 60)
    await store.prepare()
    like = Signal("cats", Stance.LIKE, 2.0, "I love cats", "r")
    await store.record("comments/0", [Observation(user, "e", 0, 10**15, (like,)) for user in (ann, "bob")])
    reader = LedgerExtractor(KeywordExtractor(), ledger)
    await reader.extract([Passage("my cats", author=ann), Passage("cats!", author=ann), Passage("cats!", author="bob")])
    publish(settings, [(letter_key(CLICKS, 0, n), letter(event_of(u), offset=n)) for n, u in enumerate([ann, "bob"])])
    await client.hset(keys.rules(ann), "pin:cats", 1)

    receipt, code = forget(settings, redis_url, ann)
    assert code == 0
    assert receipt["verified"]
    assert receipt["published"]
    assert receipt["removed"][keys.why(ann)] == receipt["removed"][keys.rules(ann)] == 1
    assert len(receipt["readings"]) == receipt["dead_letters"]["taken_back"] == 1
    assert receipt["second_scan"]["readings_seen"] == 1
    assert receipt["second_scan"]["dead_letters_seen"] > 2
    assert set(receipt["left"]) == {keys.meta(ann), keys.rules(ann), keys.seen(ann)}
    assert await client.exists(keys.why("bob"))

    await client.aclose()
    again, code = forget(settings, redis_url, ann)
    assert (code, again["removed"], again["readings"], again["dead_letters"]["taken_back"]) == (0, {}, [], 0)


def forget(settings, redis_url, user):
    ours = {
        "PENCHANT_KAFKA_BOOTSTRAP": settings.kafka_bootstrap,
        "PENCHANT_REDIS_URL": redis_url,
        "PENCHANT_CONSUMER_GROUP": settings.consumer_group,
    }
    command = [sys.executable, "-m", "streams.cli", "forget", user, "--json"]
    finished = subprocess.run(
        command, env={**os.environ, **ours}, capture_output=True, text=True, check=False, timeout=60
    )
    return json.loads(finished.stdout), finished.returncode

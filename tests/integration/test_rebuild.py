"""Profiles rebuilt beside a worker that goes on: equal to the live ones, mended, exchanged, and exchanged back."""

import asyncio
import contextlib
import json
import os
import random
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from datetime import datetime

import pytest
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import KafkaAdminClient
from redis import Redis

from inference.vllm_client import REPLAY, priority
from profiles import keys
from profiles.decay import weight_at
from streams.demo.stack import Stack, await_ready
from streams.embedded import EmbeddedRedis
from streams.replay import rebuild
from streams.replay.log import LogReader
from streams.replay.rebuild import MissingLogError, Order, replay_profiles
from streams.settings import load_settings
from tests.brokers import BROKERS, open_broker
from tests.fakes import KeywordExtractor
from tests.oracle import HALF_LIVES_US
from tests.stream import mixed_events

EVENTS = 400
USERS = 12
START_MS = 1_796_000_000_000
LASTING_LIKES = ("like", "lasting")


@dataclass
class Ground:
    """A broker, a Redis and the settings of a worker; how many records were sent."""

    environment: dict
    producer: KafkaProducer
    redis: Redis
    deletes: bool
    stack: Stack | None = None
    sent: int = 0
    at: int = START_MS
    lock: threading.Lock = field(default_factory=threading.Lock)

    def send(self, event):
        kind = "items" if "user_id" not in event else "comments" if "text" in event else "clicks"
        key = event.get("user_id", event.get("item_id"))
        self.producer.send(f"penchant.{kind}.v1", json.dumps(event).encode(), key.encode())
        self.sent += 1

    def like(self, user, item="i-cat"):
        with self.lock:
            self.at += 1000
            self.send(
                {"event_id": f"m{self.at}", "user_id": user, "occurred_at": self.at, "action": "like", "item_id": item}
            )

    def await_all(self):
        self.producer.flush()
        deadline = time.monotonic() + 60
        while self.stack.done() < self.sent:
            assert time.monotonic() < deadline, f"{self.stack.done()} of {self.sent} events came to an end"
            time.sleep(0.1)

    def replay(self, *arguments, code=0):
        command = [sys.executable, "-m", "streams.cli", "replay", "--json", *arguments]
        finished = subprocess.run(
            command, env=self.environment, capture_output=True, text=True, check=False, timeout=60
        )
        assert finished.returncode == code, finished.stdout + finished.stderr
        return json.loads(finished.stdout) if finished.stdout else finished.stderr

    def rebuild(self, user, **order):
        """The same in this process, for one user."""
        settings = {
            name.removeprefix("PENCHANT_").lower(): v for name, v in self.environment.items() if "PENCHANT" in name
        }
        return asyncio.run(replay_profiles(load_settings(**settings), Order(frozenset({user}), **order)))

    def positions(self, user):
        return {name.decode() for name in self.redis.hkeys(keys.meta(user)) if b"/" in name and b":" not in name}

    def likes(self, user, namespace=keys.PREFIX):
        """Interest to lasting weight at the newest event of the test."""
        key = keys.interests(user, "like", "lasting", namespace)
        half_life = HALF_LIVES_US["lasting"]
        return {
            member.decode(): weight_at(score, self.at * 1000, half_life)
            for member, score in self.redis.zrange(key, 0, -1, withscores=True)
        }

    def told(self, user):
        """What was published of the exchanges of a user's profile: moment and lasting likes of each."""
        topic = "penchant.profile-updates.v1"
        consumer = KafkaConsumer(
            bootstrap_servers=self.environment["PENCHANT_KAFKA_BOOTSTRAP"], consumer_timeout_ms=2000
        )
        consumer.assign([TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic)])
        consumer.seek_to_beginning()
        updates = [json.loads(record.value) for record in consumer if record.key == user.encode()]
        consumer.close()
        return [
            (
                round(datetime.fromisoformat(update["at"]).timestamp() * 1_000_000),
                {c["interest"]: c["weight"] for c in update["changes"] if (c["stance"], c["horizon"]) == LASTING_LIKES},
            )
            for update in updates
            if update["events"] == 0
        ]

    @contextlib.contextmanager
    def worker(self):
        process = subprocess.Popen(
            [sys.executable, "-m", "streams.cli", "worker"], env=self.environment, stdout=subprocess.PIPE, text=True
        )
        try:
            self.stack = Stack(load_settings(), await_ready(process), process)
            yield
        finally:
            process.terminate()
            process.wait(30)


@pytest.fixture(scope="module", params=BROKERS)
def bare(request):
    """A broker and a Redis of this module's own: a replay of all users is to meet no others."""
    with open_broker(request.param) as broker, EmbeddedRedis() as server, Redis.from_url(server.url) as redis:
        settings = {
            "KAFKA_BOOTSTRAP": broker.bootstrap,
            "REDIS_URL": server.url,
            "WEB_PORT": "0",
            "PARTITIONS": "3",
            "ITEM_WAIT_SECONDS": "30",
        }
        environment = {**os.environ, **{f"PENCHANT_{name}": value for name, value in settings.items()}}
        producer = KafkaProducer(bootstrap_servers=broker.bootstrap)
        yield Ground(environment, producer, redis, deletes=request.param != "embedded")
        producer.close()


@pytest.fixture(scope="module")
def ground(bare):
    """The same with a worker that has read a mixed stream of events."""
    with bare.worker():
        for event in mixed_events(EVENTS, seed=21, users=USERS):
            bare.send(event)
        bare.await_all()
        yield bare


@contextlib.contextmanager
def traffic(ground, *users):
    """Clicks of these users, all the while."""
    stop, rng = threading.Event(), random.Random(1)

    def click():
        while not stop.wait(0.05):
            ground.like(rng.choice(users), rng.choice(["i-cat", "i-tent", "i-jazz"]))

    thread = threading.Thread(target=click)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        ground.await_all()


def test_all_profiles_rebuilt_are_the_live_ones_while_traffic_goes_on(ground, tmp_path):
    metrics = tmp_path / "replay.prom"
    with traffic(ground, "user 1", "user 2", "user 3"):
        found = ground.replay("--all", "--metrics-file", str(metrics))
    assert found["users"] == {
        "found": USERS,
        "compared": USERS,
        "identical": USERS,
        "differing": 0,
        "switched": 0,
        "left": 0,
    }
    assert found["largest_difference"] <= 1e-6
    assert found["applied"] > EVENTS * 0.9
    assert found["texts"]["ledger"] > 0
    assert found["texts"]["embedded"] == 0, "the ledger holds every reading: no model is called"
    assert not list(ground.redis.scan_iter("pen:1:shadow:*"))
    text = metrics.read_text()
    assert f'penchant_replay_users{{outcome="identical"}} {USERS}.0' in text
    assert "user 1" not in text


def test_a_wrong_profile_is_found_mended_and_brought_back_with_what_came_since(ground):
    user = "user 4"
    ramen, football = (  # items that the traffic leaves alone
        json.loads(ground.redis.get(keys.item(item)))[-1]["interests"][0] for item in ("i-ramen", "i-football")
    )
    tampered, later = ramen["concept"], football["concept"]
    ground.like(user, "i-ramen")
    ground.await_all()
    right = ground.likes(user)
    ground.redis.zincrby(keys.interests(user, "like", "lasting"), HALF_LIVES_US["lasting"], tampered)

    found = ground.replay("--users", "user 4,user 5", code=1)
    assert (found["users"]["compared"], found["users"]["identical"], found["users"]["switched"]) == (2, 1, 0)
    (difference,) = found["differing"]
    assert (difference["user"], difference["interest"], difference["horizon"]) == (user, tampered, "lasting")
    assert found["largest_difference"] == pytest.approx(0.5)
    assert ground.likes(user)[tampered] == pytest.approx(2 * right[tampered])

    with traffic(ground, user):
        assert ground.rebuild(user, switch=True).switched == 1
    assert ground.rebuild(user).identical == 1

    ground.like(user, "i-football")
    ground.await_all()
    mended, before = ground.likes(user), ground.likes(user, keys.before())
    assert (before[tampered], mended[tampered]) == pytest.approx((2 * right[tampered], right[tampered]), rel=0.01)
    like = json.loads(ground.redis.hget(keys.why(user), later).splitlines()[0])
    assert like["weight"] == pytest.approx(2 * football["confidence"])
    # The test's own time is ahead of Kafka's, to which the like was clamped.
    since = 2 ** ((like["at"] - ground.at * 1000) / HALF_LIVES_US["lasting"])
    assert mended[later] == pytest.approx(before.get(later, 0.0) + like["weight"] * since, rel=0.01)
    with traffic(ground, user):
        assert ground.rebuild(user, back=True).switched == 1
    again = ground.likes(user)
    assert (again[tampered], again[later]) == pytest.approx((2 * right[tampered], mended[later]), rel=0.01)
    assert ground.rebuild(user, switch=True).switched == 1
    assert ground.rebuild(user).identical == 1


def test_caches_are_told_what_an_exchanged_profile_says_and_what_is_gone(ground, monkeypatch):
    user = "user 9"
    ground.redis.zadd(keys.interests(user, "like", "lasting"), {"nonsense": ground.at * 1000})
    wrong = ground.likes(user)
    assert ground.rebuild(user).switched == 0
    assert ground.told(user) == []

    for order, expected in (({"switch": True}, {"nonsense": 0.0}), ({"back": True}, wrong)):
        assert ground.rebuild(user, **order).switched == 1
        at, likes = ground.told(user)[-1]
        fading = weight_at(at, ground.at * 1000, HALF_LIVES_US["lasting"])
        faded = {interest: weight * fading for interest, weight in likes.items()}
        assert faded == pytest.approx(ground.likes(user) | expected)
    assert len(ground.told(user)) == 2

    monkeypatch.setitem(ground.environment, "PENCHANT_PROFILE_UPDATES", "false")
    assert ground.rebuild(user, switch=True).switched == 1
    assert len(ground.told(user)) == 2


def test_who_was_never_switched_has_nothing_to_go_back_to(ground):
    (left,) = ground.replay("--users", "user 5", "--switch-back", code=1)["left"]
    assert left["user"] == "user 5"
    assert "no profile from before a switch" in left["reason"]


def test_models_are_asked_with_the_priority_of_a_replay(ground, monkeypatch):
    """Another reader than the ledger knows: every text is read anew, by a model that is told to let live go first."""
    seen = set()

    class Spy(KeywordExtractor):
        async def extract(self, passages):
            seen.add(priority.get())
            return await super().extract(passages)

    monkeypatch.setattr(rebuild, "extractor_of", lambda *_: Spy())
    outcome = ground.rebuild("user 6")
    assert seen == {REPLAY}
    assert outcome.texts["embedded"] > 0
    assert outcome.differing.keys() == {"user 6"}


def test_a_worker_that_is_away_hinders_a_comparison_and_no_switch(ground, monkeypatch):
    """After the tests that need the worker."""
    monkeypatch.setattr(rebuild, "_PATIENT_ROUNDS", 1)
    monkeypatch.setattr(rebuild, "_ROUNDS", 2)
    ground.stack.worker.terminate()
    ground.stack.worker.wait(30)
    ground.like("user 7")
    ground.producer.flush()
    assert "live worker has not read" in ground.rebuild("user 7").left["user 7"]
    assert ground.rebuild("user 7", switch=True).switched == 1


def test_a_log_whose_beginning_is_gone_is_refused(ground, monkeypatch):
    """Last of all, for nothing brings it back. The embedded broker deletes no records: there it is but said to be."""
    user = "user 8"
    log = next(log for log in ground.positions(user) if log.startswith("clicks"))
    number = int(log.partition("/")[2])
    if ground.deletes:
        admin = KafkaAdminClient(bootstrap_servers=ground.environment["PENCHANT_KAFKA_BOOTSTRAP"])
        admin.delete_records({TopicPartition("penchant.clicks.v1", number): 5})
        admin.close()
    else:
        beginnings = LogReader.beginnings

        async def later(self):
            return {**await beginnings(self), log: 5}

        monkeypatch.setattr(LogReader, "beginnings", later)
    before = dict(ground.likes(user))
    with pytest.raises(MissingLogError, match=rf"{log} begins at offset 5.*--partial"):
        ground.rebuild(user, switch=True)
    assert ground.likes(user) == before
    assert not list(ground.redis.scan_iter("pen:1:shadow:*"))
    elsewhere = next(u for u in map("user {}".format, range(USERS)) if log not in ground.positions(u))
    assert ground.rebuild(elsewhere).identical == 1
    assert ground.rebuild(user, partial=True).compared == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "say what"),
        (["--users", "u", "--all"], "say what"),
        (["--users", "u", "--switch", "--switch-back"], "choose one"),
        (["--all", "--dead-letters", "--reason", "poison"], "choose one"),
    ],
)
def test_wrong_use_says_what_to_say(arguments, said):
    finished = subprocess.run(
        [sys.executable, "-m", "streams.cli", "replay", *arguments], capture_output=True, text=True, check=False
    )
    assert (finished.returncode, said in finished.stderr) == (2, True)
